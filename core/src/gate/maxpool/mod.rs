//! Exact max pooling: the maximum of each window, by a tournament. All pairs of a level are compared together, with
//! max(p, q) = q + ReLU(p - q). The output is in the ring of the input.
//!
//! The backward pass runs the levels in reverse order. The gradient by the maximum of a pair is opened once. The hidden
//! sign of the comparison selects it for p, and the rest (the gradient minus p's part) goes to q.

use bytemuck::TransparentWrapper;

use crate::{
    cost::Cost,
    kernel::windows::Windows,
    net::link::LinkError,
    num::ring::{Ring, Word},
    share::Share,
};

use super::{
    At, Contract, Offline, Online, plane_len,
    relu::{HiddenSign, Relu},
    select::Select,
};

/// The gate's public widths, in bits, and the windows.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// The windows.
    pub windows: Windows,
    /// Computes ReLU(p - q). Its hiding bits are shared in a ring at least as wide as `select.to`.
    pub relu: Relu,
    /// Splits the gradient by a maximum between the two values of a pair.
    pub select: Select,
}

/// A level of the tournament.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    /// Number of the level; level 0 compares values of the image.
    number: u32,
    /// Planes that enter the level; half of them leave it, rounded up.
    planes: usize,
    /// Pairs of planes at all earlier levels.
    before: usize,
}

impl Level {
    fn pairs(self) -> usize {
        self.planes / 2
    }

    fn is_odd(self) -> bool {
        self.planes % 2 == 1
    }

    /// The level's position: each level has a gate number.
    fn at(self, at: At) -> At {
        At {
            gate: at.gate + self.number,
            ..at
        }
    }
}

/// The most levels: windows are at most 255 by 255.
pub const MAX_LEVELS: u32 = 16;

impl MaxPool {
    /// The values that the forward pass takes: then their differences, which it compares, keep within the ring.
    pub const fn contract(self) -> Contract {
        self.relu.contract()
    }

    /// The gate for shares in Z_2^from. In the backward pass, gradients come in Z_2^back and leave in Z_2^to.
    pub fn new<R: Ring>(windows: Windows, from: u32, back: u32, to: u32) -> Self {
        MaxPool {
            windows,
            relu: Relu::of_differences::<R>(from, to),
            select: Select { from: back, to },
        }
    }

    /// The levels, in the order of the forward pass.
    fn levels(self) -> impl DoubleEndedIterator<Item = Level> {
        let (mut planes, mut before) = (self.windows.positions(), 0);
        let level = |number| {
            let level = Level {
                number,
                planes,
                before,
            };
            before += level.pairs();
            planes = planes.div_ceil(2);
            level
        };
        let all: heapless::Vec<Level, { MAX_LEVELS as usize }> = (0..MAX_LEVELS)
            .map(level)
            .take_while(|level| level.planes > 1)
            .collect();
        let count = all.len();
        (0..count).map(move |number| all[number])
    }

    /// Writes the maximum of each window of one image to `out`.
    pub fn ideal(self, image: &[i64], out: &mut [i64]) {
        let [rows, columns] = self.windows.output();
        let Windows {
            width,
            channels,
            stride,
            ..
        } = self.windows;
        for (index, out) in out[..rows * columns * channels].iter_mut().enumerate() {
            let (channel, window) = (index % channels, index / channels);
            let [top, left] = [window / columns, window % columns].map(|number| number * stride);
            let offsets =
                (0..self.windows.positions()).map(|position| self.windows.place(position));
            let values =
                offsets.map(|[y, x]| image[((top + y) * width + left + x) * channels + channel]);
            *out = values.max().unwrap_or(0);
        }
    }

    /// Pairs of values at a level, per image.
    fn pair_len(self, level: Level) -> usize {
        level.pairs() * self.windows.output_len()
    }

    /// Cost of the forward pass for `rows` images.
    pub fn forward_cost(self, rows: usize) -> Cost {
        let level = |level| self.relu.cost(rows, self.pair_len(level));
        self.levels().map(level).sum()
    }

    /// Cost of the backward pass for `rows` images.
    pub fn backward_cost(self, rows: usize) -> Cost {
        let level = |level| self.select.cost(rows, self.pair_len(level));
        self.levels().map(level).sum()
    }

    /// Size of the masked signs of `rows` images, in bytes.
    pub fn sign_len(self, rows: usize) -> usize {
        let level = |level| rows * plane_len(self.pair_len(level));
        self.levels().map(level).sum()
    }

    /// Number of P1's shares of the hiding bits of `rows` images.
    pub fn hide_len(self, rows: usize) -> usize {
        rows * (self.windows.positions() - 1) * self.windows.output_len()
    }

    /// Scratch that a party needs for `rows` images, in words of `W`.
    pub fn scratch_len<W: Word>(self, rows: usize) -> usize {
        let pairs = self.windows.positions() / 2 * self.windows.output_len();
        let bytes = self.relu.scratch_len(rows, pairs);
        let planes = self.windows.positions() * self.windows.output_len();
        rows * (planes + pairs) + (rows * pairs).max(bytes.div_ceil(size_of::<W>()))
    }

    /// Sends the corrections of the forward pass for `rows` images.
    pub fn deal_forward<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
    ) -> Result<(), LinkError> {
        self.levels().try_for_each(|level| {
            let len = self.pair_len(level);
            self.relu.deal::<W, D>(cx, level.at(at), rows, len)
        })
    }

    /// Sends the corrections of the backward pass for `rows` images. `forward` is the position of the forward pass.
    pub fn deal_backward<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        forward: At,
        rows: usize,
    ) -> Result<(), LinkError> {
        self.levels().rev().try_for_each(|level| {
            let len = self.pair_len(level);
            let relu = (self.relu, level.at(forward));
            self.select.deal::<W, D>(cx, level.at(at), relu, rows, len)
        })
    }

    /// The hidden signs of one level, within those of all levels.
    fn signs<'s, W>(
        self,
        level: Level,
        rows: usize,
        sign: &'s mut HiddenSign<'_, W>,
    ) -> HiddenSign<'s, W> {
        let first = self.levels().take(level.number as usize);
        let bytes: usize = first.map(|l| rows * plane_len(self.pair_len(l))).sum();
        let len = rows * plane_len(self.pair_len(level));
        let shares = rows * level.before * self.windows.output_len();
        HiddenSign {
            opened: &mut sign.opened[bytes..bytes + len],
            // P0 stores none.
            shares: match sign.shares.is_empty() {
                true => &mut [],
                false => &mut sign.shares[shares..shares + rows * self.pair_len(level)],
            },
        }
    }

    /// Replaces `rows` images at the front of `values`, shares in the narrow ring, by shares of their windows' maxima.
    /// Writes the hidden signs to `sign`. `scratch` has at least [`MaxPool::scratch_len`] words.
    #[inline(never)]
    pub fn forward<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [Share<W>],
        sign: &mut HiddenSign<'_, W>,
        scratch: &mut [W],
    ) -> Result<(), LinkError> {
        let (image_len, out_len) = (self.windows.input_len(), self.windows.output_len());
        let all = self.windows.positions() * out_len;
        let values = Share::peel_slice_mut(values);
        let (planes, scratch) = scratch.split_at_mut(rows * all);
        let pairs = rows * (self.windows.positions() / 2 * out_len);
        let (differences, scratch) = scratch.split_at_mut(pairs);
        let bits = self.relu.from;
        for row in 0..rows {
            let image = &values[row * image_len..][..image_len];
            self.windows.gather(image, &mut planes[row * all..][..all]);
        }
        for level in self.levels() {
            let len = self.pair_len(level);
            let differences = &mut differences[..rows * len];
            for (row, differences) in differences.chunks_exact_mut(len).enumerate() {
                let (p, q) = planes[row * all..][..2 * len].split_at(len);
                for ((difference, &p), &q) in differences.iter_mut().zip(p).zip(q) {
                    *difference = p.minus(q).low(bits);
                }
            }
            let mut sign = self.signs(level, rows, sign);
            self.relu.run(
                cx,
                level.at(at),
                [rows, len],
                Share::wrap_slice_mut(&mut *differences),
                &mut sign,
                bytemuck::cast_slice_mut(&mut *scratch),
            )?;
            for (row, differences) in differences.chunks_exact(len).enumerate() {
                let planes = &mut planes[row * all..][..all];
                let (p, rest) = planes.split_at_mut(len);
                for ((p, &difference), &q) in p.iter_mut().zip(differences).zip(&rest[..len]) {
                    *p = q.plus(difference).low(bits);
                }
                if level.is_odd() {
                    rest.copy_within(len..len + out_len, 0);
                }
            }
        }
        for (row, out) in values.chunks_exact_mut(out_len).take(rows).enumerate() {
            out.copy_from_slice(&planes[row * all..][..out_len]);
        }
        Ok(())
    }

    /// Replaces shares of the gradient by the maxima of `rows` images, at the front of `values`, by shares of the
    /// gradient by the images in Z_2^to. `forward` is the position of the forward pass, and `sign` its hidden signs.
    #[inline(never)]
    pub fn backward<W: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        (forward, sign): (At, &mut HiddenSign<'_, W>),
        rows: usize,
        values: &mut [Share<W>],
        scratch: &mut [W],
    ) -> Result<(), LinkError> {
        let (image_len, out_len) = (self.windows.input_len(), self.windows.output_len());
        let all = self.windows.positions() * out_len;
        let values = Share::peel_slice_mut(values);
        let (planes, scratch) = scratch.split_at_mut(rows * all);
        let pairs = rows * (self.windows.positions() / 2 * out_len);
        let (gradients, rest) = scratch.split_at_mut(pairs);
        for (row, gradient) in values.chunks_exact(out_len).take(rows).enumerate() {
            planes[row * all..][..out_len].copy_from_slice(gradient);
        }
        for level in self.levels().rev() {
            let len = self.pair_len(level);
            let (gradients, rest) = (&mut gradients[..rows * len], &mut rest[..rows * len]);
            for (row, gradients) in gradients.chunks_exact_mut(len).enumerate() {
                gradients.copy_from_slice(&planes[row * all..][..len]);
            }
            let sign = self.signs(level, rows, sign);
            self.select.run(
                cx,
                level.at(at),
                (self.relu, level.at(forward), &sign),
                [rows, len],
                Share::wrap_slice_mut(&mut *gradients),
                Share::wrap_slice_mut(&mut *rest),
            )?;
            let parts = gradients.chunks_exact(len).zip(rest.chunks_exact(len));
            for (row, (p, q)) in parts.enumerate() {
                let planes = &mut planes[row * all..][..all];
                if level.is_odd() {
                    planes.copy_within(len..len + out_len, 2 * len);
                }
                planes[..len].copy_from_slice(p);
                planes[len..2 * len].copy_from_slice(q);
            }
        }
        for (row, image) in values.chunks_exact_mut(image_len).take(rows).enumerate() {
            self.windows.scatter(&planes[row * all..][..all], image);
        }
        Ok(())
    }

    /// Words that [`MaxPool::forward`] and [`MaxPool::backward`] need in `values`, per image.
    pub fn values_len(self) -> usize {
        self.windows.input_len().max(self.windows.output_len())
    }
}

#[cfg(test)]
pub(super) mod tests;
