//! Rectangular windows over images `[height][width][channels]`, rearranged to planes. Plane i holds the value at
//! position i of every window, in the shape of the pooled image. Windows may overlap.

use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// Windows over an image. Rows and columns after the last whole window are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Rows and columns of a window.
    pub window: [usize; 2],
    /// Step between windows.
    pub stride: usize,
}

impl Windows {
    /// Number of windows, in rows and columns.
    pub fn output(self) -> [usize; 2] {
        let [rows, columns] = self.window;
        [(self.height, rows), (self.width, columns)]
            .map(|(side, window)| (side - window) / self.stride + 1)
    }

    /// Values of a plane: windows times channels.
    pub fn output_len(self) -> usize {
        let [rows, columns] = self.output();
        rows * columns * self.channels
    }

    /// Values of the image.
    pub fn input_len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Positions in a window: the number of planes.
    pub fn positions(self) -> usize {
        self.window[0] * self.window[1]
    }

    /// Row and column of position number `position` in a window.
    pub fn place(self, position: usize) -> [usize; 2] {
        [position / self.window[1], position % self.window[1]]
    }

    /// Calls `visit(plane, pixel)` for each window position: the offsets of its channels in the planes and in the
    /// image.
    fn each(self, mut visit: impl FnMut(usize, usize)) {
        let _section = profile::section(Section::Kernels);
        let [rows, columns] = self.output();
        for position in 0..self.positions() {
            for y in 0..rows {
                for x in 0..columns {
                    let [down, across] = self.place(position);
                    let row = y * self.stride + down;
                    let column = x * self.stride + across;
                    let plane = position * self.output_len() + (y * columns + x) * self.channels;
                    visit(plane, (row * self.width + column) * self.channels);
                }
            }
        }
    }

    /// Copies the values of an image to the planes.
    pub fn gather<T: Copy>(self, image: &[T], planes: &mut [T]) {
        let channels = self.channels;
        self.each(|plane, pixel| {
            planes[plane..plane + channels].copy_from_slice(&image[pixel..pixel + channels]);
        });
    }

    /// The transpose of [`Windows::gather`]: sets each pixel to the sum of its values in the planes, zero for
    /// pixels outside all windows.
    pub fn scatter<T: Scalar>(self, planes: &[T], image: &mut [T]) {
        image.fill(T::default());
        let channels = self.channels;
        self.each(|plane, pixel| {
            let from = &planes[plane..plane + channels];
            for (to, &from) in image[pixel..pixel + channels].iter_mut().zip(from) {
                *to = to.add(from);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_hold_each_position_of_the_windows() {
        let windows = Windows {
            height: 3,
            width: 4,
            channels: 1,
            window: [2, 2],
            stride: 1,
        };
        assert_eq!(windows.output(), [2, 3]);
        let image: [u32; 12] = core::array::from_fn(|i| i as u32);
        let mut planes = [0; 24];
        windows.gather(&image, &mut planes);
        assert_eq!(planes[..6], [0, 1, 2, 4, 5, 6]);
        assert_eq!(planes[18..], [5, 6, 7, 9, 10, 11]);
        let mut sums = [9; 12];
        windows.scatter(&planes, &mut sums);
        // The number of windows that contain each pixel.
        let count = [1, 2, 2, 1, 2, 4, 4, 2, 1, 2, 2, 1];
        assert_eq!(sums, core::array::from_fn(|i| image[i] * count[i]));
    }

    #[test]
    fn pixels_after_the_last_whole_window_are_ignored() {
        let windows = Windows {
            height: 5,
            width: 5,
            channels: 2,
            window: [2, 2],
            stride: 2,
        };
        assert_eq!(windows.output_len(), 8);
        let image: [u32; 50] = core::array::from_fn(|i| i as u32 + 1);
        let mut planes = [0; 32];
        windows.gather(&image, &mut planes);
        let mut sums = [9; 50];
        windows.scatter(&planes, &mut sums);
        for (index, (&sum, image)) in sums.iter().zip(image).enumerate() {
            let inside = index / 10 < 4 && index / 2 % 5 < 4;
            assert_eq!(sum, if inside { image } else { 0 });
        }
    }

    #[test]
    fn a_window_may_be_one_row() {
        let windows = Windows {
            height: 2,
            width: 5,
            channels: 1,
            window: [1, 3],
            stride: 1,
        };
        assert_eq!((windows.output(), windows.positions()), ([2, 3], 3));
        let image: [u32; 10] = core::array::from_fn(|i| i as u32);
        let mut planes = [0; 18];
        windows.gather(&image, &mut planes);
        assert_eq!(planes[..6], [0, 1, 2, 5, 6, 7]);
        assert_eq!(planes[12..], [2, 3, 4, 7, 8, 9]);
    }
}
