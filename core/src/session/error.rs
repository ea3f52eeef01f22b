//! Why a session cannot run.

use crate::{
    network::{ModelError, Name},
    num::fixed_point::FormatError,
};

/// Why a session cannot run. [`dealt::check`] and [`securenn::check`] return it before anything is sent.
///
/// [`dealt::check`]: crate::dealt::check
/// [`securenn::check`]: crate::securenn::check
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The model does not compile.
    Model(ModelError),
    /// The ring and its fraction bits do not fit together.
    Format(FormatError),
    /// The named number is 0 and must be at least 1.
    Zero(&'static str),
    /// The batch has more samples than the parties own.
    Batch {
        /// Samples of a batch.
        batch: u32,
        /// Samples of both parties.
        samples: u32,
    },
    /// The micro-batch is larger than the batch.
    MicroBatch,
    /// The samples or iterations do not fit in 32-bit numbers.
    TooLong,
    /// A tensor of one micro-batch, or the batch, has too many values.
    TooLarge,
    /// The batch size and the average poolings' divisors leave too few bits for the gradients.
    Gradients,
    /// There are more bits of headroom than this, or for more places than the model has.
    Headroom(u32),
    /// The output of the polynomial of this cost row has headroom, and its interval bounds its values anyway.
    PolynomialHeadroom(Name),
    /// The normalisation is for another number of channels, or makes numbers of 64 and more.
    Normalisation,
    /// The momentum is 1 or more.
    Momentum,
    /// The momentum is so near 1 that its fraction bits round the rest to 1, or 1 minus it, too far off.
    MomentumRounds,
    /// There is momentum, and the format multiplies master weights directly, which allows none.
    MomentumInDirect,
    /// There is weight decay, and the format multiplies master weights directly.
    DecayInDirect,
    /// A schedule's step, the weight decay or the label smoothing is out of range.
    TrainingOptions,
    /// The program was built without the named option of a training.
    LeftOut(&'static str),
    /// The bound of private gradients is 0, or their rows do not fit the samples.
    #[cfg(feature = "private-training")]
    Privacy,
    /// The gradients are private, and the named option of a training does not go with that.
    #[cfg(feature = "private-training")]
    NotPrivate(&'static str),
    /// The bound of private gradients, their noise and the batch do not fit the ring.
    #[cfg(feature = "private-training")]
    PrivateWidths,
    /// The samples are contributions, and the named option of a training needs to know them.
    OnContributions(&'static str),
    /// The class weights are not one for each class, above 0 and at most 1.
    #[cfg(feature = "extended-training")]
    ClassWeights,
    /// Classes have weights, and labels are smoothed.
    #[cfg(feature = "extended-training")]
    WeightedSmoothing,
    /// Nesterov's momentum without momentum.
    #[cfg(feature = "extended-training")]
    NesterovWithoutMomentum,
    /// Gradients are clipped, and the format multiplies master weights directly.
    #[cfg(feature = "extended-training")]
    ClipInDirect,
    /// The polynomial of this cost row needs a ring wider than 128 bits.
    Polynomial(Name),
    /// The learning rate is 0, or too small or too large for the ring.
    LearningRate,
    /// In inference and evaluation one party must own all samples, in one epoch, with no receiver of the model and no initial model.
    Owners,
    /// The session is of the other protocol: dealt or SecureNN.
    Protocol,
    /// The session uses the named feature, which SecureNN does not have.
    NotInSecureNn(&'static str),
}

impl core::fmt::Display for SessionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SessionError::Model(error) => write!(f, "the model cannot run: {error}"),
            SessionError::Format(error) => error.fmt(f),
            SessionError::Zero(what) => write!(f, "{what} must be at least 1"),
            SessionError::Batch { batch, samples } => write!(
                f,
                "a batch of {batch} is more than the {samples} samples there are: choose a smaller batch"
            ),
            SessionError::MicroBatch => {
                f.write_str("a micro-batch cannot be larger than the batch")
            }
            SessionError::TooLong => {
                f.write_str("the run has more iterations or samples than can be numbered")
            }
            SessionError::TooLarge => f.write_str(
                "a micro-batch of this model has too many values: choose a smaller micro-batch",
            ),
            SessionError::Gradients => f.write_str(
                "the batch and the model's pooling leave no bits for the gradients: choose a smaller batch, smaller windows or the wider ring",
            ),
            SessionError::Headroom(most) => write!(
                f,
                "headroom is 0 to {most} bits at these fraction bits, one number for the images and one for each layer that learns"
            ),
            SessionError::PolynomialHeadroom(name) => write!(
                f,
                "{name} has headroom, and values have to stay in its interval anyway: give it 0 bits"
            ),
            SessionError::Normalisation => f.write_str(
                "the normalisation is for another number of channels, or its deviation is so small that pixels become numbers of 64 and more",
            ),
            SessionError::Momentum => f.write_str("the momentum must be at least 0 and below 1"),
            SessionError::MomentumRounds => f.write_str(
                "the momentum is too near 1 for these fraction bits: choose less momentum or more fraction bits",
            ),
            SessionError::MomentumInDirect => {
                f.write_str("weights that are multiplied at full precision cannot have momentum")
            }
            SessionError::DecayInDirect => f.write_str(
                "weights that are multiplied at full precision cannot decay",
            ),
            SessionError::TrainingOptions => f.write_str(
                "a learning rate's step takes a number of epochs and a factor up to 1, and weight decay and label smoothing are below 1",
            ),
            SessionError::LeftOut(what) => {
                write!(f, "this program was built without {what}: train without")
            }
            #[cfg(feature = "private-training")]
            SessionError::Privacy => f.write_str(
                "private gradients need a bound above 0, and rows for the samples of each owner that has some",
            ),
            #[cfg(feature = "private-training")]
            SessionError::NotPrivate(what) => {
                write!(f, "private gradients do not go with {what}: leave one out")
            }
            #[cfg(feature = "private-training")]
            SessionError::PrivateWidths => f.write_str(
                "the bound of private gradients, their noise and the batch do not fit the ring: choose another bound, less noise, a smaller batch or the wider ring",
            ),
            SessionError::OnContributions(what) => {
                write!(f, "no party knows contributions, and {what} needs one to: train without")
            }
            #[cfg(feature = "extended-training")]
            SessionError::ClassWeights => f.write_str(
                "class weights are a number above 0 for each class, and none is 4096 times another",
            ),
            #[cfg(feature = "extended-training")]
            SessionError::WeightedSmoothing => {
                f.write_str("labels cannot both be smoothed and have class weights: leave one out")
            }
            #[cfg(feature = "extended-training")]
            SessionError::NesterovWithoutMomentum => {
                f.write_str("Nesterov's momentum needs a momentum above 0")
            }
            #[cfg(feature = "extended-training")]
            SessionError::ClipInDirect => f.write_str(
                "gradients of weights that are multiplied at full precision cannot be clipped",
            ),
            SessionError::Polynomial(name) => write!(
                f,
                "{name} does not fit: at these fraction bits, evaluating it over its interval takes a ring wider than the 128 bits there are; choose a lower degree, another interval, fewer fraction bits or the narrower ring"
            ),
            SessionError::LearningRate => f.write_str(
                "the learning rate is 0, or too large or too small for this ring and batch",
            ),
            SessionError::Owners => f.write_str(
                "inference and evaluation take samples of one party alone, once, and reveal no model",
            ),
            SessionError::Protocol => f.write_str(
                "this session needs an assistant in place of a dealer, or a dealer in place of an assistant",
            ),
            SessionError::NotInSecureNn(what) => {
                write!(f, "SecureNN's protocols have no {what}")
            }
        }
    }
}

impl core::error::Error for SessionError {}

impl From<ModelError> for SessionError {
    fn from(error: ModelError) -> Self {
        SessionError::Model(error)
    }
}

impl From<FormatError> for SessionError {
    fn from(error: FormatError) -> Self {
        SessionError::Format(error)
    }
}
