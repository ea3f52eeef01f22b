//! A model compiled into stages, with every shape checked.
//!
//! A stage is one bilinear map with its average pooling, then max pooling, then the activation. Max pooling commutes
//! with ReLU, which is monotone, so it always comes first: ReLU then works on fewer values.
//!
//! Average pooling only sums. The parties keep the stage's master weights divided by the window's area, at their fine
//! scale, so an average takes no bits of range and no protocol step.

mod builder;
pub(crate) mod walk;
pub(crate) mod weight_init;

use heapless::{String, Vec};

use crate::{
    kernel::{linear::Linear, pool::Pool, windows::Windows},
    model::Model,
    num::polynomial::{MAX_DEGREE, Polynomial},
};

use builder::Builder;

/// The most classes of a network.
pub use crate::gate::softmax::MAX_CLASSES;
/// The most stages of a network.
pub use crate::model::MAX_STAGES;

/// The name of a cost row: those of the layers that it covers, such as `conv1+pool`.
pub type Name = String<24>;

/// Proof that this build evaluates polynomials (feature `polynomials`). Without the feature the type has no value, so
/// the compiler drops the code behind [`Activation::Polynomial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polynomials {
    /// The feature is on.
    #[cfg(feature = "polynomials")]
    Present,
}

impl Polynomials {
    const fn of_this_build() -> Option<Self> {
        #[cfg(feature = "polynomials")]
        return Some(Polynomials::Present);
        #[cfg(not(feature = "polynomials"))]
        return None;
    }
}

/// A stage's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// A polynomial, in builds that evaluate them.
    Polynomial(Polynomial, Polynomials),
}

/// One bilinear map with its pooling and its activation.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The map, with the average pooling of its output.
    pub linear: Linear,
    /// Whether a convolution runs as a matrix product of its patches (im2col), with average pooling after it.
    pub unrolled: bool,
    /// Average pooling of the stage's input.
    pub pooled_input: Option<Pool>,
    /// Product of the areas of both average poolings, by which the parties divide the stage's weights.
    pub divisor: u32,
    /// Max pooling of the map's output.
    pub max_pool: Option<Windows>,
    /// The activation. The last stage has none.
    pub activation: Option<Activation>,
    /// Name of the map's cost row.
    pub name: Name,
    /// Name of the cost row of max pooling and activation.
    pub activation_name: Name,
}

impl Stage {
    /// Values of the stage's input, per sample, before average pooling.
    pub fn entering_len(&self) -> usize {
        match self.pooled_input {
            Some(pool) => pool.input_len(),
            None => self.linear.input_len(),
        }
    }

    /// Values of the stage's output, per sample, after average and max pooling.
    pub fn leaving_len(&self) -> usize {
        match self.max_pool {
            Some(windows) => windows.output_len(),
            None => self.linear.output_len(),
        }
    }

    /// The map that the bilinear gate runs, and its rows per sample: the whole map with one row, or for an unrolled
    /// convolution a dense map with one row per patch.
    pub fn product(&self) -> (Linear, usize) {
        match self.linear {
            Linear::Conv(conv) if self.unrolled => (Linear::Dense(conv.patch()), conv.patches()),
            linear => (linear, 1),
        }
    }

    /// Values of the gate's left operand, per sample: the input, or all patches of an unrolled convolution.
    pub fn operand_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.input_len() * rows
    }

    /// Values of the gate's output, per sample, before average pooling of an unrolled convolution.
    pub fn product_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.output_len() * rows
    }

    /// Average pooling of the gate's output, for an unrolled convolution that has it.
    pub fn pooled_product(&self) -> Option<Pool> {
        match self.linear {
            Linear::Conv(conv) if conv.pool > 1 && self.unrolled => {
                let [height, width] = conv.unpooled();
                Some(Pool {
                    shape: [height, width, conv.outputs],
                    window: conv.pool,
                })
            }
            _ => None,
        }
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.linear.weight_len() + self.linear.channels()
    }

    /// log2 of the divisor, rounded up.
    pub fn divisor_bits(&self) -> u32 {
        u32::BITS - self.divisor.saturating_sub(1).leading_zeros()
    }
}

/// A compiled model with checked shapes.
#[derive(Clone, Debug)]
pub struct Network {
    /// Rows, columns and channels of an image.
    pub input: [usize; 3],
    /// The stages in order, at least one.
    pub stages: Vec<Stage, MAX_STAGES>,
    /// Number of classes.
    pub classes: usize,
}

/// Why a model does not compile, and at which layer.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ModelError {
    /// The input has a side of zero, or more than [`MAX_LEN`] values: rows, columns, channels.
    Input([u16; 3]),
    /// The model has no dense or conv layer.
    Empty,
    /// A size or stride of the layer is zero.
    Zero(LayerPosition),
    /// A window or kernel is larger than its input. Holds the input's rows and columns.
    TooLarge(LayerPosition, [usize; 2]),
    /// A dense layer follows an image that is not flattened. Holds its rows, columns and channels.
    Unflattened(LayerPosition, [usize; 3]),
    /// A tensor of the layer has more than [`MAX_LEN`] values.
    TooManyValues(LayerPosition),
    /// The layer is a polynomial, and this build evaluates none (feature `polynomials`).
    LeftOut(LayerPosition),
    /// The polynomial's degree or a coefficient is out of range.
    Polynomial(LayerPosition),
    /// The layer may not follow the one before it; the text says what it must follow.
    Misplaced(LayerPosition, &'static str),
    /// The model has more than [`MAX_STAGES`] dense and conv layers.
    TooManyStages,
    /// The last layer is not a dense one with 2 to [`MAX_CLASSES`] units and no activation. Holds its units.
    Classes(usize),
}

/// A layer's position in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LayerPosition {
    /// The layer's number, from 1.
    pub number: usize,
    /// The layer's kind, as model files name it.
    pub kind: &'static str,
}

impl core::fmt::Display for LayerPosition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "layer {} ({})", self.number, self.kind)
    }
}

impl core::fmt::Display for ModelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ModelError::Input([h, w, c]) => {
                write!(f, "the input of {h}x{w}x{c} is not an image that fits")
            }
            ModelError::Empty => f.write_str("the model has no dense or conv layer"),
            ModelError::Zero(position) => {
                write!(f, "{position}: sizes and steps must be at least 1")
            }
            ModelError::TooLarge(position, [h, w]) => {
                write!(f, "{position}: it does not fit over an image of {h}x{w}")
            }
            ModelError::TooManyValues(position) => write!(
                f,
                "{position}: its weights or outputs are more than {MAX_LEN} values"
            ),
            ModelError::Unflattened(position, [h, w, c]) => write!(
                f,
                "{position}: its input is an image of {h}x{w}x{c}; put a flatten before it"
            ),
            ModelError::Polynomial(position) => write!(
                f,
                "{position}: its degree must be 2 to {MAX_DEGREE}, with no coefficient past it and none above 2^11"
            ),
            ModelError::LeftOut(position) => {
                write!(f, "{position}: this program was built without polynomials")
            }
            ModelError::Misplaced(position, rule) => write!(f, "{position}: {rule}"),
            ModelError::TooManyStages => write!(
                f,
                "more than {MAX_STAGES} dense and conv layers: the core has no room for them"
            ),
            ModelError::Classes(units) => write!(
                f,
                "the last layer must be dense with 2 to {MAX_CLASSES} units, one for each class, and no activation after it; it has {units}"
            ),
        }
    }
}

impl core::error::Error for ModelError {}

/// The most weights of a stage, and the most values of one sample in a tensor.
pub const MAX_LEN: usize = 1 << 24;

impl Network {
    /// A network without stages, for [`Network::compile_in_place`].
    pub(crate) const EMPTY: Self = Network {
        input: [0; 3],
        stages: Vec::new(),
        classes: 0,
    };

    /// Compiles `model` into stages. Fails if its layers do not fit together.
    #[inline(never)]
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        let mut network = Network::EMPTY;
        network.compile_in_place(model)?;
        Ok(network)
    }

    /// As [`Network::new`], into `self`, which must be [`Network::EMPTY`]. Takes less stack.
    #[inline(never)]
    pub(crate) fn compile_in_place(&mut self, model: &Model) -> Result<(), ModelError> {
        let mut builder = Builder::new(model, &mut self.stages)?;
        for (index, layer) in model.layers.iter().enumerate() {
            let position = LayerPosition {
                number: index + 1,
                kind: layer.kind(),
            };
            builder.add(position, *layer)?;
        }
        self.classes = builder.finish()?;
        self.input = model.input.map(usize::from);
        Ok(())
    }

    /// Runs every convolution as a matrix product of its patches (see [`Stage::unrolled`]).
    pub fn unroll(&mut self) {
        for stage in &mut self.stages {
            stage.unrolled = true;
        }
    }

    /// Values of one input image.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of weights and biases of the whole network.
    pub fn parameters(&self) -> usize {
        self.stages.iter().map(Stage::parameters).sum()
    }
}
