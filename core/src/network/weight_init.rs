//! The initial weights.

use zeroize::Zeroize;

use crate::{
    model::InitialWeights,
    network::{Activation, Network, Stage},
    num::{division::quotient, square_root::square_root},
    prg::{Address, Prg},
};

/// Draws a party's share of a stage's initial weights from its own secret `prg`, and passes each weight's index and
/// value to `set`. The values are divided by [`Stage::divisor`] and have `fraction` fraction bits, less
/// [`Stage::added_headroom`]. Biases start at
/// zero and are not drawn.
///
/// Each share is uniform. The sum of both, times the divisor, has the variance that `initial` gives, times a gain that makes up
/// for average pooling. Weights of zero are not passed on: they are what memory begins with.
pub fn draw_weights(
    prg: &Prg,
    network: &Network,
    index: usize,
    fraction: u32,
    initial: InitialWeights,
    mut set: impl FnMut(usize, i128),
) {
    // Bits below 2^-60 stay zero.
    let drawn = fraction.min(60);
    let stage = &network.stages[index];
    let fan_in = stage.linear.fan_in();
    let fans = match initial {
        InitialWeights::He => fan_in,
        InitialWeights::Xavier => fan_in + stage.linear.fan_out(),
        InitialWeights::Zero => return,
    };
    // The sum of two uniform shares on (-b, b) has variance 2 b^2 / 3, so b = sqrt(3 / fans).
    let square = quotient(3 << (2 * drawn), fans as u128);
    let root = square_root(square * gain(network, index));
    let bound = quotient(root, stage.divisor.into());
    let address = stream(index);
    for weight in 0..stage.linear.weight_len() {
        let mut word = [0u64];
        prg.fill(address, weight as u64, &mut word);
        let value = (i128::from(word[0] as i64) * bound as i128) >> 63;
        set(
            weight,
            scaled(
                value,
                fraction as i32 - drawn as i32 - stage.added_headroom(),
            ),
        );
        word.zeroize();
    }
}

/// value * 2^bits, rounded down.
fn scaled(value: i128, bits: i32) -> i128 {
    match bits {
        0.. => value << bits,
        _ => value >> -bits,
    }
}

/// The factor by which a stage's initial variance is larger because average pooling shrinks it.
///
/// Averaging independent values divides their variance by the window's area. Neighbours are correlated, so the full area
/// compensates too much. With one pooling that leaves the logits in range. With several, or before a polynomial, the gain is
/// only the area's square root. Before a polynomial that another one follows it is 1:
/// values outside of a polynomial's interval grow with each polynomial.
fn gain(network: &Network, index: usize) -> u128 {
    let stage = &network.stages[index];
    let later = &network.stages[index + 1..];
    let pooled_stages = network.stages.iter().filter(|stage| stage.area() > 1);
    let area = u128::from(stage.area());
    match (is_polynomial(stage), later.iter().any(is_polynomial)) {
        (true, true) => 1,
        (false, _) if pooled_stages.count() == 1 => area,
        _ => square_root(area),
    }
}

fn is_polynomial(stage: &Stage) -> bool {
    matches!(stage.activation, Some(Activation::Polynomial(..)))
}

/// Address of a stage's initial weights in the streams of a party's own secret.
fn stream(stage: usize) -> Address {
    Address {
        iteration: stage as u32,
        gate: 1,
        wire: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_roots_are_the_standard_librarys() {
        let near = |value: u128| [value.saturating_sub(1), value, value.saturating_add(1)];
        let values = (0..u128::BITS).flat_map(|bit| near(1 << bit));
        let squares = [3, 12345, u64::MAX.into()].map(|root: u128| root * root);
        for value in values
            .chain(squares.into_iter().flat_map(near))
            .chain([u128::MAX])
        {
            assert_eq!(square_root(value), value.isqrt(), "{value}");
        }
    }
}
