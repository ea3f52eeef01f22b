//! Rows and columns of something small.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Rows and columns of a kernel, or of the zeros on each side of an image.
///
/// Files for people have one number for a square, such as `3`, and else two, such as `[3, 5]`. On links there are always two
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sides {
    /// Rows.
    pub rows: u8,
    /// Columns.
    pub columns: u8,
}

impl Sides {
    /// As many rows as columns.
    pub const fn square(side: u8) -> Self {
        Sides {
            rows: side,
            columns: side,
        }
    }

    /// Rows and columns.
    pub fn both(self) -> [u8; 2] {
        [self.rows, self.columns]
    }
}

impl From<[u8; 2]> for Sides {
    fn from([rows, columns]: [u8; 2]) -> Self {
        Sides { rows, columns }
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

impl Serialize for Sides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() && self.rows == self.columns {
            true => serializer.serialize_u8(self.rows),
            false => self.both().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_any(OneOrTwo),
            false => <[u8; 2]>::deserialize(deserializer).map(Sides::from),
        }
    }
}

/// Reads one number or two.
struct OneOrTwo;

impl<'de> de::Visitor<'de> for OneOrTwo {
    type Value = Sides;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 255, or two: rows and columns")
    }

    fn visit_u64<E: de::Error>(self, side: u64) -> Result<Sides, E> {
        let side = u8::try_from(side);
        side.map(Sides::square)
            .map_err(|_| E::custom("more than 255 rows or columns"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Sides, A::Error> {
        let mut next = |at| {
            let number = numbers.next_element::<u8>()?;
            number.ok_or_else(|| de::Error::invalid_length(at, &self))
        };
        let sides = Sides {
            rows: next(0)?,
            columns: next(1)?,
        };
        match numbers.next_element::<u8>()? {
            None => Ok(sides),
            Some(_) => Err(de::Error::invalid_length(3, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_two_bytes_on_links() {
        for sides in [Sides::square(3), Sides::from([1, 2])] {
            let mut room = [0; 4];
            let bytes = postcard::to_slice(&sides, &mut room).unwrap();
            assert_eq!(*bytes, sides.both());
            assert_eq!(postcard::from_bytes::<Sides>(bytes).unwrap(), sides);
        }
    }
}
