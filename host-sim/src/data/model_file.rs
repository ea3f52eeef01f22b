//! Trained models in files.

use std::{collections::HashMap, fs, path::Path};

use ringlet_core::{
    kernel::Linear,
    model::Model,
    network::{Network, Stage},
};
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView, serialize},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    data::{
        classes::Classes, file::Staged, normalise::MeanAndDeviation, parameters::Parameters,
        range_bits::RangeBits,
    },
    error::Failure,
};

/// The part of a stage's name that names its linear map.
fn tensor_name(stage: &Stage) -> &str {
    let name = stage.name.split('+').find(|part| !part.starts_with("pool"));
    name.unwrap_or(&stage.name)
}

fn shapes(linear: &Linear) -> Vec<usize> {
    match linear {
        Linear::Dense(dense) => vec![dense.inputs, dense.outputs],
        Linear::Conv(conv) => vec![conv.kernel, conv.kernel, conv.inputs, conv.outputs],
    }
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

/// Writes a revealed model as safetensors: `NAME.weight` and `NAME.bias` for each layer that learns, in
/// float32. Convolutions are `[row][column][input][output]`, dense layers `[input][output]`; images
/// are flattened by rows, columns, channels. The file appears whole or not at all; if it cannot, the model is kept elsewhere,
/// and the error says where.
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
    for (stage, parameters) in network.stages.iter().zip(parameters) {
        let name = tensor_name(stage);
        let biases = vec![parameters.biases.len()];
        tensors.push((
            format!("{name}.weight"),
            shapes(&stage.linear),
            bytes(&parameters.weights),
        ));
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

/// What a file says of its model.
pub fn marks(path: &Path) -> Result<Marks, Failure> {
    described(path, &read(path)?).map(|(_, marks)| marks)
}

/// The model that a file describes, without its parameters.
pub fn describe(path: &Path) -> Result<Model, Failure> {
    let bytes = read(path)?;
    model_of(path, &bytes)
}

/// Reads what [`save`] wrote: the model, its network, and the parameters of each layer that learns.
pub fn load(path: &Path) -> Result<(Model, Network, Vec<Parameters>), Failure> {
    let bytes = read(path)?;
    let model = model_of(path, &bytes)?;
    let network = Network::new(&model).map_err(|error| damaged(path, &error.to_string()))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &error.to_string()))?;
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
    let parameters = network
        .stages
        .iter()
        .map(|stage| {
            let name = tensor_name(stage);
            Ok(Parameters {
                weights: values(format!("{name}.weight"), shapes(&stage.linear))?,
                biases: values(format!("{name}.bias"), vec![stage.linear.channels()])?,
            })
        })
        .collect::<Result<_, Failure>>()?;
    Ok((model, network, parameters))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::new(
            format!("{} cannot be read: {error}", path.display()),
            "give a file that --save has written",
        )
    })
}

fn model_of(path: &Path, bytes: &[u8]) -> Result<Model, Failure> {
    described(path, bytes).map(|(model, _)| model)
}

/// The model that a file describes, and what its training says of it, if anything.
fn described(path: &Path, bytes: &[u8]) -> Result<(Model, Marks), Failure> {
    let unreadable = |error: serde_json::Error| damaged(path, &error.to_string());
    let metadata = metadata_of(path, bytes)?;
    let description = metadata.get(DESCRIPTION);
    let description = description.ok_or_else(|| damaged(path, "it does not describe its model"))?;
    let mut description: Value = serde_json::from_str(description).map_err(unreadable)?;
    let training = description
        .as_object_mut()
        .and_then(|all| all.remove(TRAINING));
    let marks = training
        .map(serde_json::from_value)
        .transpose()
        .map_err(unreadable)?;
    let model = serde_json::from_value(description).map_err(unreadable)?;
    Ok((model, marks.unwrap_or_default()))
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
