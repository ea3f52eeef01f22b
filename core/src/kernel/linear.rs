//! The bilinear maps of a network, behind one face.

use super::{
    conv::{Conv, transpose},
    dense::Dense,
};
use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// A map that is linear in its input and in its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linear {
    /// Fully connected.
    Dense(Dense),
    /// Convolution, with the sum over pool windows folded in.
    Conv(Conv),
}

impl Linear {
    /// Values in, per sample.
    pub fn input_len(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.inputs,
            Linear::Conv(conv) => conv.input_len(),
        }
    }

    /// Values out, per sample.
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

    /// Output channels, each of which has a bias; they lie innermost in the output.
    pub fn channels(&self) -> usize {
        match self {
            Linear::Dense(dense) => dense.outputs,
            Linear::Conv(conv) => conv.outputs,
        }
    }

    /// Products that one output sums, which sets the scale of the first weights.
    pub fn fan_in(&self) -> usize {
        self.weight_len() / self.channels()
    }

    /// Elements of scratch with which the products of one sample can do.
    pub fn least_scratch_len(&self) -> usize {
        match self {
            Linear::Dense(_) => 0,
            Linear::Conv(conv) => conv.least_scratch_len(),
        }
    }

    /// Elements of scratch that the products need to be fastest.
    pub fn scratch_len(&self) -> usize {
        match self {
            Linear::Dense(_) => 0,
            Linear::Conv(conv) => conv.scratch_len(),
        }
    }

    /// Samples worth multiplying at a time: a dense layer reuses its weights over them.
    pub fn block(&self) -> usize {
        match self {
            Linear::Dense(_) => 16,
            Linear::Conv(_) => 1,
        }
    }

    /// Multiply-accumulates of one product over one sample.
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

    /// `dw +=` the gradient by the weights, summed over `rows` samples.
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

    /// `dx +=` the gradient by the input, with weights as [`Linear::transpose`] leaves them.
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

    /// `dx +=` the gradient by the input of one sample, with the weights as they are.
    pub fn input_gradient_of_one<T: Scalar>(
        &self,
        dy: &[T],
        w: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        match self {
            Linear::Dense(dense) => dense.input_gradient_of_one(dy, w, dx),
            Linear::Conv(conv) => conv.input_gradient_of_one(dy, w, dx, scratch),
        }
    }

    /// Rearranges the weights for [`Linear::input_gradient`].
    pub fn transpose<T: Scalar>(&self, w: &[T], wt: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        match self {
            Linear::Dense(dense) => transpose(dense.inputs, dense.outputs, w, wt),
            Linear::Conv(conv) => conv.transpose(w, wt),
        }
    }
}
