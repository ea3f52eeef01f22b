//! A model's first layers as a backbone of integers.

use ring::digest::{SHA256, digest};
use ringlet_core::{
    backbone::{Backbone, BackboneHead, MAX_SHIFT, VALUE_FRACTION, VALUE_LIMIT, image},
    model::Layer,
};

use crate::{
    data::{feature_range::FeatureRange, normalise::MeanAndDeviation, parameters::Parameters},
    error::Failure,
};

/// The bytes of a backbone of these layers, for images of a shape that are normalised as `normalise` says. Fails if a
/// backbone cannot have such layers or such parameters.
pub fn bytes(
    input: [u16; 3],
    layers: &[Layer],
    parameters: &[Parameters],
    normalise: &MeanAndDeviation,
    range: FeatureRange,
) -> Result<Vec<u8>, Failure> {
    let encoded = encoded(parameters)?;
    let normalisation = normalise.normalisation();
    let head = BackboneHead {
        input,
        normalisation: &normalisation,
        layers,
        range: range.units(),
    };
    let unfit = || {
        Failure::new(
            "frozen layers cannot be polynomials or residual additions",
            "freeze layers before them",
        )
    };
    let mut bytes = image::head(&head, encoded.len())
        .ok_or_else(unfit)?
        .to_vec();
    bytes.extend(encoded);
    let sum = digest(&SHA256, &bytes);
    image::enter_digest(&mut bytes, std::array::from_fn(|index| sum.as_ref()[index]));
    let check = image::check(&bytes);
    bytes.extend(check);
    // What a device will read is read here first.
    Backbone::new(&bytes).map_err(|error| {
        Failure::new(
            format!("the frozen layers cannot be used: {error}"),
            "freeze others",
        )
    })?;
    Ok(bytes)
}

/// The parameters of all layers that learn, each scaled by as large a power of two as its weights allow.
fn encoded(parameters: &[Parameters]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for (index, Parameters { weights, biases }) in parameters.iter().enumerate() {
        let largest = weights
            .iter()
            .fold(0f32, |most, weight| most.max(weight.abs()));
        let too_large = |value: f32| {
            Failure::new(
                format!("frozen layer {} has a parameter of {value}", index + 1),
                "give a model whose parameters are below 512",
            )
        };
        let shift = (0..=MAX_SHIFT)
            .rev()
            .find(|&shift| f64::from(largest) * 2f64.powi(shift.into()) <= f64::from(i16::MAX));
        let shift = shift.filter(|_| weights.iter().all(|weight| weight.is_finite()));
        let shift = shift.ok_or_else(|| too_large(largest))?;
        bytes.push(shift);
        let scale = 2f64.powi(shift.into());
        let scaled = weights
            .iter()
            .map(|&weight| (f64::from(weight) * scale).round() as i16);
        bytes.extend(scaled.flat_map(i16::to_le_bytes));
        let one = 2f64.powi(VALUE_FRACTION as i32);
        for &bias in biases {
            let units = (f64::from(bias) * one).round();
            if units.is_nan() || units.abs() > f64::from(VALUE_LIMIT) {
                return Err(too_large(bias));
            }
            bytes.extend((units as i32).to_le_bytes());
        }
    }
    Ok(bytes)
}
