//! What follows a linear map in the twin: max pooling, activations, and the loss's normalisation of logits.

use ringlet_core::{
    kernel::Windows,
    network::{Activation, Stage},
    num::COEFFICIENT_FRACTION,
};

use crate::data::parameters::Real;

/// The index of the largest value of each window, image by image.
pub(super) fn largest<T: Real>(windows: Windows, images: &[T]) -> Vec<usize> {
    let (len, out) = (windows.input_len(), windows.output_len());
    let places: Vec<usize> = (0..len).collect();
    let mut planes = vec![0; windows.positions() * out];
    windows.gather(&places, &mut planes);
    let mut winners = Vec::new();
    for (row, image) in images.chunks_exact(len).enumerate() {
        for window in 0..out {
            let places = planes[window..].iter().step_by(out);
            let winner = places
                .copied()
                .reduce(|a, b| if image[b] > image[a] { b } else { a });
            winners.push(row * len + winner.unwrap_or(0));
        }
    }
    winners
}

/// The activation of a stage at one value.
pub(super) fn activate<T: Real>(stage: &Stage, y: T) -> T {
    match stage.activation {
        None => y,
        Some(Activation::Relu) => positive(y, y),
        Some(Activation::Polynomial(polynomial, _)) => evaluate(polynomial.terms(), y),
    }
}

/// The gradient by the input of [`activate`], from the gradient by its output.
pub(super) fn activate_backward<T: Real>(stage: &Stage, y: T, gradient: T) -> T {
    match stage.activation {
        None => gradient,
        Some(Activation::Relu) => positive(y, gradient),
        Some(Activation::Polynomial(polynomial, _)) => {
            evaluate(polynomial.derivative().terms(), y) * gradient
        }
    }
}

/// A polynomial at `x`, by Horner's rule.
fn evaluate<T: Real>(terms: &[i64], x: T) -> T {
    let scale = 2f64.powi(-(COEFFICIENT_FRACTION as i32));
    terms.iter().rev().fold(T::default(), |sum, &term| {
        T::from_f64(term as f64 * scale).multiply_add(sum, x)
    })
}

/// `value` if `sign` is not negative, else zero.
pub(super) fn positive<T: Real>(sign: T, value: T) -> T {
    if sign >= T::default() {
        value
    } else {
        T::default()
    }
}

pub(super) fn softmax<T: Real>(logits: &mut [T]) {
    let highest = logits
        .iter()
        .copied()
        .reduce(|a, b| if b > a { b } else { a })
        .unwrap_or_default();
    let mut sum = T::default();
    for value in logits.iter_mut() {
        *value = (*value - highest).exp();
        sum += *value;
    }
    for value in logits {
        *value /= sum;
    }
}

/// The cross entropy of a label, given logits.
pub(super) fn cross_entropy<T: Real>(logits: &[T], label: u8) -> f64 {
    let own = logits[usize::from(label)].to_f64();
    let others = logits.iter().enumerate();
    let others = others.filter(|(class, _)| *class != usize::from(label));
    let ahead = others.map(|(_, logit)| logit.to_f64() - own);
    let most = ahead.clone().fold(0.0, f64::max);
    let sum: f64 = ahead.map(|ahead| (ahead - most).exp()).sum();
    match most > 0.0 {
        true => most + (sum + (-most).exp()).ln(),
        false => sum.ln_1p(),
    }
}

/// ReLU(z) divided by the sum of ReLU over all logits; zeros if that sum is zero.
pub(super) fn normalise<T: Real>(logits: &mut [T]) {
    let mut sum = T::default();
    for value in logits.iter_mut() {
        *value = positive(*value, *value);
        sum += *value;
    }
    if sum > T::default() {
        for value in logits {
            *value /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropies_are_exact_near_0_and_far_from_it() {
        let logits = [0.0, -40.0, 3.0, -2000.0];
        let sum = 1.0 + (-40f64).exp() + 3f64.exp();
        for (label, logit) in [(0, 0.0), (1, -40.0), (2, 3.0), (3, -2000.0)] {
            let got = cross_entropy(&logits, label);
            let wanted = sum.ln() - logit;
            assert!(
                (got - wanted).abs() < 1e-12 * (1.0 + wanted),
                "{label}: {got}"
            );
        }
        let sure = cross_entropy(&[50.0, 0.0], 0);
        assert!((sure / (-50f64).exp() - 1.0).abs() < 1e-9, "{sure}");
        assert!(cross_entropy(&[f64::NAN, 0.0], 1).is_nan());
        assert!(cross_entropy(&[0.0, f64::NAN], 1).is_nan());
    }
}
