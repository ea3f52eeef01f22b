//! Rectangular windows over images stored row by row with the channels innermost, laid out plane by plane: one
//! plane for each place in a window, as large as the image that is pooled to. Windows may overlap.

use crate::{
    num::scalar::Scalar,
    profile::{self, Section},
};

/// Windows over an image; rows and columns past the last whole window are left out.
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
    /// Rows and columns of windows.
    pub fn output(self) -> [usize; 2] {
        let [rows, columns] = self.window;
        [(self.height, rows), (self.width, columns)]
            .map(|(side, window)| (side - window) / self.stride + 1)
    }

    /// Windows, for all channels: values of a plane.
    pub fn output_len(self) -> usize {
        let [rows, columns] = self.output();
        rows * columns * self.channels
    }

    /// Values of the image.
    pub fn input_len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Places of a window: planes.
    pub fn places(self) -> usize {
        self.window[0] * self.window[1]
    }

    /// Row and column of a place in its window.
    pub fn place(self, place: usize) -> [usize; 2] {
        [place / self.window[1], place % self.window[1]]
    }

    /// Visits each run of channels: where it stands in the planes, and where in the image.
    fn each(self, mut visit: impl FnMut(usize, usize)) {
        let _section = profile::section(Section::Kernels);
        let [rows, columns] = self.output();
        for place in 0..self.places() {
            for y in 0..rows {
                for x in 0..columns {
                    let [down, across] = self.place(place);
                    let row = y * self.stride + down;
                    let column = x * self.stride + across;
                    let plane = place * self.output_len() + (y * columns + x) * self.channels;
                    visit(plane, (row * self.width + column) * self.channels);
                }
            }
        }
    }

    /// Copies an image's values to the planes.
    pub fn gather<T: Copy>(self, image: &[T], planes: &mut [T]) {
        let channels = self.channels;
        self.each(|plane, at| {
            planes[plane..plane + channels].copy_from_slice(&image[at..at + channels]);
        });
    }

    /// The transpose of [`Windows::gather`]: adds the planes' values up where they came from; places outside
    /// every window become zero.
    pub fn scatter<T: Scalar>(self, planes: &[T], image: &mut [T]) {
        image.fill(T::default());
        let channels = self.channels;
        self.each(|plane, at| {
            let from = &planes[plane..plane + channels];
            for (to, &from) in image[at..at + channels].iter_mut().zip(from) {
                *to = to.add(from);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_hold_each_place_of_the_windows() {
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
        let mut back = [9; 12];
        windows.scatter(&planes, &mut back);
        // As often as a place lies in a window.
        let often = [1, 2, 2, 1, 2, 4, 4, 2, 1, 2, 2, 1];
        assert_eq!(back, core::array::from_fn(|i| image[i] * often[i]));
    }

    #[test]
    fn what_is_past_the_last_whole_window_is_left_out() {
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
        let mut back = [9; 50];
        windows.scatter(&planes, &mut back);
        for (place, (&back, image)) in back.iter().zip(image).enumerate() {
            let inside = place / 10 < 4 && place / 2 % 5 < 4;
            assert_eq!(back, if inside { image } else { 0 });
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
        assert_eq!((windows.output(), windows.places()), ([2, 3], 3));
        let image: [u32; 10] = core::array::from_fn(|i| i as u32);
        let mut planes = [0; 18];
        windows.gather(&image, &mut planes);
        assert_eq!(planes[..6], [0, 1, 2, 5, 6, 7]);
        assert_eq!(planes[12..], [2, 3, 4, 7, 8, 9]);
    }
}
