//! Trained models in files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use ringlet_core::{kernel::linear::Linear, model::Model, network::Network};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

use crate::{error::Failure, twin::Parameters};

/// Makes sure, before the work starts, that a file can be written where the user wants it. An
/// existing one is replaced only if it is a plain file.
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    let refused = |why: &str, remedy: &str| {
        Failure::new(
            format!("{} cannot be written: {why}", path.display()),
            remedy,
        )
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(refused("it is not a plain file", "give the name of a file"));
        }
        Ok(_) | Err(_) => {}
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    if !dir.is_dir() {
        return Err(refused(
            "its directory does not exist",
            "make the directory first",
        ));
    }
    // The surest way to learn whether a file can be made there is to make one.
    let probe = partial(path);
    fs::File::create(&probe).map_err(|error| refused(&error.to_string(), "check the directory"))?;
    fs::remove_file(&probe).map_err(|error| refused(&error.to_string(), "check the directory"))
}

/// Writes a file that appears whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    appear(path, |partial| {
        fs::write(partial, bytes).map_err(|error| error.to_string())
    })
}

/// Lets `write` make a file under another name, and gives it its own when it is whole.
fn appear(path: &Path, write: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), Failure> {
    let partial = partial(path);
    write(&partial)
        .and_then(|()| fs::rename(&partial, path).map_err(|error| error.to_string()))
        .map_err(|error| {
            let _ = fs::remove_file(&partial);
            failed(path, &error)
        })
}

fn failed(path: &Path, error: &str) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "check the directory and the space left",
    )
}

/// The name under which a file is written until it is whole.
fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    PathBuf::from(partial)
}

fn shapes(linear: &Linear) -> Vec<usize> {
    match linear {
        Linear::Dense(dense) => vec![dense.inputs, dense.outputs],
        Linear::Conv(conv) => vec![conv.kernel, conv.kernel, conv.inputs, conv.outputs],
    }
}

/// Writes a revealed model as safetensors: `NAME.weight` and `NAME.bias` for each layer that learns, in
/// float32. Convolutions are `[row][column][input][output]`, dense layers `[input][output]`; images
/// are flattened by rows, columns, channels. The file appears whole or not at all.
pub fn save(
    path: &Path,
    model: &Model,
    network: &Network,
    parameters: &[Parameters],
) -> Result<(), Failure> {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut tensors = Vec::new();
    for (stage, parameters) in network.stages.iter().zip(parameters) {
        let name = stage.name.split('+').find(|part| !part.starts_with("pool"));
        let name = name.unwrap_or(&stage.name);
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
        .map_err(|error| failed(path, &error.to_string()))?;
    let description =
        serde_json::to_string(model).map_err(|error| failed(path, &error.to_string()))?;
    let metadata = HashMap::from([("ringlet.model".to_owned(), description)]);
    appear(path, |partial| {
        serialize_to_file(views, Some(metadata), partial).map_err(|error| error.to_string())
    })
}
