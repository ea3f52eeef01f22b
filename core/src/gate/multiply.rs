//! Product with the step up built in: each of `len` values of a row times the row's one factor, from
//! narrow rings into a wide one, in the one round that opening the factors takes.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    link::{LinkError, Segment},
    ring::Word,
    sharing::{Masked, Share},
};

use super::{At, Offline, Online, deal, dealt, groups, lift::Lift};

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
    fn value(self) -> Lift {
        Lift {
            from: self.value,
            to: self.to,
        }
    }

    fn factor(self) -> Lift {
        Lift {
            from: self.factor,
            to: self.to,
        }
    }

    /// Shifts of the four cross products: masks and carries of value and factor.
    fn shifts(self) -> [u32; 4] {
        [0, self.factor, self.value, self.value + self.factor]
    }

    /// The product of two signed integers, modulo 2^to.
    pub fn ideal<W: Word>(self, value: u64, factor: u64) -> W {
        let value = crate::ring::signed(value.low(self.value), self.value);
        let factor = crate::ring::signed(factor.low(self.factor), self.factor);
        W::from_u128((value * factor) as u128).low(self.to)
    }

    /// Cost for `rows` rows of `len` values and one factor; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let cross: Cost = self
            .shifts()
            .iter()
            .map(|&shift| Cost::dealt(rows, len, self.to.saturating_sub(shift)))
            .sum();
        Cost::opening(rows * len, self.value)
            + Cost::opening(rows, self.factor)
            + self.value().lifted_cost(rows, len)
            + self.factor().lifted_cost(rows, 1)
            + cross
            + Cost::rounds(1)
    }

    /// Sends the corrections, with words of `W` at least [`Multiply::to`] bits wide.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        for row in 0..rows as u64 {
            let here = At {
                row: at.row + row,
                ..at
            };
            let mut c = [W::ZERO; 1];
            let first = here.row * LANES as u64;
            self.factor().masks(cx, at.wire(FACTOR), first, &mut c);
            let wires = [at.wire(FACTOR), at.wire(FACTOR_CARRY)];
            self.factor()
                .deal_lifted(cx, wires[0], wires[1], first, &c)?;
            let top = c[0].right(self.factor - 1);
            for group in groups(here, 1, len) {
                let mut a = [W::ZERO; LANES];
                let a = &mut a[..group.lanes];
                self.value().masks(cx, at.wire(VALUE), group.stream, a);
                let wires = [at.wire(VALUE), at.wire(VALUE_CARRY)];
                self.value()
                    .deal_lifted(cx, wires[0], wires[1], group.stream, a)?;
                for (which, shift) in self.shifts().into_iter().enumerate() {
                    let mut cross = [W::ZERO; LANES];
                    for (cross, &a) in cross.iter_mut().zip(a.iter()) {
                        let left = if which & 2 == 0 {
                            a
                        } else {
                            a.right(self.value - 1)
                        };
                        let right = if which & 1 == 0 { c[0] } else { top };
                        *cross = left.times(right);
                    }
                    let bits = self.to.saturating_sub(shift);
                    let wire = at.wire(CROSS + which as u8);
                    if bits > 0 {
                        deal(cx, wire, group.stream, bits, &mut cross[..group.lanes])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens `values` and `factors` and hands each group's products, as shares in Z_2^to, to `sink`
    /// with the index of the group's first value.
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        values: &mut [Share<u64>],
        factors: &mut [Share<u64>],
        mut sink: impl FnMut(usize, &[W]),
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let values = &mut Share::peel_slice_mut(values)[..rows * len];
        let factors = &mut Share::peel_slice_mut(factors)[..rows];
        for group in groups(at, rows, len) {
            let words = &mut values[group.range()];
            self.value()
                .conceal::<W, u64, O>(cx, at.wire(VALUE), group.stream, words);
        }
        for group in groups(at, rows, 1) {
            let words = &mut factors[group.range()];
            self.factor()
                .conceal::<W, u64, O>(cx, at.wire(FACTOR), group.stream, words);
        }
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *values), self.value),
            Segment::words(Masked::wrap_slice_mut(&mut *factors), self.factor),
        ])?;

        let holds_public = match role {
            Role::P0 => W::MAX,
            Role::P1 => W::ZERO,
        };
        for (row, &opened) in factors.iter().enumerate() {
            let here = At {
                row: at.row + row as u64,
                ..at
            };
            let wires = [at.wire(FACTOR), at.wire(FACTOR_CARRY)];
            let first = here.row * LANES as u64;
            let factor = self
                .factor()
                .lifted::<W, O>(cx, wires[0], wires[1], first, 1)?;
            let factor_counts: W = self.factor().counts(W::from_u64(opened));
            let factor_public = W::from_u64(opened).minus(self.factor().offset());
            let factor_mask = factor.mask[0].minus(factor_counts.and(factor.carry[0]));
            for group in groups(here, 1, len) {
                let wires = [at.wire(VALUE), at.wire(VALUE_CARRY)];
                let value = self.value().lifted::<W, O>(
                    cx,
                    wires[0],
                    wires[1],
                    group.stream,
                    group.lanes,
                )?;
                let mut cross = [[W::ZERO; LANES]; 4];
                for (which, shift) in self.shifts().into_iter().enumerate() {
                    let bits = self.to.saturating_sub(shift);
                    let out = &mut cross[which][..group.lanes];
                    dealt(cx, at.wire(CROSS + which as u8), group.stream, bits, out)?;
                    for out in out {
                        *out = out.left(shift);
                    }
                }
                let first = row * len + group.first;
                let mut products = [W::ZERO; LANES];
                for lane in 0..group.lanes {
                    let opened = W::from_u64(values[first + lane]);
                    let counts: W = self.value().counts(opened);
                    let public = opened.minus(self.value().offset());
                    let mask = value.mask[lane].minus(counts.and(value.carry[lane]));
                    // (public - mask) * (factor_public - factor_mask), the masks' product dealt.
                    products[lane] = public
                        .times(factor_public)
                        .and(holds_public)
                        .minus(public.times(factor_mask))
                        .minus(factor_public.times(mask))
                        .plus(cross[0][lane])
                        .minus(factor_counts.and(cross[1][lane]))
                        .minus(counts.and(cross[2][lane]))
                        .plus(counts.and(factor_counts).and(cross[3][lane]))
                        .low(self.to);
                }
                sink(first, &products[..group.lanes]);
            }
        }
        Ok(())
    }
}
