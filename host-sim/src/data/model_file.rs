//! Trained models in files.

use std::{collections::HashMap, fs, path::Path};

use ringlet_core::{kernel::Linear, model::Model, network::Network};
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView, serialize},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::{
        classes::Classes,
        file::Staged,
        normalise::MeanAndDeviation,
        parameters::Parameters,
        range_bits::RangeBits,
        state_dict::StateDict,
        torch_layout::{TorchLayout, tensor_name},
    },
    error::Failure,
};

/// The shape of a stage's weights in files without a layout, which hold them as the linear map stores them.
fn stored_shape(linear: &Linear) -> Vec<usize> {
    match linear {
        Linear::Dense(dense) => vec![dense.inputs, dense.outputs],
        Linear::Conv(conv) => vec![conv.kernel, conv.kernel, conv.inputs, conv.outputs],
    }
}

/// The order of the weights in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Layout {
    /// PyTorch's: see [`TorchLayout`].
    Pytorch,
}

/// What a file says of a model beside its description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Marks {
    /// Values left their range in the training, so the model may be worthless.
    pub left_range: bool,
    /// The range of its values in training, if it is known.
    #[serde(rename = "range_bits")]
    pub range: Option<RangeBits>,
    /// The normalisation of its images, if it is known.
    pub normalise: Option<MeanAndDeviation>,
    /// The names of its classes, if they have names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

impl Marks {
    /// The classes that it names.
    pub fn classes(&self) -> Classes {
        self.classes
            .clone()
            .map_or(Classes::Unknown, Classes::Named)
    }
}

/// Writes a revealed model as safetensors, which PyTorch loads as a state_dict: `NAME.weight` and `NAME.bias` for each layer
/// that learns, in float32 and in PyTorch's layout, with the model's description in the metadata. The file appears whole or
/// not at all; if it cannot, the model is kept elsewhere, and the error says where.
pub fn save(
    path: &Path,
    model: (&Model, Marks),
    network: &Network,
    parameters: &[Parameters],
) -> Result<(), Failure> {
    keep(path, model, network, parameters)?.appear()
}

/// A model in a file that has still to appear: where the user wants it, or else in the system's directory of temporary
/// files, so that what was trained is not lost.
pub struct Kept {
    file: Staged,
    /// Why it is elsewhere, if it is.
    elsewhere: Option<Failure>,
}

impl Kept {
    /// Gives the file its name. Fails if the model is not where the user wants it; then the error says where it is.
    pub fn appear(self) -> Result<(), Failure> {
        self.file.appear()?;
        self.elsewhere.map_or(Ok(()), Err)
    }
}

/// Writes a revealed model, as [`save`] does, to a file that has still to appear.
pub fn keep(
    path: &Path,
    model: (&Model, Marks),
    network: &Network,
    parameters: &[Parameters],
) -> Result<Kept, Failure> {
    let bytes = bytes_of(model, network, parameters)?;
    let failure = match Staged::write(path, &bytes) {
        Ok(file) => {
            return Ok(Kept {
                file,
                elsewhere: None,
            });
        }
        Err(failure) => failure,
    };
    let name = format!("ringlet-model-{}.safetensors", std::process::id());
    let other = std::env::temp_dir().join(name);
    match Staged::write_secret(&other, &bytes) {
        Ok(file) => Ok(Kept {
            file,
            elsewhere: Some(failure.with_remedy(format!("the model is in {}", other.display()))),
        }),
        Err(_) => Err(failure),
    }
}

/// A model's file.
fn bytes_of(
    (model, marks): (&Model, Marks),
    network: &Network,
    parameters: &[Parameters],
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
    let mut description = serde_json::to_value(model).map_err(unfit)?;
    description[LAYOUT] = serde_json::to_value(Layout::Pytorch).map_err(unfit)?;
    description[TRAINING] = serde_json::to_value(marks).map_err(unfit)?;
    let metadata = HashMap::from([(DESCRIPTION.to_owned(), description.to_string())]);
    serialize(views, Some(metadata)).map_err(unfit)
}

/// The failure to bring a model into the form of a file.
fn unfit(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the model cannot be saved: {error}"), "")
}

/// The key of the model's description in a file's metadata.
const DESCRIPTION: &str = "ringlet.model";

/// The key in the description of what the training says of the model.
const TRAINING: &str = "training";

/// The key in the description of the order of the weights. Older files have none.
const LAYOUT: &str = "layout";

/// What a file says of its model.
pub fn marks(path: &Path) -> Result<Marks, Failure> {
    described(path, &read(path)?).map(|described| described.marks)
}

/// The model that a file describes, without its parameters.
pub fn describe(path: &Path) -> Result<Model, Failure> {
    described(path, &read(path)?).map(|described| described.model)
}

/// A model that was trained, here or elsewhere.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its description.
    pub model: Model,
    /// Its network.
    pub network: Network,
    /// What the file says of it.
    pub marks: Marks,
    /// The parameters of each layer that learns.
    pub parameters: Vec<Parameters>,
}

/// Reads what [`save`] wrote, or a state_dict of PyTorch's in safetensors. Such a file does not describe its model, so
/// `model` does; a file that does describe it has to describe the same one.
pub fn load(path: &Path, model: Option<Model>) -> Result<Trained, Failure> {
    let bytes = read(path)?;
    let described = match (described_if(path, &bytes)?, model) {
        (Some(described), None) => described,
        (Some(described), Some(model)) if described.model == model => described,
        (Some(described), Some(model)) => {
            return Err(Failure::new(
                format!(
                    "{} is a model {}, and not {} as --model has it",
                    path.display(),
                    described.model.name,
                    model.name
                ),
                "leave out --model, or give another file",
            ));
        }
        (None, Some(model)) => {
            let network = network_of(path, &model)?;
            let dict = StateDict::read(path, &bytes)?;
            return Ok(Trained {
                parameters: dict.parameters(&model, &network)?,
                marks: Marks::default(),
                model,
                network,
            });
        }
        (None, None) => {
            return Err(Failure::new(
                format!("{} does not describe its model", path.display()),
                "name or describe it with --model",
            ));
        }
    };
    let Described {
        model,
        marks,
        layout,
    } = described;
    let network = network_of(path, &model)?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &error.to_string()))?;
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

fn network_of(path: &Path, model: &Model) -> Result<Network, Failure> {
    Network::new(model).map_err(|error| damaged(path, &error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::new(
            format!("{} cannot be read: {error}", path.display()),
            "give a file that --save has written",
        )
    })
}

/// What a file says of the model in it.
struct Described {
    model: Model,
    marks: Marks,
    /// The order of the weights; none in older files.
    layout: Option<Layout>,
}

/// The model that a file has to describe.
fn described(path: &Path, bytes: &[u8]) -> Result<Described, Failure> {
    let described = described_if(path, bytes)?;
    described.ok_or_else(|| damaged(path, "it does not describe its model"))
}

/// The model that a file describes, if it describes one.
fn described_if(path: &Path, bytes: &[u8]) -> Result<Option<Described>, Failure> {
    let unreadable = |error: serde_json::Error| damaged(path, &error.to_string());
    let metadata = metadata_of(path, bytes)?;
    let Some(description) = metadata.get(DESCRIPTION) else {
        return Ok(None);
    };
    let mut description: Value = serde_json::from_str(description).map_err(unreadable)?;
    let mut part = |name| {
        let all = description.as_object_mut()?;
        all.remove(name)
    };
    let (marks, layout) = (part(TRAINING), part(LAYOUT));
    let marks = marks.map(serde_json::from_value).transpose();
    let layout = layout.map(serde_json::from_value).transpose();
    Ok(Some(Described {
        marks: marks.map_err(unreadable)?.unwrap_or_default(),
        layout: layout.map_err(unreadable)?,
        model: serde_json::from_value(description).map_err(unreadable)?,
    }))
}

fn metadata_of(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, Failure> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, &error.to_string()))?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

fn damaged(path: &Path, what: &str) -> Failure {
    Failure::new(
        format!("{} is not a model of this program: {what}", path.display()),
        "give a file that --save has written",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_called_full() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model");
        let partial = format!("model.partial-{}", std::process::id());
        std::os::unix::fs::symlink("/dev/full", dir.path().join(partial)).expect("a link");
        let model = Model::built_in("digits8").expect("a model");
        let network = Network::new(&model).expect("a network");
        let marked = Marks {
            left_range: true,
            range: "7,9,8".parse().ok(),
            normalise: "0.5:0.25".parse().ok(),
            classes: Some(vec!["cat".to_owned(), "dog".to_owned()]),
        };
        let model_and_marks = (&model, marked.clone());
        let saved =
            save(&path, model_and_marks, &network, &[]).map_err(|failure| failure.to_string());
        let wanted = format!("{} cannot be written: the disk is full", path.display());
        let line = saved.expect_err("no room");
        assert!(line.starts_with(&wanted), "{line}");
        // What was trained is not lost.
        let (_, other) = line.split_once("the model is in ").expect("another place");
        assert_eq!(describe(Path::new(other)).expect("a model"), model);
        assert_eq!(marks(Path::new(other)).expect("a model"), marked);
        fs::remove_file(other).expect("the model");
    }
}
