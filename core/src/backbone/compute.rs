//! The arithmetic of a block: values are integers with [`VALUE_FRACTION`](super::VALUE_FRACTION) fraction bits, weights have
//! 16 bits, and sums of their products 64.

use super::{
    block::{Block, Map, Parameters, Pooling},
    numbers::VALUE_LIMIT,
};
use crate::kernel::vector::{self, Loop};

/// Outputs that are computed together.
const LANES: usize = 8;

/// Computes a block. `input` and `out` have the lengths of its shapes.
pub(super) fn block(block: &Block<'_>, input: &[i32], out: &mut [i32]) {
    vector::run(BlockLoop { block, input, out });
}

struct BlockLoop<'b, 'i> {
    block: &'b Block<'b>,
    input: &'i [i32],
    out: &'i mut [i32],
}

impl Loop for BlockLoop<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [rows, columns, channels] = self.block.output;
        let cells = self.out.chunks_exact_mut(channels).take(rows * columns);
        for (index, cell) in cells.enumerate() {
            let at = [index / columns, index % columns];
            for (number, lanes) in cell.chunks_mut(LANES).enumerate() {
                pooled(self.block, self.input, at, number * LANES, lanes);
            }
        }
    }
}

/// One window of a block: its value at `at` of the output, in the channels from `first` on.
#[inline(always)]
fn pooled(block: &Block<'_>, input: &[i32], at: [usize; 2], first: usize, out: &mut [i32]) {
    let (window, step, pooling) = block.pooling;
    let lanes = out.len().min(LANES);
    let mut sums = [0i64; LANES];
    let mut maxima = [i32::MIN; LANES];
    for place in 0..window * window {
        let at = [at[0] * step + place / window, at[1] * step + place % window];
        let mut values = mapped(block, input, at, first, lanes);
        if block.relu_first {
            values = values.map(|value| value.max(0));
        }
        for lane in 0..LANES {
            sums[lane] += i64::from(values[lane]);
            maxima[lane] = maxima[lane].max(values[lane]);
        }
    }
    let area = (window * window) as i64;
    for (lane, out) in out.iter_mut().take(LANES).enumerate() {
        let value = match pooling {
            Pooling::Maximum => maxima[lane],
            // To the nearest.
            Pooling::Average => (2 * sums[lane] + area).div_euclid(2 * area) as i32,
        };
        *out = match block.relu_last {
            true => value.max(0),
            false => value,
        };
    }
}

/// The outputs of a block's map at `at`, in up to [`LANES`] channels from `first` on.
#[inline(always)]
fn mapped(
    block: &Block<'_>,
    input: &[i32],
    at: [usize; 2],
    first: usize,
    lanes: usize,
) -> [i32; LANES] {
    let [height, width, inputs] = block.input;
    let Map::Conv {
        kernel,
        stride,
        padding,
        parameters,
    } = block.map
    else {
        let mut values = [0; LANES];
        let cell = &input[(at[0] * width + at[1]) * inputs + first..];
        for (value, &from) in values.iter_mut().zip(cell).take(lanes) {
            *value = from;
        }
        return values;
    };
    let Parameters {
        shift,
        weights,
        biases,
    } = parameters;
    let outputs = biases.len() / 4;
    let mut sums = [0i64; LANES];
    let own = biases[4 * first..].chunks_exact(4).take(lanes);
    for (sum, bias) in sums.iter_mut().zip(own) {
        let bias = i32::from_le_bytes([bias[0], bias[1], bias[2], bias[3]]);
        *sum = (i64::from(bias) << shift) + (1 << shift >> 1);
    }
    for down in 0..kernel[0] {
        // Padding is zeros, which add nothing.
        let row = (at[0] * stride + down).wrapping_sub(padding[0]);
        if row >= height {
            continue;
        }
        for across in 0..kernel[1] {
            let column = (at[1] * stride + across).wrapping_sub(padding[1]);
            if column >= width {
                continue;
            }
            let cell = &input[(row * width + column) * inputs..][..inputs];
            let from = ((down * kernel[1] + across) * inputs * outputs + first) * 2;
            let rows = weights[from..].chunks(2 * outputs);
            match lanes {
                LANES => {
                    for (&value, weights) in cell.iter().zip(rows) {
                        add_products(&mut sums, value, &weights[..2 * LANES]);
                    }
                }
                _ => {
                    for (&value, weights) in cell.iter().zip(rows) {
                        add_products(&mut sums, value, &weights[..2 * lanes]);
                    }
                }
            }
        }
    }
    let limit = i64::from(VALUE_LIMIT);
    sums.map(|sum| (sum >> shift).clamp(-limit, limit) as i32)
}

/// Adds the products of a value with weights of 16 bits.
#[inline(always)]
fn add_products(sums: &mut [i64; LANES], value: i32, weights: &[u8]) {
    for (sum, weight) in sums.iter_mut().zip(weights.chunks_exact(2)) {
        let weight = i16::from_le_bytes([weight[0], weight[1]]);
        *sum += i64::from(value) * i64::from(weight);
    }
}
