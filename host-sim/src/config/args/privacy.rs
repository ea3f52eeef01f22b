//! Options of private gradients.

use clap::Args;

/// The usual bound of a sample's gradient.
const USUAL_CLIP: f64 = 1.0;
/// The usual delta.
const USUAL_DELTA: f64 = 1e-5;

/// How a training protects single samples (DP-SGD). Without noise and without epsilon it does not.
#[derive(Clone, Debug, Default, Args)]
pub struct PrivacyArgs {
    /// Protect each image by noise, so that the model tells little about it: by this epsilon at most.
    ///
    /// Owners draw the images of each batch at random and in secret, --batch of them on average.
    #[arg(
        long,
        value_name = "EPSILON",
        conflicts_with = "dp_noise",
        allow_negative_numbers = true
    )]
    pub dp_epsilon: Option<f64>,
    /// As --dp-epsilon, by the noise multiplier: the deviation of each party's noise over --dp-clip. 0 clips gradients and protects
    /// nothing.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub dp_noise: Option<f64>,
    /// The probability with which epsilon may not hold, below 1 / images: 1e-5 when left out.
    #[arg(long, value_name = "DELTA", allow_negative_numbers = true)]
    pub dp_delta: Option<f64>,
    /// The largest norm of one image's gradient over all layers, to which larger ones are scaled: 1 when left out.
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub dp_clip: Option<f64>,
}

impl PrivacyArgs {
    /// Whether any of them is given.
    pub fn is_given(&self) -> bool {
        [self.dp_epsilon, self.dp_noise, self.dp_delta, self.dp_clip]
            .iter()
            .any(Option::is_some)
    }

    /// The bound of a sample's gradient.
    pub fn clip(&self) -> f64 {
        self.dp_clip.unwrap_or(USUAL_CLIP)
    }

    /// Delta.
    pub fn delta(&self) -> f64 {
        self.dp_delta.unwrap_or(USUAL_DELTA)
    }

    /// The options that give another process the same.
    pub fn to_options(&self) -> Vec<String> {
        [
            ("--dp-epsilon", self.dp_epsilon),
            ("--dp-noise", self.dp_noise),
            ("--dp-delta", self.dp_delta),
            ("--dp-clip", self.dp_clip),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect()
    }
}
