//! What training starts from.

use zeroize::Zeroize;

use crate::{
    network::{Activation, Network, Stage},
    prg::{Address, Prg},
};

/// A party's part of a stage's first weights, divided by [`Stage::divisor`], at `fraction` bits: uniform, so that
/// the sum over both parties has variance 2 / fan-in (He et al., 2015). Biases start at zero.
///
/// Averaging a pool window shrinks the variance, by its area if neighbours had nothing in common, so
/// there the standard deviation is larger by the window's side. Neighbours have much in common, so
/// where several stages pool, or a polynomial follows, only by the root of it: logits have to keep the
/// range contract. Before a polynomial that another one follows not at all: values past their
/// intervals grow with each.
pub(crate) fn draw(
    prg: &Prg,
    network: &Network,
    index: usize,
    fraction: u32,
    mut each: impl FnMut(usize, i128),
) {
    // Finer bits than these stay zero.
    let drawn = fraction.min(60);
    let stage = &network.stages[index];
    let pooled = network.stages.iter().filter(|s| s.divisor > 1).count();
    // Two uniform parts on (-b, b) have variance 2 b^2 / 3 together: b = sqrt(3 / fan-in).
    let square = (3u128 << (2 * drawn)) / stage.linear.fan_in() as u128;
    let divisor = u128::from(stage.divisor);
    let later = &network.stages[index + 1..];
    let gain = match (is_polynomial(stage), later.iter().any(is_polynomial)) {
        (true, true) => 1,
        (false, _) if pooled == 1 => divisor,
        _ => divisor.isqrt(),
    };
    let bound = (square * gain).isqrt() / divisor;
    let address = stream(index);
    for weight in 0..stage.linear.weight_len() {
        let mut word = [0u64];
        prg.fill(address, weight as u64, &mut word);
        let value = (i128::from(word[0] as i64) * bound as i128) >> 63;
        each(weight, value << (fraction - drawn));
        word.zeroize();
    }
}

fn is_polynomial(stage: &Stage) -> bool {
    matches!(stage.activation, Some(Activation::Polynomial(..)))
}

/// The stream of a party's own secret that a stage's initial weights are drawn from.
fn stream(stage: usize) -> Address {
    Address {
        iteration: stage as u32,
        gate: 1,
        wire: 0,
    }
}
