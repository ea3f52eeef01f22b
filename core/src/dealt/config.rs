//! Checks of sessions of the dealt protocols, and the scales of their gradients and rates.

use crate::{
    gate::{polynomial::PolynomialGate, softmax::Softmax},
    network::{Activation, Network, Stage},
    num::ring::Ring,
    session::{Protocol, RATE_FRACTION, Session, SessionError, Task},
};

/// The fewest bits of a gradient's ring.
const MIN_GRADIENT_BITS: u32 = 4;

/// log2 of the largest factor by which gradients are scaled up, so that small ones stay above one unit.
const GRADIENT_EXPONENT: i32 = 5;

/// Bits before the binary point that the range contract leaves to an unscaled gradient: a gradient of the mean loss
/// stays below 4.
const GRADIENT_RANGE_BITS: i32 = 2;

/// Checks that the parameters of a session of a dealt protocol fit together in the ring `R`, and compiles its network.
#[inline(never)]
pub fn check<R: Ring>(session: &Session) -> Result<Network, SessionError> {
    let Protocol::Dealt { .. } = session.protocol else {
        return Err(SessionError::Protocol);
    };
    session.format.check::<R>()?;
    let network = session.network()?;
    session.check_with::<R>(&network)?;
    Ok(network)
}

impl Session {
    /// Checks the parameters against the compiled network.
    #[inline(never)]
    fn check_with<R: Ring>(&self, network: &Network) -> Result<(), SessionError> {
        self.check_sizes(network)?;
        if self.format.is_direct() && self.momentum != 0 {
            return Err(SessionError::MomentumInDirect);
        }
        let softmax = Softmax {
            format: self.format,
            classes: network.classes,
            exponent: self.softmax_exponent(network),
        };
        // A label of 1 has to be a whole number of the units of the gradients.
        if self.format.fraction as i32 + self.softmax_exponent(network) < 0 {
            return Err(SessionError::Gradients);
        }
        let most = self.format.narrow() - MIN_GRADIENT_BITS;
        let inner = 0..network.stages.len() - 1;
        if !softmax.fits::<R>()
            || inner
                .into_iter()
                .any(|stage| self.gradient_drop(network, stage) > most)
        {
            return Err(SessionError::Gradients);
        }
        for (index, stage) in network.stages.iter().enumerate() {
            if let Some(Activation::Polynomial(polynomial, _)) = stage.activation {
                let drop = self.gradient_drop(network, index);
                if !PolynomialGate::new(polynomial, self.format, self.protocol.triples(), drop)
                    .fits()
                {
                    return Err(SessionError::Polynomial(stage.activation_name.clone()));
                }
            }
        }
        if self.task == Task::Infer {
            return Ok(());
        }
        if !self.format.is_direct() && !self.momentum_is_close() {
            return Err(SessionError::MomentumRounds);
        }
        for stage in 0..network.stages.len() {
            let rates = self.rates(network, stage);
            if rates
                .iter()
                .any(|&rate| rate == 0 || rate >> (2 * R::BITS - 16).min(63) != 0)
            {
                return Err(SessionError::LearningRate);
            }
        }
        Ok(())
    }

    /// log2 of the batch size, rounded up.
    fn batch_bits(&self) -> i32 {
        self.batch.next_power_of_two().trailing_zeros() as i32
    }

    /// log2 of the factor by which the gradient by a stage's output is scaled, relative to the gradient of the mean
    /// loss (for batch sizes that are no power of two, the scaled gradient is smaller by up to one half).
    ///
    /// The gradient by the weights of a stage with average pooling is larger by the divisor, and has to keep the same
    /// range contract. So the gradients of that stage and of all before it give up the divisor's bits.
    fn gradient_exponent(&self, network: &Network, stage: usize) -> i32 {
        let divisor_bits = network.stages[stage..].iter().map(Stage::divisor_bits);
        let range = self.format.narrow() as i32 - 2 - self.format.fraction as i32;
        GRADIENT_EXPONENT.min(range - GRADIENT_RANGE_BITS) - divisor_bits.max().unwrap_or(0) as i32
    }

    /// log2 of the factor by which the gradient by the logits of each sample is scaled, beside the fraction bits. It
    /// includes the division by the batch size.
    pub fn softmax_exponent(&self, network: &Network) -> i32 {
        self.gradient_exponent(network, network.stages.len() - 1) - self.batch_bits()
    }

    /// Bits that the gradient by the output of stage `to` drops, compared to that of the next stage.
    pub fn gradient_drop(&self, network: &Network, to: usize) -> u32 {
        let drop = self.gradient_exponent(network, to + 1) - self.gradient_exponent(network, to);
        drop.unsigned_abs()
    }

    /// The integers by which the update multiplies the velocities of a stage's weights and biases before it subtracts
    /// them from the master weights. Each combines learning rate, gradient scale, batch size and divisor.
    pub fn rates(&self, network: &Network, stage: usize) -> [u64; 2] {
        // A velocity is the mean gradient times 2^(its scale + exponent) * batch / 2^batch_bits. For weights it is
        // larger by the divisor, and the master weights are smaller by it.
        let shift = (self.format.master() - self.format.step()) as i32 + self.batch_bits()
            - self.gradient_exponent(network, stage)
            - RATE_FRACTION as i32;
        let rate = |divisor: u32| {
            let divided_by = u128::from(self.batch) * u128::from(divisor).pow(2);
            let (up, down) = (shift.max(0) as u32, (-shift).max(0) as u32);
            let numerator = u128::from(self.learning_rate) << up;
            let denominator = divided_by << down;
            u64::try_from((numerator + denominator / 2) / denominator).unwrap_or(u64::MAX)
        };
        [rate(network.stages[stage].divisor), rate(1)]
    }

    /// Whether rounding changes 1 minus the momentum, by which steps add up, by at most a quarter.
    fn momentum_is_close(&self) -> bool {
        let one = 1u64 << RATE_FRACTION;
        let exact = one - u64::from(self.momentum);
        let units = u64::from(self.momentum_units());
        let rounded = one.saturating_sub(units << (RATE_FRACTION - self.format.fraction));
        4 * rounded.abs_diff(exact) <= exact
    }

    /// Momentum with f fraction bits, rounded to nearest.
    pub fn momentum_units(&self) -> u32 {
        let drop = RATE_FRACTION - self.format.fraction;
        (self.momentum + (1 << drop >> 1)) >> drop
    }
}
