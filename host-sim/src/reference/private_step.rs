//! An iteration of DP-SGD as the protocol takes it, in floats: samples that are drawn one by one, gradients that are clipped
//! sample by sample and stage by stage, and noise on their sum.

use std::thread;

use ringlet_core::{kernel::Linear, network::Stage, prg::Address, session::Session};

use super::{
    seeded::Seeded,
    twin::{Dropped, Twin, add, stage_gradient},
};
use crate::{
    data::{
        Images,
        parameters::{Parameters, Real},
    },
    error::Failure,
    resources::spawn_scoped,
};

/// Parts of a batch, each of which is summed up by itself. So the sum does not depend on the number of threads.
const PARTS: usize = 16;
/// Samples that run through the network at a time.
const ROWS: usize = 8;

/// Samples of an iteration whose values are watched for their range.
const WATCHED: usize = 64;

/// What the numbers of a seed are for.
const DRAW: u8 = 0;
const NOISE: u8 = 1;

/// A training with differentially private gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrivateTraining {
    /// The probability with which an iteration draws each sample.
    pub rate: f64,
    /// The bound of the norm of a sample's gradient, over all stages.
    pub clip: f64,
    /// Noise multiplier: the deviation of one party's noise over the bound.
    pub noise: f64,
    /// Parties whose noise is in the sum: 2, or 1 for what a party sees that knows its own.
    pub parties: u32,
    /// Seed of the samples that are drawn, and of the noise.
    pub seed: u64,
}

impl PrivateTraining {
    /// That of a session whose gradients are private, with the noise of both parties; none of another one.
    pub fn of(session: &Session) -> Option<Self> {
        let privacy = session.privacy()?;
        Some(PrivateTraining {
            rate: f64::from(session.batch) / f64::from(session.total_samples()),
            clip: privacy.bound(),
            noise: privacy.multiplier(),
            parties: 2,
            seed: session.shuffle_seed,
        })
    }

    /// A training that draws its samples so, but neither clips their gradients nor adds noise.
    pub fn unprotected(rate: f64) -> Self {
        PrivateTraining {
            rate,
            clip: f64::MAX,
            noise: 0.0,
            parties: 1,
            seed: 0,
        }
    }

    /// The samples of so many that an iteration draws.
    pub fn draw(&self, iteration: u32, samples: usize) -> Vec<usize> {
        let place = Address {
            iteration,
            gate: 0,
            wire: DRAW,
        };
        let drawn = Seeded::new(self.seed).uniform(place, samples);
        let is_drawn = |sample: &usize| drawn[*sample] < self.rate;
        (0..samples).filter(is_drawn).collect()
    }

    /// The bound of the norm of a sample's gradient by one of so many stages.
    pub fn stage_bound(&self, stages: usize) -> f64 {
        self.clip / (stages as f64).sqrt()
    }

    /// The deviation of the noise in a sum of gradients.
    pub fn deviation(&self) -> f64 {
        f64::from(self.parties).sqrt() * self.noise * self.clip
    }

    /// Adds the noise of an iteration to sums of gradients.
    fn add_noise<T: Real>(&self, iteration: u32, sums: &mut [Parameters<T>]) {
        let (seeded, deviation) = (Seeded::new(self.seed), self.deviation());
        for (stage, sums) in sums.iter_mut().enumerate() {
            let place = Address {
                iteration,
                gate: stage as u32,
                wire: NOISE,
            };
            let len = sums.weights.len() + sums.biases.len();
            let values = sums.weights.iter_mut().chain(&mut sums.biases);
            for (value, noise) in values.zip(seeded.normal(place, len)) {
                *value += T::from_f64(deviation * noise);
            }
        }
    }
}

/// Adds the gradients by a stage's parameters to `sums`, each sample's clipped to `bound`. `x` has the inputs of the stage's
/// linear map, `dy` the gradients by its outputs.
fn add_clipped<T: Real>(
    stage: &Stage,
    (x, dy): (&[T], &[T]),
    bound: f64,
    sums: &mut Parameters<T>,
) {
    let factor = |square: f64| T::from_f64((bound / square.sqrt()).min(1.0));
    let (inputs, outputs) = (stage.linear.input_len(), stage.linear.output_len());
    let samples = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs));
    match stage.linear {
        Linear::Dense(_) => {
            // The gradient is an outer product, whose norm is the product of both norms.
            let divisor = f64::from(stage.divisor);
            let mut clipped = Vec::with_capacity(dy.len());
            for (x, dy) in samples {
                let inputs = square(x) / (divisor * divisor);
                let factor = factor(square(dy) * (inputs + 1.0));
                clipped.extend(dy.iter().map(|&value| value * factor));
            }
            let rows = clipped.len() / outputs;
            let gradient = stage_gradient(stage, rows, x, &clipped);
            add(&mut sums.weights, &gradient.weights);
            add(&mut sums.biases, &gradient.biases);
        }
        Linear::Conv(_) => {
            for (x, dy) in samples {
                let gradient = stage_gradient(stage, 1, x, dy);
                let factor = factor(square(&gradient.weights) + square(&gradient.biases));
                add_scaled(&mut sums.weights, &gradient.weights, factor);
                add_scaled(&mut sums.biases, &gradient.biases, factor);
            }
        }
    }
}

/// The sum of the squares.
fn square<T: Real>(values: &[T]) -> f64 {
    // In independent sums, which a processor adds at the same time.
    let mut sums = [T::default(); 16];
    let (whole, rest) = values.as_chunks::<16>();
    for values in whole {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum = sum.multiply_add(value, value);
        }
    }
    let rest = rest.iter().map(|value| value.to_f64().powi(2));
    sums.iter().map(|sum| sum.to_f64()).chain(rest).sum()
}

/// Adds values times a factor to as many others.
fn add_scaled<T: Real>(sums: &mut [T], values: &[T], factor: T) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = sum.multiply_add(value, factor);
    }
}

impl<T: Real> Twin<'_, T> {
    /// The sum of the gradients of the samples `chosen` of `images`, each clipped to `bound` stage by stage. They are the batch of
    /// an iteration of the session. The sum is the same for any number of threads.
    pub fn clipped_sum(
        &self,
        (images, chosen): (&Images, &[usize]),
        (session, iteration): (&Session, u32),
        bound: f64,
        threads: usize,
    ) -> Result<Vec<Parameters<T>>, Failure> {
        let part = chosen.len().div_ceil(PARTS).max(1);
        let parts: Vec<(usize, &[usize])> = (0..).step_by(part).zip(chosen.chunks(part)).collect();
        let sum_part = |&(first, chosen): &(usize, &[usize])| {
            let mut sums = self.zeros();
            let blocks = (first..).step_by(ROWS).zip(chosen.chunks(ROWS));
            for (first, chosen) in blocks {
                let dropped = Dropped {
                    session,
                    iteration,
                    first: first as u32,
                };
                self.add_block(images, chosen, dropped, bound, &mut sums);
            }
            sums
        };
        let each = parts.len().div_ceil(threads.max(1)).max(1);
        let summed: Vec<Vec<Parameters<T>>> = match each < parts.len() {
            false => parts.iter().map(sum_part).collect(),
            true => thread::scope(|scope| {
                let sum_part = &sum_part;
                let start = |parts: &'_ [_]| {
                    let parts: Vec<(usize, &[usize])> = parts.to_vec();
                    spawn_scoped(scope, move || {
                        parts.iter().map(sum_part).collect::<Vec<_>>()
                    })
                };
                let started: Vec<_> = parts.chunks(each).map(start).collect();
                let mut summed = Vec::with_capacity(parts.len());
                for thread in started {
                    match thread?.join() {
                        Ok(sums) => summed.extend(sums),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                Ok::<_, Failure>(summed)
            })?,
        };
        let mut sums = self.zeros();
        for part in summed {
            for (sum, part) in sums.iter_mut().zip(part) {
                add(&mut sum.weights, &part.weights);
                add(&mut sum.biases, &part.biases);
            }
        }
        Ok(sums)
    }

    /// Adds the clipped gradients of a few samples.
    fn add_block(
        &self,
        images: &Images,
        chosen: &[usize],
        dropped: Dropped<'_>,
        bound: f64,
        sums: &mut [Parameters<T>],
    ) {
        let pixels = chosen.iter().map(|&sample| images.image(sample));
        let x = pixels.flat_map(|pixels| self.floats(pixels)).collect();
        let labels: Vec<u8> = chosen.iter().map(|&sample| images.labels[sample]).collect();
        let trace = self.forward(labels.len(), x, Some(dropped));
        let mut sums = sums.iter_mut().rev();
        self.each_stage_backward(&trace, &labels, 1, |stage, x, dy| {
            if let Some(sums) = sums.next() {
                add_clipped(stage, (x, dy), bound, sums);
            }
        });
    }

    /// A gradient of zero.
    fn zeros(&self) -> Vec<Parameters<T>> {
        let zeros = |stage: &Stage| Parameters {
            weights: vec![T::default(); stage.linear.weight_len()],
            biases: vec![T::default(); stage.linear.channels()],
        };
        self.network.stages.iter().map(zeros).collect()
    }

    /// One iteration of a session, whose batch has `samples` samples unless they are drawn, with private gradients if it has them.
    pub fn follow(&mut self, session: &Session, images: &Images, iteration: u32, samples: u32) {
        match PrivateTraining::of(session) {
            // Fails only where threads cannot be started, and this starts none.
            Some(private) => {
                let _ = self.iterate_privately(session, images, iteration, &private, 1);
            }
            None => self.iterate(session, images, iteration, samples),
        }
    }

    /// One iteration of a private training on `images`. The sum of the clipped gradients and the noise is divided by the session's
    /// batch, however many samples are drawn.
    pub fn iterate_privately(
        &mut self,
        session: &Session,
        images: &Images,
        iteration: u32,
        private: &PrivateTraining,
        threads: usize,
    ) -> Result<(), Failure> {
        let chosen = private.draw(iteration, images.len());
        self.watch(images, &chosen[..chosen.len().min(WATCHED)]);
        let bound = private.stage_bound(self.network.stages.len());
        let of = (session, iteration);
        let mut sums = self.clipped_sum((images, &chosen), of, bound, threads)?;
        private.add_noise(iteration, &mut sums);
        let batch = T::from_f64(session.batch.into());
        for sums in &mut sums {
            for value in sums.weights.iter_mut().chain(&mut sums.biases) {
                *value /= batch;
            }
        }
        self.descend(&sums, session.learning_rate_at(iteration));
        Ok(())
    }
}
