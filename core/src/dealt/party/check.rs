//! A party's part in the check of contributions.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use zeroize::Zeroizing;

use crate::{
    data::Data,
    dealt::{contribution_check::ContributionCheck, party_context::PartyContext},
    gate::{Online, range::COUNT_BITS},
    model::cost_rows::map_row,
    net::link::Segment,
    num::{arena::Arena, ring::Ring},
    prg::Key,
    session::{Ranks, RunError},
    share::{Masked, Share},
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// See [`Trainer::check_contributions`](super::Trainer::check_contributions).
    #[inline(never)]
    pub(super) fn check_contributions<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        ranks: &mut impl Ranks,
        data: &mut impl Data,
        (memory, broken): (&mut [u64], &mut [u8]),
        found: &mut impl FnMut(u32, u32),
    ) -> Result<(), RunError> {
        let check = ContributionCheck::new(self.session, self.network);
        let broken = &mut broken[..check.broken_len()];
        if ranks.rank().is_first() {
            cx.begin_check()?;
            cx.set_cost_row(map_row(0), false);
            broken.fill(0);
            for (first, rows) in check.blocks() {
                self.check_block(cx, check, (first, rows), data, memory, |sample, bounds| {
                    if bounds > 0 {
                        broken[sample as usize / 8] |= 1 << (sample % 8);
                        found(sample, bounds);
                    }
                })?;
            }
            cx.tell_broken(broken)?;
        }
        Ok(ranks.broadcast(0, broken)?)
    }

    /// Checks contributions together, and passes on how many bounds each breaks.
    fn check_block<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        check: ContributionCheck<'_>,
        (first, rows): (u32, usize),
        data: &mut impl Data,
        memory: &mut [u64],
        mut count: impl FnMut(u32, u32),
    ) -> Result<(), RunError> {
        let (len, gate) = (check.len(), check.gate::<R>());
        let mut arena = Arena::new(memory, check.words::<R>())?;
        let e: &mut [R] = arena.take(2 * rows * len);
        let opened: &mut [R] = arena.take(len);
        let bytes: &mut [u8] = arena.take(check.bytes());
        let counts: &mut [u32] = arena.take(rows);
        let scratch: &mut [u8] = arena.take(gate.scratch_len(rows, len));
        for (sample, rows) in (first..).zip(e.chunks_exact_mut(2 * len)) {
            // The key is that of this party's masks, and the values are open.
            let mut key = Zeroizing::new([0; Key::LEN]);
            data.contribution(sample, &mut key, bytes)?;
            check.read(bytes, opened);
            let (below, above) = rows.split_at_mut(len);
            for (index, &opened) in opened.iter().enumerate() {
                let bounds = check.bounds(check.value(index));
                [below[index], above[index]] = gate.differences(opened, bounds);
            }
        }
        let shares = Share::wrap_slice_mut(counts);
        gate.run(cx, check.at(first), [rows, len], e, shares, scratch)?;
        // Both parties may know the counts, and shares of a sum that both know reveal no more, so they need no mask.
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(counts), COUNT_BITS)])?;
        for (sample, &bounds) in (first..).zip(&*counts) {
            count(sample, bounds);
        }
        Ok(())
    }
}
