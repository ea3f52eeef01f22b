//! P1 beside a device that is P0.

use std::time::Duration;

use ringlet_core::{
    Role,
    hello::Hello,
    link::{Link, Remote},
    network::Network,
    ring::Ring,
};

use super::{Run, reach};
use crate::{
    command::{
        dealer::{UNBOUNDED, broken},
        device::{autopsy, engage, introduce, plug_in, take_leave},
    },
    console,
    error::Failure,
    links::{overheard::transcript, plug::Plug, tcp::TcpEnd, waited::Waited},
    report::bytes,
    secrets::Secrets,
};

impl Run<'_> {
    /// Trains beside a device that is P0.
    pub(super) fn beside_device<R: Ring>(
        self,
        plug: &Plug,
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
        let port = plug_in(plug, patience, idle)?;
        console::line(&format!("{}: the device at {plug} answers", self.role))?;
        let nonce = Secrets::new(args.process.secret_seed).nonce()?;
        let kept = transcript(args.transcript.as_deref())?;
        let role = self.role;
        // The dealer waits for nobody long, and a device may be slow to answer.
        engage(&port, &Hello::new(Role::P0, self.session), nonce)
            .map_err(|failure| autopsy(&port, plug, failure))?;
        let (mut relay, mut dealer) = (link()?, link()?);
        let outcome = introduce(&port, self.session, kept, (&mut relay, &mut dealer)).and_then(
            |(peer, key)| {
                dealer.transport().set_patience(idle).map_err(broken)?;
                let waited = [Waited::default(), dealer.transport().waited()];
                self.train::<R, _, _>(&network, key, (peer, dealer), waited)?;
                take_leave(&port)
            },
        );
        let taken = outcome.map_err(|failure| autopsy(&port, plug, failure))?;
        console::line(&format!(
            "{role}: the device took {} of its memory and {} of stack",
            bytes(taken.memory.into()),
            bytes(taken.stack.into())
        ))
    }
}
