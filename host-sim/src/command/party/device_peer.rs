//! P1 beside a device that is P0.

use std::time::Duration;

use ringlet_core::{
    Role,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    session::handshake::Hello,
};

use super::{Run, reach};
use crate::{
    error::Failure,
    links::{
        capture::transcript,
        connect::{UNBOUNDED, broken},
        device_address::DeviceAddress,
        tcp::TcpEnd,
        wait_time::WaitTime,
    },
    output::{console, report::bytes},
    run::{
        device::{crash_report, end_session, introduce, plug_in, start_session},
        secrets::Secrets,
    },
};

impl Run<'_> {
    /// Trains beside a device that is P0.
    pub(super) fn beside_device<R: Ring>(
        self,
        device: &DeviceAddress,
        network: Network,
    ) -> Result<(), Failure> {
        let args = self.args;
        let address = match (&args.dealer, self.role) {
            (Some(address), Role::P1) => address,
            (_, Role::P0) => {
                return Err(Failure::new("the device is P0", "give --role p1"));
            }
            (None, _) => {
                return Err(Failure::new(
                    "the device gets its key from a dealer",
                    "give --dealer",
                ));
            }
        };
        let patience = Duration::from_secs(args.process.wait);
        let shape = args.process.shape.shape()?;
        let link = || {
            let stream = reach(address, "the dealer", "--dealer", patience)?;
            let end = TcpEnd::free(stream, shape).map_err(broken)?;
            end.set_patience(2 * patience).map_err(broken)?;
            Ok::<_, Failure>(Link::new(end, Remote::Dealer, UNBOUNDED))
        };
        let idle = Duration::from_secs(args.idle);
        let port = plug_in(device, patience, idle)?;
        console::line(&format!("{}: the device at {device} answers", self.role))?;
        let nonce = Secrets::new(args.process.secret_seed).nonce()?;
        let kept = transcript(args.transcript.as_deref())?;
        let role = self.role;
        // The dealer waits for nobody long, and a device may be slow to answer.
        start_session(&port, &Hello::new(Role::P0, self.session), nonce)
            .map_err(|failure| crash_report(&port, device, failure))?;
        let (mut relay, mut dealer) = (link()?, link()?);
        let outcome = introduce(&port, self.session, kept, (&mut relay, &mut dealer)).and_then(
            |(peer, key)| {
                dealer.transport().set_patience(idle).map_err(broken)?;
                let wait_time = [WaitTime::default(), dealer.transport().wait_time()];
                self.train::<R, _, _>(&network, key, (peer, dealer), wait_time)?;
                end_session(&port)
            },
        );
        let taken = outcome.map_err(|failure| crash_report(&port, device, failure))?;
        console::line(&format!(
            "{role}: the device took {} of its memory and {} of stack",
            bytes(taken.memory.into()),
            bytes(taken.stack.into())
        ))
    }
}
