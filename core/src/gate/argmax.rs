//! Argmax: shares of logits -> shares of the index of the largest one. No logit is opened.
//!
//! The logits of a sample form one window of max pooling. The forward tournament keeps the hidden result of each
//! comparison. A gradient of 1 in the backward pass then reaches the position of the largest logit: the parties get
//! shares of a one-hot vector. Its product with the public indices 0, 1, 2, ... is the class. Of several equal largest
//! logits it selects one.
//!
//! Classes are shared modulo 2^8. To reveal a class to one party, the other sends its share. That share is the class
//! minus the receiver's share, so it reveals nothing but the class.

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
    At, Contract, Offline, Online,
    maxpool::MaxPool,
    relu::{HiddenSign, Relu},
    select::Select,
};

/// Width in bits of the ring of classes: enough for the softmax gate's [`MAX_CLASSES`](super::softmax::MAX_CLASSES).
const CLASS_BITS: u32 = 8;

const _: () = assert!(super::softmax::MAX_CLASSES <= 1 << CLASS_BITS);

/// Width in bits of the ring of the gradient 1: the fewest bits with 1 well within the range contract, |x| < 4.
const GRADIENT_BITS: u32 = 4;

/// The gate for one number of classes.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    pool: MaxPool,
}

impl Argmax {
    /// The gate for samples of `classes` logits, with shares in Z_2^from.
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
                // The forward pass needs shares of the hiding bits in Z_2^from. The backward pass uses only their
                // low bits.
                relu: Relu::of_differences::<R>(from, from),
                select: Select {
                    from: GRADIENT_BITS,
                    to: CLASS_BITS,
                },
            },
        }
    }

    /// The logits that the gate takes.
    pub const fn contract(self) -> Contract {
        self.pool.contract()
    }

    fn classes(self) -> usize {
        self.pool.windows.input_len()
    }

    /// The index of the largest logit; the first of several equal ones.
    pub fn ideal(logits: &[i64]) -> usize {
        let better = |best: usize, class: usize| match logits[class] > logits[best] {
            true => class,
            false => best,
        };
        (0..logits.len()).reduce(better).unwrap_or(0)
    }

    /// Cost of [`Argmax::run`] for `rows` samples.
    pub fn cost(self, rows: usize) -> Cost {
        self.pool.forward_cost(rows) + self.pool.backward_cost(rows)
    }

    /// Cost for `role` of [`Argmax::answer`] for `rows` samples.
    pub fn answer_cost(self, rows: usize, role: Role, asking: Role) -> Cost {
        let revealed = Cost::opening(rows, CLASS_BITS);
        Cost {
            online_bytes: if role == asking {
                0
            } else {
                revealed.online_bytes
            },
            ..revealed
        } + Cost::rounds(1)
    }

    /// Words that hold the shares of the hiding bits. P0 draws its shares again and stores none.
    fn hide_len(self, role: Role, rows: usize) -> usize {
        match role {
            Role::P0 => 0,
            Role::P1 => self.pool.hide_len(rows),
        }
    }

    /// Scratch that a party needs for `rows` samples, in 64-bit words.
    pub fn scratch_len<W: Word>(self, role: Role, rows: usize) -> usize {
        let words = |len: usize| (len * size_of::<W>()).div_ceil(8);
        self.pool.sign_len(rows).div_ceil(8)
            + words(self.hide_len(role, rows))
            + words(self.pool.scratch_len::<W>(rows))
    }

    /// Sends the corrections for `rows` samples. `forward` and `back` are the positions of the tournament and of its
    /// backward pass.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        [forward, back]: [At; 2],
        rows: usize,
    ) -> Result<(), LinkError> {
        self.pool.deal_forward::<W, D>(cx, forward, rows)?;
        self.pool.deal_backward::<W, D>(cx, back, forward, rows)
    }

    /// Replaces shares of the logits of `rows` samples, in the narrow ring, by shares of their classes in Z_2^8, and
    /// returns these: one per sample, at the front of `logits`. `scratch` has at least [`Argmax::scratch_len`] words.
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
        // Shares of the public gradient 1.
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

    /// Reveals classes, shared in Z_2^8, to the party `asking`. Returns them there, and an empty slice at the other
    /// party.
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
pub(super) mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::gate::{
        harness::{Values, run},
        tests::{AT, shares_of},
    };

    const BACK: At = At {
        gate: AT.gate + super::super::maxpool::MAX_LEVELS,
        ..AT
    };

    /// Checks the classes of samples of `classes` logits, |z| < 2^(from-2), and that only one party learns them.
    pub(in crate::gate) fn check<W: Ring>(classes: usize, from: u32, logits: &[i64], asking: Role) {
        let gate = Argmax::new::<W>(classes, from);
        let rows = logits.len() / classes;
        let logits = &logits[..rows * classes];
        let shares = Values::new(classes as u64).share::<W>(logits, from);
        let (outputs, cost) = run(
            classes as u64,
            1 << 16,
            |cx| gate.deal::<W, _>(cx, [AT, BACK], rows),
            |cx| {
                let mut values = shares_of(cx.role(), &shares);
                let mut scratch = vec![0; gate.scratch_len::<W>(cx.role(), rows)];
                let logits = Share::wrap_slice_mut(&mut values);
                let found = gate.run(cx, [AT, BACK], rows, logits, &mut scratch)?;
                let shares: Vec<W> = Share::peel_slice(found).to_vec();
                let revealed = Argmax::answer(cx, asking, found)?.to_vec();
                Ok((shares, revealed))
            },
        );
        let revealed = &outputs[asking.index()].1;
        assert!(outputs[asking.other().index()].1.is_empty());
        for (row, logits) in logits.chunks_exact(classes).enumerate() {
            let class = outputs[0].0[row].plus(outputs[1].0[row]).low(CLASS_BITS);
            assert_eq!(revealed[row], class);
            let class = class.to_u64() as usize;
            assert_eq!(logits[class], logits[Argmax::ideal(logits)], "{logits:?}");
        }
        // The harness measures P1.
        let answer = gate.answer_cost(rows, Role::P1, asking);
        assert_eq!(cost, gate.cost(rows) + answer);
    }

    #[test]
    fn classes_are_right_for_any_number_of_classes() {
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
    fn every_index_may_win() {
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
