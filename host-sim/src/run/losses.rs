//! The loss of each iteration of a simulation, which sees the logits of both parties.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use ringlet_core::{
    model::Loss,
    network::Network,
    num::{Ring, signed},
    session::{ClassWeights, RATE_FRACTION, Session},
};

/// The mean losses of iterations that are done, in their order.
#[derive(Clone, Debug, Default)]
pub struct DoneLosses(Arc<Mutex<VecDeque<f64>>>);

impl DoneLosses {
    /// The loss of the next iteration, if it is known.
    pub fn next(&self) -> Option<f64> {
        self.0.lock().ok()?.pop_front()
    }
}

/// Adds up the losses of samples, batch after batch.
pub struct Losses<'a> {
    session: &'a Session,
    /// Logits of a sample, and bits of their headroom.
    classes: usize,
    headroom: u32,
    /// The label of each sample.
    labels: &'a [u8],
    iteration: u32,
    /// Rows of the batch so far, the sum of their losses, and that of their weights.
    row: u32,
    sum: f64,
    weights: f64,
    done: DoneLosses,
}

impl<'a> Losses<'a> {
    /// Begins with an iteration of a training on samples with these labels. None under a loss that is no cross entropy.
    pub fn new(
        session: &'a Session,
        network: &Network,
        labels: &'a [u8],
        iteration: u32,
    ) -> Option<Self> {
        let is_cross_entropy = session.protocol.loss() == Loss::Softmax;
        is_cross_entropy.then(|| Losses {
            session,
            classes: network.classes,
            headroom: network.logit_headroom(),
            labels,
            iteration,
            row: 0,
            sum: 0.0,
            weights: 0.0,
            done: DoneLosses::default(),
        })
    }

    /// Where the losses go.
    pub fn done(&self) -> DoneLosses {
        self.done.clone()
    }

    /// Takes the logits of the next samples of the batch, in the ring of so many bits.
    pub fn take<R: Ring>(&mut self, logits: &[R], ring: u32) {
        let batch = self.session.batch(self.iteration);
        let mut samples = vec![0; logits.len() / self.classes];
        self.session.batch_samples(batch, self.row, &mut samples);
        let unit = 2f64.powi(self.headroom as i32 - self.session.format.fraction as i32);
        for (logits, &sample) in logits.chunks_exact(self.classes).zip(&samples) {
            let logits: Vec<f64> = logits
                .iter()
                .map(|&logit| signed(logit.low(ring), ring) as f64 * unit)
                .collect();
            let label = self.labels.get(sample as usize).copied().unwrap_or(0);
            let weight = self.weight(label.into());
            self.sum += weight * self.of_sample(&logits, label.into());
            self.weights += weight;
        }
        self.row += samples.len() as u32;
        if self.row < batch.len {
            return;
        }
        if let Ok(mut done) = self.done.0.lock() {
            done.push_back(self.sum / self.weights);
        }
        (self.iteration, self.row) = (self.iteration + 1, 0);
        (self.sum, self.weights) = (0.0, 0.0);
    }

    /// The weight of a class: 1 if all count the same.
    fn weight(&self, class: usize) -> f64 {
        let weight = self.session.class_weights.weights().get(class);
        let one = f64::from(1u32 << ClassWeights::FRACTION);
        weight.map_or(1.0, |&weight| f64::from(weight) / one)
    }

    /// The cross entropy of a label, smoothed as the session says.
    fn of_sample(&self, logits: &[f64], label: usize) -> f64 {
        let highest = logits.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        let log = |logit: f64| logit - highest - sum.ln();
        let smoothing =
            f64::from(self.session.training.label_smoothing) / f64::from(1u32 << RATE_FRACTION);
        let of_label = logits.get(label).map_or(0.0, |&logit| log(logit));
        let all: f64 = logits.iter().map(|&logit| log(logit)).sum();
        -(1.0 - smoothing) * of_label - smoothing / logits.len() as f64 * all
    }
}
