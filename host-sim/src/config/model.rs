//! The model that a user names: a built-in one, a JSON description or a trained model.

use std::{fs, path::Path};

use ringlet_core::model::{BUILT_IN, Layer, Model};

use super::{activation, short_forms};
use crate::{
    data::{Images, model_file, onnx, safetensors_file},
    error::Failure,
};

/// The model called `name`, or the built-in model for images of `shape`.
pub fn model(name: Option<&str>, shape: Option<[usize; 3]>) -> Result<Model, Failure> {
    let Some(name) = name else {
        return match shape {
            Some([28, 28, 1]) => model(Some("convnet2"), shape),
            Some([8, 8, 1]) | None => model(Some("digits8"), shape),
            Some([h, w, c]) => Err(Failure::new(
                format!("no built-in model takes images of {h}x{w}x{c}"),
                "describe one in a JSON file and name it with --model",
            )),
        };
    };
    if let Some(model) = Model::built_in(name) {
        return Ok(model);
    }
    if let Some(units) = name.strip_prefix("dense:") {
        return dense(name, units, shape);
    }
    let path = Path::new(name);
    if !path.is_file() {
        return Err(Failure::new(
            format!("{name} is neither a built-in model nor a file"),
            format!("choose one of {} or give a JSON file", BUILT_IN.join(", ")),
        ));
    }
    let text = fs::read(path).map_err(|error| {
        Failure::new(
            format!("{name} cannot be read: {error}"),
            "check the file and its permissions",
        )
    })?;
    let is_named = path.extension().is_some_and(|end| end == "safetensors");
    if is_named || safetensors_file::is_file(&text) || onnx::is_file(&text) {
        return model_file::describe(path);
    }
    let malformed = |error: serde_json::Error| {
        Failure::new(
            format!("{name} is not a model description: {error}"),
            "see docs/src/models.md for an example",
        )
    };
    let mut description = serde_json::from_slice(&text).map_err(malformed)?;
    activation::resolve(&mut description)?;
    short_forms::resolve(&mut description)?;
    serde_json::from_value(description).map_err(malformed)
}

/// A model of one dense layer, for samples of `shape`.
fn dense(name: &str, units: &str, shape: Option<[usize; 3]>) -> Result<Model, Failure> {
    let wrong = |cause: String| Failure::new(cause, "give a number of classes, such as dense:10");
    let units = units.parse().ok().filter(|&units| units >= 2);
    let units = units.ok_or_else(|| wrong(format!("{name} is no model")))?;
    let input = shape.map(|shape| shape.map(|side| u16::try_from(side).unwrap_or(u16::MAX)));
    let Some(input) = input else {
        return Err(Failure::new(
            format!("{name} is a model for samples of any shape, and theirs is not known here"),
            "describe the model in a JSON file and name it with --model",
        ));
    };
    Model::new(name, input, &[Layer::Flatten, Layer::Dense { units }])
        .ok_or_else(|| wrong(format!("{name} is no model")))
}

/// Refuses images of another shape than the model takes.
pub fn check_shape(model: &Model, images: &Images) -> Result<(), Failure> {
    let wanted = model.input.map(usize::from);
    if wanted == images.shape {
        return Ok(());
    }
    let text = |shape: [usize; 3]| format!("{}x{}x{}", shape[0], shape[1], shape[2]);
    Err(Failure::new(
        format!(
            "model {} takes images of {}, but the data's are {}",
            model.name,
            text(wanted),
            text(images.shape)
        ),
        "give a model and --data that fit together",
    ))
}
