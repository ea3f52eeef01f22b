//! What the dealer knows of contributions: the keys of their masks.

use zeroize::Zeroizing;

use crate::{
    data::{ContributionKeys, DataError},
    dealt::{
        contributed_samples::ContributedSamples, contribution_check::ContributionCheck,
        micro_batch::MicroBatch, stream_ids,
    },
    gate::bounds::Bounds,
    prg::contributed::Part,
};

use super::*;

/// The keys of a contribution's masks at P0 and at P1. They are wiped when they are dropped.
type Keys = [Zeroizing<[u8; Key::LEN]>; 2];

fn keys(sample: u32, contributions: &mut impl ContributionKeys) -> Result<Keys, DataError> {
    let mut keys = Keys::default();
    let [p0, p1] = &mut keys;
    contributions.keys(sample, [p0, p1])?;
    Ok(keys)
}

impl<'a, R: Ring> Dealer<'a, R> {
    /// As [`Dealer::iterate_in_ranks`], of a session that trains on contributions.
    ///
    /// Fails also with [`RunError::Data`] if a contribution is missing.
    pub fn iterate_on<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        ranks: &mut impl Ranks,
        contributions: &mut impl ContributionKeys,
        iteration: u32,
    ) -> Result<(), RunError> {
        let (session, network) = (self.session, self.network);
        if session.contributions.is_none() {
            return self.iterate_in_ranks(cx, ranks, iteration);
        }
        let samples = ContributedSamples::new(session, network);
        self.iterate_with(cx, ranks, iteration, |cx, micro, numbers| {
            deal_samples::<R, _>(cx, samples, (micro, numbers), contributions)
        })
    }

    /// Deals the check of contributions, as
    /// [`Trainer::check_contributions`](crate::dealt::Trainer::check_contributions) runs it, and learns from P1 which break a bound. The
    /// buffers are those of the parties.
    pub fn check_contributions<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        ranks: &mut impl Ranks,
        contributions: &mut impl ContributionKeys,
        (memory, broken): (&mut [u64], &mut [u8]),
    ) -> Result<(), RunError> {
        let check = ContributionCheck::new(self.session, self.network);
        let broken = &mut broken[..check.broken_len()];
        if ranks.rank().is_first() {
            if core::mem::replace(&mut cx.checked, true) {
                return Err(RunError::Spent);
            }
            for (first, rows) in check.blocks() {
                deal_check::<R, _>(cx, check, (first, rows), contributions, memory)?;
            }
            cx.link.flush()?;
            cx.link.receive(broken)?;
        }
        Ok(ranks.broadcast(0, broken)?)
    }
}

/// Sends the corrections for the shares of the contributions of a micro-batch.
fn deal_samples<R: Ring, T: Read + Write>(
    cx: &mut DealerContext<T>,
    samples: ContributedSamples<'_>,
    (micro, numbers): (MicroBatch, &[u32]),
    contributions: &mut impl ContributionKeys,
) -> Result<(), RunError> {
    let gate = samples.gate::<R>();
    for (&sample, row) in numbers.iter().zip(micro.first..) {
        let [p0, p1] = keys(sample, contributions)?;
        let at = stream_ids::contribution(micro.batch.iteration, row);
        let parts = [Part::Pixels, Part::Label].into_iter().zip(samples.lens());
        for ((part, len), at) in parts.zip(at) {
            gate.deal::<R, _>(cx, at, ([&p0, &p1], part), len)?;
        }
    }
    Ok(())
}

/// Sends the corrections for the check of the contributions from `first` on.
fn deal_check<R: Ring, T: Read + Write>(
    cx: &mut DealerContext<T>,
    check: ContributionCheck<'_>,
    (first, rows): (u32, usize),
    contributions: &mut impl ContributionKeys,
    memory: &mut [u64],
) -> Result<(), RunError> {
    let len = check.len();
    let mut arena = Arena::new(memory, check.words::<R>())?;
    let masks: &mut [R] = arena.take(2 * rows * len);
    let part: &mut [R] = arena.take(len);
    for (sample, rows) in (first..).zip(masks.chunks_exact_mut(2 * len)) {
        let keys = keys(sample, contributions)?;
        let (below, above) = rows.split_at_mut(len);
        for key in &keys {
            check.masks(key, part);
            for (sum, &part) in above.iter_mut().zip(&*part) {
                *sum = sum.plus(part);
            }
        }
        for (below, above) in below.iter_mut().zip(above) {
            *below = above.negated();
        }
    }
    let gate: Bounds = check.gate::<R>();
    gate.deal(cx, check.at(first), [rows, len], masks)?;
    masks.zeroize();
    part.zeroize();
    Ok(())
}
