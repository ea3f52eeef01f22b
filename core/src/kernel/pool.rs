//! Window sums on images stored row by row with the channels innermost, and their transposes.

use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// Average pooling without its division: the sums of square windows, side by side. Rows and columns past the last
/// whole window are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// Rows and columns of a window; at least 1, and at most those of an image.
    pub window: usize,
}

impl Pool {
    /// Rows, columns and channels of the sums.
    pub fn output(self) -> [usize; 3] {
        let [height, width, channels] = self.shape;
        [height / self.window, width / self.window, channels]
    }

    /// Values of an image.
    pub fn input_len(self) -> usize {
        self.shape.iter().product()
    }

    /// Sums of an image.
    pub fn output_len(self) -> usize {
        self.output().iter().product()
    }

    /// Replaces `out` by the sums of `images`, of which there may be any number.
    pub fn sum<T: Scalar>(self, images: &[T], out: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        let images = images.chunks_exact(self.input_len());
        for (image, out) in images.zip(out.chunks_exact_mut(self.output_len())) {
            self.sum_one(image, out);
        }
    }

    /// Leaves the sums of the first `rows` of `images` at their front. `image` has room for one.
    pub fn sum_in_place<T: Scalar>(self, rows: usize, images: &mut [T], image: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        let (len, out_len) = (self.input_len(), self.output_len());
        let image = &mut image[..len];
        for row in 0..rows {
            image.copy_from_slice(&images[row * len..][..len]);
            // The sums move forward in the buffer and never over what is still to be read.
            self.sum_one(image, &mut images[row * out_len..][..out_len]);
        }
    }

    fn sum_one<T: Scalar>(self, image: &[T], out: &mut [T]) {
        let (window, [_, width, channels]) = (self.window, self.shape);
        let [rows, columns, _] = self.output();
        out.fill(T::default());
        for y in 0..rows * window {
            for x in 0..columns * window {
                let from = &image[(y * width + x) * channels..][..channels];
                let to = &mut out[(y / window * columns + x / window) * channels..][..channels];
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = to.add(from);
                }
            }
        }
    }

    /// The transpose of [`Pool::sum`]: replaces `out` by images with each value of `gradients` at every place of its
    /// window, and zeros outside every window.
    pub fn spread<T: Scalar>(self, gradients: &[T], out: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        let gradients = gradients.chunks_exact(self.output_len());
        for (gradient, out) in gradients.zip(out.chunks_exact_mut(self.input_len())) {
            self.spread_one(gradient, out);
        }
    }

    fn spread_one<T: Scalar>(self, gradient: &[T], out: &mut [T]) {
        let (window, [height, width, channels]) = (self.window, self.shape);
        let [rows, columns, _] = self.output();
        for y in 0..height {
            for x in 0..width {
                let to = &mut out[(y * width + x) * channels..][..channels];
                if y < rows * window && x < columns * window {
                    let from = (y / window * columns + x / window) * channels;
                    to.copy_from_slice(&gradient[from..from + channels]);
                } else {
                    to.fill(T::default());
                }
            }
        }
    }
}
