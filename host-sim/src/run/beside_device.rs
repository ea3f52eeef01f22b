//! P1 beside a device that is P0. The device has one line, to this process, which also relays between it and the dealer:
//! while both begin, and while both end. In between the dealer has nothing to say to P0.

use std::{
    io,
    net::{Shutdown, TcpStream},
    sync::mpsc::channel as queue,
    thread,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::{Assignment, channel},
    net::{
        Finish, Link, LinkError, Remote,
        secure::{PublicIdentity, SecureTransport, Suite},
        serial::mux::Channel,
    },
    prg::{Key, device_key::FRESH_LEN},
    session::{
        Session,
        handshake::{
            Actor, Checkpoints, Ends, HandshakeError, Hello, Mismatch, receive_greeting,
            receive_key, refuse_greeting,
        },
    },
};

use super::{
    dealer_relay::{DealerRelay, REST},
    device::{DeviceChannel, DeviceMux, await_ready, has_reported, start_session, wake_party},
};
use crate::{
    error::Failure,
    links::{
        connect::{Endpoint, UNBOUNDED, broken, ephemeral},
        secure::{ChaChaPoly, SecureEnd},
        tcp::TcpEnd,
    },
    resources::spawn_scoped,
};

/// A secure link to a device, over the transport `T` of its channel.
pub type DeviceEnd<T> = SecureTransport<T, ChaChaPoly, Box<[u8]>>;

/// P1 beside a device.
pub struct BesideDevice<'a> {
    mux: &'a DeviceMux,
    session: &'a Session,
    /// The checkpoint with which both parties begin, if they keep any.
    checkpoints: Checkpoints,
    endpoint: &'a Endpoint,
    /// The device's public identity.
    device: PublicIdentity,
    fresh: [u8; FRESH_LEN],
    /// How long nothing may move.
    idle: Duration,
}

/// P1's links after all handshakes.
pub struct Met<'a, T> {
    /// The link to the device.
    pub peer: DeviceEnd<T>,
    /// The link to the dealer.
    pub dealer: SecureEnd,
    /// The session key that P1 shares with the dealer.
    pub key: Key,
    /// Hash of the handshake with the device, which both ends know.
    pub hash: [u8; 32],
    /// What ends the session.
    pub ending: Ending<'a>,
}

/// What ends a session with a device.
pub struct Ending<'a> {
    mux: &'a DeviceMux,
    relay: DealerRelay<'a>,
    /// P1's connection to the dealer, to end what waits for it.
    connection: TcpStream,
    idle: Duration,
}

impl<'a> BesideDevice<'a> {
    /// Gives a device its session. `endpoint` is P1; the device has to have the identity that it gives P0. `checkpoints` has
    /// the checkpoint with which both begin, if there is one; `every` is the number of iterations from one to the next, and 0
    /// without checkpoints.
    pub fn start(
        mux: &'a DeviceMux,
        session: &'a Session,
        endpoint: &'a Endpoint,
        (checkpoints, every): (Checkpoints, u32),
        idle: Duration,
    ) -> Result<Self, Failure> {
        let device = endpoint.identity_of(Actor::Party(Role::P0))?;
        let introduction = wake_party(mux)?;
        if introduction
            .identity
            .is_ok_and(|identity| identity != device)
        {
            return Err(Failure::new(
                "the device has not the identity that the roster gives p0",
                "put the identity into the roster that `ringlet data secret` printed for this device, or connect that device",
            ));
        }
        let mut hello = Hello::new(Role::P0, session);
        hello.checkpoints = checkpoints.clone();
        let peer = endpoint.credentials.own().public();
        start_session(mux, &hello, Assignment { peer, every })?;
        // A device without a fresh value has refused.
        let fresh = introduction
            .fresh
            .map_err(|error| Failure::new(error.to_string(), "update the device's firmware"))?;
        Ok(BesideDevice {
            mux,
            session,
            checkpoints,
            endpoint,
            device,
            fresh,
            idle,
        })
    }

    /// The device's fresh value for this session.
    pub fn fresh(&self) -> [u8; FRESH_LEN] {
        self.fresh
    }

    /// Completes the handshakes: of the device and of this party with the dealer at an address, and of both parties with each
    /// other. `wrap` makes the transport of the link to the device.
    pub fn meet<T: Read + Write>(
        &self,
        dealer: &str,
        wrap: impl FnOnce(DeviceChannel<'a>) -> T,
    ) -> Result<Met<'a, T>, Failure> {
        let (endpoint, to) = (self.endpoint, (Actor::Dealer, "--dealer"));
        let mut hello = Hello::new(Role::P1, self.session);
        hello.checkpoints = self.checkpoints.clone();
        let relayed = endpoint.connect(dealer, to.0, to.1)?;
        let mut relay = DealerRelay::new(self.mux, relayed, self.idle)?;
        let mut connection = None;
        let reached = endpoint.reach(dealer, to, &hello, Remote::Dealer, |stream, shape| {
            connection = Some(stream.try_clone()?);
            TcpEnd::free(stream, shape)
        })?;
        let connection = connection.ok_or_else(|| broken(io::ErrorKind::NotConnected.into()))?;
        let mut dealer = reached.end;
        let wait = 2 * endpoint.wait;
        dealer.tcp().set_patience(wait).map_err(broken)?;
        let mut greeted = false;
        let await_key = || {
            let mut link = Link::new(&mut dealer, Remote::Dealer, UNBOUNDED);
            Ok(receive_key(&mut link)?)
        };
        let done = |relay: &mut DealerRelay<'_>| {
            if !greeted && has_reported(self.mux) {
                await_ready(self.mux)?;
                relay.set_greeted();
                greeted = true;
            }
            Ok(greeted)
        };
        let start = relay_during((self.mux, &mut relay), &connection, wait, await_key, done)?;
        dealer.tcp().set_patience(self.idle).map_err(broken)?;
        let link = wrap(Channel::new(self.mux, channel::PEER));
        let common = hello.checkpoints.kept.first();
        if start.ranks != 1 || start.first != common.map_or(0, |id| id.iteration) {
            return Err(HandshakeError::from(Mismatch::Foreign).into());
        }
        let (peer, hash) = self.meet_device(Link::new(link, Remote::Peer, 0), &hello)?;
        Ok(Met {
            peer,
            hash,
            dealer,
            key: start.key,
            ending: Ending {
                mux: self.mux,
                relay,
                connection,
                idle: self.idle,
            },
        })
    }

    /// Answers the greeting of the device.
    fn meet_device<T: Read + Write>(
        &self,
        mut link: Link<T>,
        hello: &Hello,
    ) -> Result<(DeviceEnd<T>, [u8; 32]), Failure> {
        let greeting = receive_greeting(&mut link)?;
        let fits = greeting
            .check(Actor::Party(Role::P1), self.device)
            .and_then(|()| hello.check_peer(&greeting.hello))
            .and(match greeting.suite {
                Suite::Device => Ok(()),
                _ => Err(Mismatch::Foreign),
            });
        if let Err(mismatch) = fits {
            refuse_greeting(&mut link, mismatch)?;
            return Err(HandshakeError::from(mismatch).into());
        }
        let ends = Ends {
            own: self.endpoint.credentials.own(),
            remote: self.device,
            ephemeral: ephemeral()?,
            suite: greeting.suite,
        };
        let keys = greeting.welcome::<ChaChaPoly, _>(&mut link, &hello.checkpoints, ends)?;
        let buffer = || vec![0; Suite::Device.buffer_len()].into_boxed_slice();
        let transport = link.into_inner();
        let end = SecureTransport::new(transport, &keys, buffer(), buffer());
        Ok((end, keys.hash))
    }
}

impl Ending<'_> {
    /// Ends the session: both parties with the dealer, then with each other. `peer` is the link to the device. The dealer
    /// gets this party's confirmation last.
    pub fn finish(
        mut self,
        dealer: &mut SecureEnd,
        peer: &mut (impl Read + Write + Finish),
    ) -> Result<(), Failure> {
        let mux = self.mux;
        let mut dealer = Link::new(dealer, Remote::Dealer, UNBOUNDED);
        let end = || Ok(dealer.end(false)?);
        let done = |relay: &mut DealerRelay<'_>| match has_reported(mux) {
            // Only a device that has failed reports something now.
            true => await_ready(mux).map(|()| false),
            false => Ok(relay.is_done()),
        };
        let relay = (mux, &mut self.relay);
        relay_during(relay, &self.connection, self.idle, end, done)?;
        Link::new(peer, Remote::Peer, 0).finish(false)?;
        // The dealer succeeds only if this party has. If it does not hear so, it fails alone.
        let _ = dealer.confirm(false);
        Ok(())
    }
}

/// Does `task` on a thread of its own, and relays until it has succeeded and `done` says so. Whatever fails ends
/// the `connection` that the task waits for. Nothing may move for as long as `idle`.
fn relay_during<O: Send>(
    (mux, relay): (&DeviceMux, &mut DealerRelay<'_>),
    connection: &TcpStream,
    idle: Duration,
    task: impl FnOnce() -> Result<O, Failure> + Send,
    mut done: impl FnMut(&mut DealerRelay<'_>) -> Result<bool, Failure>,
) -> Result<O, Failure> {
    let (tell, told) = queue();
    let owner = thread::current();
    thread::scope(|scope| {
        spawn_scoped(scope, move || {
            // Nobody listens any more if the relay has failed.
            let _ = tell.send(task());
            owner.unpark();
        })?;
        let mut relay_all = || {
            let (mut outcome, mut moved_at) = (None, Instant::now());
            loop {
                let polled = mux.borrow_mut().poll();
                let came = polled
                    .map_err(|error| Failure::new(error.to_string(), "start all roles again"))?;
                let moved = relay.pass()?;
                if let Ok(told) = told.try_recv() {
                    outcome = Some(told?);
                }
                if done(relay)?
                    && let Some(outcome) = outcome.take()
                {
                    return Ok(outcome);
                }
                if came || moved > 0 {
                    moved_at = Instant::now();
                } else if moved_at.elapsed() >= idle {
                    return Err(LinkError::Silent(Remote::Peer).into());
                } else {
                    thread::park_timeout(REST);
                }
            }
        };
        let outcome = relay_all();
        if outcome.is_err() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        outcome
    })
}
