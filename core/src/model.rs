//! Descriptions of networks: what the user writes down and what the parties agree on.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::polynomial::Polynomial;

/// The most layers of a model.
pub const MAX_LAYERS: usize = 24;

/// One layer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layer {
    /// Convolution with a square kernel and a bias for each output channel.
    Conv2d {
        /// Output channels.
        channels: u16,
        /// Rows and columns of the kernel.
        kernel: u8,
        /// Step between outputs.
        stride: u8,
        /// Rows and columns of zeros around the input.
        padding: u8,
    },
    /// Fully connected, with a bias for each unit.
    Dense {
        /// Units.
        units: u16,
    },
    /// Average over squares, side by side.
    AvgPool {
        /// Rows and columns of a square.
        window: u8,
    },
    /// max(x, 0).
    Relu,
    /// A polynomial of each value.
    Polynomial(Polynomial),
    /// An image as one row of values: rows, then columns, then channels.
    Flatten,
}

impl Layer {
    /// The layer's kind in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv2d { .. } => "conv",
            Layer::Dense { .. } => "dense",
            Layer::AvgPool { .. } => "avgpool",
            Layer::Relu => "relu",
            Layer::Polynomial(_) => "polynomial",
            Layer::Flatten => "flatten",
        }
    }
}

/// A network for classification. Softmax with cross entropy follows its last layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What the model is called.
    pub name: String<32>,
    /// Rows, columns and channels of an input image.
    pub input: [u16; 3],
    /// The layers in order.
    pub layers: Vec<Layer, MAX_LAYERS>,
}

/// The models that are built in.
pub const BUILT_IN: [&str; 3] = ["convnet1", "convnet2", "digits8"];

impl Model {
    /// A model of the given layers; none when the name or the layers are too many.
    pub fn new(name: &str, input: [u16; 3], layers: &[Layer]) -> Option<Self> {
        Some(Model {
            name: String::try_from(name).ok()?,
            input,
            layers: Vec::from_slice(layers).ok()?,
        })
    }

    /// A model by its name, one of [`BUILT_IN`].
    ///
    /// `convnet1` and `convnet2` are the one- and two-layer networks of "Image recognition without
    /// disclosing your data" (2018), for 28x28 images; `digits8` is a small one for 8x8 images.
    pub fn built_in(name: &str) -> Option<Self> {
        let conv = |channels| Layer::Conv2d {
            channels,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let pool = Layer::AvgPool { window: 2 };
        let head = [Layer::Flatten, Layer::Dense { units: 10 }];
        if name == "digits8" {
            let conv = Layer::Conv2d {
                channels: 8,
                kernel: 3,
                stride: 1,
                padding: 0,
            };
            return Model::new(name, [8, 8, 1], &[conv, Layer::Relu, head[0], head[1]]);
        }
        let block = |channels| [conv(channels), pool, Layer::Relu];
        let mut layers: Vec<Layer, MAX_LAYERS> = Vec::new();
        let (input, blocks): (_, &[u16]) = match name {
            "convnet1" => ([28, 28, 1], &[32]),
            "convnet2" => ([28, 28, 1], &[32, 32]),
            _ => return None,
        };
        for &channels in blocks {
            layers.extend_from_slice(&block(channels)).ok()?;
        }
        layers.extend_from_slice(&head).ok()?;
        Model::new(name, input, &layers)
    }
}
