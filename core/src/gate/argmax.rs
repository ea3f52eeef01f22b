//! Argmax: shares of logits -> shares of the index of the largest one; of several equal ones, of the first. No logit is opened.
//!
//! All pairs of logits are compared (see `maximum::comparisons`), and the winner brings its number (see `maximum::winners`).
//! With many classes the winners of parts bring their logits too, which the next level compares, and there their numbers are
//! opened under masks beside the logits (see `maximum`).
//!
//! Classes are shared modulo 2^8. To reveal a class to one party, the other sends its share. That share is the class
//! minus the receiver's share, so it reveals nothing but the class.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::Cost,
    net::link::{LinkError, Segment},
    num::ring::{Ring, Word},
    share::Share,
};

use super::{
    At, Contract, Offline, Online,
    maximum::{Beside, Maximum, NUMBER_BITS as CLASS_BITS, level::GATES as LEVEL_GATES},
};

/// Number of consecutive gate numbers of one argmax.
pub const GATES: u32 = LEVEL_GATES;

/// The gate for one number of classes.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    maximum: Maximum,
}

impl Argmax {
    /// The gate for samples of `classes` logits, 2 to [`MAX_CLASSES`](super::softmax::MAX_CLASSES), with shares in Z_2^from.
    pub const fn new(classes: usize, from: u32) -> Self {
        Argmax {
            maximum: Maximum {
                bits: from,
                len: classes,
            },
        }
    }

    /// The logits that the gate takes.
    pub const fn contract(self) -> Contract {
        Contract {
            bits: self.maximum.bits,
        }
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
        self.maximum.number_cost(rows)
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

    /// Scratch that a party needs for `rows` samples, in 64-bit words.
    pub fn scratch_len(self, rows: usize) -> usize {
        let maximum = self.maximum;
        rows * maximum.len + 3 * maximum.maxima_len(rows) + maximum.scratch_len(rows)
    }

    /// Sends the corrections for `rows` samples.
    pub fn deal<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        self.maximum.deal(cx, at, rows, true)
    }

    /// Replaces shares of the logits of `rows` samples, in the narrow ring, by shares of their classes in Z_2^8, and
    /// returns these: one per sample, at the front of `logits`. `scratch` has at least [`Argmax::scratch_len`] words.
    #[inline(never)]
    pub fn run<'l, W: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        logits: &'l mut [Share<W>],
        scratch: &mut [u64],
    ) -> Result<&'l mut [Share<W>], LinkError> {
        let maximum = self.maximum;
        let winners = maximum.maxima_len(rows);
        let (values, scratch) = scratch.split_at_mut(rows * maximum.len);
        let (classes, scratch) = scratch.split_at_mut(2 * winners);
        let (maxima, scratch) = scratch.split_at_mut(winners);
        for (value, &logit) in values.iter_mut().zip(Share::peel_slice(&*logits)) {
            *value = logit.low(maximum.bits).to_u64();
        }
        let found = (maxima, Beside::Numbers(&mut *classes));
        maximum.run(cx, at, rows, values, found, scratch)?;
        let shares = &mut logits[..rows];
        for (share, &class) in Share::peel_slice_mut(&mut *shares)
            .iter_mut()
            .zip(&*classes)
        {
            *share = W::from_u64(class);
        }
        Ok(shares)
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
        reuse,
        tests::{AT, shares_of},
    };

    /// Checks the classes of samples of `classes` logits, |z| < 2^(from-2), and that only one party learns them.
    pub(in crate::gate) fn check<W: Ring>(classes: usize, from: u32, logits: &[i64], asking: Role) {
        let gate = Argmax::new(classes, from);
        let rows = logits.len() / classes;
        let logits = &logits[..rows * classes];
        let shares = Values::new(classes as u64).share::<W>(logits, from);
        let (outputs, cost) = run(
            classes as u64,
            1 << 16,
            |cx| {
                reuse::start();
                let dealt = gate.deal(cx, AT, rows);
                reuse::stop();
                dealt
            },
            |cx| {
                let mut values = shares_of(cx.role(), &shares);
                let mut scratch = vec![0; gate.scratch_len(rows)];
                let logits = Share::wrap_slice_mut(&mut values);
                reuse::start();
                let found = gate.run(cx, AT, rows, logits, &mut scratch);
                reuse::stop();
                let found = found?;
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
            assert_eq!(class, Argmax::ideal(logits), "{logits:?}");
        }
        // The harness measures P1.
        let answer = gate.answer_cost(rows, Role::P1, asking);
        assert_eq!(cost, gate.cost(rows) + answer);
    }

    #[test]
    fn classes_are_right_for_any_number_of_classes() {
        for classes in (2..=20).chain([100, 127, 128]) {
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
        for classes in [2, 3, 7, 10, 16, 17, 128] {
            let logits: Vec<i64> = (0..classes * classes)
                .map(|at| i64::from(at / classes == at % classes))
                .collect();
            check::<u32>(classes, 20, &logits, Role::P1);
        }
    }

    #[test]
    fn of_equal_logits_the_first_wins() {
        let mut values = Values::new(41);
        for classes in (2..=9).chain([16, 17, 26]) {
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
