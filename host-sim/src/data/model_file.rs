//! Models in files: safetensors, and ONNX where the path ends so.

use std::{fs, path::Path};

use ringlet_core::{
    model::{Layer, Model},
    network::Network,
};

use crate::{
    data::{
        file::{Staged, check_writable},
        model_description::{Description, damaged, network_of},
        onnx::{self, Imported},
        parameters::Parameters,
        safetensors_file,
        state_dict::StateDict,
    },
    error::Failure,
};

pub use crate::data::trained_model::{Marks, Trained};

/// Checks, before a model is trained, that it can be written to `path`.
pub fn check(path: &Path, model: &Model) -> Result<(), Failure> {
    if onnx::is_named(path) {
        onnx::check(path, model)?;
    }
    check_writable(path)
}

/// Writes a revealed model, as ONNX if `path` ends so, and else as safetensors in PyTorch's names and layout. The file appears
/// whole or not at all; if it cannot, the model is kept elsewhere, and the error says where.
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
    (model, marks): (&Model, Marks),
    network: &Network,
    parameters: &[Parameters],
) -> Result<Kept, Failure> {
    let description = Description::text(model, &marks)?;
    let (bytes, end) = match onnx::is_named(path) {
        true => (onnx::write(model, network, parameters, description), "onnx"),
        false => {
            let bytes = safetensors_file::write(model, network, parameters, description)?;
            (bytes, "safetensors")
        }
    };
    let failure = match Staged::write(path, &bytes) {
        Ok(file) => {
            return Ok(Kept {
                file,
                elsewhere: None,
            });
        }
        Err(failure) => failure,
    };
    let name = format!("ringlet-model-{}.{end}", std::process::id());
    let other = std::env::temp_dir().join(name);
    match Staged::write_secret(&other, &bytes) {
        Ok(file) => Ok(Kept {
            file,
            elsewhere: Some(failure.with_remedy(format!("the model is in {}", other.display()))),
        }),
        Err(_) => Err(failure),
    }
}

/// What a file says of its model.
pub fn marks(path: &Path) -> Result<Marks, Failure> {
    described(path).map(|(_, marks)| marks)
}

/// The model that a file describes, without its parameters.
pub fn describe(path: &Path) -> Result<Model, Failure> {
    described(path).map(|(model, _)| model)
}

fn described(path: &Path) -> Result<(Model, Marks), Failure> {
    let bytes = read(path)?;
    if onnx::is_file(&bytes) {
        return from_onnx(path, &bytes).map(|trained| (trained.model, trained.marks));
    }
    let description = safetensors_file::description(path, &bytes)?;
    let description = description.ok_or_else(|| damaged(path, "it does not describe its model"))?;
    Ok((description.model, description.marks))
}

/// Reads what [`save`] wrote, a state_dict of PyTorch's in safetensors, or an ONNX file. A state_dict does not describe its
/// model, so `model` does; a file that does describe it has to describe the same one.
pub fn load(path: &Path, model: Option<Model>) -> Result<Trained, Failure> {
    let bytes = read(path)?;
    if onnx::is_file(&bytes) {
        let trained = from_onnx(path, &bytes)?;
        check_same(path, &trained.model, model)?;
        return Ok(trained);
    }
    match (safetensors_file::description(path, &bytes)?, model) {
        (Some(description), model) => {
            check_same(path, &description.model, model)?;
            safetensors_file::read(path, &bytes, description)
        }
        (None, Some(model)) => {
            let network = network_of(path, &model)?;
            let dict = StateDict::read(path, &bytes)?;
            Ok(Trained {
                parameters: dict.parameters(&model, &network)?,
                marks: Marks::default(),
                model,
                network,
            })
        }
        (None, None) => Err(Failure::new(
            format!("{} does not describe its model", path.display()),
            "name or describe it with --model",
        )),
    }
}

/// The layers of a model but for dropout, which changes only how it learns.
fn without_dropout(model: &Model) -> Vec<Layer> {
    let mut layers = Vec::new();
    // The new number of each layer, from 1; of a dropout that of what it drops.
    let mut numbers = vec![0];
    for layer in &model.layers {
        match *layer {
            Layer::Dropout { .. } => {}
            Layer::Add { layer } => layers.push(Layer::Add {
                layer: numbers
                    .get(usize::from(layer))
                    .map_or(layer, |&number| number),
            }),
            layer => layers.push(layer),
        }
        numbers.push(layers.len() as u8);
    }
    layers
}

/// Whether models are the same but for their names and for dropout.
fn are_same(one: &Model, other: &Model) -> bool {
    // A stride of zero is the window's size.
    let resolved = |layer: &Layer| match *layer {
        Layer::MaxPool { window, stride: 0 } => Layer::MaxPool {
            window,
            stride: window,
        },
        layer => layer,
    };
    let layers = |model: &Model| {
        without_dropout(model)
            .iter()
            .map(resolved)
            .collect::<Vec<_>>()
    };
    one.input == other.input && layers(one) == layers(other)
}

/// Refuses a model that is not the one that the user names.
fn check_same(path: &Path, described: &Model, named: Option<Model>) -> Result<(), Failure> {
    match named {
        Some(model) if !are_same(&model, described) => Err(Failure::new(
            format!(
                "{} is a model {}, and not {} as --model has it",
                path.display(),
                described.name,
                model.name
            ),
            "leave out --model, or give another file",
        )),
        _ => Ok(()),
    }
}

/// A model from its operators, with what this program wrote beside them if it did.
fn from_onnx(path: &Path, bytes: &[u8]) -> Result<Trained, Failure> {
    let Imported {
        mut model,
        network,
        parameters,
        description,
    } = onnx::read(path, bytes)?;
    let mut marks = Marks::default();
    if let Some(text) = description {
        let description = Description::parse(path, &text)?;
        if !are_same(&description.model, &model) {
            return Err(damaged(path, "its description is not of its operators"));
        }
        (model, marks) = (description.model, description.marks);
    }
    Ok(Trained {
        model,
        network,
        marks,
        parameters,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::new(
            format!("{} cannot be read: {error}", path.display()),
            "give a file that --save has written",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::trained_model::{BackboneMark, PrivacyMark};

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
            backbone: Some(BackboneMark {
                freeze: Some("conv1".to_owned()),
                digest: "0123456789abcdeffedcba9876543210".to_owned(),
                features: "0:1.5".parse().expect("a range"),
                images: "0.5:0.25".parse().expect("a normalisation"),
            }),
            privacy: Some(PrivacyMark {
                epsilon: 2.5,
                delta: 1e-5,
                noise: 1.1,
                clip: 0.5,
                iterations: 150,
            }),
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

    /// The length's first byte may be that of an ONNX file or of JSON.
    #[test]
    fn files_are_told_apart_whatever_their_length() {
        for length in [0x108u64, 0x17B, 0x7B, 40] {
            let mut file = length.to_le_bytes().to_vec();
            file.push(b'{');
            file.resize(8 + length as usize, b' ');
            assert!(
                safetensors_file::is_file(&file) && !onnx::is_file(&file),
                "{length:x}"
            );
            assert!(
                !safetensors_file::is_file(&file[..file.len() - 1]),
                "{length:x}"
            );
        }
        for other in [
            &b"{\"name\": \"x\"}"[..],
            b"\x08\x08\x12\x07ringlet",
            b"",
            b"{",
        ] {
            assert!(!safetensors_file::is_file(other));
        }
        assert!(onnx::is_file(b"\x08\x08\x12\x07ringlet"));
    }
}
