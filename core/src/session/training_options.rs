//! How a training differs from plain descent: schedule, weight decay, smoothed labels, initial weights. All of it is public.

use serde::{Deserialize, Serialize};

use super::{Privacy, RATE_FRACTION, Session, Task};
use crate::model::InitialWeights;

/// Whether the program has the options of a training that small devices leave out.
pub(crate) const EXTENDED: bool = cfg!(feature = "extended-training");

/// One, with [`RATE_FRACTION`] fraction bits.
const ONE: u32 = 1 << RATE_FRACTION;

/// What a training does beside descent with momentum at one learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingOptions {
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Iterations at the beginning in which the learning rate rises, by the same step in each.
    pub warm_up: u32,
    /// The part of each parameter that is added to its gradient, with [`RATE_FRACTION`] fraction bits.
    pub weight_decay: u32,
    /// The part of each label that all classes share, with [`RATE_FRACTION`] fraction bits, below 1 (Szegedy et al., 2016).
    pub label_smoothing: u32,
    /// The distribution of the weights that the parties draw.
    pub initial_weights: InitialWeights,
    /// Whether steps go on by the momentum of the new velocity (Nesterov's, as in Sutskever et al., ICML 2013).
    pub nesterov: bool,
    /// The largest magnitude of a value of the mean gradient, with [`RATE_FRACTION`] fraction bits; 0 for no bound.
    pub clip: u32,
    /// How single samples are protected, if they are.
    #[cfg_attr(
        not(feature = "private-training"),
        serde(with = "super::privacy::encoded")
    )]
    pub privacy: Option<Privacy>,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// After each so many epochs it is multiplied by a factor.
    Step {
        /// Epochs at one learning rate, at least 1.
        epochs: u32,
        /// With [`RATE_FRACTION`] fraction bits, above 0 and at most 1.
        factor: u32,
    },
    /// It falls along half a cosine, towards 0 at the end of the run (Loshchilov and Hutter, 2017).
    Cosine,
}

impl TrainingOptions {
    /// Whether the options mean something.
    pub(crate) fn is_sound(&self) -> bool {
        let falls = match self.schedule {
            Schedule::Step { epochs, factor } => epochs > 0 && (1..=ONE).contains(&factor),
            Schedule::Constant | Schedule::Cosine => true,
        };
        falls && self.label_smoothing < ONE && self.weight_decay < ONE
    }
}

impl Session {
    /// Whether samples have weights in this session.
    pub(crate) fn has_class_weights(&self) -> bool {
        EXTENDED && self.class_weights.is_given() && self.task == Task::Train
    }

    /// Whether the values of gradients are clipped.
    pub(crate) fn clips(&self) -> bool {
        EXTENDED && self.training.clip > 0
    }

    /// Whether steps go on by the momentum of the new velocity.
    pub(crate) fn has_nesterov(&self) -> bool {
        EXTENDED && self.training.nesterov
    }

    /// The learning rate of an iteration, with [`RATE_FRACTION`] fraction bits. All roles compute the same one.
    pub fn learning_rate_at(&self, iteration: u32) -> u32 {
        let options = &self.training;
        let warm_up = options.warm_up;
        if iteration < warm_up {
            let risen = u64::from(self.learning_rate) * (u64::from(iteration) + 1);
            return (risen / u64::from(warm_up)) as u32;
        }
        match options.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Step { epochs, factor } => {
                let epoch = self.batch(iteration).epoch;
                let mut rate = self.learning_rate;
                for _ in 0..epoch / epochs.max(1) {
                    if rate == 0 || factor == ONE {
                        break;
                    }
                    rate = times(rate, factor.into());
                }
                rate
            }
            Schedule::Cosine => {
                let all = u64::from(self.planned_iterations().saturating_sub(warm_up)).max(1);
                let done = u64::from(iteration - warm_up).min(all);
                times(self.learning_rate, half_cosine((done << 30) / all))
            }
        }
    }
}

/// A rate times a factor with [`RATE_FRACTION`] fraction bits, to the nearest.
fn times(rate: u32, factor: u64) -> u32 {
    ((u64::from(rate) * factor + u64::from(ONE / 2)) >> RATE_FRACTION) as u32
}

/// (1 + cos(pi x)) / 2 with [`RATE_FRACTION`] fraction bits, for x from 0 to 1 with 30 fraction bits: the square of the cosine
/// of pi x / 2, by the first terms of its series. It is off by less than 2^-20.
fn half_cosine(x: u64) -> u64 {
    /// pi / 2 with 30 fraction bits.
    const QUARTER: i64 = 1_686_629_713;
    let product = |a: i64, b: i64| (a * b) >> 30;
    let angle = product(x as i64, QUARTER);
    let square = product(angle, angle);
    // 1 - s / 2 (1 - s / 12 (1 - s / 30 (1 - s / 56 (1 - s / 90)))).
    let one = 1i64 << 30;
    let terms = [90, 56, 30, 12, 2].into_iter();
    let cosine = terms.fold(one, |sum, divisor| one - product(square, sum) / divisor);
    let cosine = cosine.clamp(0, one);
    (product(cosine, cosine) >> (30 - RATE_FRACTION)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;

    #[test]
    fn the_cosine_is_one() {
        for step in 0..=1000u64 {
            let x = step as f64 / 1000.0;
            let want = (1.0 + (core::f64::consts::PI * x).cos()) / 2.0;
            let got = half_cosine((x * f64::from(1 << 30)) as u64) as f64 / f64::from(ONE);
            assert!((got - want).abs() < 2f64.powi(-20), "{x}: {got}, {want}");
        }
    }

    #[test]
    fn options_without_a_meaning_are_found() {
        let step = |epochs, factor| TrainingOptions {
            schedule: Schedule::Step { epochs, factor },
            ..TrainingOptions::default()
        };
        assert!(TrainingOptions::default().is_sound());
        assert!(step(1, 1).is_sound() && step(1, ONE).is_sound());
        assert!(!step(0, 1).is_sound() && !step(1, 0).is_sound() && !step(1, ONE + 1).is_sound());
        for (decay, smoothing, sound) in [(0, ONE - 1, true), (0, ONE, false), (ONE, 0, false)] {
            let options = TrainingOptions {
                weight_decay: decay,
                label_smoothing: smoothing,
                ..TrainingOptions::default()
            };
            assert_eq!(options.is_sound(), sound);
        }
    }
}
