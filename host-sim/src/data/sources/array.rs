//! Arrays of numbers in files: IDX and NumPy's .npy.

use std::io::Read;

use super::{
    element::{Element, Kind, Range},
    place::{Place, fill},
};
use crate::{error::Failure, resources::filled};

/// The most bytes of a header.
const MAX_HEAD: usize = 1 << 16;

/// An array in a file, of which only the header has been read.
#[derive(Clone, Debug)]
pub struct Array {
    /// Where it lies.
    pub place: Place,
    /// The type of its numbers.
    pub element: Element,
    /// Its dimensions, the one that counts samples first.
    pub dims: Vec<usize>,
    /// Bytes before the numbers.
    head_len: usize,
}

/// What the header of an array says, and its bytes.
struct Head {
    element: Element,
    dims: Vec<usize>,
    len: usize,
}

impl Array {
    /// Reads the header of what lies at `place`, which is to hold `what`. Fails if it is not an array, or has fewer bytes
    /// than its header says by far.
    pub fn open(place: Place, what: &str) -> Result<Self, Failure> {
        let start = place.read(|reader| {
            let mut start = Vec::new();
            let read = reader.take(MAX_HEAD as u64).read_to_end(&mut start);
            read.map_err(|error| place.damaged(&error.to_string()))?;
            Ok(start)
        })?;
        let head = match start.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy(&start),
            [0, 0, ..] => idx(&start),
            _ => Err(format!("is not an IDX file of {what}")),
        };
        let head = head.map_err(|why| {
            Failure::new(
                format!("{place} {why}"),
                "give an IDX file, or an array of numbers that numpy.save has written",
            )
        })?;
        let Head { element, dims, len } = head;
        let body = dims.iter().try_fold(element.size as u64, |product, &side| {
            product.checked_mul(side as u64)
        });
        let most = place.most_bytes()?;
        if body.is_none_or(|body| body > most) {
            return Err(Failure::new(
                format!("{place} is cut short: its header says {what} of shape {dims:?}"),
                "copy or fetch the file again",
            ));
        }
        Ok(Array {
            place,
            element,
            dims,
            head_len: len,
        })
    }

    /// Its number of samples.
    pub fn count(&self) -> usize {
        self.dims.first().copied().unwrap_or(0)
    }

    /// Numbers of a sample.
    pub fn sample_len(&self) -> usize {
        self.dims.iter().skip(1).product()
    }

    /// Gives the bytes of each sample to `take`, with its number. Fails if there are fewer or more than the header says, or
    /// as `take` does.
    pub fn samples(
        &self,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let place = &self.place;
        let broken = |error: std::io::Error| place.damaged(&error.to_string());
        let bytes = self.sample_len() * self.element.size;
        let mut sample = filled(0u8, bytes, "an image")?;
        place.read(|reader| {
            let head = filled(0u8, self.head_len, "the header")?;
            fill(reader, &mut { head }).map_err(broken)?;
            for number in 0..self.count() {
                if fill(reader, &mut sample).map_err(broken)? < bytes {
                    return Err(Failure::new(
                        format!(
                            "{place} is cut short: it ends in number {number} of {}",
                            self.count()
                        ),
                        "copy or fetch the file again",
                    ));
                }
                take(number, &sample)?;
            }
            match reader.fill_buf().map_err(broken)? {
                [] => Ok(()),
                _ => Err(Failure::new(
                    format!(
                        "{place} has more bytes than its header says, {:?} of {}",
                        self.dims, self.element
                    ),
                    "correct the header, or write the file anew",
                )),
            }
        })
    }

    /// The range of its numbers.
    pub fn range(&self) -> Result<Range, Failure> {
        let mut range = Range::default();
        self.samples(|_, sample| {
            let numbers = sample.chunks_exact(self.element.size);
            numbers.for_each(|number| range.add(self.element.value(number)));
            Ok(())
        })?;
        Ok(range)
    }

    /// Its numbers as labels: one whole number below 256 for each sample.
    pub fn labels(&self) -> Result<Vec<u8>, Failure> {
        if self.sample_len() != 1 {
            return Err(Failure::new(
                format!("{} holds labels of shape {:?}", self.place, self.dims),
                "give one class for each image",
            ));
        }
        let mut labels = Vec::new();
        self.samples(|number, sample| {
            let label = self.element.value(sample);
            if !(0.0..256.0).contains(&label) || label.fract() != 0.0 {
                return Err(Failure::new(
                    format!("{} gives image {number} the label {label}", self.place),
                    "number the classes from 0 to at most 255",
                ));
            }
            labels.push(label as u8);
            Ok(())
        })?;
        Ok(labels)
    }
}

/// Reads the header of an IDX file: two zeros, the type, the number of dimensions, and each of them.
fn idx(start: &[u8]) -> Result<Head, String> {
    let cut = || "is cut short in its header".to_owned();
    let &[_, _, kind, count, ref rest @ ..] = start else {
        return Err(cut());
    };
    let (kind, size) = match kind {
        0x08 => (Kind::Unsigned, 1),
        0x09 => (Kind::Signed, 1),
        0x0B => (Kind::Signed, 2),
        0x0C => (Kind::Signed, 4),
        0x0D => (Kind::Float, 4),
        0x0E => (Kind::Float, 8),
        _ => return Err(format!("is an IDX file of the unknown type {kind:#04x}")),
    };
    let dims = (0..usize::from(count)).map(|index| {
        let bytes = rest.get(4 * index..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes) as usize)
    });
    Ok(Head {
        element: Element {
            kind,
            size,
            big_endian: true,
        },
        dims: dims.collect::<Option<_>>().ok_or_else(cut)?,
        len: 4 * (usize::from(count) + 1),
    })
}

/// Reads the header of a .npy file: a version, the length of a Python dictionary, and the dictionary.
fn npy(start: &[u8]) -> Result<Head, String> {
    let cut = || "is cut short in its header".to_owned();
    let (before, len) = match start.get(6).ok_or_else(cut)? {
        1 => {
            let len = start.get(8..).and_then(|rest| rest.first_chunk());
            (10, len.map(|&len| u16::from_le_bytes(len).into()))
        }
        2 | 3 => {
            let len = start.get(8..).and_then(|rest| rest.first_chunk());
            (12, len.map(|&len| u32::from_le_bytes(len) as usize))
        }
        version => {
            return Err(format!(
                "has the unknown version {version} of the .npy format"
            ));
        }
    };
    let end = before + len.ok_or_else(cut)?;
    let text = start.get(before..end).ok_or_else(cut)?;
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("'{key}'"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let broken = || "has a header that cannot be understood".to_owned();
    let kind = value("descr").ok_or_else(broken)?;
    let quoted = kind
        .strip_prefix('\'')
        .and_then(|kind| kind.split_once('\''));
    let (kind, _) = quoted.ok_or("holds records, not numbers")?;
    let element =
        element(kind).ok_or_else(|| format!("holds values of type {kind}, not numbers"))?;
    if value("fortran_order")
        .ok_or_else(broken)?
        .starts_with("True")
    {
        return Err("is stored by columns (save numpy.ascontiguousarray of it)".to_owned());
    }
    let shape = value("shape").and_then(|shape| shape.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(broken)?;
    let dims = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty());
    Ok(Head {
        element,
        dims: dims
            .map(|side| side.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| broken())?,
        len: end,
    })
}

/// The element type that NumPy calls `text`, such as `<f4`; none if it is not of numbers that are read.
fn element(text: &str) -> Option<Element> {
    let (order, rest) = text.split_at_checked(1)?;
    let (kind, size) = rest.split_at_checked(1)?;
    let kind = match kind {
        "u" | "b" => Kind::Unsigned,
        "i" => Kind::Signed,
        "f" => Kind::Float,
        _ => return None,
    };
    let element = Element {
        kind,
        size: size.parse().ok()?,
        big_endian: order == ">",
    };
    (element.exists() && ["<", ">", "|", "="].contains(&order)).then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(bytes: Vec<u8>) -> Place {
        Place::BuiltIn("the file", bytes.leak())
    }

    fn idx_bytes(kind: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|side| side.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    fn npy_bytes(head: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        bytes.extend(body);
        bytes
    }

    fn numbers(array: &Array) -> Result<Vec<f64>, Failure> {
        let mut all = Vec::new();
        array.samples(|_, sample| {
            let parts = sample.chunks_exact(array.element.size);
            all.extend(parts.map(|number| array.element.value(number)));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn both_formats_are_read() {
        let body: Vec<u8> = [0.5f32, 1.5].iter().flat_map(|x| x.to_be_bytes()).collect();
        let floats = Array::open(built_in(idx_bytes(0x0D, &[2, 1], &body)), "images").expect("one");
        assert_eq!(floats.dims, [2, 1]);
        assert_eq!(numbers(&floats).expect("numbers"), [0.5, 1.5]);
        let head = "{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }  \n";
        let array = Array::open(built_in(npy_bytes(head, &[1, 0, 2, 0, 3, 0])), "labels");
        let array = array.expect("an array");
        assert_eq!((array.count(), array.sample_len()), (3, 1));
        assert_eq!(array.labels().expect("labels"), [1, 2, 3]);
    }

    #[test]
    fn every_truncation_and_every_surplus_is_refused_by_name() {
        let head = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }\n";
        for whole in [
            idx_bytes(0x08, &[3, 2], &[1, 2, 3, 4, 5, 6]),
            npy_bytes(head, &[1, 2, 3, 4, 5, 6]),
        ] {
            let read = |bytes: &[u8]| {
                Array::open(built_in(bytes.to_vec()), "images").and_then(|array| numbers(&array))
            };
            assert_eq!(read(&whole).expect("numbers").len(), 6);
            for end in 0..whole.len() {
                let line = read(&whole[..end]).expect_err("a failure").to_string();
                assert!(line.starts_with("the file "), "{end}: {line}");
            }
            let more = read(&[&whole[..], &[7]].concat()).expect_err("a failure");
            assert!(more.to_string().contains("more bytes"), "{more}");
        }
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_by_its_reason() {
        let ordinary = "'fortran_order': False, 'shape': (1,), }";
        for (head, hint) in [
            (format!("{{'descr': '|O', {ordinary}"), "type |O"),
            (format!("{{'descr': '<f2', {ordinary}"), "type <f2"),
            (format!("{{'descr': [('a', '<f4')], {ordinary}"), "records"),
            (
                "{'descr': '|u1', 'fortran_order': True, 'shape': (1,), }".to_owned(),
                "by columns",
            ),
            (
                "{'descr': '|u1', 'fortran_order': False}".to_owned(),
                "understood",
            ),
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 9), }".to_owned(),
                "cut short",
            ),
        ] {
            let failure = Array::open(built_in(npy_bytes(&head, &[0; 8])), "images");
            let line = failure.expect_err("a failure").to_string();
            assert!(line.contains(hint), "{head}: {line}");
        }
        let wrong = Array::open(built_in(b"hello".to_vec()), "labels").expect_err("a failure");
        assert!(
            wrong.to_string().contains("is not an IDX file of labels"),
            "{wrong}"
        );
        let many = Array::open(built_in(idx_bytes(0x08, &[2, 2], &[0; 4])), "labels");
        let line = many
            .expect("an array")
            .labels()
            .expect_err("a failure")
            .to_string();
        assert!(line.contains("[2, 2]") && !line.contains("again"), "{line}");
    }
}
