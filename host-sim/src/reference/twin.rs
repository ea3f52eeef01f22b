//! The plaintext twin: the same network in floats, from the same initial weights, on the same batches. It runs in
//! float32; tests check its gradients in float64.

use ringlet_core::{
    data::Normalisation,
    model::Loss,
    network::{Network, Stage},
    session::{ClassWeights, RATE_FRACTION, Session},
};

use super::activations::{activate, activate_backward, cross_entropy, largest, normalise, softmax};
use crate::data::{
    Images,
    normalise::floats,
    parameters::{Parameters, Real, divisor},
};

/// What a forward pass leaves for the backward pass.
pub(super) struct Trace<T> {
    /// The inputs of each stage's linear map, after pooling and dropout.
    inputs: Vec<Vec<T>>,
    /// The factors of the inputs' dropout, for stages that have one.
    factors: Vec<Vec<T>>,
    /// The outputs of each stage's linear map with what is added to them, or of its max pooling.
    outputs: Vec<Vec<T>>,
    /// The index of each maximum in the map's output, for stages with max pooling.
    winners: Vec<Vec<usize>>,
    /// The largest magnitude in the output of each stage's linear map.
    largest: Vec<f64>,
}

/// What a dropout drops in training.
#[derive(Clone, Copy)]
pub(super) struct Dropped<'s> {
    /// The session whose coins decide it.
    pub session: &'s Session,
    /// The iteration.
    pub iteration: u32,
    /// The place of the first sample in the iteration's batch.
    pub first: u32,
}

/// The largest magnitudes of a stage's values so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Largest {
    /// Of the outputs of its linear map.
    pub output: f64,
    /// Of the velocities of its weights and biases.
    pub velocity: f64,
}

/// The largest magnitude; not a number if one of them is none.
fn largest_of<T: Real>(values: &[T], start: f64) -> f64 {
    let magnitudes = values.iter().map(|value| value.to_f64().abs());
    magnitudes.fold(start, |largest, value| match value <= largest {
        true => largest,
        false => value,
    })
}

/// Samples that run through the network at a time, outside of training.
const ROWS: usize = 100;

/// A network in floats with its velocities.
pub struct Twin<'a, T = f32> {
    pub(super) network: &'a Network,
    parameters: Vec<Parameters<T>>,
    velocities: Vec<Parameters<T>>,
    largest: Vec<Largest>,
    momentum: T,
    weight_decay: T,
    nesterov: bool,
    /// The largest magnitude of a value of a gradient, if it is clipped.
    clip: Option<T>,
    /// The weights of classes; none if all count the same.
    class_weights: Vec<T>,
    /// The part of each label that all classes share.
    smoothing: T,
    loss: Loss,
    normalisation: Normalisation,
}

impl<'a, T: Real> Twin<'a, T> {
    /// A network with the given parameters, trained as the session says.
    pub fn new(network: &'a Network, session: &Session, parameters: Vec<Parameters<T>>) -> Self {
        let velocities = parameters
            .iter()
            .map(|p| Parameters {
                weights: vec![T::default(); p.weights.len()],
                biases: vec![T::default(); p.biases.len()],
            })
            .collect();
        Twin {
            network,
            parameters,
            velocities,
            largest: vec![Largest::default(); network.stages.len()],
            momentum: rate(session.momentum),
            weight_decay: rate(session.training.weight_decay),
            nesterov: session.training.nesterov,
            clip: (session.training.clip > 0).then(|| rate(session.training.clip)),
            class_weights: class_weights(session),
            smoothing: rate(session.training.label_smoothing),
            loss: session.protocol.loss(),
            normalisation: session.normalisation.clone(),
        }
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &[Parameters<T>] {
        &self.parameters
    }

    /// The largest values of each stage in all steps so far.
    pub fn largest(&self) -> &[Largest] {
        &self.largest
    }

    /// The parameters, for tests that change them.
    pub fn parameters_mut(&mut self) -> &mut [Parameters<T>] {
        &mut self.parameters
    }

    fn operand(&self, index: usize) -> Vec<T> {
        let divisor = divisor(&self.network.stages[index]);
        let weights = &self.parameters[index].weights;
        weights.iter().map(|&w| w / divisor).collect()
    }

    /// The factors of a stage's dropout for `rows` samples; none if the stage has no dropout.
    fn factors(&self, index: usize, rows: usize, dropped: Option<Dropped<'_>>) -> Vec<T> {
        let stage = &self.network.stages[index];
        let Some(dropout) = stage.dropout else {
            return Vec::new();
        };
        let len = stage.linear.input_len();
        let [kept, whole] =
            [dropout.kept(), dropout.whole()].map(|factor| T::from_f64(factor.into()));
        let Some(of) = dropped else {
            return vec![whole; rows * len];
        };
        let coins = |row| {
            of.session
                .coins(dropout, index, of.iteration, of.first + row)
        };
        let coins = (0..rows as u32).map(coins);
        let factors = coins.flat_map(|mut coins| {
            let drops = std::iter::repeat_with(move || coins.drops()).take(len);
            drops.map(|drops| if drops { T::default() } else { kept })
        });
        factors.collect()
    }

    /// Runs the network on `rows` samples, without dropout if nothing says what is dropped.
    pub(super) fn forward(
        &self,
        rows: usize,
        mut x: Vec<T>,
        dropped: Option<Dropped<'_>>,
    ) -> Trace<T> {
        let mut trace = Trace {
            inputs: Vec::new(),
            factors: Vec::new(),
            outputs: Vec::new(),
            winners: Vec::new(),
            largest: Vec::new(),
        };
        for (index, stage) in self.network.stages.iter().enumerate() {
            if let Some(pool) = stage.pooled_input {
                let mut pooled = vec![T::default(); rows * pool.output_len()];
                pool.sum(&x, &mut pooled);
                x = pooled;
            }
            let factors = self.factors(index, rows, dropped);
            multiply(&mut x, &factors);
            trace.factors.push(factors);
            let biases = &self.parameters[index].biases;
            let mut y: Vec<T> = biases
                .iter()
                .copied()
                .cycle()
                .take(rows * stage.linear.output_len())
                .collect();
            let mut scratch = vec![T::default(); stage.linear.scratch_len()];
            let w = self.operand(index);
            stage.linear.forward(rows, &x, &w, &mut y, &mut scratch);
            trace.inputs.push(x);
            if let Some(source) = stage.skip {
                add(&mut y, &trace.inputs[usize::from(source)]);
            }
            trace.largest.push(largest_of(&y, 0.0));
            let mut winners = Vec::new();
            if let Some(windows) = stage.max_pool {
                winners = largest(windows, &y);
                y = winners.iter().map(|&place| y[place]).collect();
            }
            trace.winners.push(winners);
            x = y.iter().map(|&y| activate(stage, y)).collect();
            trace.outputs.push(y);
        }
        trace
    }

    /// The cross entropy of `labels` given the images `x`, summed and divided by `batch`.
    pub fn loss(&self, x: Vec<T>, labels: &[u8], batch: u32) -> T {
        let mut logits = self
            .forward(labels.len(), x, None)
            .outputs
            .pop()
            .unwrap_or_default();
        let mut loss = T::default();
        for (row, &label) in logits.chunks_exact_mut(self.network.classes).zip(labels) {
            softmax(row);
            loss -= row[usize::from(label)].ln();
        }
        loss / T::from_f64(batch.into())
    }

    /// The cross entropy of each image's label. It is exact where it is almost 0, too.
    pub fn losses(&self, images: &Images) -> Vec<f64> {
        let mut losses = Vec::with_capacity(images.len());
        for (x, labels) in self.blocks(images) {
            let trace = self.forward(labels.len(), x, None);
            let logits = &trace.outputs[self.network.stages.len() - 1];
            let rows = logits.chunks_exact(self.network.classes).zip(labels);
            losses.extend(rows.map(|(logits, &label)| cross_entropy(logits, label)));
        }
        losses
    }

    /// The images in blocks that fit in a processor's cache, with their labels.
    fn blocks<'p>(&'p self, images: &'p Images) -> impl Iterator<Item = (Vec<T>, &'p [u8])> {
        let blocks = images.labels.chunks(ROWS).enumerate();
        blocks.map(|(block, labels)| {
            let rows = block * ROWS..block * ROWS + labels.len();
            let x = rows.flat_map(|row| self.floats(images.image(row)));
            (x.collect(), labels)
        })
    }

    /// One step of gradient descent on the images `x`, the batch of an iteration of a session. The gradient is the sum over them
    /// divided by the session's batch size, even if the last batch is shorter.
    pub fn step(&mut self, x: Vec<T>, labels: &[u8], (session, iteration): (&Session, u32)) {
        let dropped = Dropped {
            session,
            iteration,
            first: 0,
        };
        let trace = self.forward(labels.len(), x, Some(dropped));
        for (largest, &value) in self.largest.iter_mut().zip(&trace.largest) {
            largest.output = largest_of(&[value], largest.output);
        }
        let gradients = self.backward(&trace, labels, session.batch);
        self.descend(&gradients, session.learning_rate_at(iteration));
    }

    /// Notes how large the outputs of each stage are for these images, and the gradients of each of them by its parameters, which take
    /// the place of velocities.
    pub(super) fn watch(&mut self, images: &Images, chosen: &[usize]) {
        let pixels = chosen.iter().map(|&sample| images.image(sample));
        let x = pixels.flat_map(|pixels| self.floats(pixels)).collect();
        let labels: Vec<u8> = chosen.iter().map(|&sample| images.labels[sample]).collect();
        let trace = self.forward(chosen.len(), x, None);
        let mut gradients = Vec::new();
        self.each_stage_backward(&trace, &labels, 1, |stage, x, dy| {
            let (inputs, outputs) = (stage.linear.input_len(), stage.linear.output_len());
            let samples = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs));
            gradients.push(samples.fold(0.0, |largest, (x, dy)| {
                let gradient = stage_gradient(stage, 1, x, dy);
                let largest = largest_of(&gradient.weights, largest);
                largest_of(&gradient.biases, largest)
            }));
        });
        let of_stages = trace.largest.iter().zip(gradients.into_iter().rev());
        for (largest, (&output, gradient)) in self.largest.iter_mut().zip(of_stages) {
            largest.output = largest_of(&[output], largest.output);
            largest.velocity = largest_of(&[gradient], largest.velocity);
        }
    }

    /// Changes the parameters by a gradient, at a learning rate in the session's units.
    pub(super) fn descend(&mut self, gradients: &[Parameters<T>], learning_rate: u32) {
        for (index, gradient) in gradients.iter().enumerate() {
            self.update(index, gradient, rate(learning_rate));
            let (velocities, largest) = (&self.velocities[index], &mut self.largest[index]);
            largest.velocity = largest_of(&velocities.weights, largest.velocity);
            largest.velocity = largest_of(&velocities.biases, largest.velocity);
        }
    }

    /// The pixels of an image as the network takes them.
    pub fn floats<'p>(&'p self, pixels: &'p [u8]) -> impl Iterator<Item = T> + 'p {
        floats(&self.normalisation, self.network.input[2], pixels)
    }

    /// One step on the batch of `iteration`, which has `samples` of the session's `images`.
    pub fn iterate(&mut self, session: &Session, images: &Images, iteration: u32, samples: u32) {
        let mut indices = vec![0; samples as usize];
        let batch = session.batch(iteration);
        session.batch_samples(batch, 0, &mut indices);
        let chosen = indices.iter().map(|&index| index as usize);
        let x = chosen.clone().flat_map(|i| self.floats(images.image(i)));
        let labels: Vec<u8> = chosen.clone().map(|i| images.labels[i]).collect();
        self.step(x.collect(), &labels, (session, iteration));
    }

    /// The gradient of [`Twin::loss`] by every parameter, without dropout.
    pub fn gradients(&self, x: Vec<T>, labels: &[u8], batch: u32) -> Vec<Parameters<T>> {
        self.backward(&self.forward(labels.len(), x, None), labels, batch)
    }

    /// The gradient by every parameter, from what the forward pass left.
    fn backward(&self, trace: &Trace<T>, labels: &[u8], batch: u32) -> Vec<Parameters<T>> {
        let mut gradients = Vec::new();
        self.each_stage_backward(trace, labels, batch, |stage, x, dy| {
            gradients.push(stage_gradient(stage, labels.len(), x, dy));
        });
        gradients.reverse();
        gradients
    }

    /// Runs backward from what the forward pass left. Calls `visit` for each stage from the last to the first, with the inputs of
    /// its linear map and the gradient by their outputs.
    pub(super) fn each_stage_backward(
        &self,
        trace: &Trace<T>,
        labels: &[u8],
        batch: u32,
        mut visit: impl FnMut(&Stage, &[T], &[T]),
    ) {
        let rows = labels.len();
        let classes = self.network.classes;
        // The gradient by what was added, for each stage whose input it was.
        let mut skips: Vec<Vec<T>> = vec![Vec::new(); self.network.stages.len()];
        let mut gradient = trace.outputs[self.network.stages.len() - 1].clone();
        for (row, &label) in gradient.chunks_exact_mut(classes).zip(labels) {
            match self.loss {
                Loss::Softmax => softmax(row),
                Loss::Normalised => normalise(row),
            }
            row[usize::from(label)] -= T::from_f64(1.0) - self.smoothing;
            let weight = self.class_weights.get(usize::from(label)).copied();
            let weight = weight.unwrap_or(T::from_f64(1.0));
            for value in row {
                *value -= self.smoothing / T::from_f64(classes as f64);
                *value = *value * weight;
                *value /= T::from_f64(batch.into());
            }
        }
        for (index, stage) in self.network.stages.iter().enumerate().rev() {
            let linear = &stage.linear;
            for (g, &y) in gradient.iter_mut().zip(&trace.outputs[index]) {
                *g = activate_backward(stage, y, *g);
            }
            if stage.max_pool.is_some() {
                let pooled = gradient;
                gradient = vec![T::default(); rows * linear.output_len()];
                for (&winner, g) in trace.winners[index].iter().zip(pooled) {
                    gradient[winner] += g;
                }
            }
            if let Some(source) = stage.skip {
                let sums = &mut skips[usize::from(source)];
                sums.resize(gradient.len(), T::default());
                add(sums, &gradient);
            }
            visit(stage, &trace.inputs[index], &gradient);
            if index > 0 {
                let mut scratch = vec![T::default(); linear.scratch_len()];
                let w = self.operand(index);
                let mut wt = vec![T::default(); w.len()];
                linear.transpose(&w, &mut wt);
                let mut dx = vec![T::default(); rows * linear.input_len()];
                linear.input_gradient(rows, &gradient, &wt, &mut dx, &mut scratch);
                multiply(&mut dx, &trace.factors[index]);
                add(&mut dx, &skips[index]);
                gradient = match stage.pooled_input {
                    None => dx,
                    Some(pool) => {
                        let mut spread = vec![T::default(); rows * pool.input_len()];
                        pool.spread(&dx, &mut spread);
                        spread
                    }
                };
            }
        }
    }

    fn update(&mut self, index: usize, gradient: &Parameters<T>, learning_rate: T) {
        let (p, v) = (&mut self.parameters[index], &mut self.velocities[index]);
        for (values, velocities, gradients) in [
            (&mut p.weights, &mut v.weights, &gradient.weights),
            (&mut p.biases, &mut v.biases, &gradient.biases),
        ] {
            for ((value, velocity), &gradient) in values.iter_mut().zip(velocities).zip(gradients) {
                let clipped = self.clip.map_or(gradient, |most| clip(gradient, most));
                let gradient = clipped.multiply_add(self.weight_decay, *value);
                *velocity = gradient.multiply_add(self.momentum, *velocity);
                let step = match self.nesterov {
                    true => gradient.multiply_add(self.momentum, *velocity),
                    false => *velocity,
                };
                *value -= learning_rate * step;
            }
        }
    }

    /// Share of `images` that the network classifies right.
    pub fn accuracy(&self, images: &Images) -> f64 {
        let found = self.classes(images);
        let pairs = found.iter().zip(&images.labels);
        let right = pairs.filter(|(class, label)| class == label).count();
        right as f64 / images.len() as f64
    }

    /// The class that the network finds in each image.
    pub fn classes(&self, images: &Images) -> Vec<u8> {
        let classes = self.network.classes;
        let mut found = Vec::with_capacity(images.len());
        for (x, labels) in self.blocks(images) {
            let trace = self.forward(labels.len(), x, None);
            let logits = &trace.outputs[self.network.stages.len() - 1];
            for logits in logits.chunks_exact(classes) {
                let logit = |class: usize| logits[class].to_f64();
                let best = (0..classes).max_by(|&a, &b| logit(a).total_cmp(&logit(b)));
                // A label is a byte.
                found.push(best.map_or(0, |class| class as u8));
            }
        }
        found
    }
}

/// The gradient by a stage's parameters for `rows` samples with the inputs `x` of its linear map and the gradient `dy` by the
/// outputs.
pub(super) fn stage_gradient<T: Real>(
    stage: &Stage,
    rows: usize,
    x: &[T],
    dy: &[T],
) -> Parameters<T> {
    let linear = &stage.linear;
    let mut scratch = vec![T::default(); linear.scratch_len()];
    let mut weights = vec![T::default(); linear.weight_len()];
    linear.weight_gradient(rows, x, dy, &mut weights, &mut scratch);
    for value in &mut weights {
        *value /= divisor(stage);
    }
    let mut biases = vec![T::default(); linear.channels()];
    for gradient in dy.chunks_exact(biases.len()) {
        add(&mut biases, gradient);
    }
    Parameters { weights, biases }
}

/// The weights of classes; none if all count the same.
fn class_weights<T: Real>(session: &Session) -> Vec<T> {
    let one = f64::from(1u32 << ClassWeights::FRACTION);
    let weights = session.class_weights.weights().iter();
    weights
        .map(|&weight| T::from_f64(f64::from(weight) / one))
        .collect()
}

/// The nearest value whose magnitude is at most `most`.
fn clip<T: Real>(value: T, most: T) -> T {
    let least = T::default() - most;
    match () {
        () if value > most => most,
        () if value < least => least,
        () => value,
    }
}

/// A number with [`RATE_FRACTION`] fraction bits.
fn rate<T: Real>(units: u32) -> T {
    T::from_f64(f64::from(units) / f64::from(1u32 << RATE_FRACTION))
}

/// Adds values to as many others; no values add nothing.
pub(super) fn add<T: Real>(sums: &mut [T], values: &[T]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// Multiplies values by as many factors; no factors leave them as they are.
fn multiply<T: Real>(values: &mut [T], factors: &[T]) {
    for (value, &factor) in values.iter_mut().zip(factors) {
        *value = *value * factor;
    }
}
