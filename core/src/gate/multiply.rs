//! Multiply: each of the `len` values of a row times the row's factor. It widens too: operands are in narrow rings, and
//! products in a wide one. One round opens the operands.

use bytemuck::TransparentWrapper;

use crate::{
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::Word,
    prg::Address,
    share::{Masked, Share},
};

use super::{
    At, Offline, Online,
    cross::Cross,
    groups,
    lift::{Lift, Opened},
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiply {
    /// Ring of the values.
    pub value: u32,
    /// Ring of the factors.
    pub factor: u32,
    /// Ring of the products.
    pub to: u32,
}

const VALUE: u8 = 0;
const VALUE_CARRY: u8 = 1;
const FACTOR: u8 = 2;
const FACTOR_CARRY: u8 = 3;
const CROSS: u8 = 4;

impl Multiply {
    /// Masks of the values.
    fn value(self) -> Lift {
        Lift {
            from: self.value,
            to: self.to,
        }
    }

    /// Masks of the factors.
    fn factor(self) -> Lift {
        Lift {
            from: self.factor,
            to: self.to,
        }
    }

    /// Products of both masks.
    fn cross(self) -> Cross {
        Cross {
            left: self.value,
            right: self.factor,
            to: self.to,
        }
    }

    fn cross_wires(at: At) -> [Address; 4] {
        [0, 1, 2, 3].map(|which| at.wire(CROSS + which))
    }

    /// The product of the two signed integers modulo 2^to.
    pub fn ideal<W: Word>(self, value: u64, factor: u64) -> W {
        let value = crate::num::ring::signed(value.low(self.value), self.value);
        let factor = crate::num::ring::signed(factor.low(self.factor), self.factor);
        W::from_u128((value * factor) as u128).low(self.to)
    }

    /// Cost for `rows` rows of `len` values and one factor each; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.value)
            + Cost::opening(rows, self.factor)
            + self.value().lifted_cost(rows, len)
            + self.factor().lifted_cost(rows, 1)
            + self.cross().cost(rows, len)
            + Cost::rounds(1)
    }

    /// Sends the corrections. Words of `W` have at least [`Multiply::to`] bits.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        for row in 0..rows as u64 {
            let row_at = At {
                row: at.row + row,
                ..at
            };
            let mut c = [W::ZERO; 1];
            let first = row_at.row * LANES as u64;
            let wires = [at.wire(FACTOR), at.wire(FACTOR_CARRY)];
            self.factor().deal_opened(cx, wires, first, &mut c)?;
            for group in groups(row_at, 1, len) {
                let mut a = [W::ZERO; LANES];
                let a = &mut a[..group.lanes];
                let wires = [at.wire(VALUE), at.wire(VALUE_CARRY)];
                self.value().deal_opened(cx, wires, group.stream, a)?;
                let factors = [c[0]; LANES];
                self.cross().deal(
                    cx,
                    Self::cross_wires(at),
                    group.stream,
                    a,
                    &factors[..group.lanes],
                )?;
            }
        }
        Ok(())
    }

    /// Opens `values` and `factors`. Then calls `sink(first, products)` for each group: the index of its first value,
    /// and shares of its products in Z_2^to.
    #[inline(never)]
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        values: &mut [Share<u64>],
        factors: &mut [Share<u64>],
        mut sink: impl FnMut(usize, &[W]),
    ) -> Result<(), LinkError> {
        let values = &mut Share::peel_slice_mut(values)[..rows * len];
        let factors = &mut Share::peel_slice_mut(factors)[..rows];
        let (of_values, of_factors) = ((at, at.wire(VALUE)), (at, at.wire(FACTOR)));
        self.value()
            .mask_rows::<W, u64, O>(cx, of_values, [rows, len], values);
        self.factor()
            .mask_rows::<W, u64, O>(cx, of_factors, [rows, 1], factors);
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *values), self.value),
            Segment::words(Masked::wrap_slice_mut(&mut *factors), self.factor),
        ])?;

        let (mut factor, mut value) = (Opened::<W>::new(), Opened::new());
        for (row, opened) in factors.iter().enumerate() {
            let row_at = At {
                row: at.row + row as u64,
                ..at
            };
            let wires = [at.wire(FACTOR), at.wire(FACTOR_CARRY)];
            let first = row_at.row * LANES as u64;
            let opened = core::slice::from_ref(opened);
            self.factor()
                .opened_to(cx, wires, first, opened, &mut factor)?;
            factor.broadcast();
            for group in groups(row_at, 1, len) {
                let wires = [at.wire(VALUE), at.wire(VALUE_CARRY)];
                let first = row * len + group.first;
                let opened = &values[first..first + group.lanes];
                self.value()
                    .opened_to(cx, wires, group.stream, opened, &mut value)?;
                let products = self.cross().product(
                    cx,
                    Self::cross_wires(at),
                    group.stream,
                    group.lanes,
                    [&value, &factor],
                )?;
                sink(first, &products[..group.lanes]);
            }
        }
        Ok(())
    }
}
