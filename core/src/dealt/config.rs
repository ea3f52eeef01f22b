//! Checks of sessions of the dealt protocols, and the scales of their gradients and rates.

use crate::{
    gate::{polynomial::PolynomialGate, softmax::Softmax},
    network::{Activation, Network, Stage},
    num::{division::quotient, fixed_point::MIN_FRACTION_BITS, ring::Ring},
    session::{EXTENDED, Privacy, Protocol, RATE_FRACTION, Session, SessionError, Task},
};

/// One, with [`RATE_FRACTION`] fraction bits.
const ONE: u64 = 1 << RATE_FRACTION;

/// The fewest bits of a gradient's ring.
const MIN_GRADIENT_BITS: u32 = 4;

/// The most fraction bits of a gradient. More would hold nothing but the softmax's own error.
const MAX_GRADIENT_FRACTION: i32 = 25;

/// Bits before the binary point that the range contract leaves to an unscaled gradient: a gradient of the mean loss
/// stays below 4. A velocity with a momentum up to 0.9 stays below 4 too if the stage's input has no headroom, and
/// below 4 * 2^h with h bits of it.
const GRADIENT_RANGE_BITS: u32 = Session::VELOCITY_RANGE_BITS;

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
    /// Bits before the binary point of a velocity of the weights of a stage whose input has no headroom.
    pub const VELOCITY_RANGE_BITS: u32 = 2;

    /// Checks the parameters against the compiled network.
    #[inline(never)]
    fn check_with<R: Ring>(&self, network: &Network) -> Result<(), SessionError> {
        self.check_sizes(network)?;
        if self.format.is_direct() && self.momentum != 0 {
            return Err(SessionError::MomentumInDirect);
        }
        let most = self.format.fraction - MIN_FRACTION_BITS;
        if self.format.is_direct() && self.training.weight_decay != 0 {
            return Err(SessionError::DecayInDirect);
        }
        let listed = self.headroom.bits();
        let too_much = listed.iter().any(|&bits| u32::from(bits) > most);
        if too_much || listed.len() > network.stages.len() + 1 {
            return Err(SessionError::Headroom(most));
        }
        let softmax = Softmax {
            format: self.format,
            headroom: network.logit_headroom(),
            classes: network.classes,
            exponent: self.softmax_exponent(network),
            loss_bits: self.loss_bits(network),
            weighted: self.has_class_weights(),
        };
        self.check_extended(network)?;
        #[cfg(feature = "private-training")]
        self.check_privacy(network)?;
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
            // The gradient by what was added keeps the ring of the gradient by the output that it came from.
            if let Some(source) = stage.skip.map(usize::from) {
                let [before, after] =
                    [source - 1, index].map(|stage| self.gradient_exponent(network, stage));
                let kept = self.format.weights + self.gradient_drop(network, source - 1);
                if after - before > kept as i32 {
                    return Err(SessionError::Gradients);
                }
            }
            if let Some(Activation::Polynomial(polynomial, _)) = stage.activation {
                if stage.headroom[1] > 0 {
                    return Err(SessionError::PolynomialHeadroom(
                        stage.activation_name.clone(),
                    ));
                }
                let drop = self.gradient_drop(network, index);
                if !PolynomialGate::new(polynomial, self.format, self.protocol.triples(), drop)
                    .fits()
                {
                    return Err(SessionError::Polynomial(stage.activation_name.clone()));
                }
            }
        }
        if self.task != Task::Train {
            return Ok(());
        }
        for stage in 0..network.stages.len() {
            let factors = [self.learning_rate.into(), ONE];
            let rates = self.rates_of(network, stage, factors, 0);
            if rates
                .iter()
                .any(|&rate| rate == 0 || rate >> (2 * R::BITS - 16).min(63) != 0)
            {
                return Err(SessionError::LearningRate);
            }
        }
        Ok(())
    }

    /// Checks the options of a training that a program may leave out.
    fn check_extended(&self, network: &Network) -> Result<(), SessionError> {
        let training = &self.training;
        if self.contributions.is_some() {
            self.check_contributions(network)?;
        }
        let options = [
            (self.reveal_loss, "losses that are revealed"),
            (self.class_weights.is_given(), "class weights"),
            (training.clip > 0, "clipping of gradients"),
            (training.nesterov, "Nesterov's momentum"),
        ];
        if !EXTENDED {
            let left_out = options.iter().find(|(is_wanted, _)| *is_wanted);
            return left_out.map_or(Ok(()), |(_, what)| Err(SessionError::LeftOut(what)));
        }
        self.check_together(network)
    }

    /// Checks that the session can train on contributions, whose samples and classes nobody knows.
    #[cfg(feature = "contributions")]
    fn check_contributions(&self, network: &Network) -> Result<(), SessionError> {
        let refused = [
            (self.task != Task::Train, "inference"),
            (self.class_weights.is_given(), "a weight for each class"),
            (
                network.stages[0].pooled_input.is_some(),
                "a model that pools its input first",
            ),
            (self.samples[1] > 0, "a share of the samples for P1"),
        ];
        match refused.iter().find(|(is_wanted, _)| *is_wanted) {
            Some((_, what)) => Err(SessionError::OnContributions(what)),
            None => Ok(()),
        }
    }

    #[cfg(not(feature = "contributions"))]
    fn check_contributions(&self, _: &Network) -> Result<(), SessionError> {
        Err(SessionError::LeftOut("training on contributions"))
    }

    /// Checks that private gradients go with the other options, and fit the ring.
    #[cfg(feature = "private-training")]
    fn check_privacy(&self, network: &Network) -> Result<(), SessionError> {
        if self.privacy().is_none() {
            return Ok(());
        }
        let refused = [
            (!self.protocol.triples().reuse(), "baseline triples"),
            (
                self.format.is_direct(),
                "protocol spdz, which multiplies weights at full precision",
            ),
            (
                self.contributions.is_some(),
                "contributions, whose owners are not there to draw samples",
            ),
            (
                self.reveal_loss,
                "losses that are revealed, which tell of samples too",
            ),
            (
                self.training.clip > 0,
                "clipping of the values of gradients",
            ),
        ];
        if let Some((_, what)) = refused.iter().find(|(is_wanted, _)| *is_wanted) {
            return Err(SessionError::NotPrivate(what));
        }
        let mut stages = 0..network.stages.len();
        match stages.any(|stage| self.sample_clip(network, stage) == Some(None)) {
            true => Err(SessionError::PrivateWidths),
            false => Ok(()),
        }
    }

    /// Checks that these options go with the others.
    #[cfg(feature = "extended-training")]
    fn check_together(&self, network: &Network) -> Result<(), SessionError> {
        let training = &self.training;
        if !self.class_weights.fit(network.classes) {
            return Err(SessionError::ClassWeights);
        }
        if self.class_weights.is_given() && training.label_smoothing > 0 {
            return Err(SessionError::WeightedSmoothing);
        }
        if training.nesterov && self.momentum == 0 {
            return Err(SessionError::NesterovWithoutMomentum);
        }
        if training.clip > 0 && self.format.is_direct() {
            return Err(SessionError::ClipInDirect);
        }
        Ok(())
    }

    #[cfg(not(feature = "extended-training"))]
    fn check_together(&self, _: &Network) -> Result<(), SessionError> {
        Ok(())
    }

    /// log2 of the batch size, rounded up.
    pub(super) fn batch_bits(&self) -> i32 {
        self.batch.next_power_of_two().trailing_zeros() as i32
    }

    /// log2 of the factor by which the gradient by a stage's output is scaled, relative to the gradient of the mean
    /// loss (for batch sizes that are no power of two, the scaled gradient is smaller by up to one half).
    ///
    /// It is the largest that the limits of this stage and of all later ones allow. On the way back through a stage's
    /// weights, a gradient gives up what the stage adds in headroom.
    pub(crate) fn gradient_exponent(&self, network: &Network, stage: usize) -> i32 {
        let later = network.stages[stage..].iter().rev();
        let exponent = later.fold(None, |exponent: Option<(i32, i32)>, stage| {
            let limit = self.gradient_limit(stage);
            let exponent = exponent.map_or(limit, |(exponent, added)| limit.min(exponent - added));
            Some((exponent, stage.added_headroom()))
        });
        exponent.map_or(0, |(exponent, _)| exponent)
    }

    /// The largest exponent of the gradient by a stage's output for which it and the stage's velocities keep the range
    /// contract, and fraction bits are of use.
    ///
    /// The gradient by the weights of a stage with average pooling is larger by the divisor, and its velocity has to
    /// keep the same contract. So such a stage gives up the divisor's bits. A momentum near 1 takes bits too, as far as
    /// headroom does not give them.
    fn gradient_limit(&self, stage: &Stage) -> i32 {
        let fraction = self.format.fraction as i32;
        let range = self.format.narrow() as i32 - 2 - fraction;
        if self.privacy().is_some() {
            // The gradients of single samples are not divided by the batch size, and make no velocities as they are.
            let limit = (range - Privacy::RANGE_BITS as i32).min(MAX_GRADIENT_FRACTION - fraction);
            return limit - stage.divisor_bits() as i32;
        }
        let momentum = self.momentum_bits().saturating_sub(stage.headroom[0]) as i32;
        let limit =
            (range - GRADIENT_RANGE_BITS as i32 - momentum).min(MAX_GRADIENT_FRACTION - fraction);
        limit - stage.divisor_bits() as i32
    }

    /// Bits of range that velocities take beyond those with a momentum of 0.9. A steady gradient g brings them to
    /// g / (1 - momentum), one that changes its sign at random to the square root of that factor.
    pub(super) fn momentum_bits(&self) -> u32 {
        let one = 1u32 << RATE_FRACTION;
        let tenths = one / (10 * one.saturating_sub(self.momentum)).max(1);
        (u32::BITS - tenths.leading_zeros()).div_ceil(2)
    }

    /// log2 of the factor by which the gradient by the logits of each sample is scaled, beside the fraction bits. It
    /// includes the division by the batch size, unless the gradients of single samples are clipped.
    pub fn softmax_exponent(&self, network: &Network) -> i32 {
        let exponent = self.gradient_exponent(network, network.stages.len() - 1);
        match self.privacy() {
            Some(_) => exponent,
            None => exponent - self.batch_bits(),
        }
    }

    /// Fraction bits of the sum of a stage's gradients over a batch, by weights and by biases alike, as a mean over
    /// 2^(log2 of the batch size, rounded up) samples; and bits by which the gradients by weights are divided to keep them, beside those
    /// of the divisor that they are multiplied by.
    #[inline(always)]
    pub(crate) fn gradient_fraction(&self, network: &Network, stage: usize) -> [i32; 2] {
        #[cfg(feature = "private-training")]
        if let Some(Some(clip)) = self.sample_clip(network, stage) {
            return [clip.fraction, network.stages[stage].divisor_bits() as i32];
        }
        let exponent = self.gradient_exponent(network, stage);
        let input = network.stages[stage].headroom[0] as i32;
        [2 * self.format.fraction as i32 + exponent - input, 0]
    }

    /// Bits that the gradient by the output of stage `to` drops, compared to that of the next stage, beside those that
    /// the next stage's headroom takes.
    pub fn gradient_drop(&self, network: &Network, to: usize) -> u32 {
        let next =
            self.gradient_exponent(network, to + 1) - network.stages[to + 1].added_headroom();
        (next - self.gradient_exponent(network, to)).unsigned_abs()
    }

    /// The integers by which the update of an iteration multiplies the velocities of a stage's weights and biases before
    /// it subtracts them from the master weights. Each combines learning rate, gradient scale, batch size, divisor and
    /// headroom.
    ///
    /// The exact factor may lie between two integers. Then some iterations take one and some the other, so that the sum
    /// over the iterations from the first on is right to one unit.
    pub fn rates(&self, network: &Network, stage: usize, iteration: u32) -> [u64; 2] {
        let learning_rate = self.learning_rate_at(iteration).into();
        let momentum = match self.has_nesterov() {
            true => ONE + u64::from(self.momentum),
            false => ONE,
        };
        self.rates_of(network, stage, [learning_rate, momentum], iteration)
    }

    /// The integers by which an update with Nesterov's momentum multiplies the last velocities before it takes them back.
    #[cfg(feature = "extended-training")]
    pub(crate) fn rates_of_last(
        &self,
        network: &Network,
        stage: usize,
        iteration: u32,
    ) -> [u64; 2] {
        let learning_rate = self.learning_rate_at(iteration).into();
        let factors = [learning_rate, self.momentum.into()];
        self.rates_of(network, stage, factors, iteration)
    }

    /// The integers of a learning rate times another factor, each with [`RATE_FRACTION`] fraction bits.
    fn rates_of(
        &self,
        network: &Network,
        stage: usize,
        [learning_rate, factor]: [u64; 2],
        iteration: u32,
    ) -> [u64; 2] {
        // A velocity is the mean gradient times 2^(its fraction bits) * batch / 2^batch_bits. For weights it is larger by the
        // divisor, and the master weights are smaller by it.
        let [fraction, divided] = self.gradient_fraction(network, stage);
        let fraction = fraction - (2 * self.format.fraction - self.format.step()) as i32;
        let stage = &network.stages[stage];
        let [input, output] = stage.headroom.map(|bits| bits as i32);
        let shift = self.format.master() as i32 + self.batch_bits()
            - fraction
            - output
            - 2 * RATE_FRACTION as i32;
        let rate = |divisor: u32, shift: i32| {
            let divided_by = u128::from(self.batch) * u128::from(divisor).pow(2);
            let (up, down) = (shift.max(0) as u32, (-shift).max(0) as u32);
            integer(
                (u128::from(learning_rate) * u128::from(factor)) << up,
                divided_by << down,
                iteration,
            )
        };
        [rate(stage.divisor, shift + input + divided), rate(1, shift)]
    }

    /// The bounds of the values of a gradient by weights and by biases, if it is clipped, in units of a velocity and at least 1.
    #[cfg(feature = "extended-training")]
    pub(crate) fn gradient_bounds(&self, network: &Network, stage: usize) -> [u64; 2] {
        // See `rates_of` for what a velocity is, of weights and of biases alike.
        let exponent = self.gradient_exponent(network, stage);
        let stage = &network.stages[stage];
        let shift = self.format.step() as i32 + exponent
            - stage.headroom[0] as i32
            - self.batch_bits()
            - RATE_FRACTION as i32;
        let most = 1 << (self.format.velocity() - 2);
        let bound = |divisor: u32| {
            let (up, down) = (shift.max(0) as u32, (-shift).max(0) as u32);
            let numerator =
                u128::from(self.training.clip) * u128::from(self.batch) * u128::from(divisor);
            let bound = quotient(numerator << up, 1 << down);
            // Gradients beyond it leave the contract.
            u64::try_from(bound).unwrap_or(most).clamp(1, most)
        };
        [bound(stage.divisor), bound(1)]
    }

    /// The integers by which an iteration multiplies a stage's weights and biases, as operands, before it adds them to their
    /// gradients: the weight decay, at the gradients' scale. An exact factor between two integers is as in [`Session::rates`].
    pub(crate) fn decays(&self, network: &Network, stage: usize, iteration: u32) -> [u64; 2] {
        // The sum of gradients has 2f fraction bits, the weights as operands those of the format. See `rates` for the rest:
        // gradients by the weights are larger by the divisor, and weights are smaller by it.
        let [fraction, divided] = self.gradient_fraction(network, stage);
        let stage = &network.stages[stage];
        let [input, output] = stage.headroom.map(|bits| bits as i32);
        let shift = fraction - self.format.weights as i32 + output
            - self.batch_bits()
            - RATE_FRACTION as i32;
        let decay = |divisor: u32, shift: i32| {
            let (up, down) = (shift.max(0) as u32, (-shift).max(0) as u32);
            let numerator = u128::from(self.training.weight_decay)
                * u128::from(self.batch)
                * u128::from(divisor).pow(2);
            integer(numerator << up, 1 << down, iteration)
        };
        [
            decay(stage.divisor, shift - input - divided),
            decay(1, shift),
        ]
    }
}

/// The quotient as an integer that in some iterations is rounded down and in some up, so that the sum over the iterations from
/// the first on is right to one unit.
fn integer(numerator: u128, denominator: u128, iteration: u32) -> u64 {
    let whole = quotient(numerator, denominator);
    let rest = numerator - whole * denominator;
    let sum = |iterations: u128| quotient(iterations * rest, denominator);
    let iteration = u128::from(iteration);
    u64::try_from(whole + sum(iteration + 1) - sum(iteration)).unwrap_or(u64::MAX)
}
