//! A model compiled into stages, with every shape checked.
//!
//! A stage is one bilinear map with its average pooling, then max pooling, then the activation. Max pooling commutes
//! with ReLU, which is monotone, so it always comes first: ReLU then works on fewer values.
//!
//! Average pooling only sums. The parties keep the stage's master weights divided by the window's area, at their fine
//! scale, so an average takes no bits of range and no protocol step.
//!
//! A residual connection adds the input of a stage to the output of the map of this stage or of a later one, before max pooling
//! and activation. Shares add without a protocol step too.

mod builder;
mod dropout;
mod error;
mod limits;
mod stage;
pub(crate) mod walk;
pub(crate) mod weight_init;

use heapless::Vec;

use crate::model::Model;

use builder::Builder;

pub use dropout::Dropout;
pub use error::{LayerPosition, ModelError};
pub use limits::{MAX_CLASSES, MAX_LEN, MAX_STAGES};
pub use stage::{Activation, Name, Polynomials, Stage};
pub use weight_init::draw_weights;

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

    /// Bits of headroom of the logits.
    pub fn logit_headroom(&self) -> u32 {
        self.stages.last().map_or(0, |stage| stage.headroom[1])
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

#[cfg(test)]
mod tests;
