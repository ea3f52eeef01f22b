//! A computing party of SecureNN in a process of its own.

use ringlet_core::{
    net::{Link, Remote},
    session::{Ranks, Task, handshake::Actor},
    share::NoObserver,
};

use super::{
    actors::Helper,
    beginning::Beginning,
    checkpoints::Keeper,
    lone_party::{LoneParty, Meeting, Place},
    mpi_ranks::MpiRanks,
    party_ranks::{FurtherRanks, Observers},
    ranks::offer,
    reporter::{Made, Reporter},
    securenn, securenn_inference,
};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, tcp::TcpEnd},
};

impl LoneParty<'_> {
    /// Meets the peer and the assistant, and runs to the end, with `most` ranks at most, or with the party's other
    /// `processes`.
    pub(super) fn run_securenn(
        &self,
        (meeting, assistant): (&Meeting, &str),
        (mut processes, most): (Option<&mut MpiRanks>, u16),
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let place = self.place(meeting, reporter)?;
        self.go_on(reporter, &mut |keeper, reporter| {
            let ranks = (processes.as_deref_mut(), most);
            self.attempt_securenn((&place, assistant), ranks, keeper, reporter)
        })
    }

    fn attempt_securenn(
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
        // The assistant first, so that it too learns of a mismatch of the parties.
        let to = (Actor::Assistant, "--assistant");
        let reached = self
            .endpoint
            .reach(address, to, &hello, Remote::Assistant, TcpEnd::free)?;
        let mut assistant = reached.end;
        let mut peer = self.meet(place, &hello, Some(&mut assistant))?;
        let first = self.agree(&mut keeper, &hello, &peer)?;
        let wait_times = [peer.end.inner().wait_time(), assistant.wait_time()];
        let start = self.await_start(
            &mut assistant,
            Remote::Assistant,
            (peer.end.inner(), first, hello.rank.count()),
        )?;
        self.set_idle(&peer.end)?;
        let mut link = Link::new(&mut peer.end, Remote::Peer, UNBOUNDED);
        let pair = securenn::share_pair_key(&self.secrets.pair_part(self.role)?, &mut link)?;
        let mut further = FurtherRanks::default();
        match processes {
            Some(ranks) => {
                let (hello, keys) = (hello, [pair.clone(), start.key.clone()]);
                Beginning { hello, keys, first }.give(ranks)?;
                further.processes = Some(ranks);
            }
            None => {
                further.closer.add(&assistant)?;
                further.closer.add(peer.end.inner())?;
                let wanted = (&hello, start.ranks);
                let helper = Some((Helper::Assistant, address));
                self.meet_further((place, helper), &mut peer.end, wanted, &mut further)?;
            }
        }
        let mut setup = self.setup(start.key)?;
        setup.further = further;
        setup.durable = keeper.map(|keeper| (keeper, first));
        reporter.connected(wait_times, first)?;
        let mut data = self.data();
        let links = (
            Link::new(AnyEnd::new(&mut peer.end), Remote::Peer, UNBOUNDED),
            Link::new(AnyEnd::new(&mut assistant), Remote::Assistant, UNBOUNDED),
        );
        let nobody = &mut NoObserver;
        let observers = Observers::only(nobody);
        let emit = &mut |event| reporter.event(event);
        let made = match self.session.task {
            Task::Train => {
                securenn::run_party(setup, pair, links, &mut data, observers, emit).map(Made::Model)
            }
            Task::Infer | Task::Evaluate => {
                let keys = (pair, &self.model[..]);
                securenn_inference::run_party(setup, keys, links, &mut data, observers, emit)
                    .map(Made::Classes)
            }
        };
        self.end(made?, (peer.end, assistant), Remote::Assistant, reporter)
    }
}
