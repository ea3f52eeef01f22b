//! The numbers that arrays and tables are made of, and how they become bytes.

/// The type of an array's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// What the bytes mean.
    pub kind: Kind,
    /// Bytes of a number: 1, 2, 4 or 8.
    pub size: usize,
    /// The first byte is the most significant.
    pub big_endian: bool,
}

/// What the bytes of a number mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A natural number; also a truth value.
    Unsigned,
    /// A whole number.
    Signed,
    /// A float.
    Float,
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Unsigned => "u",
            Kind::Signed => "i",
            Kind::Float => "f",
        };
        write!(f, "{kind}{}", 8 * self.size)
    }
}

impl Element {
    /// Whether they are bytes from 0 to 255.
    pub fn is_byte(&self) -> bool {
        self.kind == Kind::Unsigned && self.size == 1
    }

    /// Whether there can be such numbers.
    pub fn exists(&self) -> bool {
        match self.kind {
            Kind::Float => [4, 8].contains(&self.size),
            _ => [1, 2, 4, 8].contains(&self.size),
        }
    }

    /// Whether they are floats.
    pub fn is_float(&self) -> bool {
        self.kind == Kind::Float
    }

    /// The number in `bytes`, which are as many as it has.
    pub fn value(&self, bytes: &[u8]) -> f64 {
        let mut word = [0u8; 8];
        for (to, &from) in word.iter_mut().zip(bytes) {
            *to = from;
        }
        if self.big_endian {
            word[..self.size].reverse();
        }
        let bits = u64::from_le_bytes(word);
        let unused = 64 - 8 * self.size as u32;
        match self.kind {
            Kind::Unsigned => bits as f64,
            Kind::Signed => ((bits << unused) as i64 >> unused) as f64,
            Kind::Float if self.size == 4 => f32::from_bits(bits as u32).into(),
            Kind::Float => f64::from_bits(bits),
        }
    }
}

/// The smallest and the largest of numbers, and whether all are whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    least: f64,
    most: f64,
    whole: bool,
    sound: bool,
}

impl Default for Range {
    fn default() -> Self {
        Range {
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            whole: true,
            sound: true,
        }
    }
}

impl Range {
    /// Takes a number in.
    pub fn add(&mut self, value: f64) {
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        self.whole &= value.fract() == 0.0;
        self.sound &= value.is_finite();
    }

    /// Takes the numbers of another range in.
    pub fn merge(&mut self, other: Range) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.whole &= other.whole;
        self.sound &= other.sound;
    }

    /// How these numbers become bytes. `floats` says whether their type is one of floats. The error says what is wrong with
    /// them.
    pub fn scale(&self, floats: bool) -> Result<Scale, String> {
        let Range { least, most, .. } = *self;
        if !self.sound {
            return Err("some of its values are no numbers".to_owned());
        }
        match (floats || !self.whole, least >= 0.0) {
            (true, true) if most <= 1.0 => Ok(Scale::FromOne),
            (_, true) if most <= 255.0 => Ok(Scale::AsTheyAre),
            _ => Err(format!("its values go from {least} to {most}")),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// The remedy for values of another range.
pub const RANGE_REMEDY: &str =
    "scale the values to 0 to 255, or floats to 0 to 1; --normalise centres them afterwards";

/// How numbers become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0 to 255, rounded.
    AsTheyAre,
    /// From 0 to 1, times 255, rounded.
    FromOne,
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Scale::AsTheyAre => "rounded to bytes",
            Scale::FromOne => "taken times 255",
        })
    }
}

impl Scale {
    /// A number as a byte.
    pub fn byte(self, value: f64) -> u8 {
        let scaled = match self {
            Scale::AsTheyAre => value,
            Scale::FromOne => 255.0 * value,
        };
        scaled.round() as u8
    }
}

/// The shape of an image that is one row of so many numbers: a square, a coloured square with sides of 8 and more, or just a
/// row.
pub fn shape_of_row(len: usize) -> [usize; 3] {
    let side = |area: usize| {
        let side = area.isqrt();
        (side * side == area).then_some(side)
    };
    let colour = len.is_multiple_of(3).then(|| side(len / 3)).flatten();
    match (side(len), colour) {
        (Some(side), _) => [side, side, 1],
        (None, Some(side)) if side >= 8 => [side, side, 3],
        _ => [1, len, 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_types_are_read() {
        let of = |kind, size, big_endian| Element {
            kind,
            size,
            big_endian,
        };
        for (element, bytes, value) in [
            (of(Kind::Unsigned, 1, false), &[200][..], 200.0),
            (of(Kind::Signed, 1, false), &[0xFE], -2.0),
            (of(Kind::Signed, 2, true), &[0x01, 0x02], 258.0),
            (of(Kind::Unsigned, 4, false), &[1, 0, 0, 0x80], 2147483649.0),
            (of(Kind::Signed, 8, false), &[0xFF; 8], -1.0),
            (of(Kind::Float, 4, true), &0.75f32.to_be_bytes(), 0.75),
            (of(Kind::Float, 8, false), &(-1e9f64).to_le_bytes(), -1e9),
        ] {
            assert!(element.exists());
            assert_eq!(element.value(bytes), value, "{element}");
        }
        assert!(!of(Kind::Float, 2, false).exists() && !of(Kind::Unsigned, 16, false).exists());
    }

    #[test]
    fn bytes_come_from_either_range() {
        let scale = |values: &[f64], floats: bool| {
            let mut range = Range::default();
            values.iter().for_each(|&value| range.add(value));
            range.scale(floats)
        };
        assert_eq!(scale(&[0.0, 1.0], true), Ok(Scale::FromOne));
        assert_eq!(scale(&[0.0, 0.5], false), Ok(Scale::FromOne));
        assert_eq!(scale(&[0.0, 1.0], false), Ok(Scale::AsTheyAre));
        assert_eq!(scale(&[0.0, 254.6], true), Ok(Scale::AsTheyAre));
        for wrong in [
            [-0.5, 0.5],
            [0.0, 256.0],
            [0.0, f64::NAN],
            [0.0, f64::INFINITY],
        ] {
            assert!(scale(&wrong, true).is_err(), "{wrong:?}");
        }
        assert_eq!(Scale::FromOne.byte(0.5), 128);
        assert_eq!(Scale::AsTheyAre.byte(254.6), 255);
    }

    #[test]
    fn rows_become_squares_where_they_can() {
        for (len, shape) in [
            (784, [28, 28, 1]),
            (3072, [32, 32, 3]),
            (64, [8, 8, 1]),
            (12, [1, 12, 1]),
            (30, [1, 30, 1]),
        ] {
            assert_eq!(shape_of_row(len), shape);
        }
    }
}
