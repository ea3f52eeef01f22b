//! Options of evaluations during a training.

use clap::Args;
use ringlet_core::session::Validation;

use super::SampleCounts;

/// Options of evaluations during a training.
#[derive(Clone, Copy, Debug, Args)]
pub struct ValidationArgs {
    /// Evaluate the model on so many held-out images of P0 and P1, such as 500,0.
    ///
    /// Their owner alone learns their classes, and prints how many are right and which are mistaken; nobody learns the
    /// model. Both parties give the same numbers, and the owner's --data holds the images.
    #[arg(long, value_name = "N0,N1", conflicts_with_all = ["infer", "dealt", "assistant", "evaluate"])]
    pub validate: Option<SampleCounts>,
    /// Epochs from one evaluation of --validate to the next.
    ///
    /// The end of the training has one too.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "validate", value_parser = clap::value_parser!(u32).range(1..))]
    pub validate_every: u32,
    /// Stop the training early once so many evaluations in a row have found no higher accuracy.
    ///
    /// If both parties have held-out images, both have to wish it. The other party and the dealer learn that the training stops,
    /// and nothing of the accuracy else. Never when left out.
    #[arg(long, value_name = "N", requires = "validate", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
}

impl ValidationArgs {
    /// When the model is evaluated and on how many images of whom, if it is at all.
    pub fn plan(&self) -> Option<Validation> {
        let SampleCounts(samples) = self.validate?;
        (samples != [0; 2]).then_some(Validation {
            samples,
            every: self.validate_every,
            patience: self.patience.unwrap_or(0),
        })
    }
}
