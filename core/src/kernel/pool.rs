//! Window sums over images `[height][width][channels]`, and their transpose.

use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// Average pooling without its division: sums over square windows that do not overlap. Rows and columns after the
/// last whole window are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// Rows and columns of a window: at least 1, at most those of the image.
    pub window: usize,
}

impl Pool {
    /// Rows, columns and channels of the output.
    pub fn output(self) -> [usize; 3] {
        let [height, width, channels] = self.shape;
        [height / self.window, width / self.window, channels]
    }

    /// Input values per image.
    pub fn input_len(self) -> usize {
        self.shape.iter().product()
    }

    /// Output values per image.
    pub fn output_len(self) -> usize {
        self.output().iter().product()
    }

    /// Writes the window sums of any number of `images` to `out`.
    pub fn sum<T: Scalar>(self, images: &[T], out: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        let images = images.chunks_exact(self.input_len());
        for (image, out) in images.zip(out.chunks_exact_mut(self.output_len())) {
            self.sum_one(image, out);
        }
    }

    /// Replaces the first `rows` images by their window sums, side by side at the front of `images`. `image` is
    /// scratch for one image.
    pub fn sum_in_place<T: Scalar>(self, rows: usize, images: &mut [T], image: &mut [T]) {
        let _section = profile::section(Section::Kernels);
        let (len, out_len) = (self.input_len(), self.output_len());
        let image = &mut image[..len];
        for row in 0..rows {
            image.copy_from_slice(&images[row * len..][..len]);
            // The sums are shorter than the images, so they do not overwrite an image before it is read.
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

    /// The transpose of [`Pool::sum`]: copies each value of `gradients` to all positions of its window in `out`,
    /// and writes zeros outside all windows.
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
