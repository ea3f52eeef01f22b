//! Gathers a model's layers in stages, one after the other.

use core::fmt::Write;

use heapless::Vec;

use crate::{
    kernel::{conv::Conv, dense::Dense, linear::Linear, pool::Pool, windows::Windows},
    model::{Layer, Model},
};

use super::{
    Activation, MAX_CLASSES, MAX_LEN, MAX_STAGES, ModelError, Name, Place, Polynomials, Stage,
};

/// A product that stays within [`MAX_LEN`].
fn within(place: Place, factors: &[usize]) -> Result<usize, ModelError> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
        .filter(|&product| product <= MAX_LEN)
        .ok_or(ModelError::TooManyValues(place))
}

/// The network so far.
pub(super) struct Builder<'n> {
    shape: [usize; 3],
    stages: &'n mut Vec<Stage, MAX_STAGES>,
    pooled: Option<Pool>,
    counts: [usize; 5],
}

const CONV: usize = 0;
const DENSE: usize = 1;
const RELU: usize = 2;
const POLYNOMIAL: usize = 3;
const MAX_POOL: usize = 4;

impl<'n> Builder<'n> {
    /// Starts with the image that `model` takes; the stages are to come to `stages`.
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

    fn number(&mut self, which: usize) -> usize {
        self.counts[which] += 1;
        self.counts[which]
    }

    /// Adds a layer.
    pub fn add(&mut self, place: Place, layer: Layer) -> Result<(), ModelError> {
        let [height, width, channels] = self.shape;
        match layer {
            Layer::Conv2d {
                channels: outputs,
                kernel,
                stride,
                padding,
            } => {
                if outputs == 0 || kernel == 0 || stride == 0 {
                    return Err(ModelError::Zero(place));
                }
                let conv = Conv {
                    height,
                    width,
                    inputs: channels,
                    outputs: outputs.into(),
                    kernel: kernel.into(),
                    stride: stride.into(),
                    padding: padding.into(),
                    pool: 1,
                };
                let padded = height.min(width) + 2 * conv.padding;
                if conv.kernel > padded || conv.padding >= conv.kernel {
                    return Err(ModelError::TooLarge(place, [height, width]));
                }
                within(place, &[conv.kernel, conv.kernel, channels, conv.outputs])?;
                let [rows, columns] = conv.output();
                within(place, &[rows, columns, conv.outputs])?;
                within(
                    place,
                    &[
                        height + 2 * conv.padding,
                        width + 2 * conv.padding,
                        channels,
                    ],
                )?;
                let number = self.number(CONV);
                self.push(Linear::Conv(conv), "conv", number)?;
                self.shape = [rows, columns, conv.outputs];
            }
            Layer::Dense { units } => {
                if units == 0 {
                    return Err(ModelError::Zero(place));
                }
                if height * width > 1 {
                    return Err(ModelError::Unflattened(place, self.shape));
                }
                within(place, &[channels, units.into()])?;
                let number = self.number(DENSE);
                let dense = Dense {
                    inputs: channels,
                    outputs: units.into(),
                };
                self.push(Linear::Dense(dense), "dense", number)?;
                self.shape = [1, 1, dense.outputs];
            }
            Layer::AvgPool { window } => self.pool(place, window.into())?,
            Layer::MaxPool { window, stride } => {
                let stride = if stride == 0 { window } else { stride };
                self.max_pool(place, window.into(), stride.into())?;
            }
            Layer::Relu => {
                let number = self.number(RELU);
                self.activate(place, Activation::Relu, number)?;
            }
            Layer::Polynomial(polynomial) => {
                if !polynomial.is_sound() {
                    return Err(ModelError::Polynomial(place));
                }
                let number = self.number(POLYNOMIAL);
                let present = Polynomials::here().ok_or(ModelError::LeftOut(place))?;
                self.activate(place, Activation::Polynomial(polynomial, present), number)?;
            }
            Layer::Flatten => self.shape = [1, 1, self.shape.iter().product()],
        }
        Ok(())
    }

    fn activate(
        &mut self,
        place: Place,
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
                let _ = stage.activation_name.push_str(&name(place.kind, number));
                Ok(())
            }
            None => Err(ModelError::Misplaced(place, rule)),
        }
    }

    fn pool(&mut self, place: Place, window: usize) -> Result<(), ModelError> {
        let [height, width, channels] = self.shape;
        if window == 0 {
            return Err(ModelError::Zero(place));
        }
        if window > height || window > width {
            return Err(ModelError::TooLarge(place, [height, width]));
        }
        let rule = "two poolings in a row: use one with a larger window";
        let stage = self.stages.last_mut();
        match stage.filter(|stage| stage.activation.is_none() && stage.max_pool.is_none()) {
            Some(stage) => match &mut stage.linear {
                Linear::Conv(conv) if conv.pool == 1 => {
                    conv.pool = window;
                    stage.divisor *= (window * window) as u32;
                    let _ = stage.name.push_str("+pool");
                }
                _ => return Err(ModelError::Misplaced(place, rule)),
            },
            None if self.pooled.is_none() => {
                let shape = self.shape;
                self.pooled = Some(Pool { shape, window });
            }
            None => return Err(ModelError::Misplaced(place, rule)),
        }
        self.shape = [height / window, width / window, channels];
        Ok(())
    }

    fn max_pool(&mut self, place: Place, window: usize, stride: usize) -> Result<(), ModelError> {
        let [height, width, channels] = self.shape;
        if window == 0 {
            return Err(ModelError::Zero(place));
        }
        if window > height || window > width {
            return Err(ModelError::TooLarge(place, [height, width]));
        }
        if window == 1 {
            return Err(ModelError::Misplaced(place, "a window of 1 pools nothing"));
        }
        let rule = "it must follow a conv layer, pooled or not, or its relu, and only once";
        let before = |stage: &&mut Stage| {
            let conv = matches!(stage.linear, Linear::Conv(_));
            let relu = matches!(stage.activation, None | Some(Activation::Relu));
            conv && relu && stage.max_pool.is_none()
        };
        let open = self.pooled.is_none();
        let number = self.counts[MAX_POOL] + 1;
        let Some(stage) = self.stages.last_mut().filter(before).filter(|_| open) else {
            return Err(ModelError::Misplaced(place, rule));
        };
        let windows = Windows {
            height,
            width,
            channels,
            window: [window; 2],
            stride,
        };
        within(place, &[windows.places(), windows.output_len()])?;
        stage.max_pool = Some(windows);
        let mut both = name(place.kind, number);
        if stage.activation.is_some() {
            let _ = both.push('+');
            let _ = both.push_str(&stage.activation_name);
        }
        stage.activation_name = both;
        self.counts[MAX_POOL] = number;
        let [rows, columns] = windows.output();
        self.shape = [rows, columns, channels];
        Ok(())
    }

    fn push(&mut self, linear: Linear, kind: &str, number: usize) -> Result<(), ModelError> {
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
            max_pool: None,
            activation: None,
            name: stage_name,
            activation_name: name("widen", self.stages.len() + 1),
        };
        self.stages
            .push(stage)
            .map_err(|_| ModelError::TooManyStages)
    }

    /// The number of classes, if nothing is missing.
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

fn name(kind: &str, number: usize) -> Name {
    let mut name = Name::new();
    let _ = write!(name, "{kind}{number}");
    name
}
