//! The processes of one role: how they come together, and how they end.

use std::{thread, time::Duration};

use ringlet_core::session::{Rank, Ranks};

use super::report::report;
use crate::{error::Failure, run::mpi_ranks::MpiRanks};

/// How long a rank but the first keeps its failure to itself. The first may have the same, tells it at once, and ends all ranks; on
/// a busy machine that takes a while.
const OWN_REASON: Duration = Duration::from_secs(3);
/// How much longer a rank keeps what follows from the failure of another one, which has the reason.
const CONSEQUENCE: Duration = Duration::from_secs(4);

/// Does a role's `task` in this process, with what joins it to the role's other processes if there are any. If it fails, all of
/// them end. A `supervised` role has one process.
pub fn run(
    supervised: bool,
    task: impl FnOnce(Option<&mut MpiRanks>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let joined = match supervised {
        true => None,
        false => MpiRanks::join()?,
    };
    let Some(mut ranks) = joined else {
        return task(None);
    };
    let Err(failure) = task(Some(&mut ranks)) else {
        ranks.leave();
        return Ok(());
    };
    let rank = ranks.rank();
    if failure.is_consequence() {
        thread::sleep(CONSEQUENCE);
    }
    if rank.is_first() {
        ranks.abort(report(&failure));
    }
    thread::sleep(OWN_REASON);
    ranks.abort(report(&failure.of(&format!("rank {}", rank.index()))))
}

/// Refuses several threads in one of several processes.
pub fn check_threads(threads: Option<u16>, rank: Rank) -> Result<(), Failure> {
    match threads {
        Some(threads) if threads > 1 && rank.count() > 1 => Err(Failure::new(
            format!(
                "each of {} processes has one thread, and --threads asks for {threads}",
                rank.count()
            ),
            "leave out --threads, or start one process",
        )),
        _ => Ok(()),
    }
}
