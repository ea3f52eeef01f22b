//! Weights and biases in floats, and their fixed-point form in the protocol.

use std::ops::{AddAssign, Div, DivAssign, Mul, Neg, Sub, SubAssign};

use ringlet_core::{
    network::{Network, Stage},
    num::Scalar,
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
        let scale = (2f64).powi(-(fraction as i32));
        let all: Vec<T> = values
            .iter()
            .map(|&value| T::from_f64(((value << unused) as i128 >> unused) as f64 * scale))
            .collect();
        let (weights, biases) = all.split_at(stage.linear.weight_len());
        Parameters {
            // The protocol keeps them divided.
            weights: weights.iter().map(|&w| w * divisor(stage)).collect(),
            biases: biases.to_vec(),
        }
    }
}

impl Parameters {
    /// The inverse of [`Parameters::decode`].
    pub fn encode(&self, stage: &Stage, session: &Session) -> Vec<u128> {
        let [_, fraction] = session.master();
        let scale = (2f64).powi(fraction as i32);
        let units = |value: f64| (value * scale).round() as i128 as u128;
        let divisor = f64::from(stage.divisor);
        let weights = self.weights.iter().map(|&w| units(f64::from(w) / divisor));
        let biases = self.biases.iter().map(|&b| units(b.into()));
        weights.chain(biases).collect()
    }
}

/// The parameters of all stages, from what [`Parameters::decode`] reads for each.
pub fn decode_model(network: &Network, session: &Session, values: &[Vec<u128>]) -> Vec<Parameters> {
    let stages = network.stages.iter().zip(values);
    stages
        .map(|(stage, values)| Parameters::decode(stage, session, values))
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
            let mut values = parameters.weights.iter().chain(&parameters.biases);
            match values.find(|&&value| f64::from(value.abs()) >= limit) {
                Some(value) => Err(Failure::new(
                    format!(
                        "{} has a parameter of {value}, and values have to stay below {limit}",
                        stage.name
                    ),
                    "use --ring u64 or fewer --fraction-bits",
                )),
                None => Ok(parameters.encode(stage, session)),
            }
        })
        .collect()
}

/// The divisor by which the protocol keeps a stage's weights divided.
pub(crate) fn divisor<T: Real>(stage: &Stage) -> T {
    T::from_f64(stage.divisor.into())
}
