//! What is done to an image before it is a sample: colours to grey, and another size.

use std::str::FromStr;

/// Rows and columns, given as `WIDTHxHEIGHT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X']).and_then(|(width, height)| {
            let side = |text: &str| text.parse::<u16>().ok().filter(|&side| side > 0);
            Some(Size {
                rows: side(height)?.into(),
                columns: side(width)?.into(),
            })
        });
        sides.ok_or_else(|| "give WIDTHxHEIGHT in pixels, such as 32x32".to_owned())
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.columns, self.rows)
    }
}

/// An image as it was read: rows, columns and channels, and its bytes, the channels of a pixel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// As many bytes as the shape says.
    pub pixels: &'a [u8],
}

/// What every image of a data set goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// The size that all get.
    pub resize: Option<Size>,
    /// Colours become grey.
    pub greyscale: bool,
}

impl Conversion {
    /// Brings an image to `channels` channels, or to one if all become grey, and to the wanted size. Writes it to `out` and
    /// returns its shape; none if its channels cannot be brought to that number.
    pub fn apply(&self, raw: Raw<'_>, channels: usize, out: &mut Vec<u8>) -> Option<[usize; 3]> {
        let [rows, columns, own] = raw.shape;
        let channels = if self.greyscale { 1 } else { channels };
        let pixels = raw.pixels;
        out.clear();
        match (own, channels) {
            _ if own == channels => out.extend_from_slice(pixels),
            (1, _) => out.extend(
                pixels
                    .iter()
                    .flat_map(|&grey| std::iter::repeat_n(grey, channels)),
            ),
            (3 | 4, 1) if self.greyscale => out.extend(pixels.chunks_exact(own).map(grey)),
            (2, 1) if self.greyscale => out.extend(pixels.iter().step_by(2)),
            _ => return None,
        }
        match self.resize {
            Some(Size {
                rows: to_rows,
                columns: to_columns,
            }) if [to_rows, to_columns] != [rows, columns] => {
                let from = [rows, columns, channels];
                let wide = along(out, [rows, columns, channels], to_columns);
                // The same along columns, a whole row of pixels at a time.
                let high = along(&wide, [1, rows, to_columns * channels], to_rows);
                debug_assert_eq!(from[2], channels);
                out.clear();
                out.extend(
                    high.iter()
                        .map(|&value| value.round().clamp(0.0, 255.0) as u8),
                );
                Some([to_rows, to_columns, channels])
            }
            _ => Some([rows, columns, channels]),
        }
    }
}

/// Luma of red, green and blue, as ITU-R BT.601 weighs them.
fn grey(pixel: &[u8]) -> u8 {
    let weighed = [299, 587, 114].iter().zip(pixel);
    let sum: u32 = weighed
        .map(|(&weight, &value)| weight * u32::from(value))
        .sum();
    ((sum + 500) / 1000) as u8
}

/// Numbers that an image is made of while its size changes.
trait Value: Copy {
    fn float(self) -> f32;
}

impl Value for u8 {
    fn float(self) -> f32 {
        self.into()
    }
}

impl Value for f32 {
    fn float(self) -> f32 {
        self
    }
}

/// Resizes the middle dimension of `[outer][from][inner]` to `to`, by a triangle as wide as two pixels of the coarser of both
/// sizes: linear interpolation upwards, and a weighed mean downwards.
fn along<T: Value>(values: &[T], [outer, from, inner]: [usize; 3], to: usize) -> Vec<f32> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let mut out = vec![0f32; outer * to * inner];
    for place in 0..to {
        let centre = (place as f32 + 0.5) * scale;
        let first = (centre - reach).floor().max(0.0) as usize;
        let last = ((centre + reach).ceil() as usize).min(from);
        let weight = |index: usize| (1.0 - ((index as f32 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f32 = (first..last).map(weight).sum();
        for index in first..last {
            let weight = weight(index) / sum;
            for row in 0..outer {
                let source = &values[(row * from + index) * inner..][..inner];
                let target = &mut out[(row * to + place) * inner..][..inner];
                for (to, from) in target.iter_mut().zip(source) {
                    *to += weight * from.float();
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(
        conversion: Conversion,
        shape: [usize; 3],
        pixels: &[u8],
        channels: usize,
    ) -> Option<([usize; 3], Vec<u8>)> {
        let mut out = vec![9];
        let shape = conversion.apply(Raw { shape, pixels }, channels, &mut out)?;
        Some((shape, out))
    }

    fn resized(text: &str) -> Conversion {
        Conversion {
            resize: Some(text.parse().expect("a size")),
            greyscale: false,
        }
    }

    #[test]
    fn colours_become_grey_and_grey_becomes_colour() {
        let plain = Conversion::default();
        let grey = Conversion {
            greyscale: true,
            ..plain
        };
        let colour = [255, 0, 0, 0, 255, 0, 0, 0, 255, 7, 7, 7];
        let found = apply(grey, [2, 2, 3], &colour, 3);
        assert_eq!(found, Some(([2, 2, 1], vec![76, 150, 29, 7])));
        assert_eq!(
            apply(grey, [1, 1, 4], &[9, 9, 9, 0], 4),
            Some(([1, 1, 1], vec![9]))
        );
        assert_eq!(
            apply(plain, [1, 2, 1], &[5, 6], 3),
            Some(([1, 2, 3], vec![5, 5, 5, 6, 6, 6]))
        );
        assert_eq!(apply(plain, [2, 2, 3], &colour, 1), None);
    }

    #[test]
    fn sizes_change_by_a_weighed_mean() {
        let ramp: Vec<u8> = (0..64).map(|index| index % 8 * 30).collect();
        let (shape, half) = apply(resized("4x4"), [8, 8, 1], &ramp, 1).expect("an image");
        assert_eq!(shape, [4, 4, 1]);
        // Away from the edges a ramp stays the same ramp.
        assert_eq!(half[1..3], [75, 135]);
        assert_eq!(half[4..8], half[..4]);
        let (shape, one) = apply(resized("1x2"), [8, 8, 1], &[200; 64], 1).expect("an image");
        assert_eq!((shape, one), ([2, 1, 1], vec![200, 200]));
        let (shape, wide) = apply(resized("4x1"), [1, 2, 2], &[0, 100, 80, 20], 2).expect("one");
        assert_eq!(shape, [1, 4, 2]);
        assert_eq!(wide, [0, 100, 20, 80, 60, 40, 80, 20]);
        assert_eq!(
            apply(resized("2x1"), [1, 2, 1], &[3, 4], 1),
            Some(([1, 2, 1], vec![3, 4]))
        );
    }

    #[test]
    fn sizes_are_read_and_shown() {
        let size: Size = "32x28".parse().expect("a size");
        assert_eq!(
            (size.rows, size.columns, size.to_string()),
            (28, 32, "32x28".to_owned())
        );
        for wrong in ["32", "0x4", "4x", "4x-1", "70000x1", "axb"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
