//! Which corrections belong to which rank: a dealer of one rank sends what the dealers of several do.

use embedded_io::{ErrorType, Read, Write};

use super::*;
use crate::session::{Rank, RankLost, Ranks};

/// Keeps what the dealer sends.
#[derive(Default)]
struct Keeping(Vec<u8>);

impl ErrorType for Keeping {
    type Error = core::convert::Infallible;
}

impl Read for Keeping {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(0)
    }
}

impl Write for Keeping {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A rank that hears nothing of the others.
struct Deaf(Rank);

impl Ranks for Deaf {
    fn rank(&self) -> Rank {
        self.0
    }

    fn broadcast(&mut self, _: u16, _: &mut [u8]) -> Result<(), RankLost> {
        Ok(())
    }

    fn sum<W: Word>(&mut self, _: &mut [W]) -> Result<(), RankLost> {
        Ok(())
    }
}

/// What a rank of the dealer sends in each iteration of a session.
fn sent<R: Ring>(session: &Session, rank: Rank) -> Vec<Vec<u8>> {
    let network = crate::dealt::check::<R>(session).unwrap();
    let mut memory = vec![0; Plan::new(session, &network).dealer_arena_words::<R>()];
    let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
    let keys = Role::BOTH.map(|role| key(3, role));
    let link = Link::new(Keeping::default(), Remote::Party(Role::P1), 0);
    let mut cx = DealerContext::new(keys, link);
    let mut before = 0;
    let mut ends = Vec::new();
    for iteration in 0..session.iterations() {
        dealer
            .iterate_in_ranks(&mut cx, &mut Deaf(rank), iteration)
            .unwrap();
        ends.push(cx.sent() as usize);
    }
    let all = cx.into_link().into_inner().0;
    let mut each = Vec::new();
    for end in ends {
        each.push(all[before..end].to_vec());
        before = end;
    }
    each
}

/// Checks the ranges of each rank of so many.
fn check<R: Ring>(session: &Session, counts: Range<u16>) {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let whole = sent::<R>(session, Rank::ONLY);
    for (iteration, whole) in (0..).zip(&whole) {
        assert_eq!(
            plan.iteration_corrections::<R>(iteration),
            whole.len() as u64
        );
        // One after the other, without gaps.
        let end = plan
            .rank_corrections::<R>(Rank::ONLY, iteration)
            .fold(0, |end, range| {
                assert_eq!(range.start, end);
                range.end
            });
        assert_eq!(end, whole.len() as u64);
    }
    for count in counts {
        for index in 0..count {
            let rank = Rank::new(index, count).unwrap();
            let parts = sent::<R>(session, rank);
            for (iteration, (whole, part)) in (0..).zip(whole.iter().zip(&parts)) {
                let ranges = plan.rank_corrections::<R>(rank, iteration);
                let ranges = ranges.map(|range| range.start as usize..range.end as usize);
                let ranges: Vec<Range<usize>> = ranges.collect();
                let lengths = ranges.iter().map(|range| range.len());
                assert_eq!(lengths.sum::<usize>(), part.len(), "{rank:?}");
                // The update needs what other ranks have; micro-batches do not.
                let micro_batches = &ranges[..ranges.len() - usize::from(rank.is_first())];
                let mut at = 0;
                for range in micro_batches {
                    let end = at + range.len();
                    assert!(whole[range.clone()] == part[at..end], "{rank:?} {range:?}");
                    at = end;
                }
            }
        }
    }
}

#[test]
fn ranks_have_the_corrections_of_their_micro_batches() {
    for (input, layers) in all_networks() {
        // 17 samples: an epoch ends with a batch of 3 or of 2, and a batch with a smaller micro-batch.
        for (batch, micro_batch) in [(7, 2), (5, 5)] {
            let session = Session {
                micro_batch,
                audit: 2,
                ..with_all_options(session::<u32>(input, &layers, batch))
            };
            check::<u32>(&session, 1..session.most_ranks() + 1);
        }
        let wide = Session {
            micro_batch: 1,
            ..session::<u64>(input, &layers, 5)
        };
        check::<u64>(&wide, 5..6);
        for session in polynomial_sessions(input, &layers) {
            let session = Session {
                micro_batch: 2,
                audit: 3,
                ..session
            };
            let counts = session.most_ranks()..session.most_ranks() + 1;
            match session.format.ring {
                32 => check::<u32>(&session, counts),
                _ => check::<u64>(&session, counts),
            }
        }
    }
}

#[cfg(feature = "private-training")]
#[test]
fn private_gradients_take_theirs_with_each_micro_batch() {
    for (input, layers) in all_networks().into_iter().take(4) {
        for micro_batch in [1, 4] {
            let session = Session {
                batch: 9,
                micro_batch,
                ..private::private::<u32>(input, &layers, 0.3)
            };
            check::<u32>(&session, 1..2);
        }
    }
}
