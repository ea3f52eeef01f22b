//! The further ranks of a party as processes of their own.

use ringlet_core::{
    num::Ring,
    session::{Ranks, Task, handshake::Mismatch},
    share::{NoObserver, Observer},
};

use super::{
    actors::Helper,
    beginning::{Beginning, await_rank},
    dispatch::{InRing, in_ring},
    further_ranks::HelperOfFurther,
    inference::InferenceRank,
    lone_party::{DealerPlace, LoneParty, Meeting, Others, Place},
    mpi_ranks::MpiRanks,
    party::FurtherRank,
    party_ranks::RankNeeds,
    role_ranks::RoleRanks,
    securenn, securenn_inference,
};
use crate::{
    error::Failure,
    links::{reception::MakeEnd, tcp::TcpEnd},
};

impl LoneParty<'_> {
    /// Runs to the end as a further rank that is a process of its own, with what the first rank gives.
    pub fn run_further_process(
        &self,
        others: &Others,
        ranks: &mut MpiRanks,
    ) -> Result<(), Failure> {
        match others {
            Others::SecureNn(meeting, address) => {
                let beginning = Beginning::take(ranks)?;
                self.run_with_assistant(beginning, (meeting, address), ranks)
            }
            _ => {
                let beginning = Beginning::take(ranks)?;
                self.run_with_dealer(beginning, others, ranks)
            }
        }
    }

    /// As [`LoneParty::run_further_process`], with what the first rank has given.
    pub fn run_with_dealer(
        &self,
        beginning: Beginning<1>,
        others: &Others,
        ranks: &mut MpiRanks,
    ) -> Result<(), Failure> {
        let Others::Dealt(meeting, DealerPlace::Address(address)) = others else {
            return Err(self.too_many_processes(1));
        };
        let dealer = self.dealer_of_further(address);
        let needs = self.needs_of_process(&beginning, (meeting, dealer), ranks)?;
        let (session, network, role) = (self.session, self.network, self.role);
        let Beginning {
            hello,
            keys: [key],
            first,
        } = beginning;
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
        let run = RunFurther {
            rank,
            needs,
            ranks: RoleRanks::Processes(ranks),
        };
        in_ring(session, run)?;
        ranks.meet();
        Ok(())
    }

    fn run_with_assistant(
        &self,
        beginning: Beginning<2>,
        (meeting, address): (&Meeting, &str),
        ranks: &mut MpiRanks,
    ) -> Result<(), Failure> {
        let assistant = Some((Helper::Assistant, address));
        let needs = self.needs_of_process(&beginning, (meeting, assistant), ranks)?;
        let (session, network, role) = (self.session, self.network, self.role);
        let Beginning { keys, first, .. } = beginning;
        let processes = &mut RoleRanks::Processes(ranks);
        match session.task {
            Task::Infer => {
                let rank = securenn_inference::InferenceRank {
                    session,
                    network,
                    role,
                    keys,
                };
                rank.run_further(processes, needs, &mut NoObserver)?;
            }
            _ => {
                let rank = securenn::FurtherRank {
                    session,
                    network,
                    role,
                    keys,
                    first,
                };
                rank.run(processes, needs, &mut NoObserver)?;
            }
        }
        ranks.meet();
        Ok(())
    }

    /// What this process needs, whose options have to be those of the first rank: it meets the same rank of the peer, and then
    /// that of the `helper`.
    fn needs_of_process<const KEYS: usize>(
        &self,
        beginning: &Beginning<KEYS>,
        (meeting, helper): (&Meeting, HelperOfFurther<'_>),
        ranks: &MpiRanks,
    ) -> Result<RankNeeds<'_>, Failure> {
        let place = match meeting {
            Meeting::Listen(address) => Place::Listen(self.endpoint.listen(address)?),
            Meeting::Connect(address) => Place::Connect(address),
        };
        let own = self.hello(&None).with_process(ranks.rank());
        if let Err(Mismatch::Differs(what)) = beginning.hello.compare(&own) {
            return Err(Failure::new(
                format!("it and the first rank have different {what}"),
                "give all processes of a party the same options and files",
            ));
        }
        let peer = match &place {
            Place::Listen(listener) => {
                let place = (listener, &self.endpoint);
                let wanted = (ranks, TcpEnd::free as MakeEnd);
                let [peer] = await_rank(place, &own, &[self.role.other()], wanted)?;
                peer
            }
            Place::Connect(_) => self.reach_peer(&place, &own, None)?.end,
        };
        Ok(self.rank_needs(self.rank_ends(peer, helper, &own)?))
    }

    /// Why this party does not run with as many processes as it has.
    pub(super) fn too_many_processes(&self, most: u16) -> Failure {
        let (role, count) = (self.role, self.process.count());
        Failure::new(
            format!("{role} has {count} processes, and this run has work for {most}"),
            "start fewer (mpirun -n) or choose a smaller --micro-batch; one takes --dealt, --transcript, a device and --triples baseline",
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
