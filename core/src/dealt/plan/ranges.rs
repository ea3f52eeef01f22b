//! The range contracts of a session's values, in the numbers that they stand for.

use crate::{
    dealt::audit::{Audits, Kind},
    num::ring::Ring,
};

use super::Plan;

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Outputs of a stage's map.
    Outputs,
    /// Inputs of a polynomial.
    Arguments,
    /// Gradients of the mean loss by a stage's input.
    Gradients,
    /// Velocities of a stage's weights and biases, whose steps are learning rate times velocity.
    Velocities,
}

/// Values that have to keep a range contract: they stay below 2^bits in magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranged {
    /// Index of the cost row that counts them.
    pub cost_row: usize,
    /// Whether it counts them backward.
    pub backward: bool,
    /// What they are.
    pub values: Values,
    /// log2 of their limit.
    pub bits: i32,
}

impl Plan<'_> {
    /// The values whose range an observer sees and an audit counts in training, stage by stage. In inference these are
    /// those that are not backward.
    ///
    /// Gradients and velocities are those of the mean loss of a batch whose size is a power of two; for others they may
    /// be up to twice as large. A velocity of a stage with average pooling may be as much larger as its divisor is below
    /// a power of two.
    pub fn ranges<R: Ring>(&self) -> impl Iterator<Item = Ranged> + '_ {
        let (session, network) = (self.session, self.network);
        let audits = Audits::new(session, network, 1);
        let fraction = session.format.fraction as i32;
        let kinds = [
            (Kind::Product, Values::Outputs),
            (Kind::Polynomial, Values::Arguments),
            (Kind::InputGradient, Values::Gradients),
            (Kind::Velocity, Values::Velocities),
        ];
        let stages = network.stages.iter().enumerate();
        stages.flat_map(move |(index, stage)| {
            kinds.into_iter().filter_map(move |(kind, values)| {
                let (cost_row, backward, contract) = audits.contract::<R>(index, kind)?;
                let [input, output] = stage.headroom.map(|bits| bits as i32);
                let fraction = match values {
                    Values::Outputs | Values::Arguments => fraction - output,
                    Values::Gradients => fraction + session.gradient_exponent(network, index - 1),
                    Values::Velocities => {
                        let exponent = session.gradient_exponent(network, index);
                        let divisor = stage.divisor_bits() as i32;
                        session.format.step() as i32 + exponent + divisor - input
                    }
                };
                Some(Ranged {
                    cost_row,
                    backward,
                    values,
                    bits: contract.bits as i32 - 2 - fraction,
                })
            })
        })
    }
}
