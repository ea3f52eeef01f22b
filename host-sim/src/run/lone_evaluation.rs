//! A party that evaluates the model which it shares with its peer, from checkpoints of both: a session of its own, under
//! keys of its own.

use ringlet_core::{
    dealt::{Classifier, PartyContext},
    net::{Link, Remote},
    num::Ring,
    prg::Key,
    session::handshake::{Actor, Checkpoints, Hello},
};

use super::{
    dispatch::{InRing, in_ring},
    event::Evaluated,
    lone_party::{DealerPlace, LoneParty, Others},
    monotonic_clock,
    party_ranks::PartyLinks,
    reporter::{Made, Reporter},
    validation::Evaluation,
};
use crate::{
    data::{OwnImages, checkpoint_file::Checkpoint},
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, tcp::TcpEnd},
};

impl LoneParty<'_> {
    /// Evaluates the model of the latest of these checkpoints that the peer has too, on the images of the party that has
    /// some.
    pub fn evaluate(
        &self,
        checkpoints: &[Checkpoint],
        others: &Others,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let Others::Dealt(meeting, DealerPlace::Address(dealer)) = others else {
            return Err(Failure::new(
                "an evaluation needs a peer on a host and a dealer at an address",
                "give --dealer",
            ));
        };
        let place = self.place(meeting, reporter)?;
        let mut hello = Hello::new(self.role, self.session);
        hello.checkpoints = Checkpoints {
            kept: checkpoints.iter().map(|checkpoint| checkpoint.id).collect(),
            durable: false,
        };
        // The dealer first, so that it too learns of a mismatch of the parties.
        let to = (Actor::Dealer, "--dealer");
        let reached = self
            .endpoint
            .reach(dealer, to, &hello, Remote::Dealer, TcpEnd::free)?;
        let mut dealer = reached.end;
        let mut peer = self.meet(&place, &hello, Some(&mut dealer))?;
        let common = hello.checkpoints.common(&peer.checkpoints);
        let checkpoint = checkpoints
            .iter()
            .find(|checkpoint| Some(checkpoint.id) == common);
        let Some(checkpoint) = checkpoint else {
            return Err(Failure::new(
                format!(
                    "none of {}'s checkpoints is of the same training and iteration as one of {}'s",
                    self.role,
                    self.role.other()
                ),
                "give both parties with --evaluate the directories of one training",
            ));
        };
        let wait_times = [peer.end.inner().wait_time(), dealer.wait_time()];
        self.set_idle(&peer.end)?;
        let start = self.await_start(&mut dealer, Remote::Dealer, (peer.end.inner(), 0, 1))?;
        reporter.connected(wait_times, 0)?;
        let links = (
            Link::new(AnyEnd::new(&mut peer.end), Remote::Peer, UNBOUNDED),
            Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, UNBOUNDED),
        );
        let evaluation = FromCheckpoint {
            party: self,
            checkpoint,
            key: start.key,
            links,
        };
        let evaluated = in_ring(self.session, evaluation)?;
        let made = Made::Evaluated(Box::new(evaluated));
        self.end(made, (peer.end, dealer), Remote::Dealer, reporter)
    }
}

/// What a party evaluates after the handshakes.
struct FromCheckpoint<'a, 'l> {
    party: &'a LoneParty<'a>,
    checkpoint: &'a Checkpoint,
    key: Key,
    links: PartyLinks<'l>,
}

impl InRing for FromCheckpoint<'_, '_> {
    type Output = Evaluated;

    fn run<R: Ring>(self) -> Result<Evaluated, Failure> {
        let (checkpoint, role) = (self.checkpoint, self.party.role);
        let evaluation = Evaluation::new::<R>(self.party.session.clone())?;
        let Evaluation { session, network } = &evaluation;
        let mut memory = evaluation.memory::<R>(role)?;
        let mut party = Classifier::<R>::new(session, network, role, &mut memory)?;
        party.restore(&checkpoint.state)?;
        let (peer, dealer) = self.links;
        let mut cx = PartyContext::new(role, self.key, peer, dealer);
        cx.set_clock(monotonic_clock::nanoseconds);
        let images = &self.party.images;
        let mut data = OwnImages::new(images, 0..images.len(), network.classes);
        let done = checkpoint.id.iteration;
        Ok(evaluation.classify(party, &mut cx, &mut data, done)?)
    }
}
