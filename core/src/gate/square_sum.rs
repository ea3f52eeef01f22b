//! Sum of squares: the squared norm of each row of masked values, in a ring so wide that it cannot wrap.
//!
//! The rows are opened in Z_2^from, and the parties keep the openings and their shares of the integers x that these stand for.
//! As in [`lift`](super::lift), x = p - m for a public p and a mask m, which is a or a - 2^from. So
//! x^2 = p^2 - 2 p m + m^2, and m^2 = a^2 + 2^(from+1) msb(a) (2^(from-1) - a) where the carry applies. Of a^2 the dealer shares the
//! sum over the row, one word; of the second term a share for each value, which public bits select.
//!
//! Nothing depends on the range contract: whatever is shared, x is the integer that all later products take, and
//! |x| < 3/4 2^from. The sum of its squares is exact.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::{Ring, Word, signed},
    prg::Address,
    share::{Masked, Public, Share},
};

use super::{At, Offline, Online, deal, dealt, groups, lift::Lift};

/// The gate's public widths, in bits. Sums are words of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SquareSum {
    /// Ring of the values.
    pub from: u32,
    /// Ring of the sums, at least that of the shares that are kept.
    pub to: u32,
}

const MASK: u8 = 0;
const CARRY: u8 = 1;
const SQUARE_CARRY: u8 = 2;
const SQUARES: u8 = 3;
/// The first wire that the gate leaves to the one that takes its openings.
pub(super) const WIRES: u8 = 4;

impl SquareSum {
    /// The gate for rows of `len` values in Z_2^from, whose sums are in a ring of at least so many bits; none if 64 bits are too
    /// few. The sums are below 2^(to-3).
    pub fn new(from: u32, len: usize, least: u32) -> Option<Self> {
        let len = usize::BITS - len.saturating_sub(1).leading_zeros();
        let to = (2 * from + len + 3).max(least);
        (to <= u64::BITS && from >= 2).then_some(SquareSum { from, to })
    }

    /// Masks of the values.
    pub(super) fn lift(self) -> Lift {
        Lift {
            from: self.from,
            to: self.to,
        }
    }

    /// Stream of the values' masks.
    pub(super) fn mask_wire(self, at: At) -> Address {
        at.wire(MASK)
    }

    /// Bits of the part of a square that the carry selects.
    fn carried(self) -> u32 {
        self.to.saturating_sub(self.from + 1)
    }

    /// The sum of the squares of values in Z_2^from that keep the range contract.
    pub fn ideal<R: Ring>(self, row: &[R]) -> u64 {
        let square = |&x: &R| {
            let x = signed(x.low(self.from), self.from);
            (x * x) as u64
        };
        row.iter().map(square).sum()
    }

    /// Cost for `rows` rows of `len` values; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.from)
            + self.lift().lifted_cost(rows, len)
            + Cost::dealt(rows, len, self.carried())
            + Cost::dealt(rows, 1, self.to)
            + Cost::rounds(1)
    }

    /// Sends the corrections for `rows` rows of `len` values.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
    ) -> Result<(), LinkError> {
        let (lift, half) = (self.lift(), 1u64.left(self.from - 1));
        let mut squares = 0u64;
        for group in groups(at, rows, len) {
            let mut a = [0u64; LANES];
            let a = &mut a[..group.lanes];
            lift.masks(cx, at.wire(MASK), group.stream, a);
            lift.deal_lifted(cx, at.wire(MASK), at.wire(CARRY), group.stream, a)?;
            let mut carried = [0u64; LANES];
            for (carried, &a) in carried.iter_mut().zip(&*a) {
                *carried = half.minus(a).times(a.right(self.from - 1));
                squares = squares.plus(a.times(a));
            }
            let carried = &mut carried[..group.lanes];
            let wire = at.wire(SQUARE_CARRY);
            deal(cx, wire, group.stream, self.carried(), carried)?;
            let row = group.first / len;
            if group.first + group.lanes == (row + 1) * len {
                let stream = at.row + row as u64;
                deal(cx, at.wire(SQUARES), stream, self.to, &mut [squares])?;
                squares = 0;
            }
        }
        Ok(())
    }

    /// Opens `rows` rows of `len` shares in Z_2^from. Leaves the openings in `x`, writes shares of the integers that they stand for
    /// to `kept`, in the ring `R`, and shares of the sums of their squares in Z_2^to to `sums`.
    #[inline(never)]
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [Share<R>],
        kept: &mut [Share<R>],
        sums: &mut [Share<u64>],
    ) -> Result<(), LinkError> {
        let e = &mut Share::peel_slice_mut(x)[..rows * len];
        for group in groups(at, rows, len) {
            let values = &mut e[group.range()];
            self.lift()
                .mask_values::<u64, R, O>(cx, at.wire(MASK), group.stream, values);
        }
        let masked = Masked::wrap_slice_mut(&mut *e);
        cx.open(&mut [Segment::words(masked, self.from)])?;
        let openings = Public::wrap_slice(&*e);
        self.sum(cx, at, [rows, len], openings, kept, sums)
    }

    /// What follows the opening.
    fn sum<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        e: &[Public<R>],
        kept: &mut [Share<R>],
        sums: &mut [Share<u64>],
    ) -> Result<(), LinkError> {
        let e = Public::peel_slice(e);
        let kept = &mut Share::peel_slice_mut(kept)[..rows * len];
        let sums = &mut Share::peel_slice_mut(sums)[..rows];
        let wires = [at.wire(MASK), at.wire(CARRY)];
        let public_select = match cx.role() {
            Role::P0 => u64::MAX,
            Role::P1 => 0,
        };
        let mut sum = 0u64;
        for group in groups(at, rows, len) {
            let e = &e[group.range()];
            let opened = self
                .lift()
                .opened::<u64, R, O>(cx, wires, group.stream, e)?;
            let mut carried = [0u64; LANES];
            let wire = at.wire(SQUARE_CARRY);
            let lanes = &mut carried[..group.lanes];
            dealt(cx, wire, group.stream, self.carried(), lanes)?;
            for (lane, kept) in kept[group.range()].iter_mut().enumerate() {
                let (p, mask) = (opened.public[lane], opened.mask[lane]);
                let carried = carried[lane].left(self.from + 1);
                sum = sum
                    .plus(p.times(p).and(public_select))
                    .minus(p.times(mask).left(1))
                    .plus(opened.carry_select[lane].and(carried));
                *kept = p.and(public_select).minus(mask).cast();
            }
            let row = group.first / len;
            if group.first + group.lanes == (row + 1) * len {
                let mut squares = [0];
                let stream = at.row + row as u64;
                dealt(cx, at.wire(SQUARES), stream, self.to, &mut squares)?;
                sums[row] = sum.plus(squares[0]).low(self.to);
                sum = 0;
            }
        }
        Ok(())
    }
}
