//! Weights and biases in floats, and their fixed-point form in the protocol.

use std::ops::{AddAssign, Div, DivAssign, Mul, Neg, Sub, SubAssign};

use ringlet_core::{
    network::{Network, Stage, draw_weights},
    num::Scalar,
    prg::{Key, Prg},
    session::Session,
};

use crate::error::Failure;

/// The float types of the plaintext twin.
pub trait Real:
    Scalar
    + PartialOrd
    + AddAssign
    + SubAssign
    + DivAssign
    + Neg<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// The nearest float.
    fn from_f64(value: f64) -> Self;
    /// As a double.
    fn to_f64(self) -> f64;
    /// e to the power of it.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
}

macro_rules! real {
    ($($float:ty),*) => {$(
        impl Real for $float {
            fn from_f64(value: f64) -> Self { value as $float }
            fn to_f64(self) -> f64 { self.into() }
            fn exp(self) -> Self { self.exp() }
            fn ln(self) -> Self { self.ln() }
        }
    )*};
}

real!(f32, f64);

/// Weights and biases of one stage, or their gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<T = f32> {
    /// As the stage's linear map stores them.
    pub weights: Vec<T>,
    /// One for each output channel.
    pub biases: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// Reads a stage's revealed parameters, weights then biases, at the master weights' scale and in their ring.
    pub fn decode(stage: &Stage, session: &Session, values: &[u128]) -> Self {
        let [bits, fraction] = session.master();
        let unused = 128 - bits;
        let [weight_scale, bias_scale] = scales(stage, fraction);
        let (weights, biases) = values.split_at(stage.linear.weight_len());
        let floats = |values: &[u128], scale: f64| {
            let signed = values
                .iter()
                .map(|&value| (value << unused) as i128 >> unused);
            signed
                .map(|value| T::from_f64(value as f64 / scale))
                .collect()
        };
        Parameters {
            weights: floats(weights, weight_scale),
            biases: floats(biases, bias_scale),
        }
    }
}

impl Parameters {
    /// The inverse of [`Parameters::decode`].
    pub fn encode(&self, stage: &Stage, session: &Session) -> Vec<u128> {
        let [_, fraction] = session.master();
        let [weight_scale, bias_scale] = scales(stage, fraction);
        let units = |value: f32, scale: f64| (f64::from(value) * scale).round() as i128 as u128;
        let weights = self.weights.iter().map(|&w| units(w, weight_scale));
        let biases = self.biases.iter().map(|&b| units(b, bias_scale));
        weights.chain(biases).collect()
    }
}

/// The factors of a stage's weights and biases in the protocol, whose master weights have `fraction` fraction bits. It
/// keeps weights divided by the stage's divisor and added headroom, and biases by the output's headroom.
fn scales(stage: &Stage, fraction: u32) -> [f64; 2] {
    let power = |less: i32| 2f64.powi(fraction as i32 - less);
    let [_, output] = stage.headroom;
    [
        power(stage.added_headroom()) / f64::from(stage.divisor),
        power(output as i32),
    ]
}

/// The parameters of all stages, from what [`Parameters::decode`] reads for each.
pub fn decode_model(network: &Network, session: &Session, values: &[Vec<u128>]) -> Vec<Parameters> {
    let stages = network.stages.iter().zip(values);
    stages
        .map(|(stage, values)| Parameters::decode(stage, session, values))
        .collect()
}

/// The model that two parties with these secrets begin with.
pub fn initial_model(network: &Network, session: &Session, keys: [Key; 2]) -> Vec<Parameters> {
    let [_, fraction] = session.master();
    let prgs = keys.map(Prg::new);
    let stages = network.stages.iter().enumerate();
    stages
        .map(|(index, stage)| {
            let mut sums = vec![0u128; stage.parameters()];
            for prg in &prgs {
                let initial = session.training.initial_weights;
                draw_weights(prg, network, index, fraction, initial, |weight, value| {
                    sums[weight] = sums[weight].wrapping_add(value as u128);
                });
            }
            Parameters::decode(stage, session, &sums)
        })
        .collect()
}

/// The inverse of [`decode_model`]. Fails if a parameter is not below the session's range contract, as it would be taken for
/// another number.
pub fn encode_model(
    network: &Network,
    session: &Session,
    parameters: &[Parameters],
) -> Result<Vec<Vec<u128>>, Failure> {
    let format = session.format;
    let limit = 2f64.powi(format.ring as i32 - 2 * format.fraction as i32 - 2);
    let stages = network.stages.iter().zip(parameters);
    stages
        .map(|(stage, parameters)| {
            let [weight_scale, bias_scale] = scales(stage, 0);
            let limits = [limit / weight_scale, limit / bias_scale];
            let values = [&parameters.weights, &parameters.biases];
            for (values, limit) in values.into_iter().zip(limits) {
                if let Some(value) = values.iter().find(|value| f64::from(value.abs()) >= limit) {
                    return Err(Failure::new(
                        format!(
                            "{} has a parameter of {value}, and it has to stay below {limit}",
                            stage.name
                        ),
                        "use more --range-bits or --ring u64",
                    ));
                }
            }
            Ok(parameters.encode(stage, session))
        })
        .collect()
}

/// The divisor by which the protocol keeps a stage's weights divided.
pub(crate) fn divisor<T: Real>(stage: &Stage) -> T {
    T::from_f64(stage.divisor.into())
}
