//! The public layers in front of a model.

use std::path::PathBuf;

use clap::Args;

use crate::data::feature_range::FeatureRange;

/// The public layers in front of a model.
#[derive(Clone, Debug, Default, Args)]
pub struct BackboneArgs {
    /// Freeze the model's layers up to this one, such as conv2.
    ///
    /// They are public and do not learn: the owner of images computes them in the clear, and only what they make, the
    /// features, enters the protocol. Their weights are those of --backbone, or of the model's own file.
    #[arg(long, value_name = "LAYER")]
    pub freeze: Option<String>,
    /// A public file that makes features of images: with --freeze a model's file, whose first layers are used;
    /// without it an ONNX file of any operators, whose output is the features.
    ///
    /// --model then describes what comes after it; one dense layer when left out, if the classes have names.
    #[arg(long, value_name = "FILE")]
    pub backbone: Option<PathBuf>,
    /// The range of features, of which each becomes a byte.
    ///
    /// Public, and the same for all. As the model's file keeps it when left out; else `train` and `calibrate` measure
    /// it.
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub feature_range: Option<FeatureRange>,
}

impl BackboneArgs {
    /// Whether samples are features.
    pub fn is_given(&self) -> bool {
        self.freeze.is_some() || self.backbone.is_some()
    }
}
