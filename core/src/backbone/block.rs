//! The layers of a backbone as blocks: a linear map with the pooling and the ReLUs that follow it, which are computed
//! together, so that what lies between them is never stored.

use super::numbers::{MAX_FAN_IN, MAX_SHIFT};
use crate::{model::Sides, network::MAX_LEN};

/// Bytes of a layer's description: its kind, its window, stride and padding, and its outputs.
pub(super) const LAYER_LEN: usize = 8;

/// A layer as its bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Conv {
        kernel: [usize; 2],
        stride: usize,
        padding: [usize; 2],
        outputs: usize,
    },
    Dense {
        outputs: usize,
    },
    AvgPool {
        window: usize,
    },
    MaxPool {
        window: usize,
        stride: usize,
    },
    Relu,
    Flatten,
}

impl Layer {
    fn parse(bytes: &[u8; LAYER_LEN]) -> Option<Self> {
        let [kind, rows, columns, stride, above, left, low, high] = *bytes;
        let outputs = usize::from(u16::from_le_bytes([low, high]));
        let kernel = [rows, columns].map(usize::from);
        let (window, stride) = (kernel[0], usize::from(stride));
        let is_square = rows == columns && above == 0 && left == 0;
        match kind {
            0 => Some(Layer::Conv {
                kernel,
                stride,
                padding: [above, left].map(usize::from),
                outputs,
            }),
            1..=5 if !is_square => None,
            1 => Some(Layer::Dense { outputs }),
            2 => Some(Layer::AvgPool { window }),
            3 => Some(Layer::MaxPool { window, stride }),
            4 => Some(Layer::Relu),
            5 => Some(Layer::Flatten),
            _ => None,
        }
    }
}

/// The bytes of a model's layer; none if a backbone cannot have it.
pub(super) fn layer_bytes(layer: &crate::model::Layer) -> Option<[u8; LAYER_LEN]> {
    use crate::model::Layer as Described;
    let bytes = |kind, window: Sides, stride: u8, padding: Sides, outputs: u16| {
        let ([rows, columns], [above, left]) = (window.both(), padding.both());
        let [low, high] = outputs.to_le_bytes();
        Some([kind, rows, columns, stride, above, left, low, high])
    };
    let none = Sides::square(0);
    let pool = |kind, window, stride| bytes(kind, Sides::square(window), stride, none, 0);
    match *layer {
        Described::Conv2d {
            channels,
            kernel,
            stride,
            padding,
        } => bytes(0, kernel, stride, padding, channels),
        Described::Dense { units } => bytes(1, none, 0, none, units),
        Described::AvgPool { window } => pool(2, window, window),
        Described::MaxPool { window, stride: 0 } => pool(3, window, window),
        Described::MaxPool { window, stride } => pool(3, window, stride),
        Described::Relu => pool(4, 0, 0),
        Described::Flatten => pool(5, 0, 0),
        Described::Polynomial(_) | Described::Add { .. } => None,
        // Only training drops values.
        Described::Dropout { .. } => None,
    }
}

/// The linear map of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map<'a> {
    /// None: the block's input as it is.
    Identity,
    /// A convolution; a dense layer is one with a kernel as large as its input.
    Conv {
        kernel: [usize; 2],
        stride: usize,
        padding: [usize; 2],
        parameters: Parameters<'a>,
    },
}

/// The parameters of a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters<'a> {
    /// Weights are numbers times 2 to this power.
    pub shift: u32,
    /// 16 bits each, `[kernel rows][kernel columns][inputs][outputs]`.
    pub weights: &'a [u8],
    /// 32 bits for each output, with as many fraction bits as values have.
    pub biases: &'a [u8],
}

/// How a window of a map's outputs becomes one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    Average,
    Maximum,
}

/// A linear map with what follows it. Shapes are rows, columns and channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub map: Map<'a>,
    /// Whether ReLU comes before the pooling.
    pub relu_first: bool,
    /// Side of a window, the step between windows, and what becomes of one.
    pub pooling: (usize, usize, Pooling),
    /// Whether ReLU comes at the end.
    pub relu_last: bool,
}

/// Walks over the blocks of the layers. It ends early where bytes describe no layers that fit together, and then is not
/// [`Blocks::is_whole`].
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    shape: [usize; 3],
    layers: &'a [u8],
    parameters: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// The blocks of `layers`, [`LAYER_LEN`] bytes each, for images of a shape. The parameters of their maps lie one after the
    /// other.
    pub fn new(shape: [usize; 3], layers: &'a [u8], parameters: &'a [u8]) -> Self {
        Blocks {
            shape,
            layers,
            parameters,
        }
    }

    /// Whether every layer was read, and every byte of the parameters was used.
    pub fn is_whole(&self) -> bool {
        self.layers.is_empty() && self.parameters.is_empty()
    }

    /// Rows, columns and channels of what the blocks so far make.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn peek(&self) -> Option<Layer> {
        Layer::parse(self.layers.first_chunk()?)
    }

    fn skip(&mut self) {
        self.layers = self.layers.get(LAYER_LEN..).unwrap_or_default();
    }

    /// Takes bytes of the parameters.
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.parameters.split_at_checked(len)?;
        self.parameters = rest;
        Some(taken)
    }

    /// Takes the parameters of a map with so many inputs for each of its outputs.
    fn parameters(&mut self, fan_in: usize, outputs: usize) -> Option<Parameters<'a>> {
        let weights = product(&[fan_in, outputs]).filter(|_| fan_in <= MAX_FAN_IN)?;
        let shift = *self.take(1)?.first()?;
        if shift > MAX_SHIFT {
            return None;
        }
        Some(Parameters {
            shift: shift.into(),
            weights: self.take(2 * weights)?,
            biases: self.take(4 * outputs)?,
        })
    }

    /// The map of the next layer, if it is one, and the shape of what it makes.
    fn map(&mut self) -> Option<(Map<'a>, [usize; 3])> {
        let [height, width, inputs] = self.shape;
        let (kernel, stride, padding, outputs) = match self.peek()? {
            Layer::Conv {
                kernel,
                stride,
                padding,
                outputs,
            } => (kernel, stride, padding, outputs),
            Layer::Dense { outputs } => ([height, width], 1, [0; 2], outputs),
            _ => return Some((Map::Identity, self.shape)),
        };
        let padded = [height + 2 * padding[0], width + 2 * padding[1]];
        let fits = |axis: usize| kernel[axis] > padding[axis] && kernel[axis] <= padded[axis];
        if outputs == 0 || stride == 0 || !fits(0) || !fits(1) {
            return None;
        }
        self.skip();
        let fan_in = product(&[kernel[0], kernel[1], inputs])?;
        let parameters = self.parameters(fan_in, outputs)?;
        let side = |axis: usize| (padded[axis] - kernel[axis]) / stride + 1;
        let shape = [side(0), side(1), outputs];
        let map = Map::Conv {
            kernel,
            stride,
            padding,
            parameters,
        };
        Some((map, shape))
    }

    fn block(&mut self) -> Option<Block<'a>> {
        let input = self.shape;
        product(&input)?;
        let (map, mut shape) = self.map()?;
        let mut block = Block {
            input,
            output: shape,
            map,
            relu_first: false,
            pooling: (1, 1, Pooling::Maximum),
            relu_last: false,
        };
        let mut pooled = false;
        loop {
            let (window, stride, pooling) = match self.peek() {
                Some(Layer::Relu) => {
                    let relu = match pooled {
                        true => &mut block.relu_last,
                        false => &mut block.relu_first,
                    };
                    *relu = true;
                    self.skip();
                    continue;
                }
                Some(Layer::AvgPool { window }) if !pooled => (window, window, Pooling::Average),
                Some(Layer::MaxPool { window, stride }) if !pooled => {
                    (window, stride, Pooling::Maximum)
                }
                Some(Layer::Flatten) => {
                    self.skip();
                    block.output = shape;
                    self.shape = [1, 1, product(&shape)?];
                    return Some(block);
                }
                _ => break,
            };
            let [height, width, channels] = shape;
            if window == 0 || stride == 0 || window > height || window > width {
                return None;
            }
            let side = |side: usize| (side - window) / stride + 1;
            shape = [side(height), side(width), channels];
            block.pooling = (window, stride, pooling);
            pooled = true;
            self.skip();
        }
        product(&shape)?;
        block.output = shape;
        self.shape = shape;
        Some(block)
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        if self.layers.is_empty() {
            return None;
        }
        self.block()
    }
}

/// The number of values of a tensor, if there can be so many.
fn product(factors: &[usize]) -> Option<usize> {
    let product = factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor));
    product.filter(|product| (1..=MAX_LEN).contains(product))
}
