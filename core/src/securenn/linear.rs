//! Linear maps of shared values by shared weights in Z_2^64, with products of masks that the assistant makes as they
//! are needed (SecureNN, Algorithm 1, for whole maps). A convolution's input is opened as it is, not patch by patch.

use crate::{Role, kernel::linear::Linear, link::LinkError};

use super::{Assisting, At, BLOCK, Computing, Cost, encode, exchange_len, hear_words};

/// A map of `rows` samples.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// The map.
    pub linear: Linear,
    /// Samples.
    pub rows: usize,
}

/// What a role works in: words, as many as [`Map::memory_len`] says.
pub struct Memory<'a> {
    /// What is opened, or the masks: of all inputs, then of the weights.
    pub masked: &'a mut [u64],
    /// As much again; the assistant's in the first place is for outputs.
    pub other: &'a mut [u64],
    /// The kernel's.
    pub scratch: &'a mut [u64],
}

const BITS: u32 = 64;

const MASK: u8 = 0;
const BOTH: u8 = 1;

impl Map {
    fn input_len(self) -> usize {
        self.rows * self.linear.input_len()
    }

    fn output_len(self) -> usize {
        self.rows * self.linear.output_len()
    }

    fn opened_len(self) -> usize {
        self.input_len() + self.linear.weight_len()
    }

    /// Words of each part of [`Memory`].
    pub fn memory_len(self) -> [usize; 3] {
        let opened = self.opened_len();
        let other = opened.max(self.output_len());
        [opened, other, self.linear.scratch_len()]
    }

    /// Cost: inputs and weights are opened, both ways, and the assistant sends a word for each output.
    pub fn cost(self) -> Cost {
        Cost {
            bytes: exchange_len(BITS, self.opened_len()) + 8 * self.output_len() as u64,
            rounds: 2,
        }
    }

    /// Leaves shares of the map of `x` by `w` in `out`, and destroys those of `w`.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        x: &[u64],
        w: &mut [u64],
        out: &mut [u64],
        memory: &mut Memory<'_>,
    ) -> Result<(), LinkError> {
        let opened = &mut memory.masked[..self.opened_len()];
        let other = &mut memory.other[..self.opened_len()];
        cx.assistant().fill(at.wire(MASK), 0, opened);
        for (masked, &value) in opened.iter_mut().zip(x.iter().chain(w.iter())) {
            *masked = value.wrapping_sub(*masked);
        }
        cx.exchange(BITS, opened, other)?;
        for (opened, &other) in opened.iter_mut().zip(other.iter()) {
            *opened = opened.wrapping_add(other);
        }
        let (inputs, weights) = opened.split_at(self.input_len());
        match cx.role() {
            Role::P0 => {
                cx.assistant().fill(at.wire(BOTH), 0, out);
                for (w, &opened) in w.iter_mut().zip(weights) {
                    *w = w.wrapping_sub(opened);
                }
            }
            Role::P1 => hear_words(cx, BITS, out)?,
        }
        self.linear
            .forward(self.rows, x, weights, out, memory.scratch);
        self.linear
            .forward(self.rows, inputs, w, out, memory.scratch);
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
        let (inputs, weights) = masks.split_at(self.input_len());
        let out = &mut memory.other[..self.output_len()];
        cx.prg(Role::P0).fill(at.wire(BOTH), 0, out);
        for out in out.iter_mut() {
            *out = out.wrapping_neg();
        }
        self.linear
            .forward(self.rows, inputs, weights, out, memory.scratch);
        out.chunks(BLOCK).try_for_each(|out| {
            let mut bytes = [0; 8 * BLOCK];
            cx.tell(Role::P1, encode(BITS, out, &mut bytes))
        })
    }
}
