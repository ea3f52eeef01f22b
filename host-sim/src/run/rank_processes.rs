//! The further ranks of a party as processes of their own.

use ringlet_core::{num::Ring, session::handshake::Mismatch, share::NoObserver};

use super::{
    beginning::{Beginning, await_rank},
    dispatch::{InRing, in_ring},
    lone_party::{DealerPlace, LoneParty, Meeting, Others, Place},
    mpi_ranks::MpiRanks,
    party::{FurtherRank, RankNeeds},
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
        let Others::Dealt(meeting, dealer @ DealerPlace::Address(_)) = others else {
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
        let rank = FurtherRank {
            session: self.session,
            network: self.network,
            role: self.role,
            key,
            first,
            validation: hello.validation,
            contributions: self.contributions.as_deref(),
        };
        let needs = self.rank_needs(self.rank_ends(peer, dealer, &own)?);
        let run = RunFurther {
            rank,
            needs,
            ranks: RoleRanks::Processes(ranks),
        };
        in_ring(self.session, run)?;
        ranks.meet();
        Ok(())
    }

    /// Why this party does not run with as many processes as it has.
    pub(super) fn too_many_processes(&self, most: u16) -> Failure {
        let (role, count) = (self.role, self.process.count());
        Failure::new(
            format!("{role} has {count} processes, and this run has work for {most}"),
            "start fewer (mpirun -n) or choose a smaller --micro-batch; one takes --infer, --dealt, --transcript, a device, --protocol securenn and --triples baseline",
        )
    }
}

/// A further rank with all that it needs.
struct RunFurther<'a> {
    rank: FurtherRank<'a>,
    needs: RankNeeds<'a>,
    ranks: RoleRanks<'a>,
}

impl InRing for RunFurther<'_> {
    type Output = ();

    fn run<R: Ring>(mut self) -> Result<(), Failure> {
        self.rank
            .run::<R>(&mut self.ranks, self.needs, &mut NoObserver)
    }
}
