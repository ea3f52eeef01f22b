//! Fully connected layer: forward product and both gradients.

use super::product::Product;
use crate::num::scalar::Scalar;

/// Shape of a fully connected layer, `x[rows][inputs] * w[inputs][outputs]`. Matrices are row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Input values per sample.
    pub inputs: usize,
    /// Output values per sample.
    pub outputs: usize,
}

impl Dense {
    /// `out[rows][outputs] += x * w` for `rows` samples.
    pub fn forward<T: Scalar>(&self, rows: usize, x: &[T], w: &[T], out: &mut [T]) {
        Product::plain(rows, self.inputs, self.outputs).accumulate(out, x, w);
    }

    /// `dw[inputs][outputs] += transpose(x) * dy`: the gradient by the weights, summed over `rows` samples.
    pub fn weight_gradient<T: Scalar>(&self, rows: usize, x: &[T], dy: &[T], dw: &mut [T]) {
        Product::transposed(self.inputs, rows, self.outputs).accumulate(dw, x, dy);
    }

    /// `dx[rows][inputs] += dy * wt`: the gradient by the input. `wt[outputs][inputs]` is `w` transposed.
    pub fn input_gradient<T: Scalar>(&self, rows: usize, dy: &[T], wt: &[T], dx: &mut [T]) {
        Product::plain(rows, self.outputs, self.inputs).accumulate(dx, dy, wt);
    }

    /// As [`Dense::input_gradient`] for one sample, with `w[inputs][outputs]` not transposed.
    pub fn input_gradient_of_one<T: Scalar>(&self, dy: &[T], w: &[T], dx: &mut [T]) {
        for (dx, w) in dx.iter_mut().zip(w.chunks_exact(self.outputs)) {
            for (&w, &dy) in w.iter().zip(dy) {
                *dx = dx.multiply_add(w, dy);
            }
        }
    }
}
