//! Linear maps of shared values by shared weights in Z_2^64, and their gradients (SecureNN, Algorithm 1, for whole
//! maps). The assistant makes the triples online. The parties open a convolution's input once, not patch by patch.

use crate::{Role, kernel::linear::Linear, net::link::LinkError};

use super::{Assisting, At, BLOCK, Computing, Cost, encode, exchange_len, receive_words};

/// One of a map's three products. Each is bilinear in a left and a right operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The output, from input and weights.
    Output,
    /// The gradient by the weights, from the input and the gradient by the output.
    WeightGradient,
    /// The gradient by the input, from the gradient by the output and the weights as [`Linear::transpose`] orders them.
    InputGradient,
}

/// The gate of one product of a map, for `rows` samples.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// The map.
    pub linear: Linear,
    /// The product.
    pub wanted: Wanted,
    /// Number of samples.
    pub rows: usize,
}

/// Memory of a role, in words; [`Map::memory_len`] gives the lengths.
pub struct Memory<'a> {
    /// At a computing party the openings, at the assistant the masks: of the left operand, then of the right one.
    pub masked: &'a mut [u64],
    /// At the assistant alone: one party's part of the masks, then the product.
    pub other: &'a mut [u64],
    /// Scratch memory of the kernel.
    pub scratch: &'a mut [u64],
}

const BITS: u32 = 64;

const MASK: u8 = 0;
const BOTH: u8 = 1;

impl Map {
    /// Lengths of the left operand, the right operand and the product.
    pub fn lens(self) -> [usize; 3] {
        let (x, y) = (self.linear.input_len(), self.linear.output_len());
        let (x, y) = (self.rows * x, self.rows * y);
        let w = self.linear.weight_len();
        match self.wanted {
            Wanted::Output => [x, w, y],
            Wanted::WeightGradient => [x, y, w],
            Wanted::InputGradient => [y, w, x],
        }
    }

    /// Adds the product of plain operands to `out`.
    fn apply(self, left: &[u64], right: &[u64], out: &mut [u64], scratch: &mut [u64]) {
        let (linear, rows) = (self.linear, self.rows);
        match self.wanted {
            Wanted::Output => linear.forward(rows, left, right, out, scratch),
            Wanted::WeightGradient => linear.weight_gradient(rows, left, right, out, scratch),
            Wanted::InputGradient => linear.input_gradient(rows, left, right, out, scratch),
        }
    }

    /// Values that the parties open: both operands.
    fn opened_len(self) -> usize {
        let [left, right, _] = self.lens();
        left + right
    }

    /// Lengths of the parts of [`Memory`], in the order of its fields.
    pub fn memory_len(self) -> [usize; 3] {
        let opened = self.opened_len();
        let [_, _, out] = self.lens();
        let other = opened.max(out);
        [opened, other, self.linear.scratch_len()]
    }

    /// Cost: the parties open both operands, and the assistant sends P1 a word for each value of the product.
    pub fn cost(self) -> Cost {
        Cost {
            bytes: exchange_len(BITS, self.opened_len()) + 8 * self.lens()[2] as u64,
            messages: 2,
            rounds: 1,
        }
    }

    /// The computing parties' part: writes shares of the product to `out`, and overwrites the shares of the right
    /// operand.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        left: &[u64],
        right: &mut [u64],
        out: &mut [u64],
        memory: &mut Memory<'_>,
    ) -> Result<(), LinkError> {
        let opened = &mut memory.masked[..self.opened_len()];
        cx.assistant().fill(at.wire(MASK), 0, opened);
        for (masked, &value) in opened.iter_mut().zip(left.iter().chain(right.iter())) {
            *masked = value.wrapping_sub(*masked);
        }
        let (lefts, rights) = opened.split_at_mut(left.len());
        cx.open(BITS, [&mut *lefts, &mut *rights])?;
        match cx.role() {
            Role::P0 => {
                cx.assistant().fill(at.wire(BOTH), 0, out);
                for (share, &opened) in right.iter_mut().zip(&*rights) {
                    *share = share.wrapping_sub(opened);
                }
            }
            Role::P1 => receive_words(cx, BITS, out)?,
        }
        self.apply(left, rights, out, memory.scratch);
        self.apply(lefts, right, out, memory.scratch);
        Ok(())
    }

    /// The assistant's part.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        memory: &mut Memory<'_>,
    ) -> Result<(), LinkError> {
        let masks = &mut memory.masked[..self.opened_len()];
        let part = &mut memory.other[..self.opened_len()];
        cx.prg(Role::P0).fill(at.wire(MASK), 0, masks);
        cx.prg(Role::P1).fill(at.wire(MASK), 0, part);
        for (mask, &part) in masks.iter_mut().zip(part.iter()) {
            *mask = mask.wrapping_add(part);
        }
        let [left, _, out] = self.lens();
        let (left, right) = masks.split_at(left);
        let out = &mut memory.other[..out];
        cx.prg(Role::P0).fill(at.wire(BOTH), 0, out);
        for out in out.iter_mut() {
            *out = out.wrapping_neg();
        }
        self.apply(left, right, out, memory.scratch);
        out.chunks(BLOCK).try_for_each(|out| {
            let mut bytes = [0; 8 * BLOCK];
            cx.send_to(Role::P1, encode(BITS, out, &mut bytes))
        })
    }
}
