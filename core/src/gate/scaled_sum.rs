//! Scaled sum: the sum over rows of each row times a secret factor. The rows are open from the sum of their squares, and the parties
//! open the factors.
//!
//! With x = p - m as in [`square_sum`](super::square_sum) and a factor c = q - b, c x = q x - p b + m b. Of m b the dealer shares
//! the sum of a b over all rows of an iteration, one word for each column, as it does with any product's (see
//! [`bilinear`](super::bilinear)); and b msb(a) for each value, which public bits select.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::{Ring, signed},
    share::{Masked, Public, Share},
};

use super::{
    At, Offline, Online, deal, dealt, groups, opening_masks,
    square_sum::{SquareSum, WIRES},
};

/// The gate, for rows that this gate opened. Its factors and sums are in the ring of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaledSum {
    /// The gate that opened the rows. This one is at the same place.
    pub rows: SquareSum,
}

const FACTOR: u8 = WIRES;
const FACTOR_CARRY: u8 = WIRES + 1;

impl ScaledSum {
    /// The sum for one column: of values in Z_2^from that keep the range contract, times factors.
    pub fn ideal<R: Ring>(self, column: impl IntoIterator<Item = (R, R)>) -> R {
        let from = self.rows.from;
        let product = |(x, factor): (R, R)| {
            let x = signed(x.low(from), from);
            factor.times(R::from_u128(x as u128))
        };
        column.into_iter().map(product).fold(R::ZERO, R::plus)
    }

    /// Bits of the part of a product that the carry selects.
    fn carried<R: Ring>(self) -> u32 {
        R::BITS.saturating_sub(self.rows.from)
    }

    /// Cost for `rows` rows of `len` values in Z_2^ring, without the dealt sums that end an iteration; one round.
    pub fn cost(self, rows: usize, len: usize, ring: u32) -> Cost {
        let carried = ring.saturating_sub(self.rows.from);
        Cost::opening(rows, ring) + Cost::dealt(rows, len, carried) + Cost::rounds(1)
    }

    /// Sends the corrections for `rows` rows of `len` values, and adds their part of the dealt sums to `sums`.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
        sums: &mut [R],
    ) -> Result<(), LinkError> {
        let lift = self.rows.lift();
        for row in 0..rows {
            let [b0, b1] = Role::BOTH.map(|role| {
                let mut b = [R::ZERO];
                let stream = at.row + row as u64;
                cx.prg(role).fill(at.wire(FACTOR), stream, &mut b);
                b[0]
            });
            let b = b0.plus(b1);
            let of_row = At {
                row: at.row + row as u64,
                ..at
            };
            for group in groups(of_row, 1, len) {
                let mut a = [0u64; LANES];
                let a = &mut a[..group.lanes];
                lift.masks(cx, self.rows.mask_wire(at), group.stream, a);
                let mut carried = [R::ZERO; LANES];
                let sums = &mut sums[group.range()];
                for ((carried, sum), &a) in carried.iter_mut().zip(sums).zip(&*a) {
                    *sum = sum.plus(b.times(R::from_u64(a)));
                    *carried = b.times(R::from_u64(a >> (lift.from - 1)));
                }
                let carried = &mut carried[..group.lanes];
                let bits = self.carried::<R>();
                deal(cx, at.wire(FACTOR_CARRY), group.stream, bits, carried)?;
            }
        }
        Ok(())
    }

    /// Opens shares of the factors of `rows` rows, and adds shares of the rows times their factors to `out`, but for the dealt sums.
    /// [`SquareSum::run`] has left openings `e` and shares `kept` of the rows.
    #[inline(never)]
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        factors: &mut [Share<R>],
        (e, kept): (&[Public<R>], &[Share<R>]),
        out: &mut [Share<R>],
    ) -> Result<(), LinkError> {
        let lift = self.rows.lift();
        let factors = &mut Share::peel_slice_mut(factors)[..rows];
        for (row, factor) in factors.iter_mut().enumerate() {
            let mut b = [R::ZERO];
            let stream = at.row + row as u64;
            opening_masks(cx, at.wire(FACTOR), stream, R::BITS, &mut b);
            *factor = factor.plus(b[0]);
        }
        let masked = Masked::wrap_slice_mut(&mut *factors);
        cx.open(&mut [Segment::words(masked, R::BITS)])?;
        let (e, kept) = (Public::peel_slice(e), Share::peel_slice(kept));
        let out = &mut Share::peel_slice_mut(out)[..len];
        let offset: R = lift.offset();
        for (row, &factor) in factors.iter().enumerate() {
            let mut b = [R::ZERO];
            let stream = at.row + row as u64;
            cx.prg().fill(at.wire(FACTOR), stream, &mut b);
            let of_row = At { row: stream, ..at };
            for group in groups(of_row, 1, len) {
                let mut carried = [R::ZERO; LANES];
                let carried = &mut carried[..group.lanes];
                let bits = self.carried::<R>();
                dealt(cx, at.wire(FACTOR_CARRY), group.stream, bits, carried)?;
                let row = row * len..(row + 1) * len;
                let (e, kept) = (&e[row.clone()][group.range()], &kept[row][group.range()]);
                let values = e.iter().zip(kept).zip(&*carried);
                for (out, ((&e, &kept), &carried)) in out[group.range()].iter_mut().zip(values) {
                    let carried = lift.carry_select(e).and(carried.left(lift.from));
                    *out = out
                        .plus(factor.times(kept))
                        .minus(e.minus(offset).times(b[0]))
                        .minus(carried);
                }
            }
        }
        Ok(())
    }
}
