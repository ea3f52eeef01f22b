//! A state_dict of PyTorch's: tensors by name, without a description of their model.

use std::{cmp::Ordering, path::Path};

use half::{bf16, f16};
use ringlet_core::{
    model::Model,
    network::{Network, Stage},
};
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView},
};

use crate::{
    data::{
        parameters::Parameters,
        torch_layout::{TorchLayout, tensor_name},
    },
    error::Failure,
};

/// Weights and biases of layers, in the order of their names.
pub struct StateDict {
    /// The file, for messages.
    file: String,
    layers: Vec<Layer>,
}

/// The tensors of one layer.
struct Layer {
    name: String,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
}

struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl StateDict {
    /// Reads the tensors of a safetensors file. Fails if one is neither a weight nor a bias, or holds no floats, or a value
    /// that is no number.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            Failure::new(
                format!("{file} is not a safetensors file: {error}"),
                "write it with safetensors.torch.save_file",
            )
        })?;
        let mut dict = StateDict {
            file,
            layers: Vec::new(),
        };
        for (name, view) in tensors.tensors() {
            let tensor = Tensor::read(&view).map_err(|what| dict.unfit(&name, what))?;
            let place = match name.rsplit_once('.') {
                Some((layer, "weight")) => &mut dict.layer(layer).weight,
                Some((layer, "bias")) => &mut dict.layer(layer).bias,
                _ => {
                    let what = "is neither a layer's weight nor its bias, and no layer here has such a part";
                    return Err(dict.unfit(&name, what));
                }
            };
            *place = Some(tensor);
        }
        dict.layers
            .sort_by(|a, b| in_natural_order(&a.name, &b.name));
        Ok(dict)
    }

    /// The layer of this name, a new one if there is none.
    fn layer(&mut self, name: &str) -> &mut Layer {
        let known = self.layers.iter().position(|layer| layer.name == name);
        let index = known.unwrap_or_else(|| {
            self.layers.push(Layer {
                name: name.to_owned(),
                weight: None,
                bias: None,
            });
            self.layers.len() - 1
        });
        &mut self.layers[index]
    }

    /// The parameters of a network, layer by layer: by this program's names if the file has them, else by the shapes of the
    /// weights. Of several layers with the same shape, whose names have to differ in numbers alone, the lowest comes first. A
    /// layer without a bias has zeros.
    ///
    /// Fails by name if a tensor is missing, left over or of another shape, and if the order of two layers is open.
    pub fn parameters(&self, model: &Model, network: &Network) -> Result<Vec<Parameters>, Failure> {
        let stages = &network.stages;
        let layouts: Vec<TorchLayout> = (0..stages.len())
            .map(|stage| TorchLayout::new(model, network, stage))
            .collect();
        if self.layers.len() != stages.len() {
            let own: Vec<&str> = self.layers.iter().map(|layer| &*layer.name).collect();
            return Err(Failure::new(
                format!(
                    "{} has {} layers that learn ({}), and the model has {} ({})",
                    self.file,
                    own.len(),
                    own.join(", "),
                    stages.len(),
                    names(network)
                ),
                "give a model and a file that fit together",
            ));
        }
        let by_name: Option<Vec<&Layer>> = stages
            .iter()
            .map(|stage| {
                let mut layers = self.layers.iter();
                layers.find(|layer| layer.name == tensor_name(stage))
            })
            .collect();
        let layers = match by_name {
            Some(layers) => layers,
            None => self.by_shape(network, &layouts)?,
        };
        let all = stages.iter().zip(&layouts).zip(layers);
        all.map(|((stage, layout), layer)| self.parameters_of(stage, layer, layout))
            .collect()
    }

    /// For each stage the layer whose weights have its shape.
    fn by_shape(&self, network: &Network, layouts: &[TorchLayout]) -> Result<Vec<&Layer>, Failure> {
        let mut found = Vec::new();
        for (index, (stage, layout)) in network.stages.iter().zip(layouts).enumerate() {
            let fits = |layer: &&Layer| {
                let weight = layer.weight.as_ref();
                weight.is_some_and(|weight| weight.shape == layout.shape)
            };
            let candidates: Vec<&Layer> = self.layers.iter().filter(fits).collect();
            let same = |other: &&TorchLayout| other.shape == layout.shape;
            let wanted = layouts.iter().filter(same).count();
            if candidates.len() != wanted {
                return Err(Failure::new(
                    format!(
                        "{} has {} weights of shape {:?}, and the model has {wanted} ({} is one)",
                        self.file,
                        candidates.len(),
                        layout.shape,
                        tensor_name(stage)
                    ),
                    "give a model and a file that fit together",
                ));
            }
            let first = &candidates[0].name;
            if let Some(other) = candidates
                .iter()
                .find(|l| !differ_in_numbers(first, &l.name))
            {
                return Err(Failure::new(
                    format!(
                        "{first} and {} of {} have the same shape, and their names do not say which comes first",
                        other.name, self.file
                    ),
                    format!("call the layers {}", names(network)),
                ));
            }
            found.push(candidates[layouts[..index].iter().filter(same).count()]);
        }
        Ok(found)
    }

    fn parameters_of(
        &self,
        stage: &Stage,
        layer: &Layer,
        layout: &TorchLayout,
    ) -> Result<Parameters, Failure> {
        let name = |part| match layer.name.as_str() {
            "" => String::from(part),
            layer => format!("{layer}.{part}"),
        };
        let fits = |part, tensor: &Tensor, shape: &[usize]| match tensor.shape == shape {
            true => Ok(()),
            false => {
                let wanted = tensor_name(stage);
                let what = format!("is {:?}, and {wanted} takes {shape:?}", tensor.shape);
                Err(self.unfit(&name(part), &what))
            }
        };
        let Some(weight) = &layer.weight else {
            return Err(self.unfit(&name("weight"), "is missing"));
        };
        fits("weight", weight, &layout.shape)?;
        let channels = stage.linear.channels();
        let biases = match &layer.bias {
            Some(bias) => {
                fits("bias", bias, &[channels])?;
                bias.values.clone()
            }
            None => vec![0.0; channels],
        };
        Ok(Parameters {
            weights: layout.weights(&weight.values),
            biases,
        })
    }

    fn unfit(&self, tensor: &str, what: &str) -> Failure {
        Failure::new(
            format!("{tensor} of {} {what}", self.file),
            "give a state_dict of the model's convolutions and dense layers alone",
        )
    }
}

impl Tensor {
    fn read(view: &TensorView<'_>) -> Result<Self, &'static str> {
        let bytes = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F16 => floats(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => floats(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => floats(bytes, f32::from_le_bytes),
            Dtype::F64 => floats(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            _ => return Err("does not hold floats"),
        };
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Tensor {
                shape: view.shape().to_vec(),
                values,
            }),
            false => Err("has values that are no numbers of float32"),
        }
    }
}

fn floats<const N: usize>(bytes: &[u8], float: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| float(word)).collect()
}

/// The names of a network's layers that learn, in their order.
fn names(network: &Network) -> String {
    let names: Vec<&str> = network.stages.iter().map(tensor_name).collect();
    names.join(", ")
}

/// Whether names are the same but for the values of numbers in them.
fn differ_in_numbers(a: &str, b: &str) -> bool {
    let words = |name: &str| -> Vec<String> {
        let parts = name.split(|letter: char| letter.is_ascii_digit());
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let numbers = |name: &str| {
        let bytes = name.as_bytes();
        let chunks = bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        chunks.filter(|chunk| chunk[0].is_ascii_digit()).count()
    };
    a == b || (words(a) == words(b) && numbers(a) == numbers(b))
}

/// Compares names, with numbers in them by their values.
fn in_natural_order(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| -> Vec<(u64, String)> {
        let chunks = name
            .as_bytes()
            .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        chunks
            .map(|chunk| {
                let text = String::from_utf8_lossy(chunk).into_owned();
                (text.parse().unwrap_or(0), text)
            })
            .collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlet_core::model::{Layer as Described, Sides};
    use safetensors::tensor::serialize;

    /// A convolution, two dense layers of the same shape, and a last one.
    fn model() -> (Model, Network) {
        let conv = Described::Conv2d {
            channels: 2,
            kernel: Sides::square(2),
            stride: 1,
            padding: Sides::square(0),
        };
        let dense = |units| Described::Dense { units };
        let relu = Described::Relu;
        let layers = [
            conv,
            relu,
            Described::Flatten,
            dense(8),
            relu,
            dense(8),
            relu,
            dense(3),
        ];
        let model = Model::new("four", [3, 3, 1], &layers).expect("a model");
        let network = Network::new(&model).expect("a network");
        (model, network)
    }

    /// A file of such tensors, whose values count up from `first`.
    fn file(tensors: &[(&str, &[usize], Dtype, f32)]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|&(_, shape, dtype, first)| {
                let count = shape.iter().product::<usize>();
                let values = (0..count).map(|index| first + index as f32);
                let bytes = values.flat_map(|value| match dtype {
                    Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                    Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                    Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
                    _ => value.to_le_bytes().to_vec(),
                });
                bytes.collect()
            })
            .collect();
        let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            let view = TensorView::new(tensor.2, tensor.1.to_vec(), bytes);
            (tensor.0, view.expect("a tensor"))
        });
        serialize(views.collect::<Vec<_>>(), None).expect("a file")
    }

    fn read(tensors: &[(&str, &[usize], Dtype, f32)]) -> Result<Vec<Parameters>, String> {
        let (model, network) = model();
        let dict = StateDict::read(Path::new("f"), &file(tensors));
        dict.and_then(|dict| dict.parameters(&model, &network))
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_sequential_is_read_in_its_order() {
        let parameters = read(&[
            ("net.10.weight", &[3, 8], Dtype::F32, 1.0),
            ("net.0.weight", &[2, 1, 2, 2], Dtype::F64, 2.0),
            ("net.0.bias", &[2], Dtype::BF16, 3.0),
            ("net.9.weight", &[8, 8], Dtype::F16, 4.0),
            ("net.4.weight", &[8, 8], Dtype::F32, 5.0),
            ("net.4.bias", &[8], Dtype::F32, 6.0),
        ])
        .expect("it fits");
        // [row][column][input][output]: the outputs alternate.
        let conv = [2.0, 6.0, 3.0, 7.0, 4.0, 8.0, 5.0, 9.0];
        assert_eq!(parameters[0].weights, conv);
        assert_eq!(parameters[0].biases, [3.0, 4.0]);
        let firsts: Vec<f32> = parameters.iter().map(|p| p.weights[0]).collect();
        assert_eq!(firsts, [2.0, 5.0, 4.0, 1.0]);
        assert_eq!(parameters[2].biases, [0.0; 8]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() {
        type Tensor = (&'static str, &'static [usize], Dtype, f32);
        let good: [Tensor; 4] = [
            ("features.0.weight", &[2, 1, 2, 2], Dtype::F32, 0.0),
            ("top.1.weight", &[8, 8], Dtype::F32, 0.0),
            ("top.2.weight", &[8, 8], Dtype::F32, 0.0),
            ("top.3.weight", &[3, 8], Dtype::F32, 0.0),
        ];
        read(&good).expect("it fits");
        let with = |index: usize, tensor: Tensor| {
            let mut all = good;
            all[index] = tensor;
            read(&all).expect_err("it does not fit")
        };
        let line = with(1, ("middle.weight", &[8, 8], Dtype::F32, 0.0));
        assert!(
            line.contains("middle and top.2 of f have the same shape"),
            "{line}"
        );
        assert!(line.contains("call the layers conv1, dense1, dense2, dense3"));
        let line = with(3, ("top.3.weight", &[8, 3], Dtype::F32, 0.0));
        assert!(line.contains("f has 0 weights of shape [3, 8]"), "{line}");
        let line = with(3, ("top.3.weight", &[3, 8], Dtype::F32, f32::NAN));
        assert!(
            line.contains("top.3.weight of f has values that are no numbers"),
            "{line}"
        );
        let line = with(3, ("top.3.weight", &[3, 8], Dtype::I32, 0.0));
        assert!(
            line.contains("top.3.weight of f does not hold floats"),
            "{line}"
        );
        let line = with(3, ("top.running_mean", &[3], Dtype::F32, 0.0));
        assert!(line.contains("top.running_mean of f is neither"), "{line}");
        let line = with(3, ("top.2.bias", &[8], Dtype::F32, 0.0));
        assert!(
            line.contains("f has 3 layers that learn (features.0, top.1, top.2)"),
            "{line}"
        );
        let line = with(1, ("top.2.bias", &[7], Dtype::F32, 0.0));
        assert!(line.contains("has 3 layers"), "{line}");
        let more = [&good[..], &[("top.3.bias", &[4], Dtype::F32, 0.0)]].concat();
        let line = read(&more).expect_err("a wrong bias");
        assert!(
            line.contains("top.3.bias of f is [4], and dense3 takes [3]"),
            "{line}"
        );
    }
}
