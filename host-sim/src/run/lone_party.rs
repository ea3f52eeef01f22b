//! A computing party in a process of its own, from the addresses of the other roles to its end.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::MemoryUsed,
    net::{Finish, Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{
        Rank, Ranks, RunError, Session, Task, Validation,
        handshake::{Actor, Checkpoints, Hello},
    },
    share::NoObserver,
};

use super::{
    beginning::Beginning,
    checkpoints::{CheckpointPlan, Keeper},
    dispatch::{InRing, in_ring},
    event::StageValues,
    inference,
    mpi_ranks::MpiRanks,
    party::{PartySetup, run_party},
    party_ranks::{FurtherRanks, Observers, PartyLinks},
    ranks::offer,
    reporter::{Made, Reporter},
    secrets::Secrets,
    stop_request,
    validation::PartyValidation,
};
use crate::{
    console,
    data::{
        Images, OwnImages, contribution_file::ContributionFile, masked_samples::MaskedSamples,
        party_samples::PartySamples,
    },
    error::Failure,
    links::{
        any_end::AnyEnd,
        capture::Capture,
        connect::{Endpoint, UNBOUNDED, broken},
        device_address::DeviceAddress,
        secure::SecureEnd,
        tcp::TcpEnd,
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

/// How a party and its peer meet, once the party listens.
pub(super) enum Place<'m> {
    Listen(TcpListener),
    Connect(&'m str),
}

/// A peer after the handshake with it.
pub(super) struct Met {
    pub(super) end: Capture<SecureEnd>,
    pub(super) checkpoints: Checkpoints,
    pub(super) hash: [u8; 32],
}

/// Pause before the roles meet again.
const PAUSE: Duration = Duration::from_millis(200);

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

/// An attempt at a run, with what keeps the checkpoints, if the party keeps any.
pub(super) type Attempt<'a> =
    &'a mut dyn FnMut(Option<&mut Keeper>, &mut dyn Reporter) -> Result<(), Failure>;

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
    /// The contributions that the session trains on, if neither party owns the samples.
    pub contributions: Option<Arc<ContributionFile>>,
    /// The evaluations of the shared model during its training, and this party's held-out images, if there are any.
    pub validation: Option<(Validation, Images)>,
    /// The model, at its owner: in inference, and in a training that begins with one.
    pub model: Vec<StageValues>,
    /// The source of its secrets.
    pub secrets: Secrets,
    /// Whether to report its shares: only in a simulation.
    pub simulated: bool,
    /// The party as the other roles meet it.
    pub endpoint: Endpoint,
    /// How long another role may be silent during the run.
    pub idle: Duration,
    /// Where its checkpoints are, if it keeps any.
    pub checkpoints: Option<CheckpointPlan>,
    /// The file for everything that the peer sends, if there is to be one.
    pub transcript: Option<PathBuf>,
    /// The most ranks of a session without a device; as many as there are processors when left out.
    pub threads: Option<u16>,
    /// Which of the party's processes this is.
    pub process: Rank,
}

impl LoneParty<'_> {
    /// Runs to the end, with the party's other `processes` if it has any. Returns the memory use of the device, if the peer
    /// is one.
    pub fn run(
        &self,
        others: &Others,
        mut processes: Option<&mut MpiRanks>,
        reporter: &mut dyn Reporter,
    ) -> Result<Option<MemoryUsed>, Failure> {
        let most = self.most_ranks(others);
        let most_processes = match others {
            // Each process would have to reach the file, and its mark is one process's.
            Others::Dealt(_, DealerPlace::Directory(_)) => 1,
            _ => most,
        };
        if self.process.count() > most_processes {
            return Err(self.too_many_processes(most_processes));
        }
        if let (Some(ranks), false) = (&mut processes, self.process.is_first()) {
            return self.run_further_process(others, ranks).map(|()| None);
        }
        match others {
            Others::Dealt(peer, dealer) => {
                let ranks = (processes, most);
                self.run_dealt((peer, dealer), ranks, reporter)
                    .map(|()| None)
            }
            Others::SecureNn(peer, assistant) => {
                let ranks = (processes, most);
                self.run_securenn((peer, assistant), ranks, reporter)
                    .map(|()| None)
            }
            Others::Device(device, dealer) => {
                self.run_with_device(device, dealer, reporter).map(Some)
            }
        }
    }

    /// The most ranks that have work. A transcript has one link.
    fn most_ranks(&self, others: &Others) -> u16 {
        match (others, &self.transcript) {
            (Others::Dealt(..) | Others::SecureNn(..), None) => self.session.most_ranks(),
            _ => 1,
        }
    }

    fn run_dealt(
        &self,
        (meeting, dealer): (&Meeting, &DealerPlace),
        (mut processes, most): (Option<&mut MpiRanks>, u16),
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let place = self.place(meeting, reporter)?;
        self.go_on(reporter, &mut |keeper, reporter| match dealer {
            DealerPlace::Address(address) => {
                let ranks = (processes.as_deref_mut(), most);
                self.attempt_with_dealer((&place, address), ranks, keeper, reporter)
            }
            DealerPlace::Directory(dir) => {
                self.attempt_with_file((&place, dir), most, keeper, reporter)
            }
        })
    }

    /// Attempts the run, and attempts it again from a checkpoint each time a link breaks, until no attempt gets any
    /// further for as long as the party waits for others.
    pub(super) fn go_on(
        &self,
        reporter: &mut dyn Reporter,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let Some(plan) = &self.checkpoints else {
            return attempt(None, reporter);
        };
        stop_request::watch()?;
        let own = self.endpoint.credentials.own();
        let mut keeper = Keeper::open(plan, self.role, self.session, own)?;
        let (mut moved_at, mut furthest) = (Instant::now(), None);
        loop {
            let failure = match attempt(Some(&mut keeper), reporter) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if keeper.furthest() > furthest {
                (moved_at, furthest) = (Instant::now(), keeper.furthest());
            }
            // Several processes end together, and are started again together.
            let over = moved_at.elapsed() >= self.endpoint.wait
                || stop_request::is_made()
                || self.process.count() > 1;
            if !failure.is_broken_link() || over {
                return Err(failure.with_remedy(plan.remedy()));
            }
            if !self.endpoint.quiet {
                console::note(&format!(
                    "{}: {failure}; meeting the others again",
                    self.role
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// This party's hello, with its checkpoints.
    pub(super) fn hello(&self, keeper: &Option<&mut Keeper>) -> Hello {
        let mut hello = Hello::new(self.role, self.session);
        hello.validation = self.validation.as_ref().map(|(plan, _)| *plan);
        if let Some(keeper) = keeper {
            hello.checkpoints = keeper.checkpoints();
        }
        hello
    }

    /// Goes back to the checkpoint that this party and its peer have in common. Returns the iteration that comes first.
    pub(super) fn agree(
        &self,
        keeper: &mut Option<&mut Keeper>,
        hello: &Hello,
        peer: &Met,
    ) -> Result<u32, Failure> {
        let Some(keeper) = keeper else { return Ok(0) };
        let mut run = [0; 16];
        run.copy_from_slice(&peer.hash[..16]);
        keeper.begin(hello.checkpoints.common(&peer.checkpoints), run)
    }

    fn attempt_with_dealer(
        &self,
        (place, address): (&Place<'_>, &str),
        (processes, most): (Option<&mut MpiRanks>, u16),
        mut keeper: Option<&mut Keeper>,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let hello = match &processes {
            Some(ranks) => self.hello(&keeper).with_process(ranks.rank()),
            None => self.hello(&keeper).with_rank(offer(self.threads, most)),
        };
        // The dealer first, so that it too learns of a mismatch of the parties.
        let to = (Actor::Dealer, "--dealer");
        let reached = self
            .endpoint
            .reach(address, to, &hello, Remote::Dealer, TcpEnd::free)?;
        let mut source = reached.end;
        let mut peer = self.meet(place, &hello, Some(&mut source))?;
        let first = self.agree(&mut keeper, &hello, &peer)?;
        let wait_times = [peer.end.inner().wait_time(), source.wait_time()];
        self.set_idle(&peer.end)?;
        let mut further = FurtherRanks::default();
        let watched = (peer.end.inner(), first, hello.rank.count());
        let start = self.await_start(&mut source, Remote::Dealer, watched)?;
        match processes {
            Some(ranks) => {
                let (hello, keys) = (hello, [start.key.clone()]);
                Beginning { hello, keys, first }.give(ranks)?;
                further.processes = Some(ranks);
            }
            None => {
                further.closer.add(&source)?;
                further.closer.add(peer.end.inner())?;
                let wanted = (&hello, start.ranks);
                let dealer = self.dealer_of_further(address);
                self.meet_further((place, dealer), &mut peer.end, wanted, &mut further)?;
            }
        }
        let links = (
            Link::new(AnyEnd::new(&mut peer.end), Remote::Peer, UNBOUNDED),
            Link::new(AnyEnd::new(&mut source), Remote::Dealer, UNBOUNDED),
        );
        let mut setup = self.setup(start.key)?;
        setup.durable = keeper.map(|keeper| (keeper, first));
        setup.further = further;
        let made = self.compute(links, setup, wait_times, reporter)?;
        self.end(made, (peer.end, source), Remote::Dealer, reporter)
    }

    /// Gives up when the peer has been silent for too long during the run.
    pub(super) fn set_idle(&self, peer: &Capture<SecureEnd>) -> Result<(), Failure> {
        let end = peer.inner().tcp();
        end.set_patience(self.idle).map_err(broken)
    }

    /// Ends a session: what was made is kept, and becomes a result only when the helper and then the peer have
    /// confirmed that they have done their part.
    pub(super) fn end<P: Read + Write + Finish, D: Read + Write + Finish>(
        &self,
        made: Made,
        (peer, helper): (P, D),
        remote: Remote,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        reporter.made(made)?;
        let mut helper = Link::new(helper, remote, UNBOUNDED);
        helper.end(false)?;
        Link::new(peer, Remote::Peer, UNBOUNDED).finish(self.role == Role::P0)?;
        // The helper succeeds only if both parties have. If it does not hear so, it fails alone.
        let _ = helper.confirm(false);
        reporter.finished()
    }

    /// Trains or classifies with a dealer, after the handshakes.
    pub(super) fn compute(
        &self,
        links: PartyLinks<'_>,
        setup: PartySetup<'_>,
        wait_times: [WaitTime; 2],
        reporter: &mut dyn Reporter,
    ) -> Result<Made, Failure> {
        let first = setup.durable.as_ref().map_or(0, |(_, first)| *first);
        reporter.connected(wait_times, first)?;
        let computation = Computation {
            party: self,
            setup,
            links,
            reporter: &mut *reporter,
        };
        in_ring(self.session, computation)
    }

    pub(super) fn setup(&self, key: Key) -> Result<PartySetup<'_>, Failure> {
        Ok(PartySetup {
            session: self.session,
            network: self.network,
            role: self.role,
            secret: self.secrets.initial_weights(self.role)?,
            initial: match self.session.initial_model == Some(self.role) {
                true => &self.model,
                false => &[],
            },
            key,
            simulated: self.simulated,
            durable: None,
            positions: None,
            beside: None,
            validation: self
                .validation
                .as_ref()
                .map(|(plan, images)| PartyValidation::new(*plan, images, self.network.classes)),
            contributions: self.contributions.as_deref(),
            further: FurtherRanks::default(),
        })
    }

    pub(super) fn data(&self) -> PartySamples<'_> {
        if let Some(file) = &self.contributions {
            return PartySamples::Masked(MaskedSamples(file));
        }
        let all = 0..self.images.len();
        PartySamples::Own(OwnImages::new(&self.images, all, self.network.classes))
    }
}

/// What a party with a dealer does after the handshakes.
struct Computation<'a, 'l> {
    party: &'a LoneParty<'a>,
    setup: PartySetup<'a>,
    links: PartyLinks<'l>,
    reporter: &'a mut dyn Reporter,
}

impl InRing for Computation<'_, '_> {
    type Output = Made;

    fn run<R: Ring>(self) -> Result<Made, Failure> {
        let (party, setup) = (self.party, self.setup);
        let mut data = party.data();
        let emit = &mut |event| self.reporter.event(event);
        match setup.session.task {
            Task::Train => {
                let nobody = &mut NoObserver;
                let observers = Observers::only(nobody);
                run_party::<R>(setup, self.links, &mut data, observers, emit).map(Made::Model)
            }
            Task::Infer => {
                let nobody = &mut NoObserver;
                let observers = Observers::only(nobody);
                let (model, links) = (&party.model, self.links);
                inference::run_party::<R>(setup, model, links, &mut data, observers, emit)
                    .map(Made::Classes)
            }
            // Its model comes from checkpoints: see `lone_evaluation`.
            Task::Evaluate => Err(RunError::Task.into()),
        }
    }
}
