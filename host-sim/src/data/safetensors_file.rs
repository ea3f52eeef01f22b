//! Models as safetensors: `NAME.weight` and `NAME.bias` for each layer that learns, in float32 and in PyTorch's layout, so that
//! PyTorch loads a file as a state_dict. The description is in the metadata.

use std::{collections::HashMap, path::Path};

use ringlet_core::{kernel::Linear, model::Model, network::Network};
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView, serialize},
};

use crate::{
    data::{
        model_description::{Description, KEY, Layout, damaged, network_of},
        parameters::Parameters,
        torch_layout::{TorchLayout, tensor_name},
        trained_model::Trained,
    },
    error::Failure,
};

/// The file of a model with this description.
pub fn write(
    model: &Model,
    network: &Network,
    parameters: &[Parameters],
    description: String,
) -> Result<Vec<u8>, Failure> {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut tensors = Vec::new();
    for (index, (stage, parameters)) in network.stages.iter().zip(parameters).enumerate() {
        let name = tensor_name(stage);
        let biases = vec![parameters.biases.len()];
        let layout = TorchLayout::new(model, network, index);
        let weights = layout.tensor(&parameters.weights);
        tensors.push((format!("{name}.weight"), layout.shape, bytes(&weights)));
        tensors.push((format!("{name}.bias"), biases, bytes(&parameters.biases)));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(unfit)?;
    // One key, because the order of several would change from file to file.
    let metadata = HashMap::from([(KEY.to_owned(), description)]);
    serialize(views, Some(metadata)).map_err(unfit)
}

/// The failure to bring a model into the form of a file.
fn unfit(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the model cannot be saved: {error}"), "")
}

/// Whether a file begins like safetensors: with the length of a header, eight bytes in little-endian order, and its brace.
pub fn is_file(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// The description in a file, if it has one.
pub fn description(path: &Path, bytes: &[u8]) -> Result<Option<Description>, Failure> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, &error.to_string()))?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let text = metadata.get(KEY);
    text.map(|text| Description::parse(path, text)).transpose()
}

/// Reads the model that a file describes so.
pub fn read(path: &Path, bytes: &[u8], description: Description) -> Result<Trained, Failure> {
    let Description {
        model,
        marks,
        layout,
    } = description;
    let network = network_of(path, &model)?;
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error.to_string()))?;
    if let Some(name) = extra(&tensors, &network) {
        return Err(damaged(path, &format!("{name} belongs to no layer of it")));
    }
    let values = |name: String, shape: Vec<usize>| -> Result<Vec<f32>, Failure> {
        let tensor = tensors
            .tensor(&name)
            .map_err(|_| damaged(path, &format!("{name} is missing")))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let what = format!("{name} is not float32 of shape {shape:?}");
            return Err(damaged(path, &what));
        }
        let (words, _) = tensor.data().as_chunks();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(damaged(
                path,
                &format!("{name} has values that are no numbers"),
            )),
        }
    };
    let stages = network.stages.iter().enumerate();
    let parameters = stages
        .map(|(index, stage)| {
            let name = tensor_name(stage);
            let weight = format!("{name}.weight");
            let weights = match layout {
                None => values(weight, stored_shape(&stage.linear))?,
                Some(Layout::Pytorch) => {
                    let layout = TorchLayout::new(&model, &network, index);
                    layout.weights(&values(weight, layout.shape.clone())?)
                }
            };
            Ok(Parameters {
                weights,
                biases: values(format!("{name}.bias"), vec![stage.linear.channels()])?,
            })
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Trained {
        model,
        network,
        marks,
        parameters,
    })
}

/// The shape of a stage's weights in files without a layout, which hold them as the linear map stores them.
fn stored_shape(linear: &Linear) -> Vec<usize> {
    match linear {
        Linear::Dense(dense) => vec![dense.inputs, dense.outputs],
        Linear::Conv(conv) => {
            let [rows, columns] = conv.kernel.map(usize::from);
            vec![rows, columns, conv.inputs, conv.outputs]
        }
    }
}

/// A tensor that is no parameter of the network, if there is one.
fn extra(tensors: &SafeTensors<'_>, network: &Network) -> Option<String> {
    let mut names = tensors.names().into_iter();
    let known = |name: &str| {
        network.stages.iter().any(|stage| {
            let part = name.strip_prefix(tensor_name(stage));
            matches!(part, Some(".weight" | ".bias"))
        })
    };
    names.find(|name| !known(name)).map(str::to_owned)
}
