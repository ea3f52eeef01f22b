//! Patch matrix of a convolution ("im2col"): each row is a patch, so the convolution is a matrix product. And the
//! transpose of this map.

use super::{conv::Conv, dense::Dense};
use crate::num::scalar::Scalar;

impl Conv {
    /// Number of patches per image: output positions before pooling.
    pub fn patches(&self) -> usize {
        self.unpooled().iter().product()
    }

    /// The product of a patch with the weights, as a dense map.
    pub fn patch(&self) -> Dense {
        Dense {
            inputs: self.kernel_side(0) * self.kernel_side(1) * self.inputs,
            outputs: self.outputs,
        }
    }

    /// Calls `visit(patch, pixel)` for each run of `inputs` channels: its offset in the patch matrix, and its
    /// offset in the image, or `None` for padding.
    fn each_pixel(&self, mut visit: impl FnMut(usize, Option<usize>)) {
        let [rows, columns] = self.unpooled();
        let inside = |at: usize, axis: usize, size| {
            at.checked_sub(self.padding_side(axis))
                .filter(|&at| at < size)
        };
        let mut patch = 0;
        for (y, x) in (0..rows * columns).map(|at| (at / columns, at % columns)) {
            for ky in 0..self.kernel_side(0) {
                let row = inside(y * self.stride + ky, 0, self.height);
                for kx in 0..self.kernel_side(1) {
                    let column = inside(x * self.stride + kx, 1, self.width);
                    let pixel = row
                        .zip(column)
                        .map(|(row, column)| row * self.width + column);
                    visit(patch, pixel.map(|pixel| pixel * self.inputs));
                    patch += self.inputs;
                }
            }
        }
    }

    /// Writes the patches of one image, each `[kernel rows][kernel columns][inputs]`, with zeros for padding.
    pub fn unroll<T: Scalar>(&self, image: &[T], patches: &mut [T]) {
        self.each_pixel(|patch, pixel| {
            let to = &mut patches[patch..][..self.inputs];
            match pixel {
                Some(pixel) => to.copy_from_slice(&image[pixel..][..self.inputs]),
                None => to.fill(T::default()),
            }
        });
    }

    /// The transpose of [`Conv::unroll`]: adds each patch value to its pixel of `image`.
    pub fn roll<T: Scalar>(&self, patches: &[T], image: &mut [T]) {
        self.each_pixel(|patch, pixel| {
            let from = &patches[patch..][..self.inputs];
            if let Some(pixel) = pixel {
                for (to, &from) in image[pixel..].iter_mut().zip(from) {
                    *to = to.add(from);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::pool::Pool;

    extern crate std;
    use std::{vec, vec::Vec};

    fn numbers(len: usize, seed: u64) -> Vec<u64> {
        let word = |i: u64| seed.wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ i << 20 | i);
        (1..=len as u64).map(word).collect()
    }

    #[test]
    fn products_of_patches_are_the_convolution() {
        for (height, width, kernel, stride, padding, pool) in [
            (6, 6, [3, 3], 1, [1, 1], 2),
            (7, 5, [3, 3], 2, [0, 0], 1),
            (9, 8, [2, 2], 1, [1, 1], 3),
            (5, 5, [5, 5], 1, [2, 2], 2),
            (6, 9, [1, 5], 1, [0, 2], 2),
            (9, 4, [4, 2], 2, [3, 0], 1),
            (7, 6, [3, 1], 1, [1, 0], 2),
        ] {
            let conv = Conv {
                height,
                width,
                inputs: 2,
                outputs: 3,
                kernel,
                stride,
                padding,
                pool,
            };
            let [rows, columns] = conv.unpooled();
            let patch = conv.patch();
            let pool = Pool {
                shape: [rows, columns, conv.outputs],
                window: pool,
            };
            let x = numbers(conv.input_len(), 3);
            let w = numbers(conv.weight_len(), 5);
            let dy = numbers(conv.output_len(), 7);
            let mut scratch = vec![0; conv.scratch_len()];
            let mut patches = vec![9; conv.patches() * patch.inputs];
            conv.unroll(&x, &mut patches);

            let mut want = vec![0; conv.output_len()];
            conv.forward(1, &x, &w, &mut want, &mut scratch);
            let mut product = vec![0; conv.patches() * patch.outputs];
            patch.forward(conv.patches(), &patches, &w, &mut product);
            let mut y = vec![0; conv.output_len()];
            pool.sum(&product, &mut y);
            assert_eq!(y, want, "{conv:?}");

            let mut spread = vec![0; product.len()];
            pool.spread(&dy, &mut spread);
            let (mut dw, mut dw_want) = (vec![0; w.len()], vec![0; w.len()]);
            conv.weight_gradient(1, &x, &dy, &mut dw_want, &mut scratch);
            patch.weight_gradient(conv.patches(), &patches, &spread, &mut dw);
            assert_eq!(dw, dw_want, "{conv:?}");

            let mut wt = vec![0; w.len()];
            conv.transpose(&w, &mut wt);
            let (mut dx, mut dx_want) = (vec![0; x.len()], vec![0; x.len()]);
            conv.input_gradient(1, &dy, &wt, &mut dx_want, &mut scratch);
            super::super::conv::transpose(patch.inputs, patch.outputs, &w, &mut wt);
            let mut dp = vec![0; patches.len()];
            patch.input_gradient(conv.patches(), &spread, &wt, &mut dp);
            conv.roll(&dp, &mut dx);
            assert_eq!(dx, dx_want, "{conv:?}");
        }
    }
}
