//! What a model's file says of the model, in its metadata.

use std::path::Path;

use ringlet_core::{model::Model, network::Network};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{data::trained_model::Marks, error::Failure};

/// The key of the description in a file's metadata.
pub const KEY: &str = "ringlet.model";

/// The key in the description of what the training says of the model.
const TRAINING: &str = "training";

/// The key in the description of the order of the weights. Older files have none.
const LAYOUT: &str = "layout";

/// The order of the weights in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// PyTorch's: see [`TorchLayout`](super::torch_layout::TorchLayout).
    Pytorch,
}

/// What a file says of the model in it.
pub struct Description {
    /// The model.
    pub model: Model,
    /// What the training says of it.
    pub marks: Marks,
    /// The order of the weights; none in older files.
    pub layout: Option<Layout>,
}

impl Description {
    /// The text of a new file's description.
    pub fn text(model: &Model, marks: &Marks) -> Result<String, Failure> {
        let unfit = |error: serde_json::Error| {
            Failure::new(format!("the model cannot be described: {error}"), "")
        };
        let mut description = serde_json::to_value(model).map_err(unfit)?;
        description[LAYOUT] = serde_json::to_value(Layout::Pytorch).map_err(unfit)?;
        description[TRAINING] = serde_json::to_value(marks).map_err(unfit)?;
        Ok(description.to_string())
    }

    /// Reads the text in a file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let unreadable = |error: serde_json::Error| damaged(path, &error.to_string());
        let mut description: Value = serde_json::from_str(text).map_err(unreadable)?;
        let mut part = |name| {
            let all = description.as_object_mut()?;
            all.remove(name)
        };
        let (marks, layout) = (part(TRAINING), part(LAYOUT));
        let marks = marks.map(serde_json::from_value).transpose();
        let layout = layout.map(serde_json::from_value).transpose();
        Ok(Description {
            marks: marks.map_err(unreadable)?.unwrap_or_default(),
            layout: layout.map_err(unreadable)?,
            model: serde_json::from_value(description).map_err(unreadable)?,
        })
    }
}

/// The network of the model in a file.
pub fn network_of(path: &Path, model: &Model) -> Result<Network, Failure> {
    Network::new(model).map_err(|error| damaged(path, &error.to_string()))
}

/// A file that is no model, and why.
pub fn damaged(path: &Path, what: &str) -> Failure {
    Failure::new(
        format!("{} is not a model of this program: {what}", path.display()),
        "give a file that --save has written",
    )
}
