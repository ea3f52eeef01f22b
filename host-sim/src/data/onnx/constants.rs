//! The constants of a graph.

use std::{cell::RefCell, collections::BTreeMap};

use half::{bf16, f16};

use super::proto::{GraphProto, TensorProto};

/// A tensor of floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Floats {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last dimension fastest.
    pub values: Vec<f32>,
}

/// The constants of a graph by name, and which of them were read.
pub struct Constants<'g> {
    tensors: BTreeMap<&'g str, &'g TensorProto>,
    unread: RefCell<Vec<&'g str>>,
}

impl<'g> Constants<'g> {
    /// The initializers of `graph`, and what its operators `Constant` hold.
    pub fn of(graph: &'g GraphProto) -> Self {
        let initializers = graph.initializer.iter();
        let mut tensors: BTreeMap<&str, &TensorProto> = initializers
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
            let value = node.attribute.iter().find_map(|a| a.t.as_ref());
            if let (Some(name), Some(value)) = (node.output.first(), value) {
                tensors.insert(name, value);
            }
        }
        Constants {
            unread: RefCell::new(tensors.keys().copied().collect()),
            tensors,
        }
    }

    /// Whether there is a constant of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A constant that was not read.
    pub fn unread(&self) -> Option<String> {
        self.unread.borrow().first().map(|&name| name.to_owned())
    }

    fn tensor(&self, name: &str) -> Result<&'g TensorProto, String> {
        let tensor = self.tensors.get(name);
        let tensor = tensor.ok_or_else(|| format!("{name} is no constant"))?;
        self.unread.borrow_mut().retain(|unread| *unread != name);
        match tensor.data_location {
            0 => Ok(tensor),
            _ => Err(format!("{name} has its values in another file")),
        }
    }

    /// A constant of floats. The error names it.
    pub fn floats(&self, name: &str) -> Result<Floats, String> {
        let tensor = self.tensor(name)?;
        let shape = shape_of(tensor).ok_or_else(|| format!("{name} has no sound shape"))?;
        let raw = &tensor.raw_data[..];
        let halves = || -> Vec<u16> {
            match raw {
                [] => tensor.int32_data.iter().map(|&word| word as u16).collect(),
                raw => {
                    let (words, _) = raw.as_chunks();
                    words.iter().map(|&word| u16::from_le_bytes(word)).collect()
                }
            }
        };
        let values: Vec<f32> = match tensor.data_type {
            TensorProto::FLOAT if raw.is_empty() => tensor.float_data.clone(),
            TensorProto::FLOAT => {
                let (words, _) = raw.as_chunks();
                words.iter().map(|&word| f32::from_le_bytes(word)).collect()
            }
            TensorProto::DOUBLE if raw.is_empty() => tensor
                .double_data
                .iter()
                .map(|&value| value as f32)
                .collect(),
            TensorProto::DOUBLE => {
                let (words, _) = raw.as_chunks();
                let doubles = words.iter().map(|&word| f64::from_le_bytes(word));
                doubles.map(|value| value as f32).collect()
            }
            TensorProto::FLOAT16 => {
                let halves = halves().into_iter();
                halves.map(|word| f16::from_bits(word).to_f32()).collect()
            }
            TensorProto::BFLOAT16 => {
                let halves = halves().into_iter();
                halves.map(|word| bf16::from_bits(word).to_f32()).collect()
            }
            _ => return Err(format!("{name} does not hold floats")),
        };
        if values.len() != shape.iter().product::<usize>() {
            return Err(format!(
                "{name} has {} values for shape {shape:?}",
                values.len()
            ));
        }
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Floats { shape, values }),
            false => Err(format!("{name} has values that are no numbers of float32")),
        }
    }

    /// A constant of integers of 64 bits. The error names it.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, String> {
        let tensor = self.tensor(name)?;
        match (tensor.data_type, &tensor.raw_data[..]) {
            (TensorProto::INT64, []) => Ok(tensor.int64_data.clone()),
            (TensorProto::INT64, raw) => {
                let (words, _) = raw.as_chunks();
                Ok(words.iter().map(|&word| i64::from_le_bytes(word)).collect())
            }
            _ => Err(format!("{name} does not hold integers of 64 bits")),
        }
    }
}

/// The shape of a tensor, if its size fits a `usize`.
fn shape_of(tensor: &TensorProto) -> Option<Vec<usize>> {
    let shape: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|&side| usize::try_from(side).ok())
        .collect();
    let shape = shape?;
    let size = shape
        .iter()
        .try_fold(1usize, |size, &side| size.checked_mul(side));
    size.map(|_| shape)
}
