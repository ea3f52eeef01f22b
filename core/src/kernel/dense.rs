//! A fully connected layer's three products.

use super::product::Product;
use crate::num::scalar::Scalar;

/// Shape of a fully connected layer: `x[rows][inputs] * w[inputs][outputs]`, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Values in, per sample.
    pub inputs: usize,
    /// Values out, per sample.
    pub outputs: usize,
}

impl Dense {
    /// `out[rows][outputs] += x * w`.
    pub fn forward<T: Scalar>(&self, rows: usize, x: &[T], w: &[T], out: &mut [T]) {
        Product::plain(rows, self.inputs, self.outputs).accumulate(out, x, w);
    }

    /// `dw[inputs][outputs] += transpose(x) * dy`.
    pub fn weight_gradient<T: Scalar>(&self, rows: usize, x: &[T], dy: &[T], dw: &mut [T]) {
        Product::transposed(self.inputs, rows, self.outputs).accumulate(dw, x, dy);
    }

    /// `dx[rows][inputs] += dy * wt`, with `wt[outputs][inputs]` the weights transposed.
    pub fn input_gradient<T: Scalar>(&self, rows: usize, dy: &[T], wt: &[T], dx: &mut [T]) {
        Product::plain(rows, self.outputs, self.inputs).accumulate(dx, dy, wt);
    }

    /// `dx += ` the gradient of [`Dense::forward`] by the input of one sample, with the weights as they are.
    pub fn input_gradient_of_one<T: Scalar>(&self, dy: &[T], w: &[T], dx: &mut [T]) {
        for (dx, w) in dx.iter_mut().zip(w.chunks_exact(self.outputs)) {
            for (&w, &dy) in w.iter().zip(dy) {
                *dx = dx.multiply_add(w, dy);
            }
        }
    }
}
