//! What takes the place of ranks as processes in a program that is built without the feature `mpi`: there are none.

use std::env;

use ringlet_core::{
    num::Word,
    session::{Rank, RankLost, Ranks},
};

use crate::error::Failure;

/// What the starters of MPI programs call the number of processes: Open MPI's, and those that speak PMI.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// What a rank exchanges with other processes of its role, of which there are none.
pub enum MpiRanks {}

impl MpiRanks {
    /// There are no other processes of this role.
    ///
    /// # Errors
    /// If several have been started: each would take itself for the whole role.
    pub fn join() -> Result<Option<Self>, Failure> {
        let several = |name: &&str| env::var(name).is_ok_and(|size| size.trim() != "1");
        match SIZES.iter().any(several) {
            true => Err(Failure::new(
                "this program is built without MPI, and mpirun has started several",
                "build it with `--features mpi`, or start one",
            )),
            false => Ok(None),
        }
    }

    /// Waits until all ranks have come here.
    pub fn meet(&mut self) {
        match *self {}
    }

    /// Ends MPI in this process.
    pub fn leave(self) {
        match self {}
    }

    /// Ends all processes of the role.
    pub fn abort(&self, _: u8) -> ! {
        match *self {}
    }
}

impl Ranks for MpiRanks {
    fn rank(&self) -> Rank {
        match *self {}
    }

    fn broadcast(&mut self, _: u16, _: &mut [u8]) -> Result<(), RankLost> {
        match *self {}
    }

    fn sum<W: Word>(&mut self, _: &mut [W]) -> Result<(), RankLost> {
        match *self {}
    }
}
