//! The range contracts of a session's values, in the numbers that they stand for.

use crate::{dealt::audit::Audits, num::ring::Ring, share::Values};

use super::Plan;

/// Values that have to keep a range contract: they stay below 2^bits in magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranged {
    /// Index of the cost row that counts them.
    pub cost_row: usize,
    /// Whether it counts them backward.
    pub backward: bool,
    /// What they are. Gradients and velocities are those of the mean loss.
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
        let stages = network.stages.iter().enumerate();
        stages.flat_map(move |(index, stage)| {
            Values::ALL.into_iter().filter_map(move |values| {
                let contract = audits.tensor::<R>(index, values)?.contract();
                let (cost_row, backward) = values.cost_row(index);
                let output = stage.headroom[1] as i32;
                let fraction = match values {
                    Values::Outputs | Values::Arguments => fraction - output,
                    Values::Gradients => fraction + session.gradient_exponent(network, index - 1),
                    Values::Velocities => {
                        let [fraction, divided] = session.gradient_fraction(network, index);
                        let divisor = stage.divisor_bits() as i32;
                        let dropped = 2 * session.format.fraction - session.format.step();
                        fraction + divisor - divided - dropped as i32
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
