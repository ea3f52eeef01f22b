//! A computing party in a process of its own, from the addresses of the other roles to its end.

use std::{path::PathBuf, time::Duration};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::MemoryUsed,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{
        Session, Task,
        handshake::{Hello, receive_key},
    },
    share::NoObserver,
};

use super::{
    dealer_source::DealerSource,
    dealt_files::DealtFile,
    device::{crash_report, end_session, introduce, open_device, start_session},
    dispatch::{InRing, in_ring},
    event::{Event, StageValues},
    inference::{self, Classes, run_securenn_party},
    party::{PartySetup, run_party},
    secrets::Secrets,
    securenn,
};
use crate::{
    console,
    data::{Images, OwnImages},
    error::Failure,
    links::{
        capture::{Capture, transcript},
        connect::{TcpLink, UNBOUNDED, broken, hear, listen, reach},
        device_address::DeviceAddress,
        tcp::TcpEnd,
        traffic_shaper::TrafficShape,
        wait_time::WaitTime,
    },
};

/// How a party and its peer meet.
pub enum Meeting {
    /// The peer connects to this address.
    Listen(String),
    /// This party connects to the peer's address.
    Connect(String),
}

/// Where a party's correlated randomness is.
pub enum DealerPlace {
    /// The dealer's address.
    Address(String),
    /// The directory that `ringlet deal` has filled.
    Directory(PathBuf),
}

/// The other roles of a session, as a party finds them.
pub enum Others {
    /// A peer on a host, and a dealer.
    Dealt(Meeting, DealerPlace),
    /// A peer on a host, and SecureNN's assistant at an address.
    SecureNn(Meeting, String),
    /// A device that is P0, and a dealer at an address.
    Device(DeviceAddress, String),
}

/// The result of a party.
pub enum Made {
    /// The model, if this party receives it.
    Model(Option<Vec<StageValues>>),
    /// The classes of its images.
    Classes(Classes),
}

/// Gets the reports of a party.
pub trait Reporter {
    /// The party waits for its peer at this address.
    fn listening(&mut self, address: String) -> Result<(), Failure>;
    /// All handshakes are complete. The times count the waiting for the peer and for the helper.
    fn connected(&mut self, wait_times: [WaitTime; 2]) -> Result<(), Failure>;
    /// Something happened.
    fn event(&mut self, event: Event) -> Result<(), Failure>;
    /// The party is done.
    fn finished(&mut self, made: Made) -> Result<(), Failure>;
}

/// A computing party in a process of its own.
pub struct LoneParty<'a> {
    /// The parameters of the session.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party this is.
    pub role: Role,
    /// Its images.
    pub images: Images,
    /// The model, at its owner in inference.
    pub model: Vec<StageValues>,
    /// The source of its secrets.
    pub secrets: Secrets,
    /// Whether to report its shares: only in a simulation.
    pub simulated: bool,
    /// How long to wait for the other roles before the run.
    pub wait: Duration,
    /// How long another role may be silent during the run.
    pub idle: Duration,
    /// Delay and rate of the links.
    pub shape: TrafficShape,
    /// The file for everything that the peer sends, if there is to be one.
    pub transcript: Option<PathBuf>,
}

impl LoneParty<'_> {
    /// Runs to the end. Returns the memory use of the device, if the peer is one.
    pub fn run(
        &self,
        others: &Others,
        reporter: &mut impl Reporter,
    ) -> Result<Option<MemoryUsed>, Failure> {
        match others {
            Others::Dealt(peer, dealer) => self.run_dealt(peer, dealer, reporter).map(|()| None),
            Others::SecureNn(peer, assistant) => {
                self.run_securenn(peer, assistant, reporter).map(|()| None)
            }
            Others::Device(device, dealer) => {
                self.run_with_device(device, dealer, reporter).map(Some)
            }
        }
    }

    fn run_dealt(
        &self,
        meeting: &Meeting,
        dealer: &DealerPlace,
        reporter: &mut impl Reporter,
    ) -> Result<(), Failure> {
        let mut hello = Hello::new(self.role, self.session);
        let source = match dealer {
            // The file is checked before the party meets anyone.
            DealerPlace::Directory(dir) => {
                let file = DealtFile::open(dir, self.role, self.session)?;
                hello = hello.with_dealt_file(file.identity);
                DealerSource::File(file)
            }
            DealerPlace::Address(address) => {
                let stream = reach(address, "the dealer", "--dealer", self.wait)?;
                DealerSource::Tcp(TcpEnd::free(stream, self.shape).map_err(broken)?)
            }
        };
        let dealer_wait = source.wait_time();
        let mut dealer = Link::new(source, Remote::Dealer, UNBOUNDED);
        // The dealer first, so that it too learns of a mismatch of the parties.
        if let DealerSource::Tcp(_) = dealer.transport() {
            hello.send(&mut dealer)?;
        }
        let peer = self.meet(meeting, &hello, reporter)?;
        let end = peer.transport().inner();
        let wait_times = [end.wait_time(), dealer_wait];
        end.set_patience(self.idle).map_err(broken)?;
        let key = match dealer.transport_mut() {
            DealerSource::File(file) => {
                file.consume()?;
                file.key.clone()
            }
            DealerSource::Tcp(end) => {
                // The dealer answers only when both parties are there.
                end.set_patience(2 * self.wait).map_err(broken)?;
                let handle = end.patience().map_err(broken)?;
                let key = receive_key(&mut dealer)?;
                handle.set(self.idle).map_err(broken)?;
                key
            }
        };
        self.compute((peer, dealer), key, wait_times, reporter)
    }

    fn run_securenn(
        &self,
        meeting: &Meeting,
        assistant: &str,
        reporter: &mut impl Reporter,
    ) -> Result<(), Failure> {
        let stream = reach(assistant, "the assistant", "--assistant", self.wait)?;
        let end = TcpEnd::free(stream, self.shape).map_err(broken)?;
        let mut assistant = Link::new(end, Remote::Assistant, UNBOUNDED);
        let hello = Hello::new(self.role, self.session);
        // The assistant first, so that it too learns of a mismatch of the parties.
        hello.send(&mut assistant)?;
        let mut peer = self.meet(meeting, &hello, reporter)?;
        let end = assistant.transport();
        let wait_times = [peer.transport().inner().wait_time(), end.wait_time()];
        // The assistant answers only when both parties are there.
        end.set_patience(2 * self.wait).map_err(broken)?;
        let key = receive_key(&mut assistant)?;
        let end = assistant.transport();
        end.set_patience(self.idle).map_err(broken)?;
        let pair = securenn::share_pair_key(&self.secrets.pair_part(self.role)?, &mut peer)?;
        let end = peer.transport().inner();
        end.set_patience(self.idle).map_err(broken)?;
        let setup = self.setup(key)?;
        reporter.connected(wait_times)?;
        let (mut data, links) = (self.data(), (peer, assistant));
        let emit = |event| reporter.event(event);
        let made = match self.session.task {
            Task::Train => {
                securenn::run_party(setup, pair, links, &mut data, emit).map(Made::Model)
            }
            Task::Infer => {
                let keys = (pair, &self.model[..]);
                run_securenn_party(setup, keys, links, &mut data, emit).map(Made::Classes)
            }
        };
        reporter.finished(made?)
    }

    fn run_with_device(
        &self,
        device: &DeviceAddress,
        dealer: &str,
        reporter: &mut impl Reporter,
    ) -> Result<MemoryUsed, Failure> {
        let link = || {
            let stream = reach(dealer, "the dealer", "--dealer", self.wait)?;
            let end = TcpEnd::free(stream, self.shape).map_err(broken)?;
            end.set_patience(2 * self.wait).map_err(broken)?;
            Ok::<_, Failure>(Link::new(end, Remote::Dealer, UNBOUNDED))
        };
        let mux = open_device(device, self.wait, self.idle)?;
        console::line(&format!("{}: the device at {device} answers", self.role))?;
        let nonce = self.secrets.nonce()?;
        let kept = transcript(self.transcript.as_deref())?;
        // Before the dealer, which does not wait long: a device may be slow to answer.
        start_session(&mux, &Hello::new(Role::P0, self.session), nonce)
            .map_err(|failure| crash_report(&mux, device, failure))?;
        let (mut relay, mut dealer) = (link()?, link()?);
        let outcome = introduce(&mux, self.session, kept, (&mut relay, &mut dealer)).and_then(
            |(peer, key)| {
                let end = dealer.transport();
                end.set_patience(self.idle).map_err(broken)?;
                let wait_times = [WaitTime::default(), end.wait_time()];
                self.compute((peer, dealer), key, wait_times, reporter)?;
                end_session(&mux)
            },
        );
        outcome.map_err(|failure| crash_report(&mux, device, failure))
    }

    /// Meets the peer and completes the handshake with it.
    fn meet(
        &self,
        meeting: &Meeting,
        hello: &Hello,
        reporter: &mut impl Reporter,
    ) -> Result<TcpLink, Failure> {
        let who = format!("party {}", self.role.other());
        let kept = transcript(self.transcript.as_deref())?;
        match meeting {
            Meeting::Listen(address) => {
                let listener = listen(address)?;
                reporter.listening(listener.local_addr().map_err(broken)?.to_string())?;
                let end = |stream| Capture::new(TcpEnd::free(stream, self.shape)?, &kept);
                let (mut link, heard) = hear(&listener, &who, Remote::Peer, self.wait, end)?;
                hello.reply_to_peer(&mut link, &heard)?;
                Ok(link)
            }
            Meeting::Connect(address) => {
                let stream = reach(address, &who, "--peer", self.wait)?;
                let end = TcpEnd::free(stream, self.shape).map_err(broken)?;
                end.set_patience(self.wait).map_err(broken)?;
                let end = Capture::new(end, &kept).map_err(broken)?;
                let mut link = Link::new(end, Remote::Peer, UNBOUNDED);
                hello.exchange_with_peer(&mut link)?;
                Ok(link)
            }
        }
    }

    /// Trains or classifies with a dealer, after the handshakes.
    fn compute<P: Read + Write, D: Read + Write>(
        &self,
        links: (Link<P>, Link<D>),
        key: Key,
        wait_times: [WaitTime; 2],
        reporter: &mut impl Reporter,
    ) -> Result<(), Failure> {
        let setup = self.setup(key)?;
        reporter.connected(wait_times)?;
        let computation = Computation {
            party: self,
            setup,
            links,
            reporter: &mut *reporter,
        };
        let made = in_ring(self.session, computation)?;
        reporter.finished(made)
    }

    fn setup(&self, key: Key) -> Result<PartySetup<'_>, Failure> {
        Ok(PartySetup {
            session: self.session,
            network: self.network,
            role: self.role,
            secret: self.secrets.initial_weights(self.role)?,
            key,
            simulated: self.simulated,
        })
    }

    fn data(&self) -> OwnImages<'_> {
        OwnImages::new(&self.images, 0..self.images.len(), self.network.classes)
    }
}

/// What a party with a dealer does after the handshakes.
struct Computation<'a, P, D, U> {
    party: &'a LoneParty<'a>,
    setup: PartySetup<'a>,
    links: (Link<P>, Link<D>),
    reporter: &'a mut U,
}

impl<P: Read + Write, D: Read + Write, U: Reporter> InRing for Computation<'_, P, D, U> {
    type Output = Made;

    fn run<R: Ring>(self) -> Result<Made, Failure> {
        let (party, setup) = (self.party, self.setup);
        let mut data = party.data();
        let emit = |event| self.reporter.event(event);
        match setup.session.task {
            Task::Train => {
                let (peer, dealer) = self.links;
                run_party::<R, _, _>(setup, peer, dealer, &mut data, &mut NoObserver, emit)
                    .map(Made::Model)
            }
            Task::Infer => {
                inference::run_party::<R, _, _>(setup, &party.model, self.links, &mut data, emit)
                    .map(Made::Classes)
            }
        }
    }
}
