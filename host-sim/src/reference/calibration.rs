//! Calibration: a plaintext training shows how large the values of a private one will be, and so what range its stages
//! need.

use ringlet_core::{
    network::{Network, Stage},
    num::Format,
    prg::Key,
    session::{Privacy, Session, TrainingOptions},
};

use super::twin::{Largest, Twin};
use crate::{
    data::{
        Images,
        parameters::{Parameters, initial_model},
        range_bits::{RangeBits, least, most},
    },
    error::Failure,
    resources::reserved,
};

/// The range is this many times what the plaintext training needed: another order of images, other initial weights and
/// rounding make other values.
const MARGIN: f64 = 4.0;

/// What a plaintext training needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The largest magnitudes of the outputs and of the velocities of each stage.
    pub largest: Vec<Largest>,
    format: Format,
    /// Bits of range that a velocity, or a gradient of one sample, has without headroom.
    spare: u32,
}

impl Calibration {
    /// Trains on the first `iterations` batches of `images`, and calls `done` after each. It begins with the model `initial`, or
    /// with weights of its own if that is empty: these and the order of images are always the same ones, so that the same
    /// settings and images have the same result. Fails if the plaintext training itself leaves the range of floats.
    pub fn run(
        (session, network): (&Session, &Network),
        (images, initial): (&Images, &[Parameters]),
        iterations: u32,
        mut done: impl FnMut(u32),
    ) -> Result<Self, Failure> {
        let session = &Session {
            training: TrainingOptions {
                privacy: session.training.privacy,
                ..TrainingOptions::default()
            },
            class_weights: Default::default(),
            shuffle_seed: 0,
            ..session.clone()
        };
        let keys = [0, 1].map(|byte| Key::new([byte; Key::LEN]));
        // What a step keeps of a batch and makes of it. A machine that refuses so much says so here.
        let values = |stage: &Stage| stage.entering_len() + stage.linear.output_len();
        let values: usize = network.stages.iter().map(values).sum();
        let floats = 2 * values * session.batch as usize;
        drop(reserved::<f32>(floats, "the calibration")?);
        let model = match initial {
            [] => initial_model(network, session, keys),
            initial => initial.to_vec(),
        };
        let mut twin: Twin<'_> = Twin::new(network, session, model);
        for iteration in 0..iterations {
            let samples = session.batch(iteration).len;
            twin.follow(session, images, iteration, samples);
            let finite =
                |largest: &Largest| largest.output.is_finite() && largest.velocity.is_finite();
            if !twin.largest().iter().all(finite) {
                return Err(Failure::new(
                    format!(
                        "a plaintext training with these settings leaves the range of floats at iteration {iteration}"
                    ),
                    "choose a lower --lr or less --momentum",
                ));
            }
            done(iteration + 1);
        }
        Ok(Calibration {
            largest: twin.largest().to_vec(),
            format: session.format,
            spare: match session.privacy() {
                Some(_) => Privacy::RANGE_BITS,
                None => Session::VELOCITY_RANGE_BITS,
            },
        })
    }

    /// The bits that each place needs: the images, which get the first stage's, and the output of each stage.
    fn needed(&self) -> Vec<u8> {
        let bits = |magnitude: f64| (magnitude * MARGIN).log2().ceil().max(0.0) as u32;
        let least = least(self.format);
        // A velocity, or a gradient of one sample, gets the headroom of its stage's input beyond what all have.
        let before = |stage: usize| {
            let velocity = bits(self.largest[stage].velocity);
            least + velocity.saturating_sub(self.spare)
        };
        let stages = 0..self.largest.len();
        let outputs = stages.clone().map(|stage| {
            let output = bits(self.largest[stage].output);
            let next = self.largest.get(stage + 1).map_or(0, |_| before(stage + 1));
            output.max(next).max(least)
        });
        let outputs: Vec<u32> = outputs.collect();
        let images = outputs.first().copied().unwrap_or(least).max(before(0));
        let all = std::iter::once(images).chain(outputs);
        all.map(|bits| bits.min(u8::MAX.into()) as u8).collect()
    }

    /// The range to give to each place, as far as the format can.
    pub fn range_bits(&self) -> RangeBits {
        let most = most(self.format).min(u8::MAX.into()) as u8;
        RangeBits::new(
            self.needed()
                .into_iter()
                .map(|bits| bits.min(most))
                .collect(),
        )
    }

    /// Whether the format cannot give the range that is needed.
    pub fn is_short(&self) -> bool {
        let most = most(self.format);
        self.needed().iter().any(|&bits| u32::from(bits) > most)
    }
}
