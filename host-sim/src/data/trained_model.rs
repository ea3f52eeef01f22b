//! A model that was trained, here or elsewhere.

use ringlet_core::{model::Model, network::Network, session::KnownBackbone};
use serde::{Deserialize, Serialize};

use crate::data::{
    classes::Classes, feature_range::FeatureRange, normalise::MeanAndDeviation,
    parameters::Parameters, range_bits::RangeBits,
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
    /// The public layers in front of what was trained, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backbone: Option<BackboneMark>,
    /// How the samples of its training are protected, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyMark>,
}

/// What a file says of a training with private gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyMark {
    /// Epsilon, against whoever sees the model and not which samples were drawn.
    pub epsilon: f64,
    /// The probability with which epsilon may not hold.
    pub delta: f64,
    /// The noise multiplier of each party.
    pub noise: f64,
    /// The bound of a sample's gradient.
    pub clip: f64,
    /// Iterations of the training, or more.
    pub iterations: u32,
}

/// What a file says of the public layers in front of what was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneMark {
    /// The last frozen layer, if the frozen layers are the first ones of this file's model. If not, they are a file of their
    /// own, and this file's model takes features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<String>,
    /// What tells the layers from others, in hexadecimal digits.
    pub digest: String,
    /// The range of the features.
    pub features: FeatureRange,
    /// The normalisation of images.
    pub images: MeanAndDeviation,
}

impl BackboneMark {
    /// The digest as a session has it.
    pub fn known(&self) -> KnownBackbone {
        let byte = |index: usize| {
            let digits = self.digest.get(2 * index..2 * index + 2);
            digits
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .unwrap_or(0)
        };
        KnownBackbone::Digest(std::array::from_fn(byte))
    }
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
