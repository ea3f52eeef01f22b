//! The bilinear maps of a network as one type.

use super::{
    conv::{Conv, transpose},
    dense::Dense,
};
use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// A bilinear map: linear in its input and in its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linear {
    /// Fully connected.
    Dense(Dense),
    /// Convolution, followed by sums over pool windows.
    Conv(Conv),
}

impl Linear {
    /// Input values per sample.
    pub fn input_len(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.inputs,
            Linear::Conv(conv) => conv.input_len(),
        }
    }

    /// Rows, columns and channels of the input; a vector is all channels.
    pub fn input_shape(&self) -> [usize; 3] {
        match self {
            Linear::Dense(dense) => [1, 1, dense.inputs],
            Linear::Conv(conv) => [conv.height, conv.width, conv.inputs],
        }
    }

    /// Output values per sample.
    pub fn output_len(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.outputs,
            Linear::Conv(conv) => conv.output_len(),
        }
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.inputs * dense.outputs,
            Linear::Conv(conv) => conv.weight_len(),
        }
    }

    /// Output channels, the innermost dimension of the output. Each has a bias.
    pub fn channels(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.outputs,
            Linear::Conv(conv) => conv.outputs,
        }
    }

    /// Number of products that an output value sums. It sets the variance of the initial weights.
    pub fn fan_in(&self) -> usize {
        self.weight_len() / self.channels()
    }

    /// Number of products that an input value takes part in, but for borders and strides.
    pub fn fan_out(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.outputs,
            Linear::Conv(conv) => conv.kernel_side(0) * conv.kernel_side(1) * conv.outputs,
        }
    }

    /// The fewest elements of scratch with which the products of one sample run.
    pub fn min_scratch_len(&self) -> usize {
        match self {
            Linear::Dense(_) => 0,
            Linear::Conv(conv) => conv.min_scratch_len(),
        }
    }

    /// Elements of scratch with which the products run fastest.
    pub fn scratch_len(&self) -> usize {
        match self {
            Linear::Dense(_) => 0,
            Linear::Conv(conv) => conv.scratch_len(),
        }
    }

    /// Samples to multiply at a time. A dense layer reads its weights once for them all.
    pub fn block(&self) -> usize {
        match self {
            Linear::Dense(_) => 16,
            Linear::Conv(_) => 1,
        }
    }

    /// Multiply-accumulate operations of one product for one sample.
    pub fn multiplications(&self) -> usize {
        match self {
            Linear::Dense(_) => self.weight_len(),
            Linear::Conv(conv) => conv.weight_len() * conv.output()[0] * conv.output()[1],
        }
    }

    /// `out += map(x, w)` for `rows` samples.
    pub fn forward<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        w: &[T],
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => dense.forward(rows, x, w, out),
            Linear::Conv(conv) => conv.forward(rows, x, w, out, scratch),
        }
    }

    /// `dw +=` the gradient of [`Linear::forward`] by the weights, summed over `rows` samples.
    pub fn weight_gradient<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        dy: &[T],
        dw: &mut [T],
        scratch: &mut [T],
    ) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => dense.weight_gradient(rows, x, dy, dw),
            Linear::Conv(conv) => conv.weight_gradient(rows, x, dy, dw, scratch),
        }
    }

    /// `dx +=` the gradient of [`Linear::forward`] by the input, for `rows` samples. `wt` holds the weights as
    /// [`Linear::transpose`] arranges them.
    pub fn input_gradient<T: Scalar>(
        &self,
        rows: usize,
        dy: &[T],
        wt: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => dense.input_gradient(rows, dy, wt, dx),
            Linear::Conv(conv) => conv.input_gradient(rows, dy, wt, dx, scratch),
        }
    }

    /// As [`Linear::input_gradient`] for one sample, with the weights in their usual order.
    pub fn input_gradient_of_one<T: Scalar>(
        &self,
        dy: &[T],
        w: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => dense.input_gradient_of_one(dy, w, dx),
            Linear::Conv(conv) => conv.input_gradient_of_one(dy, w, dx, scratch),
        }
    }

    /// Writes the weights to `wt` in the order that [`Linear::input_gradient`] reads.
    pub fn transpose<T: Scalar>(&self, w: &[T], wt: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => transpose(dense.inputs, dense.outputs, w, wt),
            Linear::Conv(conv) => conv.transpose(w, wt),
        }
    }
}
