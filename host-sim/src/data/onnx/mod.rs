//! Models as ONNX files. A plain build leaves the code out.

#[cfg(feature = "onnx")]
mod constants;
#[cfg(feature = "onnx")]
mod export;
#[cfg(feature = "onnx")]
mod fold;
#[cfg(feature = "onnx")]
mod import;
#[cfg(feature = "onnx")]
mod proto;
#[cfg(all(test, feature = "onnx"))]
mod tests;

use std::path::Path;

use ringlet_core::{model::Model, network::Network};

use crate::{
    data::{parameters::Parameters, safetensors_file},
    error::Failure,
};

/// A model that was read.
pub struct Imported {
    /// Its description, from the operators.
    pub model: Model,
    /// The network.
    pub network: Network,
    /// The parameters of each layer that learns.
    pub parameters: Vec<Parameters>,
    /// What this program wrote beside them, if it did.
    pub description: Option<String>,
}

/// Whether a path names an ONNX file.
pub fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "onnx")
}

/// Whether a file can be an ONNX file: its first field is a version, a small number.
pub fn is_file(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, version, ..] if *version < 0x80) && !safetensors_file::is_file(bytes)
}

#[cfg(feature = "onnx")]
mod built {
    use super::*;

    /// Fails if an ONNX file cannot hold the model.
    pub fn check(path: &Path, model: &Model) -> Result<(), Failure> {
        export::check(path, model)
    }

    /// Reads a file.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Imported, Failure> {
        import::read(path, bytes)
    }

    /// A model with the given description as a file.
    pub fn write(
        model: &Model,
        network: &Network,
        parameters: &[Parameters],
        description: String,
    ) -> Vec<u8> {
        export::write(model, network, parameters, description)
    }
}

#[cfg(not(feature = "onnx"))]
mod built {
    use super::*;

    fn left_out(path: &Path) -> Failure {
        Failure::new(
            format!(
                "{} is an ONNX file, which this program was built without",
                path.display()
            ),
            "build it with `cargo build --release --features onnx`, or use safetensors",
        )
    }

    /// Fails, because the program can write no such file.
    pub fn check(path: &Path, _: &Model) -> Result<(), Failure> {
        Err(left_out(path))
    }

    /// Fails, because the program can read no such file.
    pub fn read(path: &Path, _: &[u8]) -> Result<Imported, Failure> {
        Err(left_out(path))
    }

    /// Nothing: [`check`] fails first.
    pub fn write(_: &Model, _: &Network, _: &[Parameters], _: String) -> Vec<u8> {
        Vec::new()
    }
}

pub use built::{check, read, write};
