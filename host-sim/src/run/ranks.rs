//! The ranks of a role as threads of this process: what they exchange, and how one that fails ends the others.

use std::{
    io,
    net::Shutdown,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use ringlet_core::{
    num::Word,
    session::{MAX_RANKS, Rank, RankLost, Ranks},
};
use zeroize::Zeroizing;

use crate::{
    error::Failure,
    links::{connect::broken, secure::SecureEnd, tcp::Handle},
    resources::spawn_scoped,
};

/// Bytes from one rank to another: as secret as shares.
type Secret = Zeroizing<Vec<u8>>;

/// What a rank exchanges with the others of its role, each on a thread of its own.
pub struct ThreadRanks {
    rank: Rank,
    /// To each rank; that to itself is unused.
    to: Vec<Sender<Secret>>,
    /// From each rank.
    from: Vec<Receiver<Secret>>,
}

impl ThreadRanks {
    /// The ends of all ranks of a role, the first rank's first.
    pub fn all(count: u16) -> Vec<Self> {
        let ranks = (0..count).filter_map(|index| Rank::new(index, count));
        let mut all: Vec<_> = ranks
            .map(|rank| ThreadRanks {
                rank,
                to: Vec::new(),
                from: Vec::new(),
            })
            .collect();
        for from in 0..all.len() {
            for to in 0..all.len() {
                let (sender, receiver) = channel();
                all[from].to.push(sender);
                all[to].from.push(receiver);
            }
        }
        all
    }

    /// The rank of a role that has no other.
    pub fn only() -> Self {
        ThreadRanks {
            rank: Rank::ONLY,
            to: Vec::new(),
            from: Vec::new(),
        }
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankLost> {
        let bytes = Zeroizing::new(bytes.to_vec());
        self.to[to].send(bytes).map_err(|_| RankLost)
    }

    /// What the rank `from` has sent: so many bytes.
    fn receive(&self, from: usize, len: usize) -> Result<Secret, RankLost> {
        let bytes = self.from[from].recv().map_err(|_| RankLost)?;
        match bytes.len() == len {
            true => Ok(bytes),
            false => Err(RankLost),
        }
    }
}

impl Ranks for ThreadRanks {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn broadcast(&mut self, from: u16, bytes: &mut [u8]) -> Result<(), RankLost> {
        let own = usize::from(self.rank.index());
        if self.rank.index() != from {
            bytes.copy_from_slice(&self.receive(from.into(), bytes.len())?);
            return Ok(());
        }
        for to in (0..self.to.len()).filter(|&to| to != own) {
            self.send(to, bytes)?;
        }
        Ok(())
    }

    fn sum<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost> {
        if !self.rank.is_first() {
            self.send(0, bytemuck::cast_slice(words))?;
            words.fill(W::ZERO);
            return Ok(());
        }
        for from in 1..self.from.len() {
            let bytes = self.receive(from, size_of_val(words))?;
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<W>())) {
                *word = word.plus(bytemuck::pod_read_unaligned(bytes));
            }
        }
        Ok(())
    }
}

/// How many ranks a role offers: as many as the user wants or the machine has processors, but no more than have work.
pub fn offer(threads: Option<u16>, most: u16) -> Rank {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let wanted = threads.map_or_else(processors, usize::from);
    let count = wanted.min(most.min(MAX_RANKS).into()).max(1) as u16;
    Rank::new(0, count).unwrap_or(Rank::ONLY)
}

/// Closes all links of a role when one of its ranks fails: the others would wait for what never comes.
pub struct Closer {
    links: Vec<Handle>,
    how: Shutdown,
}

impl Closer {
    /// For a party or the assistant, whose ranks wait for bytes alone. What it has sent still leaves: the peer may need it to see the same
    /// reason to stop.
    pub fn of_party() -> Self {
        Closer {
            links: Vec::new(),
            how: Shutdown::Read,
        }
    }

    /// For a dealer, whose ranks wait until their corrections are taken.
    pub fn of_dealer() -> Self {
        Closer {
            links: Vec::new(),
            how: Shutdown::Both,
        }
    }

    /// Adds a link.
    pub fn add(&mut self, end: &SecureEnd) -> Result<(), Failure> {
        self.links.push(end.tcp().handle().map_err(broken)?);
        Ok(())
    }

    /// Handles of the links.
    pub fn links(&self) -> &[Handle] {
        &self.links
    }

    fn close(&self) {
        for link in &self.links {
            // A link that is closed already needs no more.
            let _: io::Result<()> = link.shutdown(self.how);
        }
    }
}

/// Why a role fails: the first failure that is not the consequence of another role's; else the first of a link; else that
/// of a rank that missed another.
#[derive(Default)]
struct Cause(Mutex<Option<Failure>>);

impl Cause {
    fn note(&self, failure: Failure) {
        let mut cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = |failure: &Failure| match failure.is_consequence() {
            true => u8::from(failure.is_broken_link()),
            false => 2,
        };
        if cause
            .as_ref()
            .is_none_or(|before| weight(before) < weight(&failure))
        {
            *cause = Some(failure);
        }
    }
}

/// Runs the first rank of a role on this thread, and a further rank for each of `further` on a thread of its own. Closes
/// the links of all when one of several fails. Returns what the first rank does, or why the run failed.
pub fn run<O, T: Send>(
    (further, closer): (Vec<T>, &Closer),
    first: impl FnOnce(&mut ThreadRanks) -> Result<O, Failure>,
    other: impl Fn(&mut ThreadRanks, T) -> Result<(), Failure> + Sync,
) -> Result<O, Failure> {
    let mut ranks = ThreadRanks::all(further.len() as u16 + 1).into_iter();
    let Some(mut own) = ranks.next() else {
        return Err(Failure::new("a role has no rank", ""));
    };
    let cause = Cause::default();
    let several = !further.is_empty();
    let failed = |failure| {
        cause.note(failure);
        if several {
            closer.close();
        }
    };
    let made = thread::scope(|scope| {
        let (other, failed) = (&other, &failed);
        let spawned = ranks.zip(further).try_for_each(|(mut ranks, task)| {
            let work = move || other(&mut ranks, task).unwrap_or_else(failed);
            spawn_scoped(scope, work).map(drop)
        });
        let made = spawned.and_then(|()| first(&mut own));
        // The others may wait for this rank.
        drop(own);
        made.map_err(failed).ok()
    });
    match (made, cause.0.into_inner()) {
        (Some(made), Ok(None)) => Ok(made),
        (_, Ok(Some(failure))) => Err(failure),
        _ => Err(Failure::new("a rank of this role has ended early", "")),
    }
}

#[cfg(test)]
mod tests {
    use ringlet_core::net::{LinkError, Remote};

    use super::*;

    fn add_up(ranks: &mut ThreadRanks) -> Result<Vec<u32>, Failure> {
        let index = u32::from(ranks.rank().index());
        let mut seen = Vec::new();
        for from in 0..ranks.rank().count() {
            let mut bytes = [index as u8; 3];
            ranks.broadcast(from, &mut bytes).map_err(lost)?;
            assert_eq!(bytes, [from as u8; 3]);
        }
        let mut words = [index, u32::MAX, 1 << 31];
        ranks.sum(&mut words).map_err(lost)?;
        seen.extend(words);
        Ok(seen)
    }

    fn lost(_: RankLost) -> Failure {
        Failure::reported("a rank is lost".to_owned(), true)
    }

    #[test]
    fn ranks_share_bytes_and_add_words() {
        for count in [1u16, 2, 4] {
            let further = (1..count).collect();
            let sums = run((further, &Closer::of_party()), add_up, |ranks, _| {
                assert_eq!(add_up(ranks)?, [0; 3]);
                Ok(())
            });
            let n = u32::from(count);
            let wanted = [n * (n - 1) / 2, n.wrapping_neg(), (n % 2) << 31];
            assert_eq!(sums.expect("all ranks go on"), wanted);
        }
    }

    #[test]
    fn a_rank_that_fails_ends_the_others_and_its_reason_is_told() {
        for fails in 0..3 {
            let task = |ranks: &mut ThreadRanks| match ranks.rank().index() == fails {
                true => Err(Failure::new("the cause", "")),
                false => add_up(ranks).map(drop),
            };
            let outcome = run((vec![(), ()], &Closer::of_party()), task, |ranks, ()| {
                task(ranks)
            });
            let failure = outcome.expect_err("one rank fails");
            assert_eq!(failure.to_string(), "the cause", "rank {fails}");
        }
    }

    #[test]
    fn a_link_that_breaks_is_the_cause_however_many_ranks_miss_others() {
        let lost = || lost(RankLost);
        let closed = || Failure::from(LinkError::Closed(Remote::Peer));
        let own = || Failure::new("no memory", "");
        for (failures, wanted) in [
            (vec![lost(), closed(), lost()], closed()),
            (vec![closed(), lost(), own(), closed()], own()),
            (vec![lost(), lost()], lost()),
        ] {
            let cause = Cause::default();
            failures.into_iter().for_each(|failure| cause.note(failure));
            let told = cause.0.into_inner().expect("no panic").expect("a cause");
            assert_eq!(told.to_string(), wanted.to_string());
        }
    }

    #[test]
    fn no_rank_is_offered_without_work() {
        assert_eq!(offer(Some(4), 8).count(), 4);
        assert_eq!(offer(Some(4), 2).count(), 2);
        assert_eq!(offer(None, 1), Rank::ONLY);
        assert!(offer(None, 1000).count() >= 1);
    }
}
