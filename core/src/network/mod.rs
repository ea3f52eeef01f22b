//! A model made ready to run: its layers gathered in stages, every shape checked.
//!
//! A stage is one bilinear map, the average pooling folded into it, max pooling, and the activation after it: ReLU
//! grows with its input, so max pooling trades places with a ReLU before it and leaves it fewer values. The divisor of
//! average pooling joins the stage's weights: the master weights are kept divided by it, at their fine
//! scale, so an average costs neither bits of range nor a step of its own, whatever the window.

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

/// A line of a plan or report: a layer's name.
pub type Name = String<24>;

/// Whether this build has polynomials: without them it has no value, and the compiler leaves out what would
/// evaluate them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polynomials {
    /// It has.
    #[cfg(feature = "polynomials")]
    Present,
}

impl Polynomials {
    const fn here() -> Option<Self> {
        #[cfg(feature = "polynomials")]
        return Some(Polynomials::Present);
        #[cfg(not(feature = "polynomials"))]
        return None;
    }
}

/// What follows a stage's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// A polynomial, where there are any.
    Polynomial(Polynomial, Polynomials),
}

/// One bilinear map with what belongs to it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The map, with the pooling that follows it.
    pub linear: Linear,
    /// Whether products are made of matrices alone: a convolution's patches are laid out one by one,
    /// and pooled after.
    pub unrolled: bool,
    /// Pooling of the stage's input.
    pub pooled_input: Option<Pool>,
    /// Product of the pool areas, by which the stage's weights are divided.
    pub divisor: u32,
    /// Max pooling of what the map makes.
    pub max_pool: Option<Windows>,
    /// What follows. The last stage has none.
    pub activation: Option<Activation>,
    /// Name of the map.
    pub name: Name,
    /// Name of what follows the map.
    pub activation_name: Name,
}

impl Stage {
    /// Values that enter the stage, per sample, before its input is pooled.
    pub fn entering_len(&self) -> usize {
        match self.pooled_input {
            Some(pool) => pool.input_len(),
            None => self.linear.input_len(),
        }
    }

    /// Values that leave the stage, per sample: what its map makes, pooled.
    pub fn leaving_len(&self) -> usize {
        match self.max_pool {
            Some(windows) => windows.output_len(),
            None => self.linear.output_len(),
        }
    }

    /// The map that products are made of, and its rows for each sample: the whole map once, or one
    /// matrix row for each patch of an unrolled convolution.
    pub fn product(&self) -> (Linear, usize) {
        match self.linear {
            Linear::Conv(conv) if self.unrolled => (Linear::Dense(conv.patch()), conv.patches()),
            linear => (linear, 1),
        }
    }

    /// Values of the product's left operand, per sample.
    pub fn operand_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.input_len() * rows
    }

    /// Values of the product, per sample, before an unrolled convolution is pooled.
    pub fn product_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.output_len() * rows
    }

    /// Pooling of the product, if it is that of an unrolled convolution.
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

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.linear.weight_len() + self.linear.channels()
    }

    /// Bits by which the divisor exceeds one, rounded up.
    pub fn divisor_bits(&self) -> u32 {
        u32::BITS - self.divisor.saturating_sub(1).leading_zeros()
    }
}

/// A checked network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Rows, columns and channels of an image.
    pub input: [usize; 3],
    /// The stages in order.
    pub stages: Vec<Stage, MAX_STAGES>,
    /// Number of classes.
    pub classes: usize,
}

/// What is wrong with a model, and at which layer (counted from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ModelError {
    /// The input image has a side of zero, or more pixels than can be counted.
    Input([u16; 3]),
    /// The model has no layers that could learn.
    Empty,
    /// The layer's own numbers make no sense: a size or step of zero.
    Zero(Place),
    /// A window or kernel is larger than what it is laid over.
    TooLarge(Place, [usize; 2]),
    /// A dense layer follows an image that was not flattened.
    Unflattened(Place, [usize; 3]),
    /// A tensor of the layer has more values than the core numbers.
    TooManyValues(Place),
    /// This build leaves out what polynomials need.
    LeftOut(Place),
    /// The polynomial's degree or coefficients make no sense.
    Polynomial(Place),
    /// The layer may not stand here; says what must come before it.
    Misplaced(Place, &'static str),
    /// More stages than the core has room for.
    TooManyStages,
    /// The last layer must be dense, with this many units at least and at most.
    Classes(usize),
}

/// A layer in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Place {
    /// Place of the layer, from 1.
    pub number: usize,
    /// Its kind.
    pub kind: &'static str,
}

impl core::fmt::Display for Place {
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
            ModelError::Zero(place) => write!(f, "{place}: sizes and steps must be at least 1"),
            ModelError::TooLarge(place, [h, w]) => {
                write!(f, "{place}: it does not fit over an image of {h}x{w}")
            }
            ModelError::TooManyValues(place) => write!(
                f,
                "{place}: its weights or outputs are more than {MAX_LEN} values"
            ),
            ModelError::Unflattened(place, [h, w, c]) => write!(
                f,
                "{place}: its input is an image of {h}x{w}x{c}; put a flatten before it"
            ),
            ModelError::Polynomial(place) => write!(
                f,
                "{place}: its degree must be 2 to {MAX_DEGREE}, with no coefficient past it and none above 2^11"
            ),
            ModelError::LeftOut(place) => {
                write!(f, "{place}: this program was built without polynomials")
            }
            ModelError::Misplaced(place, rule) => write!(f, "{place}: {rule}"),
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

/// The most weights of a stage, and the most values of a tensor of one sample.
pub const MAX_LEN: usize = 1 << 24;

impl Network {
    /// A network without stages.
    pub(crate) const EMPTY: Self = Network {
        input: [0; 3],
        stages: Vec::new(),
        classes: 0,
    };

    /// Gathers the layers of `model` in stages.
    #[inline(never)]
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        let mut network = Network::EMPTY;
        network.gather(model)?;
        Ok(network)
    }

    /// Gathers the layers of `model` in place, which takes less stack than [`Network::new`].
    #[inline(never)]
    pub(crate) fn gather(&mut self, model: &Model) -> Result<(), ModelError> {
        let mut builder = Builder::new(model, &mut self.stages)?;
        for (index, layer) in model.layers.iter().enumerate() {
            let place = Place {
                number: index + 1,
                kind: layer.kind(),
            };
            builder.add(place, *layer)?;
        }
        self.classes = builder.finish()?;
        self.input = model.input.map(usize::from);
        Ok(())
    }

    /// Has the products made of matrices alone.
    pub fn unroll(&mut self) {
        for stage in &mut self.stages {
            stage.unrolled = true;
        }
    }

    /// Values of one image.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Weights and biases of the whole network.
    pub fn parameters(&self) -> usize {
        self.stages.iter().map(Stage::parameters).sum()
    }
}
