//! The ranks of a role as processes that `mpirun` has started: what they exchange over MPI.

use std::{env, mem::ManuallyDrop, thread, time::Duration};

use bytemuck::Pod;
use mpi::{
    Threading,
    collective::SystemOperation,
    environment::Universe,
    request::{LocalScope, Request, scope},
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Equivalence, Root},
};
use ringlet_core::{
    num::Word,
    session::{MAX_RANKS, Rank, RankLost, Ranks},
};
use zeroize::{Zeroize, Zeroizing};

use crate::error::Failure;

/// What the starters of MPI programs set: Open MPI's, those that speak PMIx, and those that speak PMI.
const STARTED: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"];

/// The most words or bytes of one operation. MPI counts in 32 bits.
const CHUNK: usize = 1 << 20;

/// What a rank exchanges with the others of its role, each a process of its own. All that it does waits for the others. A
/// rank that is lost ends this process too: that is MPI's way.
pub struct MpiRanks {
    rank: Rank,
    world: SimpleCommunicator,
    /// Its end waits for the other ranks, so it is dropped only when they come to it too: not in a panic.
    universe: ManuallyDrop<Universe>,
}

impl MpiRanks {
    /// Meets the other processes of this role; none if this process has been started alone.
    pub fn join() -> Result<Option<Self>, Failure> {
        if STARTED.iter().all(|name| env::var_os(name).is_none()) {
            return Ok(None);
        }
        let unusable = |why: &str| Failure::new(why, "check the installation of MPI");
        // All calls come from one thread, and there are others.
        let (universe, provided) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| unusable("MPI does not start"))?;
        if provided < Threading::Funneled {
            return Err(unusable("this MPI allows no threads"));
        }
        let world = universe.world();
        let (index, count) = (world.rank(), world.size());
        if count == 1 {
            return Ok(None);
        }
        let rank = u16::try_from(index).ok().zip(u16::try_from(count).ok());
        let Some(rank) = rank.and_then(|(index, count)| Rank::new(index, count)) else {
            return Err(Failure::new(
                format!("a role has {count} processes, and may have {MAX_RANKS}"),
                "start fewer (mpirun -n)",
            ));
        };
        Ok(Some(MpiRanks {
            rank,
            world,
            universe: ManuallyDrop::new(universe),
        }))
    }

    /// Waits until all ranks have come here.
    pub fn meet(&mut self) {
        complete(self.world.immediate_barrier());
    }

    /// Ends MPI in this process, as the other ranks do.
    pub fn leave(self) {
        drop(ManuallyDrop::into_inner(self.universe));
    }

    /// Ends all processes of the role. `mpirun` exits with this code.
    pub fn abort(&self, code: u8) -> ! {
        self.world.abort(code.into())
    }

    /// Adds up words of 32 or 64 bits at the first rank. MPI lets them wrap, as C does.
    fn reduce<T: Equivalence + Pod + Zeroize>(&self, words: &mut [T]) {
        let root = self.world.process_at_rank(0);
        let add = SystemOperation::sum();
        for words in words.chunks_mut(CHUNK) {
            if self.rank.is_first() {
                let own = Zeroizing::new(words.to_vec());
                scope(|all: &LocalScope<'_>| {
                    complete(root.immediate_reduce_into_root(all, &own[..], words, add));
                });
            } else {
                scope(|all: &LocalScope<'_>| {
                    complete(root.immediate_reduce_into(all, &*words, add))
                });
                words.fill(T::zeroed());
            }
        }
    }

    /// As [`MpiRanks::reduce`], for words of any width: MPI has none of 128 bits, and Open MPI 4 adds those of 8 and 16 bits
    /// without letting them wrap.
    fn add_each<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost> {
        let mut theirs = Zeroizing::new(words.to_vec());
        for from in 1..self.rank.count() {
            self.broadcast(from, bytemuck::cast_slice_mut(&mut theirs))?;
            for (word, theirs) in words.iter_mut().zip(theirs.iter_mut()) {
                match self.rank.is_first() {
                    true => *word = word.plus(*theirs),
                    false => *theirs = *word,
                }
            }
        }
        if !self.rank.is_first() {
            words.fill(W::ZERO);
        }
        Ok(())
    }
}

impl Ranks for MpiRanks {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn broadcast(&mut self, from: u16, bytes: &mut [u8]) -> Result<(), RankLost> {
        let root = self.world.process_at_rank(from.into());
        for bytes in bytes.chunks_mut(CHUNK) {
            scope(|all: &LocalScope<'_>| complete(root.immediate_broadcast_into(all, bytes)));
        }
        Ok(())
    }

    fn sum<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost> {
        match W::BITS {
            u32::BITS => self.reduce::<u32>(bytemuck::cast_slice_mut(words)),
            u64::BITS => self.reduce::<u64>(bytemuck::cast_slice_mut(words)),
            _ => self.add_each(words)?,
        }
        Ok(())
    }
}

/// Waits for the end of an operation. MPI itself would take a whole processor while it waits.
fn complete<'a, D: ?Sized, S: mpi::request::Scope<'a>>(mut request: Request<'a, D, S>) {
    let mut tries = 0;
    while let Err(unfinished) = request.test() {
        request = unfinished;
        match tries {
            0..50 => thread::yield_now(),
            50..150 => thread::sleep(Duration::from_micros(20)),
            _ => thread::sleep(Duration::from_micros(200)),
        }
        tries += 1;
    }
}
