//! What the processes of a role exchange over MPI, checked: `mpirun -n 4 mpi_ranks`.

use std::fmt::Debug;

use ringlet::run::mpi_ranks::MpiRanks;
use ringlet_core::{
    num::Word,
    session::{RankLost, Ranks},
};

/// More words than one operation of MPI takes.
const MANY: usize = (1 << 20) + 7;

/// Sums wrap at the first rank, and the words of the others become zero.
fn check_sum<W: Word + Debug>(ranks: &mut MpiRanks) -> Result<(), RankLost> {
    let (index, count) = (ranks.rank().index(), ranks.rank().count());
    let word = |index: u16| [W::from_u128(index.into()), W::MAX, W::MAX.right(1)];
    let of = |index: u16, at: usize| word(index)[at % 3].plus(W::from_u128(at as u128));
    let mut words: Vec<W> = (0..MANY).map(|at| of(index, at)).collect();
    ranks.sum(&mut words)?;
    for (at, &sum) in words.iter().enumerate() {
        let wanted = match index {
            0 => (0..count).fold(W::ZERO, |sum, index| sum.plus(of(index, at))),
            _ => W::ZERO,
        };
        assert_eq!(sum, wanted, "{} bits, word {at}", W::BITS);
    }
    Ok(())
}

fn check(ranks: &mut MpiRanks) -> Result<(), RankLost> {
    let index = ranks.rank().index();
    for from in 0..ranks.rank().count() {
        let mut bytes = vec![index as u8; MANY];
        ranks.broadcast(from, &mut bytes)?;
        assert!(bytes.iter().all(|&byte| byte == from as u8));
        ranks.broadcast(from, &mut [])?;
    }
    check_sum::<u8>(ranks)?;
    check_sum::<u16>(ranks)?;
    check_sum::<u32>(ranks)?;
    check_sum::<u64>(ranks)?;
    check_sum::<u128>(ranks)?;
    ranks.sum::<u32>(&mut [])
}

fn main() {
    let mut ranks = MpiRanks::join()
        .expect("an MPI that runs")
        .expect("several processes");
    check(&mut ranks).expect("all ranks");
    ranks.meet();
    if ranks.rank().is_first() {
        println!("{} ranks agree", ranks.rank().count());
    }
    ranks.leave();
}
