//! Turns a model's layers into stages, one layer after the other.

use core::fmt::Write;

use heapless::Vec;

use crate::{
    kernel::{conv::Conv, dense::Dense, linear::Linear, pool::Pool, windows::Windows},
    model::{Layer, Model},
    num::polynomial::Polynomial,
};

use super::{
    Activation, LayerPosition, MAX_CLASSES, MAX_LEN, MAX_STAGES, ModelError, Name, Polynomials,
    Stage,
};

/// Refuses a tensor of more than [`MAX_LEN`] values; its length is the product of `factors`.
fn check_len(position: LayerPosition, factors: &[usize]) -> Result<(), ModelError> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
        .filter(|&product| product <= MAX_LEN)
        .map(|_| ())
        .ok_or(ModelError::TooManyValues(position))
}

/// The stages of the layers added so far.
pub(super) struct Builder<'n> {
    /// Rows, columns and channels of what the last layer makes.
    shape: [usize; 3],
    stages: &'n mut Vec<Stage, MAX_STAGES>,
    /// Average pooling that the next conv or dense layer applies to its input.
    pooled: Option<Pool>,
    /// Layers of each kind so far, for their names.
    counts: [usize; 5],
}

// Indices in `Builder::counts`.
const CONV: usize = 0;
const DENSE: usize = 1;
const RELU: usize = 2;
const POLYNOMIAL: usize = 3;
const MAX_POOL: usize = 4;

impl<'n> Builder<'n> {
    /// Starts with the input shape of `model`; appends the stages to `stages`.
    pub fn new(model: &Model, stages: &'n mut Vec<Stage, MAX_STAGES>) -> Result<Self, ModelError> {
        let shape = model.input.map(usize::from);
        let values = shape.iter().map(|&side| side as u64).product::<u64>();
        if shape.contains(&0) || values > MAX_LEN as u64 {
            return Err(ModelError::Input(model.input));
        }
        Ok(Builder {
            shape,
            stages,
            pooled: None,
            counts: [0; 5],
        })
    }

    /// Counts one more layer of a kind and returns its number, from 1.
    fn next_number(&mut self, kind: usize) -> usize {
        self.counts[kind] += 1;
        self.counts[kind]
    }

    /// Adds a layer.
    pub fn add(&mut self, position: LayerPosition, layer: Layer) -> Result<(), ModelError> {
        let [height, width, inputs] = self.shape;
        match layer {
            Layer::Conv2d {
                channels,
                kernel,
                stride,
                padding,
            } => self.add_conv(
                position,
                Conv {
                    height,
                    width,
                    inputs,
                    outputs: channels.into(),
                    kernel: kernel.into(),
                    stride: stride.into(),
                    padding: padding.into(),
                    pool: 1,
                },
            ),
            Layer::Dense { units } => self.add_dense(position, units.into()),
            Layer::AvgPool { window } => self.add_avg_pool(position, window.into()),
            Layer::MaxPool { window, stride } => {
                let stride = if stride == 0 { window } else { stride };
                self.add_max_pool(position, window.into(), stride.into())
            }
            Layer::Relu => {
                let number = self.next_number(RELU);
                self.add_activation(position, Activation::Relu, number)
            }
            Layer::Polynomial(polynomial) => self.add_polynomial(position, polynomial),
            Layer::Flatten => {
                self.shape = [1, 1, self.shape.iter().product()];
                Ok(())
            }
        }
    }

    fn add_conv(&mut self, position: LayerPosition, conv: Conv) -> Result<(), ModelError> {
        let Conv {
            height,
            width,
            inputs,
            outputs,
            kernel,
            padding,
            ..
        } = conv;
        if outputs == 0 || kernel == 0 || conv.stride == 0 {
            return Err(ModelError::Zero(position));
        }
        if kernel > height.min(width) + 2 * padding || padding >= kernel {
            return Err(ModelError::TooLarge(position, [height, width]));
        }
        let [rows, columns] = conv.output();
        let padded = [height, width].map(|side| side + 2 * padding);
        check_len(position, &[kernel, kernel, inputs, outputs])?;
        check_len(position, &[rows, columns, outputs])?;
        check_len(position, &[padded[0], padded[1], inputs])?;
        let number = self.next_number(CONV);
        self.push_stage(Linear::Conv(conv), "conv", number)?;
        self.shape = [rows, columns, outputs];
        Ok(())
    }

    fn add_dense(&mut self, position: LayerPosition, outputs: usize) -> Result<(), ModelError> {
        let [height, width, inputs] = self.shape;
        if outputs == 0 {
            return Err(ModelError::Zero(position));
        }
        if height * width > 1 {
            return Err(ModelError::Unflattened(position, self.shape));
        }
        check_len(position, &[inputs, outputs])?;
        let number = self.next_number(DENSE);
        self.push_stage(Linear::Dense(Dense { inputs, outputs }), "dense", number)?;
        self.shape = [1, 1, outputs];
        Ok(())
    }

    fn add_polynomial(
        &mut self,
        position: LayerPosition,
        polynomial: Polynomial,
    ) -> Result<(), ModelError> {
        if !polynomial.is_sound() {
            return Err(ModelError::Polynomial(position));
        }
        let number = self.next_number(POLYNOMIAL);
        let available = Polynomials::of_this_build().ok_or(ModelError::NotInThisBuild(position))?;
        let activation = Activation::Polynomial(polynomial, available);
        self.add_activation(position, activation, number)
    }

    /// Makes `activation` that of the last stage.
    fn add_activation(
        &mut self,
        position: LayerPosition,
        activation: Activation,
        number: usize,
    ) -> Result<(), ModelError> {
        let rule = "it must follow a dense or conv layer, pooled or not, and only once";
        let open = self.pooled.is_none();
        let stage = self.stages.last_mut();
        match stage.filter(|stage| open && stage.activation.is_none()) {
            Some(stage) => {
                stage.activation = Some(activation);
                if stage.max_pool.is_none() {
                    stage.activation_name.clear();
                } else {
                    let _ = stage.activation_name.push('+');
                }
                let _ = stage.activation_name.push_str(&name(position.kind, number));
                Ok(())
            }
            None => Err(ModelError::Misplaced(position, rule)),
        }
    }

    /// Refuses a window of no cells, or one that is larger than an image.
    fn check_window(&self, position: LayerPosition, window: usize) -> Result<(), ModelError> {
        let [height, width, _] = self.shape;
        if window == 0 {
            return Err(ModelError::Zero(position));
        }
        if window > height || window > width {
            return Err(ModelError::TooLarge(position, [height, width]));
        }
        Ok(())
    }

    /// Adds average pooling: to a convolution's output, or to the input of the next stage.
    fn add_avg_pool(&mut self, position: LayerPosition, window: usize) -> Result<(), ModelError> {
        let [height, width, channels] = self.shape;
        self.check_window(position, window)?;
        let rule = "two poolings in a row: use one with a larger window";
        let stage = self.stages.last_mut();
        match stage.filter(|stage| stage.activation.is_none() && stage.max_pool.is_none()) {
            Some(stage) => match &mut stage.linear {
                Linear::Conv(conv) if conv.pool == 1 => {
                    conv.pool = window;
                    stage.divisor *= (window * window) as u32;
                    let _ = stage.name.push_str("+pool");
                }
                _ => return Err(ModelError::Misplaced(position, rule)),
            },
            None if self.pooled.is_none() => {
                let shape = self.shape;
                self.pooled = Some(Pool { shape, window });
            }
            None => return Err(ModelError::Misplaced(position, rule)),
        }
        self.shape = [height / window, width / window, channels];
        Ok(())
    }

    /// Adds max pooling to the last stage, before its activation.
    fn add_max_pool(
        &mut self,
        position: LayerPosition,
        window: usize,
        stride: usize,
    ) -> Result<(), ModelError> {
        let [height, width, channels] = self.shape;
        self.check_window(position, window)?;
        if window == 1 {
            return Err(ModelError::Misplaced(
                position,
                "a window of 1 pools nothing",
            ));
        }
        let rule = "it must follow a conv layer, pooled or not, or its relu, and only once";
        let takes_max_pool = |stage: &&mut Stage| {
            let is_conv = matches!(stage.linear, Linear::Conv(_));
            let is_relu = matches!(stage.activation, None | Some(Activation::Relu));
            is_conv && is_relu && stage.max_pool.is_none()
        };
        let open = self.pooled.is_none();
        let number = self.counts[MAX_POOL] + 1;
        let Some(stage) = self
            .stages
            .last_mut()
            .filter(takes_max_pool)
            .filter(|_| open)
        else {
            return Err(ModelError::Misplaced(position, rule));
        };
        let windows = Windows {
            height,
            width,
            channels,
            window: [window; 2],
            stride,
        };
        check_len(position, &[windows.positions(), windows.output_len()])?;
        stage.max_pool = Some(windows);
        let mut names = name(position.kind, number);
        if stage.activation.is_some() {
            let _ = names.push('+');
            let _ = names.push_str(&stage.activation_name);
        }
        stage.activation_name = names;
        self.counts[MAX_POOL] = number;
        let [rows, columns] = windows.output();
        self.shape = [rows, columns, channels];
        Ok(())
    }

    /// Adds a stage for `linear`, which also takes the average pooling that waits for one.
    fn push_stage(&mut self, linear: Linear, kind: &str, number: usize) -> Result<(), ModelError> {
        let pooled_input = self.pooled.take();
        let window = pooled_input.map_or(1, |pool| pool.window);
        let mut stage_name = Name::new();
        if pooled_input.is_some() {
            let _ = stage_name.push_str("pool+");
        }
        let _ = stage_name.push_str(&name(kind, number));
        let stage = Stage {
            linear,
            pooled_input,
            divisor: (window * window) as u32,
            unrolled: false,
            headroom: [0; 2],
            max_pool: None,
            activation: None,
            name: stage_name,
            activation_name: name("widen", self.stages.len() + 1),
        };
        self.stages
            .push(stage)
            .map_err(|_| ModelError::TooManyStages)
    }

    /// Checks that the network ends in a dense layer, and returns its number of units: the classes.
    pub fn finish(self) -> Result<usize, ModelError> {
        let last = self.stages.last().ok_or(ModelError::Empty)?;
        let [height, width, classes] = self.shape;
        let dense = matches!(last.linear, Linear::Dense(_));
        let usable = (2..=MAX_CLASSES).contains(&classes) && height * width == 1;
        if last.activation.is_some() || !dense || !usable || self.pooled.is_some() {
            return Err(ModelError::Classes(classes));
        }
        Ok(classes)
    }
}

/// A layer's name: its kind and its number among the layers of that kind.
fn name(kind: &str, number: usize) -> Name {
    let mut name = Name::new();
    let _ = write!(name, "{kind}{number}");
    name
}
