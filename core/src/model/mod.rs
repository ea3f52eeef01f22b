//! Public description of a network, which the user writes and all roles agree on.

pub(crate) mod cost_rows;
mod initial_weights;
pub(crate) mod loss;
mod sides;
pub(crate) mod triple_scheme;

pub use cost_rows::MAX_COST_ROWS;
pub use initial_weights::InitialWeights;
pub use loss::Loss;
pub use sides::Sides;
pub use triple_scheme::TripleScheme;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::num::polynomial::Polynomial;

/// The most layers of a model.
pub const MAX_LAYERS: usize = 24;

/// The most dense and convolutional layers of a model. Each starts a stage.
pub const MAX_STAGES: usize = 12;

/// One layer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layer {
    /// Convolution with a bias for each output channel.
    Conv2d {
        /// Output channels.
        channels: u16,
        /// Rows and columns of the kernel.
        kernel: Sides,
        /// Step between outputs.
        stride: u8,
        /// Rows and columns of zeros on each side of the input.
        padding: Sides,
    },
    /// Fully connected, with a bias for each unit.
    Dense {
        /// Units.
        units: u16,
    },
    /// Average over square windows that do not overlap.
    AvgPool {
        /// Rows and columns of a window.
        window: u8,
    },
    /// Maximum over square windows.
    MaxPool {
        /// Rows and columns of a window.
        window: u8,
        /// Step between windows; 0 means the window's size.
        #[serde(default)]
        stride: u8,
    },
    /// max(x, 0).
    Relu,
    /// A polynomial, applied to each value.
    Polynomial(Polynomial),
    /// Reshapes an image to a vector, in the order `[rows][columns][channels]`.
    Flatten,
    /// Adds what an earlier layer makes, which has the same shape: a residual connection (He, Zhang, Ren and Sun, 2016).
    Add {
        /// The number of that layer, from 1.
        layer: u8,
    },
    /// Makes so many percent of the values zero in training, at places that coins shared by all choose, and the others larger in
    /// proportion (Srivastava et al., 2014). Does nothing in inference.
    Dropout {
        /// From 5 to [`MAX_DROPOUT`], in steps of 5.
        percent: u8,
    },
}

/// The most percent of the values that a dropout drops.
pub const MAX_DROPOUT: u8 = 90;

impl Layer {
    /// The layer's kind in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv2d { .. } => "conv",
            Layer::Dense { .. } => "dense",
            Layer::AvgPool { .. } => "avgpool",
            Layer::MaxPool { .. } => "maxpool",
            Layer::Relu => "relu",
            Layer::Polynomial(_) => "polynomial",
            Layer::Flatten => "flatten",
            Layer::Add { .. } => "add",
            Layer::Dropout { .. } => "dropout",
        }
    }
}

/// A network for classification. A [`Loss`] follows its last layer, which gives the logits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name, for messages.
    pub name: String<32>,
    /// Rows, columns and channels of an input image.
    pub input: [u16; 3],
    /// The layers in order.
    pub layers: Vec<Layer, MAX_LAYERS>,
}

/// Names of the built-in models.
pub const BUILT_IN: [&str; 7] = [
    "convnet1",
    "convnet2",
    "digits8",
    "securenn-a",
    "securenn-b",
    "securenn-c",
    "securenn-d",
];

const fn conv(channels: u16, kernel: u8, stride: u8, padding: u8) -> Layer {
    Layer::Conv2d {
        channels,
        kernel: Sides::square(kernel),
        stride,
        padding: Sides::square(padding),
    }
}

const fn dense(units: u16) -> Layer {
    Layer::Dense { units }
}

const AVG_POOL: Layer = Layer::AvgPool { window: 2 };
const MAX_POOL: Layer = Layer::MaxPool {
    window: 2,
    stride: 0,
};

impl Model {
    /// A model of the given layers. `None` if the name is longer than 32 bytes or there are more than
    /// [`MAX_LAYERS`] layers.
    pub fn new(name: &str, input: [u16; 3], layers: &[Layer]) -> Option<Self> {
        Some(Model {
            name: String::try_from(name).ok()?,
            input,
            layers: Vec::from_slice(layers).ok()?,
        })
    }

    /// The built-in model of this name, one of [`BUILT_IN`].
    ///
    /// `convnet1` and `convnet2` are the one- and two-layer networks of "Image recognition without
    /// disclosing your data" (2018), for 28x28 images; `digits8` is a small one for 8x8 images; `securenn-a` to
    /// `securenn-d` are the networks that SecureNN (Wagh, Gupta, Chandran, 2019) was measured on, for 28x28 images.
    pub fn built_in(name: &str) -> Option<Self> {
        use Layer::{Flatten, Relu};
        let mnist = [28, 28, 1];
        let new = |input, layers: &[Layer]| Model::new(name, input, layers);
        match name {
            "convnet1" => new(
                mnist,
                &[conv(32, 3, 1, 1), AVG_POOL, Relu, Flatten, dense(10)],
            ),
            "convnet2" => new(
                mnist,
                &[
                    conv(32, 3, 1, 1),
                    AVG_POOL,
                    Relu,
                    conv(32, 3, 1, 1),
                    AVG_POOL,
                    Relu,
                    Flatten,
                    dense(10),
                ],
            ),
            "digits8" => new([8, 8, 1], &[conv(8, 3, 1, 0), Relu, Flatten, dense(10)]),
            "securenn-a" => new(
                mnist,
                &[Flatten, dense(128), Relu, dense(128), Relu, dense(10)],
            ),
            "securenn-b" => new(mnist, &le_net([16, 16, 100])),
            "securenn-c" => new(mnist, &le_net([20, 50, 500])),
            "securenn-d" => new(
                mnist,
                &[conv(5, 5, 2, 2), Relu, Flatten, dense(100), Relu, dense(10)],
            ),
            _ => None,
        }
    }
}

/// LeNet's shape: two 5x5 convolutions with max pooling, then two dense layers.
fn le_net([first, second, units]: [u16; 3]) -> [Layer; 10] {
    [
        conv(first, 5, 1, 0),
        MAX_POOL,
        Layer::Relu,
        conv(second, 5, 1, 0),
        MAX_POOL,
        Layer::Relu,
        Layer::Flatten,
        dense(units),
        Layer::Relu,
        dense(10),
    ]
}
