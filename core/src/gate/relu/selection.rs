//! The arithmetic of a selection by hidden bits, on the lanes of one group.

use crate::{
    cost::LANES,
    gate::lift::{Lift, Lifted},
    num::ring::Word,
};

#[cfg(not(target_pointer_width = "32"))]
use crate::kernel::vector::{self, Loop};

/// Hidden bits b = m xor r of one group: the public plane m, and this party's shares of r.
#[derive(Clone, Copy)]
pub(in crate::gate) struct HiddenPlane<'a, W> {
    pub m: u64,
    pub r: &'a [W; LANES],
}

/// What a selection reads of one group. A run of a gate has one for all groups, because clearing it takes small processors
/// as long as a quarter of a selection.
pub(in crate::gate) struct SelectionBuffers<W> {
    /// This party's shares of the hiding bits.
    pub r: [W; LANES],
    pub(super) lifted: Lifted<W>,
    /// Shares of r times the mask, and of r times the carry.
    pub(super) hidden: [[W; LANES]; 2],
}

impl<W: Word> SelectionBuffers<W> {
    /// Buffers of zeros.
    pub fn new() -> Self {
        SelectionBuffers {
            r: [W::ZERO; LANES],
            lifted: Lifted::new(),
            hidden: [[W::ZERO; LANES]; 2],
        }
    }
}

/// Shares of y = b * x for hidden bits b = m xor r, as a linear combination of dealt shares with public coefficients.
#[derive(Clone, Copy)]
pub(super) struct Selection<'a, W> {
    pub lift: Lift,
    /// All ones at P0, which adds what is public; else zero.
    pub public_select: W,
    pub bit: HiddenPlane<'a, W>,
    pub lifted: &'a Lifted<W>,
    /// Shares of r times the mask, and of r times the carry.
    pub hidden: [&'a [W; LANES]; 2],
}

impl<W: Word> Selection<'_, W> {
    /// Replaces the openings `e` of x by this party's shares of y.
    #[cfg(not(target_pointer_width = "32"))]
    pub fn select(self, e: &mut [W]) {
        vector::run(SelectedLanes { selection: self, e });
    }

    /// Replaces the openings `e` of x by this party's shares of y.
    #[cfg(target_pointer_width = "32")]
    #[inline(always)]
    pub fn select(self, e: &mut [W]) {
        self.select_one_by_one(e);
    }

    /// The same for small processors, which have few registers and no shifts of 64 bits.
    #[cfg(any(test, target_pointer_width = "32"))]
    #[inline(always)]
    fn select_one_by_one(self, e: &mut [W]) {
        let (HiddenPlane { mut m, r }, [ra, rc]) = (self.bit, self.hidden);
        for (lane, e) in e.iter_mut().enumerate() {
            let dealt = Dealt {
                mask: self.lifted.mask[lane],
                carry: self.lifted.carry[lane],
                hidden_mask: ra[lane],
                hidden_carry: rc[lane],
                r: r[lane],
            };
            *e = dealt.selected(self.lift, self.public_select, *e, m & 1);
            m >>= 1;
        }
    }
}

/// This party's shares of what is dealt for one lane.
struct Dealt<W> {
    mask: W,
    carry: W,
    hidden_mask: W,
    hidden_carry: W,
    r: W,
}

impl<W: Word> Dealt<W> {
    /// This party's share of y, from the opening `e` of x and the public bit m.
    #[inline(always)]
    fn selected(self, lift: Lift, public_select: W, e: W, m: u64) -> W {
        let carry_select: W = lift.carry_select(e);
        let public = e.minus(lift.offset());
        // Where no ring is wider than the opening's, carries are 0, however far they are shifted.
        let hidden_carry = self.hidden_carry.short_left(lift.from.min(W::BITS - 1));
        // x, and r * x.
        let x = public
            .and(public_select)
            .minus(self.mask)
            .plus(carry_select.and(self.carry));
        let rx = self
            .r
            .times(public)
            .minus(self.hidden_mask)
            .plus(carry_select.and(hidden_carry));
        // b = r if m = 0, and b = 1 - r if m = 1. m is public.
        let set = W::ZERO.minus(W::from_u64(m));
        rx.xor(set).minus(set).plus(x.and(set)).low(lift.to)
    }
}

/// A selection and the openings of its lanes.
#[cfg(not(target_pointer_width = "32"))]
struct SelectedLanes<'a, W> {
    selection: Selection<'a, W>,
    e: &'a mut [W],
}

#[cfg(not(target_pointer_width = "32"))]
impl<W: Word> Loop for SelectedLanes<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Selection {
            lift,
            public_select,
            bit,
            lifted,
            hidden,
        } = self.selection;
        let lists = [&lifted.mask, &lifted.carry, hidden[0], hidden[1], bit.r];
        // In halves, so that a lane's bit comes by a shift of a word.
        for (half, e) in self.e.chunks_mut(LANES / 2).enumerate() {
            let first = LANES / 2 * half;
            let lists = lists.map(|list| &list[first..first + e.len()]);
            select_lanes((lift, public_select), (bit.m >> first) as u32, lists, e);
        }
    }
}

/// Selects up to 32 lanes. A function of its own, because the compiler then knows that `e` is none of the lists.
#[cfg(not(target_pointer_width = "32"))]
#[inline(always)]
fn select_lanes<W: Word>(
    (lift, public_select): (Lift, W),
    m: u32,
    [masks, carries, hidden_masks, hidden_carries, bits]: [&[W]; 5],
    e: &mut [W],
) {
    let lists = masks
        .iter()
        .zip(carries)
        .zip(hidden_masks)
        .zip(hidden_carries)
        .zip(bits);
    for ((lane, e), ((((&mask, &carry), &hidden_mask), &hidden_carry), &r)) in
        e.iter_mut().enumerate().zip(lists)
    {
        let dealt = Dealt {
            mask,
            carry,
            hidden_mask,
            hidden_carry,
            r,
        };
        *e = dealt.selected(lift, public_select, *e, (m >> lane & 1).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::harness::Values;

    extern crate std;

    fn both_agree<W: Word>(seed: u64) {
        let mut values = Values::new(seed);
        let mut list = || core::array::from_fn::<W, LANES, _>(|_| values.word());
        let lifted = Lifted {
            mask: list(),
            carry: list(),
        };
        let (ra, rc, r, e) = (list(), list(), list(), list());
        for lift in [
            Lift {
                from: 20,
                to: W::BITS,
            },
            Lift { from: 18, to: 18 },
        ] {
            for (public_select, lanes) in [(W::MAX, LANES), (W::ZERO, 33), (W::MAX, 5)] {
                let bit = HiddenPlane {
                    m: 0x9E37_79B9_7F4A_7C15,
                    r: &r,
                };
                let selection = Selection {
                    lift,
                    public_select,
                    bit,
                    lifted: &lifted,
                    hidden: [&ra, &rc],
                };
                let (mut fast, mut small) = (e, e);
                selection.select(&mut fast[..lanes]);
                selection.select_one_by_one(&mut small[..lanes]);
                assert!(fast == small, "{lift:?}, {lanes}");
            }
        }
    }

    #[test]
    fn all_processors_select_the_same() {
        both_agree::<u32>(1);
        both_agree::<u64>(2);
    }
}
