//! Turns a model's layers into stages, one layer after the other.

use core::fmt::Write;

use heapless::Vec;

use crate::{
    kernel::{conv::Conv, dense::Dense, linear::Linear, pool::Pool, windows::Windows},
    model::{Layer, Model},
    num::polynomial::Polynomial,
};

use super::{
    Activation, Dropout, LayerPosition, MAX_CLASSES, MAX_LEN, MAX_STAGES, ModelError, Name,
    Polynomials, Stage,
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
    /// Dropout of the input of the next conv or dense layer.
    dropout: Option<Dropout>,
    /// For each stage the number of the layer that makes its input; 0 if the stage pools its input or drops some of it.
    entries: Vec<u8, MAX_STAGES>,
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
            dropout: None,
            entries: Vec::new(),
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
                    kernel: kernel.both(),
                    stride: stride.into(),
                    padding: padding.both(),
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
            Layer::Add { layer } => self.add_skip(position, layer),
            Layer::Dropout { percent } => self.add_dropout(position, percent),
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
        if outputs == 0 || kernel.contains(&0) || conv.stride == 0 {
            return Err(ModelError::Zero(position));
        }
        let [kernel, padding] = [kernel, padding].map(|sides| sides.map(usize::from));
        let padded = [height + 2 * padding[0], width + 2 * padding[1]];
        if (0..2).any(|axis| kernel[axis] > padded[axis] || padding[axis] >= kernel[axis]) {
            return Err(ModelError::TooLarge(position, [height, width]));
        }
        let [rows, columns] = conv.output();
        check_len(position, &[kernel[0], kernel[1], inputs, outputs])?;
        check_len(position, &[rows, columns, outputs])?;
        check_len(position, &[padded[0], padded[1], inputs])?;
        let number = self.next_number(CONV);
        self.push_stage(position, Linear::Conv(conv), name("conv", number))?;
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
        let dense = Linear::Dense(Dense { inputs, outputs });
        self.push_stage(position, dense, name("dense", number))?;
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
        let open = self.is_at_a_stage();
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
        if self.dropout.is_some() {
            let rule = "a dropout before it: put the dropout after it";
            return Err(ModelError::Misplaced(position, rule));
        }
        let stage = self.stages.last_mut();
        let is_bare = |stage: &&mut Stage| {
            stage.activation.is_none() && stage.max_pool.is_none() && stage.skip.is_none()
        };
        match stage.filter(is_bare) {
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
        let open = self.is_at_a_stage();
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

    /// Whether the last layer belongs to the last stage, and not to the next one.
    fn is_at_a_stage(&self) -> bool {
        self.pooled.is_none() && self.dropout.is_none()
    }

    /// Adds the input of a stage to the output of the last stage's map.
    fn add_skip(&mut self, position: LayerPosition, layer: u8) -> Result<(), ModelError> {
        let open = self.is_at_a_stage();
        let last = self.stages.last().filter(|stage| {
            open && stage.activation.is_none() && stage.max_pool.is_none() && stage.skip.is_none()
        });
        if last.is_none() {
            let rule = "it must follow a dense or conv layer, pooled or not, and only once";
            return Err(ModelError::Misplaced(position, rule));
        }
        let makes = |&made_by: &u8| made_by == layer && layer > 0;
        let source = self.entries.iter().position(makes);
        let Some(source) = source.filter(|&source| source > 0) else {
            let rule = "it adds a layer's output that a dense or conv layer reads as it is, and that no image is";
            return Err(ModelError::Misplaced(position, rule));
        };
        let added = self.stages[source].linear.input_shape();
        if added != self.shape {
            return Err(ModelError::Unequal(position, added, self.shape));
        }
        self.stages[source].keeps_input = true;
        if let Some(last) = self.stages.last_mut() {
            last.skip = Some(source as u8);
            let _ = last.name.push_str("+add");
        }
        Ok(())
    }

    /// Lets the next stage drop some of its input.
    fn add_dropout(&mut self, position: LayerPosition, percent: u8) -> Result<(), ModelError> {
        let dropout = Dropout::new(percent).ok_or(ModelError::Dropout(position))?;
        if self.stages.is_empty() || self.dropout.is_some() {
            let rule =
                "it must follow a dense or conv layer and what belongs to that, and only once";
            return Err(ModelError::Misplaced(position, rule));
        }
        self.dropout = Some(dropout);
        Ok(())
    }

    /// Adds a stage for `linear`, which also takes the average pooling and the dropout that wait for one.
    fn push_stage(
        &mut self,
        position: LayerPosition,
        linear: Linear,
        linear_name: Name,
    ) -> Result<(), ModelError> {
        // Layers are fewer than a byte counts.
        let made_by = if self.is_at_a_stage() {
            position.number - 1
        } else {
            0
        };
        let _ = self.entries.push(made_by as u8);
        let pooled_input = self.pooled.take();
        let dropout = self.dropout.take();
        let window = pooled_input.map_or(1, |pool| pool.window);
        let mut stage_name = Name::new();
        if pooled_input.is_some() {
            let _ = stage_name.push_str("pool+");
        }
        let _ = stage_name.push_str(&linear_name);
        let stage = Stage {
            linear,
            pooled_input,
            dropout,
            skip: None,
            keeps_input: false,
            divisor: (window * window) as u32 * dropout.map_or(1, Dropout::whole),
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
        if last.activation.is_some() || !dense || !usable || !self.is_at_a_stage() {
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
