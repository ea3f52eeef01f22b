//! Window sums on images stored row by row with the channels innermost, and their transposes.

use crate::{
    scalar::Scalar,
    tally::{self, Section},
};

/// Adds each `window` x `window` square of `image[height][width][channels]`, squares side by side,
/// into `out[height / window][width / window][channels]`. Rows and columns past the last whole
/// square are left out. `out` may not overlap `image`.
pub fn sum<T: Scalar>(
    [height, width, channels]: [usize; 3],
    window: usize,
    image: &[T],
    out: &mut [T],
) {
    let _section = tally::section(Section::Kernels);
    let columns = width / window;
    for y in 0..height / window * window {
        for x in 0..columns * window {
            let from = &image[(y * width + x) * channels..][..channels];
            let to = &mut out[(y / window * columns + x / window) * channels..][..channels];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = to.add(from);
            }
        }
    }
}

/// The transpose of [`sum`]: copies each value of `gradient` to every place of its square in
/// `out[height][width][channels]`; places outside every square become zero.
pub fn spread<T: Scalar>(
    [height, width, channels]: [usize; 3],
    window: usize,
    gradient: &[T],
    out: &mut [T],
) {
    let _section = tally::section(Section::Kernels);
    let (rows, columns) = (height / window, width / window);
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
