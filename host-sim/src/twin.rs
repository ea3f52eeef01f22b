//! The plaintext twin: the same network in float32, from the same first weights, on the same batches.

use ringlet_core::{
    fixed::Format,
    kernel::pool,
    network::{Network, Stage},
    session::{RATE_FRACTION, Session},
};

use crate::data::Images;

/// Weights and biases of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// As the stage's linear map stores them.
    pub weights: Vec<f32>,
    /// One for each output channel.
    pub biases: Vec<f32>,
}

impl Parameters {
    /// Reads a stage's revealed parameters, weights then biases, at scale 3f in Z_2^2L.
    pub fn decode(stage: &Stage, format: Format, values: &[u128]) -> Self {
        let unused = 128 - format.wide();
        let scale = (2f64).powi(-(format.master() as i32));
        let all: Vec<f32> = values
            .iter()
            .map(|&value| (((value << unused) as i128 >> unused) as f64 * scale) as f32)
            .collect();
        let (weights, biases) = all.split_at(stage.linear.weight_len());
        Parameters {
            weights: weights.to_vec(),
            biases: biases.to_vec(),
        }
    }
}

/// What a forward pass leaves for the backward pass.
struct Trace {
    /// What enters each stage's map, pooled.
    inputs: Vec<Vec<f32>>,
    /// What leaves each stage's map.
    outputs: Vec<Vec<f32>>,
}

/// A float32 network with its velocities.
pub struct Twin<'a> {
    network: &'a Network,
    parameters: Vec<Parameters>,
    velocities: Vec<Parameters>,
    learning_rate: f32,
    momentum: f32,
}

impl<'a> Twin<'a> {
    /// A network with the given parameters, trained as the session says.
    pub fn new(network: &'a Network, session: &Session, parameters: Vec<Parameters>) -> Self {
        let one = (1u32 << RATE_FRACTION) as f32;
        let velocities = parameters
            .iter()
            .map(|p| Parameters {
                weights: vec![0.0; p.weights.len()],
                biases: vec![0.0; p.biases.len()],
            })
            .collect();
        Twin {
            network,
            parameters,
            velocities,
            learning_rate: session.learning_rate as f32 / one,
            momentum: session.momentum as f32 / one,
        }
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &[Parameters] {
        &self.parameters
    }

    fn operand(&self, index: usize) -> Vec<f32> {
        let divisor = self.network.stages[index].divisor as f32;
        let weights = &self.parameters[index].weights;
        weights.iter().map(|w| w / divisor).collect()
    }

    fn forward(&self, rows: usize, mut x: Vec<f32>) -> Trace {
        let mut trace = Trace {
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for (index, stage) in self.network.stages.iter().enumerate() {
            if let Some((shape, window)) = stage.pooled_input {
                let (from, to) = (stage.entering_len(), stage.linear.input_len());
                let mut pooled = vec![0.0; rows * to];
                for row in 0..rows {
                    let out = &mut pooled[row * to..][..to];
                    pool::sum(shape, window, &x[row * from..][..from], out);
                }
                x = pooled;
            }
            let biases = &self.parameters[index].biases;
            let mut y: Vec<f32> = biases
                .iter()
                .copied()
                .cycle()
                .take(rows * stage.linear.output_len())
                .collect();
            let mut scratch = vec![0.0; stage.linear.scratch_len()];
            let w = self.operand(index);
            stage.linear.forward(rows, &x, &w, &mut y, &mut scratch);
            trace.inputs.push(x);
            x = if stage.relu {
                y.iter().map(|y| y.max(0.0)).collect()
            } else {
                y.clone()
            };
            trace.outputs.push(y);
        }
        trace
    }

    /// One step of gradient descent on `rows` images. The gradient is the sum over them, divided by
    /// the session's `batch` size also when the last batch is shorter.
    pub fn step(&mut self, x: Vec<f32>, labels: &[u8], batch: u32) {
        let rows = labels.len();
        let classes = self.network.classes;
        let trace = self.forward(rows, x);
        let mut gradient = trace.outputs[self.network.stages.len() - 1].clone();
        for (row, &label) in gradient.chunks_exact_mut(classes).zip(labels) {
            softmax(row);
            row[usize::from(label)] -= 1.0;
            for value in row {
                *value /= batch as f32;
            }
        }
        for (index, stage) in self.network.stages.iter().enumerate().rev() {
            let linear = &stage.linear;
            if stage.relu {
                for (g, y) in gradient.iter_mut().zip(&trace.outputs[index]) {
                    *g = if *y >= 0.0 { *g } else { 0.0 };
                }
            }
            let mut scratch = vec![0.0; linear.scratch_len()];
            let mut dw = vec![0.0; linear.weight_len()];
            let x = &trace.inputs[index];
            linear.weight_gradient(rows, x, &gradient, &mut dw, &mut scratch);
            for value in &mut dw {
                *value /= stage.divisor as f32;
            }
            let mut db = vec![0.0; linear.channels()];
            for gradient in gradient.chunks_exact(db.len()) {
                for (sum, g) in db.iter_mut().zip(gradient) {
                    *sum += g;
                }
            }
            if index > 0 {
                let w = self.operand(index);
                let mut wt = vec![0.0; w.len()];
                linear.transpose(&w, &mut wt);
                let mut dx = vec![0.0; rows * linear.input_len()];
                linear.input_gradient(rows, &gradient, &wt, &mut dx, &mut scratch);
                gradient = match stage.pooled_input {
                    None => dx,
                    Some((shape, window)) => {
                        let (len, entering) = (linear.input_len(), stage.entering_len());
                        let mut spread = vec![0.0; rows * entering];
                        for row in 0..rows {
                            let to = &mut spread[row * entering..][..entering];
                            pool::spread(shape, window, &dx[row * len..][..len], to);
                        }
                        spread
                    }
                };
            }
            self.update(index, &dw, &db);
        }
    }

    fn update(&mut self, index: usize, dw: &[f32], db: &[f32]) {
        let (p, v) = (&mut self.parameters[index], &mut self.velocities[index]);
        for (values, velocities, gradients) in [
            (&mut p.weights, &mut v.weights, dw),
            (&mut p.biases, &mut v.biases, db),
        ] {
            for ((value, velocity), gradient) in values.iter_mut().zip(velocities).zip(gradients) {
                *velocity = self.momentum * *velocity + gradient;
                *value -= self.learning_rate * *velocity;
            }
        }
    }

    /// Share of `images` whose class the network finds.
    pub fn accuracy(&self, images: &Images) -> f64 {
        const ROWS: usize = 100;
        let classes = self.network.classes;
        let mut right = 0;
        for first in (0..images.len()).step_by(ROWS) {
            let rows = ROWS.min(images.len() - first);
            let x = (first..first + rows).flat_map(|i| floats(images.image(i)));
            let trace = self.forward(rows, x.collect());
            let logits = &trace.outputs[self.network.stages.len() - 1];
            for (row, logits) in logits.chunks_exact(classes).enumerate() {
                let best = (0..classes).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                right += usize::from(best == Some(images.labels[first + row].into()));
            }
        }
        right as f64 / images.len() as f64
    }
}

/// Pixels as numbers from 0 to 1.
pub fn floats(pixels: &[u8]) -> impl Iterator<Item = f32> + '_ {
    pixels.iter().map(|&p| f32::from(p) / 255.0)
}

fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in logits.iter_mut() {
        *value = (*value - highest).exp();
        sum += *value;
    }
    for value in logits {
        *value /= sum;
    }
}
