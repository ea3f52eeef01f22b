//! A computing party of SecureNN in a process of its own.

use ringlet_core::{
    net::{Link, Remote},
    session::{Task, handshake::Actor},
    share::NoObserver,
};

use super::{
    checkpoints::Keeper,
    inference::run_securenn_party,
    lone_party::{LoneParty, Meeting, Place},
    reporter::{Made, Reporter},
    securenn,
};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, tcp::TcpEnd},
};

impl LoneParty<'_> {
    /// Meets the peer and the assistant, and runs to the end.
    pub(super) fn run_securenn(
        &self,
        meeting: &Meeting,
        assistant: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let place = self.place(meeting, reporter)?;
        self.go_on(reporter, &mut |keeper, reporter| {
            self.attempt_securenn(&place, assistant, keeper, reporter)
        })
    }

    fn attempt_securenn(
        &self,
        place: &Place<'_>,
        assistant: &str,
        mut keeper: Option<&mut Keeper>,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let hello = self.hello(&keeper);
        // The assistant first, so that it too learns of a mismatch of the parties.
        let to = (Actor::Assistant, "--assistant");
        let reached =
            self.endpoint
                .reach(assistant, to, &hello, Remote::Assistant, TcpEnd::free)?;
        let mut assistant = reached.end;
        let mut peer = self.meet(place, &hello, Some(&mut assistant))?;
        let first = self.agree(&mut keeper, &hello, &peer)?;
        let wait_times = [peer.end.inner().wait_time(), assistant.wait_time()];
        let start = self.await_start(
            &mut assistant,
            Remote::Assistant,
            (peer.end.inner(), first, 1),
        )?;
        self.set_idle(&peer.end)?;
        let mut link = Link::new(AnyEnd::new(&mut peer.end), Remote::Peer, UNBOUNDED);
        let pair = securenn::share_pair_key(&self.secrets.pair_part(self.role)?, &mut link)?;
        let mut setup = self.setup(start.key)?;
        setup.durable = keeper.map(|keeper| (keeper, first));
        reporter.connected(wait_times, first)?;
        let mut data = self.data();
        let helper = AnyEnd::new(&mut assistant);
        let links = (link, Link::new(helper, Remote::Assistant, UNBOUNDED));
        let emit = &mut |event| reporter.event(event);
        let made = match self.session.task {
            Task::Train => {
                securenn::run_party(setup, pair, links, &mut data, &mut NoObserver, emit)
                    .map(Made::Model)
            }
            Task::Infer | Task::Evaluate => {
                let keys = (pair, &self.model[..]);
                run_securenn_party(setup, keys, links, &mut data, &mut NoObserver, emit)
                    .map(Made::Classes)
            }
        };
        self.end(made?, (peer.end, assistant), Remote::Assistant, reporter)
    }
}
