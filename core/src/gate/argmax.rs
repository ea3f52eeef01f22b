//! Argmax: shares of logits -> shares of the number of the largest one, no logit opened.
//!
//! The logits of a sample are one window of max pooling. The tournament finds the largest and keeps hidden who won each
//! pair; a gradient of 1, taken back through it, arrives where the largest came from: shares of a vector that is 1 there
//! and 0 elsewhere. Its product with the public numbers 0, 1, 2, ... is the class. Of equal logits one wins.
//!
//! Classes are shared modulo 2^8. The share of the party that does not ask, whatever else the one that asks
//! knows, tells it the class and no more, since the class less its own share is that share.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::Cost,
    kernel::windows::Windows,
    net::link::{LinkError, Segment},
    num::ring::{Ring, Word},
    share::{Public, Share},
};

use super::{
    At, Offline, Online,
    maxpool::MaxPool,
    relu::{HiddenSign, Relu},
    select::Select,
};

/// Bits in which classes are shared: enough for the most that the softmax takes.
const CLASS_BITS: u32 = 8;

const _: () = assert!(super::softmax::MAX_CLASSES <= 1 << CLASS_BITS);

/// Bits of the ring of the gradient that finds the winner: the fewest in which 1 lies well within the range contract.
const GRADIENT_BITS: u32 = 4;

/// The gate for one number of classes.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    pool: MaxPool,
}

impl Argmax {
    /// The gate over narrow shares of `classes` logits in Z_2^from.
    pub fn new<R: Ring>(classes: usize, from: u32) -> Self {
        let row = Windows {
            height: 1,
            width: classes,
            channels: 1,
            window: [1, classes],
            stride: 1,
        };
        Argmax {
            pool: MaxPool {
                windows: row,
                // The bits that hide a comparison are shared as wide as what they choose from; on the way back
                // fewer of their bits are read.
                relu: Relu::of_differences::<R>(from, from),
                select: Select {
                    from: GRADIENT_BITS,
                    to: CLASS_BITS,
                },
            },
        }
    }

    fn classes(self) -> usize {
        self.pool.windows.input_len()
    }

    /// The number of the largest logit, the first of equal ones.
    pub fn ideal(logits: &[i64]) -> usize {
        let better = |best: usize, class: usize| match logits[class] > logits[best] {
            true => class,
            false => best,
        };
        (0..logits.len()).reduce(better).unwrap_or(0)
    }

    /// Cost of finding the classes of `rows` samples.
    pub fn cost(self, rows: usize) -> Cost {
        self.pool.forward_cost(rows) + self.pool.backward_cost(rows)
    }

    /// Cost of telling the classes of `rows` samples: what `role` sends.
    pub fn answer_cost(self, rows: usize, role: Role, asking: Role) -> Cost {
        let told = Cost::opening(rows, CLASS_BITS);
        Cost {
            online_bytes: if role == asking { 0 } else { told.online_bytes },
            ..told
        } + Cost::rounds(1)
    }

    /// P1's shares of the bits that hide who won; P0 makes its own again.
    fn hide_len(self, role: Role, rows: usize) -> usize {
        match role {
            Role::P0 => 0,
            Role::P1 => self.pool.hide_len(rows),
        }
    }

    /// 64-bit words of scratch that a party needs for `rows` samples.
    pub fn scratch_len<W: Word>(self, role: Role, rows: usize) -> usize {
        let words = |len: usize| (len * size_of::<W>()).div_ceil(8);
        self.pool.sign_len(rows).div_ceil(8)
            + words(self.hide_len(role, rows))
            + words(self.pool.scratch_len::<W>(rows))
    }

    /// Sends the corrections for `rows` samples; `forward` and `back` are where the tournament and its way back stand.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        [forward, back]: [At; 2],
        rows: usize,
    ) -> Result<(), LinkError> {
        self.pool.deal_forward::<W, D>(cx, forward, rows)?;
        self.pool.deal_backward::<W, D>(cx, back, forward, rows)
    }

    /// Replaces shares of the logits of `rows` samples, in the narrow ring, by shares of their classes in Z_2^8: one for
    /// each sample, at the front. `scratch` holds at least [`Argmax::scratch_len`] words.
    #[inline(never)]
    pub fn run<'l, W: Ring, O: Online>(
        self,
        cx: &mut O,
        [forward, back]: [At; 2],
        rows: usize,
        logits: &'l mut [Share<W>],
        scratch: &mut [u64],
    ) -> Result<&'l mut [Share<W>], LinkError> {
        let (role, classes) = (cx.role(), self.classes());
        let signs = self.pool.sign_len(rows);
        let (opened, scratch) = scratch.split_at_mut(signs.div_ceil(8));
        let opened: &mut [u8] = bytemuck::cast_slice_mut(opened);
        let scratch: &mut [W] = bytemuck::cast_slice_mut(scratch);
        let (hide, scratch) = scratch.split_at_mut(self.hide_len(role, rows));
        let mut sign = HiddenSign {
            opened: Public::wrap_slice_mut(&mut opened[..signs]),
            shares: Share::wrap_slice_mut(hide),
        };
        self.pool
            .forward(cx, forward, rows, logits, &mut sign, scratch)?;
        // A public 1, which P0 holds.
        let one = match role {
            Role::P0 => W::ONE,
            Role::P1 => W::ZERO,
        };
        Share::peel_slice_mut(logits)[..rows].fill(one);
        let before = (forward, &mut sign);
        self.pool
            .backward(cx, back, before, rows, logits, scratch)?;
        let values = Share::peel_slice_mut(&mut *logits);
        for row in 0..rows {
            let winner = values[row * classes..][..classes].iter().enumerate();
            let class = winner.fold(W::ZERO, |sum, (class, &bit)| {
                sum.plus(bit.times(W::from_u64(class as u64)))
            });
            values[row] = class.low(CLASS_BITS);
        }
        Ok(&mut logits[..rows])
    }

    /// Tells the party that is `asking` the classes, of which both have shares in Z_2^8: it gets them, the other
    /// nothing.
    pub fn answer<'c, W: Word, O: Online>(
        cx: &mut O,
        asking: Role,
        classes: &'c mut [Share<W>],
    ) -> Result<&'c [W], LinkError> {
        let asks = cx.role() == asking;
        cx.open(&mut [Segment::revealed(classes, CLASS_BITS, asks)])?;
        Ok(match asks {
            true => Share::peel_slice(classes),
            false => &[],
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::gate::{
        harness::{Values, run},
        tests::{AT, mine},
    };

    const BACK: At = At {
        gate: AT.gate + super::super::maxpool::MAX_LEVELS,
        ..AT
    };

    /// Finds the classes of samples of `classes` logits below 2^(from-2) in magnitude, and tells one party.
    fn check<W: Ring>(classes: usize, from: u32, logits: &[i64], asking: Role) {
        let gate = Argmax::new::<W>(classes, from);
        let rows = logits.len() / classes;
        let logits = &logits[..rows * classes];
        let shares = Values::new(classes as u64).share::<W>(logits, from);
        let (made, cost) = run(
            classes as u64,
            1 << 16,
            |cx| gate.deal::<W, _>(cx, [AT, BACK], rows),
            |cx| {
                let mut values = mine(cx.role(), &shares);
                let mut scratch = vec![0; gate.scratch_len::<W>(cx.role(), rows)];
                let logits = Share::wrap_slice_mut(&mut values);
                let found = gate.run(cx, [AT, BACK], rows, logits, &mut scratch)?;
                let sum: Vec<W> = Share::peel_slice(found).to_vec();
                let told = Argmax::answer(cx, asking, found)?.to_vec();
                Ok((sum, told))
            },
        );
        let told = &made[asking.index()].1;
        assert!(made[asking.other().index()].1.is_empty());
        for (row, logits) in logits.chunks_exact(classes).enumerate() {
            let class = made[0].0[row].plus(made[1].0[row]).low(CLASS_BITS);
            assert_eq!(told[row], class);
            let class = class.to_u64() as usize;
            assert_eq!(logits[class], logits[Argmax::ideal(logits)], "{logits:?}");
        }
        // The bench measures P1.
        let answer = gate.answer_cost(rows, Role::P1, asking);
        assert_eq!(cost, gate.cost(rows) + answer);
    }

    #[test]
    fn any_number_of_classes() {
        for classes in (2..=16).chain([100, 128]) {
            let mut values = Values::new(40);
            let logits: Vec<i64> = (0..5 * classes)
                .map(|_| (values.word::<u64>() >> 45) as i64 - (1 << 18))
                .collect();
            check::<u32>(classes, 20, &logits, Role::P0);
            check::<u64>(classes, 44, &logits, Role::P1);
        }
    }

    #[test]
    fn every_place_may_win() {
        for classes in [2, 3, 7, 10, 128] {
            let logits: Vec<i64> = (0..classes * classes)
                .map(|at| i64::from(at / classes == at % classes))
                .collect();
            check::<u32>(classes, 20, &logits, Role::P1);
        }
    }

    #[test]
    fn of_equal_logits_one_wins() {
        let mut values = Values::new(41);
        for classes in 2..=9 {
            let logits: Vec<i64> = (0..60 * classes)
                .map(|_| (values.word::<u64>() % 3) as i64 - 1)
                .collect();
            check::<u32>(classes, 20, &logits, Role::P0);
        }
        let ends: Vec<i64> = (0..200)
            .map(|_| match values.word::<u64>() & 1 {
                0 => -(1 << 18),
                _ => (1 << 18) - 1,
            })
            .collect();
        check::<u32>(10, 20, &ends, Role::P1);
    }
}
