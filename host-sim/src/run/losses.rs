//! The loss of each iteration of a simulation, which sees the logits of both parties.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use ringlet_core::{
    model::Loss,
    network::Network,
    num::{Ring, signed},
    session::{ClassWeights, RATE_FRACTION, Rank, Session},
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

/// Losses of the samples of one batch, with their weights, as they come from the ranks of a party.
#[derive(Debug, Default)]
struct BatchLosses {
    /// By row of the batch. They are added up in this order, so that the sum does not depend on the ranks.
    rows: Vec<Option<[f64; 2]>>,
    known: usize,
}

/// Takes the losses of samples, batch after batch, at one of the ranks of a party.
pub struct Losses<'a> {
    session: &'a Session,
    /// Logits of a sample, and bits of their headroom.
    classes: usize,
    headroom: u32,
    /// The label of each sample.
    labels: &'a [u8],
    rank: Rank,
    iteration: u32,
    /// The row of the batch that comes next at this rank.
    row: u32,
    /// What all ranks have of the batch under way.
    batch: Arc<Mutex<BatchLosses>>,
    done: DoneLosses,
}

impl<'a> Losses<'a> {
    /// Begins with an iteration of a training on samples with these labels, at so many ranks. None under a loss that is no
    /// cross entropy.
    pub fn new(
        session: &'a Session,
        network: &Network,
        labels: &'a [u8],
        (iteration, ranks): (u32, u16),
    ) -> Option<Vec<Self>> {
        let is_cross_entropy = session.protocol.loss() == Loss::Softmax;
        let (batch, done) = (Arc::default(), DoneLosses::default());
        let of_rank = |rank: Rank| Losses {
            session,
            classes: network.classes,
            headroom: network.logit_headroom(),
            labels,
            rank,
            iteration,
            row: u32::from(rank.index()) * session.micro_batch,
            batch: Arc::clone(&batch),
            done: done.clone(),
        };
        let ranks = (0..ranks).filter_map(|index| Rank::new(index, ranks));
        is_cross_entropy.then(|| ranks.map(of_rank).collect())
    }

    /// Where the losses go.
    pub fn done(&self) -> DoneLosses {
        self.done.clone()
    }

    /// Takes the logits of the next samples of this rank, in the ring of so many bits.
    pub fn take<R: Ring>(&mut self, logits: &[R], ring: u32) {
        let mut batch = self.session.batch(self.iteration);
        while self.row >= batch.len {
            self.iteration += 1;
            self.row = u32::from(self.rank.index()) * self.session.micro_batch;
            batch = self.session.batch(self.iteration);
        }
        let mut samples = vec![0; logits.len() / self.classes];
        self.session.batch_samples(batch, self.row, &mut samples);
        let unit = 2f64.powi(self.headroom as i32 - self.session.format.fraction as i32);
        let losses = logits.chunks_exact(self.classes).zip(&samples);
        let losses = losses.map(|(logits, &sample)| {
            let logits: Vec<f64> = logits
                .iter()
                .map(|&logit| signed(logit.low(ring), ring) as f64 * unit)
                .collect();
            let label = self.labels.get(sample as usize).copied().unwrap_or(0);
            let weight = self.weight(label.into());
            [weight * self.of_sample(&logits, label.into()), weight]
        });
        if let Ok(mut all) = self.batch.lock() {
            all.rows.resize(batch.len as usize, None);
            let rows = all.rows[self.row as usize..].iter_mut();
            let known = rows.zip(losses).map(|(row, loss)| *row = Some(loss));
            all.known += known.count();
            if all.known == all.rows.len()
                && let Ok(mut done) = self.done.0.lock()
            {
                let sums = all
                    .rows
                    .iter()
                    .flatten()
                    .fold([0.0; 2], |sums, row| [sums[0] + row[0], sums[1] + row[1]]);
                done.push_back(sums[0] / sums[1]);
                *all = BatchLosses::default();
            }
        }
        self.row += samples.len() as u32;
        if self.row.is_multiple_of(self.session.micro_batch) {
            self.row += u32::from(self.rank.count() - 1) * self.session.micro_batch;
        }
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
