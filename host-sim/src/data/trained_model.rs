//! A model that was trained, here or elsewhere.

use ringlet_core::{model::Model, network::Network};
use serde::{Deserialize, Serialize};

use crate::data::{
    classes::Classes, normalise::MeanAndDeviation, parameters::Parameters, range_bits::RangeBits,
};

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

/// A model that was trained, here or elsewhere.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its description.
    pub model: Model,
    /// Its network.
    pub network: Network,
    /// What its file says of it.
    pub marks: Marks,
    /// The parameters of each layer that learns.
    pub parameters: Vec<Parameters>,
}
