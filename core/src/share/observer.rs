//! Observer of intermediate shares, for range checks.

use crate::{
    model::cost_rows::{activation_row, map_row},
    share::Share,
};

/// Values of a stage that have to keep a range contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Outputs of the stage's map.
    Outputs,
    /// Inputs of its polynomial.
    Arguments,
    /// Gradients by the stage's input.
    Gradients,
    /// Velocities of its weights and biases.
    Velocities,
}

impl Values {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Values; 4] = [
        Values::Outputs,
        Values::Arguments,
        Values::Gradients,
        Values::Velocities,
    ];

    /// The cost row that these values of a stage count for, and whether they count backward.
    pub fn cost_row(self, stage: usize) -> (usize, bool) {
        match self {
            Values::Outputs => (map_row(stage), false),
            Values::Arguments => (activation_row(stage), false),
            Values::Gradients | Values::Velocities => (map_row(stage), true),
        }
    }
}

/// What a stage's products multiply, or begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// The input of the stage's map, row after row; a part of the rows, or all of them.
    Input,
    /// The weights as operands.
    Weights,
    /// The biases at the scale of the products.
    Biases,
    /// The gradient by the stage's output, after average pooling.
    Gradient,
}

/// Observer of a party's shares of values for which a range contract |x| < 2^(bits-2) must hold, and of the factors whose
/// products these values are.
///
/// One party's shares are uniform and say nothing. A simulation that runs both parties can add them up and check the
/// contract, and by the factors whether a value has gone around its ring. An audit counts violations without opening
/// values (see [`Trainer::audit_counts`]).
///
/// [`Trainer::audit_counts`]: crate::dealt::Trainer::audit_counts
pub trait Observer<R> {
    /// Receives shares of values of a stage. Of the `rings`, by their bits, the first is that of the shares, the second
    /// that whose contract the values have to keep.
    fn values(&mut self, stage: usize, values: Values, rings: [u32; 2], shares: &[Share<R>]);

    /// Receives shares in Z_2^L of a factor of a stage's products; none from a party that knows its shares to be zero.
    fn factor(&mut self, stage: usize, factor: Factor, shares: &[Share<R>]) {
        let _ = (stage, factor, shares);
    }
}

impl<R, O: Observer<R> + ?Sized> Observer<R> for &mut O {
    fn values(&mut self, stage: usize, values: Values, rings: [u32; 2], shares: &[Share<R>]) {
        (**self).values(stage, values, rings, shares);
    }

    fn factor(&mut self, stage: usize, factor: Factor, shares: &[Share<R>]) {
        (**self).factor(stage, factor, shares);
    }
}

/// Observer that does nothing.
pub struct NoObserver;

impl<R> Observer<R> for NoObserver {
    fn values(&mut self, _: usize, _: Values, _: [u32; 2], _: &[Share<R>]) {}
}
