//! The further ranks of a party as processes of their own.

use ringlet_core::{
    num::Ring,
    session::{Task, handshake::Mismatch},
    share::{NoObserver, Observer},
};

use super::{
    beginning::{Beginning, await_rank},
    dispatch::{InRing, in_ring},
    inference::InferenceRank,
    lone_party::{DealerPlace, LoneParty, Meeting, Others, Place},
    mpi_ranks::MpiRanks,
    party::FurtherRank,
    party_ranks::RankNeeds,
    role_ranks::RoleRanks,
};
use crate::{error::Failure, links::tcp::TcpEnd};

impl LoneParty<'_> {
    /// Runs to the end as a further rank that is a process of its own, with what the first rank has given.
    pub fn run_further_process(
        &self,
        others: &Others,
        beginning: Beginning<1>,
        ranks: &mut MpiRanks,
    ) -> Result<(), Failure> {
        let Others::Dealt(meeting, DealerPlace::Address(address)) = others else {
            return Err(self.too_many_processes(1));
        };
        let place = match meeting {
            Meeting::Listen(address) => Place::Listen(self.endpoint.listen(address)?),
            Meeting::Connect(address) => Place::Connect(address),
        };
        let own = self.hello(&None).with_process(self.process);
        let Beginning {
            hello,
            keys: [key],
            first,
        } = beginning;
        if let Err(Mismatch::Differs(what)) = hello.compare(&own) {
            return Err(Failure::new(
                format!("it and the first rank have different {what}"),
                "give all processes of a party the same options and files",
            ));
        }
        let peer = match &place {
            Place::Listen(listener) => {
                let place = (listener, &self.endpoint);
                await_rank(place, &own, self.role.other(), (ranks, TcpEnd::free))?
            }
            Place::Connect(_) => self.reach_peer(&place, &own, None)?.end,
        };
        let (session, network, role) = (self.session, self.network, self.role);
        let rank = match session.task {
            Task::Infer => RankTask::Infer(InferenceRank {
                session,
                network,
                role,
                key,
            }),
            _ => RankTask::Train(FurtherRank {
                session,
                network,
                role,
                key,
                first,
                validation: hello.validation,
                contributions: self.contributions.as_deref(),
            }),
        };
        let dealer = self.dealer_of_further(address);
        let needs = self.rank_needs(self.rank_ends(peer, dealer, &own)?);
        let run = RunFurther {
            rank,
            needs,
            ranks: RoleRanks::Processes(ranks),
        };
        in_ring(session, run)?;
        ranks.meet();
        Ok(())
    }

    /// Why this party does not run with as many processes as it has.
    pub(super) fn too_many_processes(&self, most: u16) -> Failure {
        let (role, count) = (self.role, self.process.count());
        Failure::new(
            format!("{role} has {count} processes, and this run has work for {most}"),
            "start fewer (mpirun -n) or choose a smaller --micro-batch; one takes --dealt, --transcript, a device, --protocol securenn and --triples baseline",
        )
    }
}

/// What a further rank does.
enum RankTask<'a> {
    Train(FurtherRank<'a>),
    Infer(InferenceRank<'a>),
}

/// A further rank with all that it needs.
struct RunFurther<'a> {
    rank: RankTask<'a>,
    needs: RankNeeds<'a>,
    ranks: RoleRanks<'a>,
}

impl InRing for RunFurther<'_> {
    type Output = ();

    fn run<R: Ring>(mut self) -> Result<(), Failure> {
        let nobody: &mut dyn Observer<R> = &mut NoObserver;
        match self.rank {
            RankTask::Train(rank) => rank.run(&mut self.ranks, self.needs, nobody),
            RankTask::Infer(rank) => rank.run_further(&mut self.ranks, self.needs, nobody),
        }
    }
}
