//! The true sizes of a stage's products. A ring holds a product only modulo 2^L, so a large one can look like a small one.
//!
//! By the inequality of Cauchy and Schwarz a product of a row with weights is at most the product of their norms. While
//! that bound is below what can go around the ring and come back within the range contract, the ring tells the truth, and
//! the norms are all that this costs. Else the products are computed in floats.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringlet_core::{
    kernel::Linear,
    network::{Network, Stage},
    num::{Ring, Word},
    session::{RATE_FRACTION, Session},
    share::Factor,
};

use super::sums::{number, squares};

/// The factors of one stage's products at one of the ranks of a party, as integers.
#[derive(Default)]
struct StageFactors<R> {
    input: Vec<R>,
    /// For each row of the input a bound of the norm of what one output reads of it.
    read_norms: Vec<f64>,
    /// The sum of the input's squares.
    input_squares: f64,
    /// Whether the next rows of the input begin a micro-batch.
    is_used: bool,
    biases: Vec<R>,
    gradient: Vec<R>,
    /// The norm of each row of the gradient.
    gradient_norms: Vec<f64>,
}

/// What the ranks of a party have in common of one stage: the weights, which the first one sees, and what all their products
/// say of the velocities.
#[derive(Default)]
struct StageSums<R> {
    weights: Vec<R>,
    /// The largest norm of the weights of one output channel, and of one input channel.
    weight_norms: [f64; 2],
    largest_weight: f64,
    /// A bound of the gradients by weights of those micro-batches that `summed` does not have.
    bound: f64,
    /// The gradients by weights and biases, summed over micro-batches.
    summed: Vec<f64>,
    /// The last velocities, at the scale of the products.
    velocities: Vec<f64>,
}

/// The factors of all stages' products at one of the ranks of a party.
pub struct Products<'a, R> {
    session: &'a Session,
    network: &'a Network,
    stages: Vec<StageFactors<R>>,
    /// By stage.
    sums: Arc<[Mutex<StageSums<R>>]>,
    /// 2^(L-2), the range contract of products.
    limit: f64,
}

/// Products that may be too large for their ring to tell, by the place of their first value.
pub type Doubtful = Vec<(usize, Vec<f64>)>;

fn numbers<R: Ring>(values: &[R]) -> Vec<f64> {
    values.iter().copied().map(number).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

/// The side of the windows of average pooling that a linear map sums over.
fn pool(linear: &Linear) -> f64 {
    match linear {
        Linear::Conv(conv) => conv.pool as f64,
        Linear::Dense(_) => 1.0,
    }
}

/// The sum of a row's squares, and a bound of the norm of what one output of a linear map reads of it.
fn read_norm<R: Ring>(linear: &Linear, row: &[R]) -> [f64; 2] {
    let of_row = squares(row);
    let read = match linear {
        Linear::Dense(_) => of_row,
        Linear::Conv(conv) => {
            let of_pixel = largest(row.chunks_exact(conv.inputs).map(squares));
            of_row.min((conv.kernel_side(0) * conv.kernel_side(1)) as f64 * of_pixel)
        }
    };
    [of_row, read.sqrt()]
}

/// The largest norm of the weights of one output channel, and of one input channel.
fn weight_norms<R: Ring>(linear: &Linear, weights: &[R]) -> [f64; 2] {
    let outputs = linear.channels();
    let inputs = match linear {
        Linear::Conv(conv) => conv.inputs,
        Linear::Dense(dense) => dense.inputs,
    };
    let [mut by_output, mut by_input] = [vec![0.0; outputs], vec![0.0; inputs]];
    for (index, weights) in weights.chunks_exact(outputs).enumerate() {
        by_input[index % inputs] += squares(weights);
        for (sum, &weight) in by_output.iter_mut().zip(weights) {
            *sum += number(weight).powi(2);
        }
    }
    [by_output, by_input].map(|squares| largest(squares).sqrt())
}

impl<'a, R: Ring> Products<'a, R> {
    /// No factors yet, at the first rank.
    pub fn new(session: &'a Session, network: &'a Network) -> Self {
        let stages = network.stages.iter();
        Products {
            session,
            network,
            stages: stages.clone().map(|_| StageFactors::default()).collect(),
            sums: stages.map(|_| Mutex::default()).collect(),
            limit: 2f64.powi(session.format.ring as i32 - 2),
        }
    }

    /// The same at a further rank of the party.
    pub fn of_further_rank(&self) -> Self {
        Products {
            sums: Arc::clone(&self.sums),
            ..Products::new(self.session, self.network)
        }
    }

    /// What the ranks have in common of a stage.
    fn sums(&self, index: usize) -> MutexGuard<'_, StageSums<R>> {
        // A rank that has panicked ends the run.
        self.sums[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a factor of a stage's products, in Z_2^L.
    pub fn factor(&mut self, index: usize, factor: Factor, values: &[R]) {
        let linear = &self.network.stages[index].linear;
        let stage = &mut self.stages[index];
        match factor {
            Factor::Input => {
                if stage.is_used {
                    stage.input.clear();
                    stage.read_norms.clear();
                    stage.input_squares = 0.0;
                    stage.is_used = false;
                }
                stage.input.extend_from_slice(values);
                for row in values.chunks_exact(linear.input_len()) {
                    let [squares, read] = read_norm(linear, row);
                    stage.input_squares += squares;
                    stage.read_norms.push(read);
                }
            }
            Factor::Weights => {
                let mut sums = self.sums(index);
                replace(&mut sums.weights, values);
                sums.weight_norms = weight_norms(linear, values);
                let sizes = values.iter().map(|&weight| number(weight).abs());
                sums.largest_weight = largest(sizes);
            }
            Factor::Biases => replace(&mut stage.biases, values),
            Factor::Gradient => {
                replace(&mut stage.gradient, values);
                stage.gradient_norms.clear();
                let rows = values.chunks_exact(linear.output_len());
                let norms = rows.map(|row| squares(row).sqrt());
                stage.gradient_norms.extend(norms);
                self.sum_gradient(index);
            }
        }
    }

    /// Rows of a stage's outputs that may have gone around the ring.
    pub fn outputs(&mut self, index: usize) -> Doubtful {
        let linear = &self.network.stages[index].linear;
        self.stages[index].is_used = true;
        let (stage, sums) = (&self.stages[index], self.sums(index));
        let [by_output, _] = sums.weight_norms;
        let bias = largest(stage.biases.iter().map(|&bias| number(bias).abs()));
        let (len, out_len) = (linear.input_len(), linear.output_len());
        let mut doubtful = Doubtful::new();
        let rows = stage.input.chunks_exact(len).zip(&stage.read_norms);
        for (row, (input, read)) in rows.enumerate() {
            let bound = read * by_output * pool(linear).powi(2) + bias;
            if bound < 3.0 * self.limit {
                continue;
            }
            let biases = stage.biases.iter().copied().map(number).cycle();
            let mut out: Vec<f64> = biases.take(out_len).collect();
            let (input, weights) = (numbers(input), numbers(&sums.weights));
            let mut scratch = vec![0.0; linear.scratch_len()];
            linear.forward(1, &input, &weights, &mut out, &mut scratch);
            doubtful.push((row * out_len, out));
        }
        doubtful
    }

    /// Rows of the gradients by a stage's input that may have gone around the ring.
    pub fn gradients(&self, index: usize) -> Doubtful {
        let linear = &self.network.stages[index].linear;
        let (stage, sums) = (&self.stages[index], self.sums(index));
        let [_, by_input] = sums.weight_norms;
        let (len, in_len) = (linear.output_len(), linear.input_len());
        let mut doubtful = Doubtful::new();
        let rows = stage.gradient.chunks_exact(len).zip(&stage.gradient_norms);
        for (row, (gradient, norm)) in rows.enumerate() {
            if norm * by_input * pool(linear) < 3.0 * self.limit {
                continue;
            }
            let (gradient, weights) = (numbers(gradient), numbers(&sums.weights));
            let mut transposed = vec![0.0; weights.len()];
            linear.transpose(&weights, &mut transposed);
            let (mut out, mut scratch) = (vec![0.0; in_len], vec![0.0; linear.scratch_len()]);
            linear.input_gradient(1, &gradient, &transposed, &mut out, &mut scratch);
            doubtful.push((row * in_len, out));
        }
        doubtful
    }

    /// Adds a micro-batch's gradient by a stage's weights and biases to the sums.
    fn sum_gradient(&self, index: usize) {
        let (network, session) = (self.network, self.session);
        let Stage {
            linear, headroom, ..
        } = &network.stages[index];
        let (stage, mut sums) = (&self.stages[index], self.sums(index));
        let sums = &mut *sums;
        let parameters = linear.weight_len() + linear.channels();
        sums.summed.resize(parameters, 0.0);
        if let Some(limits) = session.sample_gradient_limits(network, index) {
            self.largest_of_samples(index, limits, &mut sums.summed);
            return;
        }
        let (weights, biases) = sums.summed.split_at_mut(linear.weight_len());
        let raised = 2f64.powi(session.format.fraction as i32 - headroom[0] as i32);
        for gradient in stage.gradient.chunks_exact(biases.len()) {
            for (sum, &gradient) in biases.iter_mut().zip(gradient) {
                *sum += number(gradient) * raised;
            }
        }
        let gradient_squares: f64 = stage.gradient_norms.iter().map(|norm| norm * norm).sum();
        let bound = (stage.input_squares * gradient_squares).sqrt() * pool(linear);
        let micro_batches = session.batch_rows().div_ceil(session.micro_batch);
        if bound < self.limit / f64::from(micro_batches) {
            sums.bound += bound;
            return;
        }
        let rows = stage.gradient_norms.len();
        let (input, gradient) = (numbers(&stage.input), numbers(&stage.gradient));
        let mut scratch = vec![0.0; linear.scratch_len()];
        linear.weight_gradient(rows, &input, &gradient, weights, &mut scratch);
    }

    /// Keeps the largest gradient of one sample of a micro-batch by each weight and bias, where the norms do not show that it is within
    /// its limit: at the scale at which a value outside has gone around the ring.
    fn largest_of_samples(&self, index: usize, limits: [u32; 2], largest: &mut [f64]) {
        let linear = &self.network.stages[index].linear;
        let stage = &self.stages[index];
        let raised = 2f64.powi(self.session.format.fraction as i32)
            / 2f64.powi(self.network.stages[index].headroom[0] as i32);
        let scales = limits.map(|limit| 2.0 * self.limit / 2f64.powi(limit as i32));
        let channels = linear.channels();
        let positions = (linear.output_len() / channels) as f64;
        let mut scratch = vec![0.0; linear.scratch_len()];
        let inputs = stage.input.chunks_exact(linear.input_len());
        let gradients = stage.gradient.chunks_exact(linear.output_len());
        for ((input, gradient), norm) in inputs.zip(gradients).zip(&stage.gradient_norms) {
            let of_weights = norm * squares(input).sqrt() * pool(linear) * scales[0];
            let of_biases = norm * positions.sqrt() * raised * scales[1];
            if of_weights.max(of_biases) < 2.0 * self.limit {
                continue;
            }
            let (input, gradient) = (numbers(input), numbers(gradient));
            let mut one = vec![0.0; linear.weight_len() + channels];
            let (weights, biases) = one.split_at_mut(linear.weight_len());
            linear.weight_gradient(1, &input, &gradient, weights, &mut scratch);
            for gradient in gradient.chunks_exact(channels) {
                for (sum, gradient) in biases.iter_mut().zip(gradient) {
                    *sum += gradient * raised;
                }
            }
            for (parameter, (most, value)) in largest.iter_mut().zip(one).enumerate() {
                let scale = scales[usize::from(parameter >= linear.weight_len())];
                *most = most.max(value.abs() * scale);
            }
        }
    }

    /// A stage's velocities, if they may have gone around the ring. `velocities` are those in the ring of so many bits.
    pub fn velocities(&self, index: usize, velocities: &[R], ring: u32) -> Doubtful {
        let is_private = self.session.privacy().is_some();
        let stage = &mut *self.sums(index);
        if is_private {
            let largest = std::mem::take(&mut stage.summed);
            return match largest.iter().any(|&value| value >= 2.0 * self.limit) {
                true => vec![(0, largest)],
                false => Doubtful::new(),
            };
        }
        let momentum = f64::from(self.session.momentum) / f64::from(1u32 << RATE_FRACTION);
        let previous = stage
            .velocities
            .iter()
            .copied()
            .chain(std::iter::repeat(0.0));
        let sums = stage.summed.iter().zip(previous);
        let summed: Vec<f64> = sums.map(|(sum, last)| sum + momentum * last).collect();
        let is_sure = largest(summed.iter().map(|sum| sum.abs())) + stage.bound < 3.0 * self.limit;
        stage.velocities.clear();
        // At the scale of the products they are in the high bits of a word.
        let raised = velocities
            .iter()
            .map(|&velocity| velocity.left(R::BITS - ring));
        stage.velocities.extend(raised.map(number));
        stage.summed.fill(0.0);
        stage.bound = 0.0;
        match is_sure {
            true => Doubtful::new(),
            false => vec![(0, summed)],
        }
    }

    /// Whether a product is too large for its ring to show that it is outside the contract.
    pub fn goes_around(&self, product: f64) -> bool {
        // What `velocities` leaves out of its sums is below the limit, and from the limit to three times it the ring
        // shows that a value is outside.
        product.abs() >= 2.0 * self.limit
    }

    /// The largest weight operand of a stage, as a part of what its ring holds without doubt.
    pub fn weights(&self, index: usize) -> f64 {
        self.sums(index).largest_weight / self.limit
    }
}

fn replace<R: Word>(list: &mut Vec<R>, values: &[R]) {
    list.clear();
    list.extend_from_slice(values);
}

#[cfg(test)]
mod tests {
    use ringlet_core::{
        model::{Layer, Model, Sides},
        prg::{Address, Key, Prg},
    };

    use super::*;
    use crate::config::session::one_batch;

    const CONV: Layer = Layer::Conv2d {
        channels: 3,
        kernel: Sides::square(2),
        stride: 1,
        padding: Sides::square(1),
    };
    const POOL: Layer = Layer::AvgPool { window: 2 };

    /// A session of one row on 5x4 images with two channels.
    fn session(layers: &[Layer]) -> (Session, Network) {
        let model = Model::new("m", [5, 4, 2], layers).expect("a few layers");
        let network = Network::new(&model).expect("a network");
        let session = one_batch(model, 1).expect("a session");
        (session, network)
    }

    /// Draws signed numbers.
    struct Numbers(Prg, u64);

    impl Numbers {
        fn new(seed: u8) -> Self {
            Numbers(Prg::new(Key::new([seed; Key::LEN])), 0)
        }

        /// Numbers below 2^bits.
        fn below(&mut self, count: usize, bits: u32) -> Vec<f64> {
            let mut words = vec![0u32; count];
            let address = Address {
                iteration: 0,
                gate: 0,
                wire: 0,
            };
            self.0.fill(address, self.1, &mut words);
            self.1 += count as u64;
            let signed = words.iter().map(|&word| (word as i32) >> (31 - bits));
            signed.map(f64::from).collect()
        }
    }

    /// Integers as words of the ring.
    fn words(numbers: &[f64]) -> Vec<u32> {
        let words = numbers.iter().map(|&number| number as i32 as u32);
        words.collect()
    }

    /// Whether `products` names every value of `exact` that goes around the ring, and how many of them do.
    fn named(products: &Products<'_, u32>, doubtful: &Doubtful, exact: &[f64]) -> usize {
        let mut around = 0;
        for (index, value) in exact.iter().enumerate() {
            if value.abs() < 3.0 * products.limit {
                continue;
            }
            around += 1;
            let of = |(first, values): &&(usize, Vec<f64>)| {
                (*first..*first + values.len()).contains(&index)
            };
            let (first, values) = doubtful.iter().find(of).expect("a bound that is no bound");
            assert_eq!(values[index - first], *value);
            assert!(products.goes_around(*value));
        }
        around
    }

    #[test]
    fn no_product_goes_around_the_ring_unseen() {
        let dense = Layer::Dense { units: 3 };
        let mut numbers = Numbers::new(1);
        let mut around = [0; 3];
        for layers in [
            &[CONV, Layer::Flatten, dense][..],
            &[CONV, POOL, Layer::Flatten, dense],
            &[Layer::Flatten, dense, Layer::Relu, dense],
        ] {
            let (session, network) = session(layers);
            let stage = &network.stages[0];
            let linear = &stage.linear;
            for bits in (8..20).cycle().take(120) {
                let mut products = Products::new(&session, &network);
                let x = numbers.below(linear.input_len(), bits);
                let w = numbers.below(linear.weight_len(), bits - 4);
                let b = numbers.below(linear.channels(), bits);
                let g = numbers.below(linear.output_len(), bits);
                for (factor, values) in [
                    (Factor::Input, &x),
                    (Factor::Weights, &w),
                    (Factor::Biases, &b),
                ] {
                    products.factor(0, factor, &words(values));
                }
                let mut scratch = vec![0.0; linear.scratch_len()];
                let biases = b.iter().copied().cycle();
                let mut y: Vec<f64> = biases.take(linear.output_len()).collect();
                linear.forward(1, &x, &w, &mut y, &mut scratch);
                let outputs = products.outputs(0);
                around[0] += named(&products, &outputs, &y);
                products.factor(0, Factor::Gradient, &words(&g));
                let mut transposed = vec![0.0; w.len()];
                linear.transpose(&w, &mut transposed);
                let mut dx = vec![0.0; x.len()];
                linear.input_gradient(1, &g, &transposed, &mut dx, &mut scratch);
                around[1] += named(&products, &products.gradients(0), &dx);
                let mut dw = vec![0.0; w.len()];
                linear.weight_gradient(1, &x, &g, &mut dw, &mut scratch);
                let velocities = products.velocities(0, &vec![0; stage.parameters()], 32);
                around[2] += named(&products, &velocities, &dw);
            }
        }
        assert!(around.iter().all(|&count| count > 100), "{around:?}");
    }

    #[test]
    fn small_products_cost_nothing_but_norms() {
        let (session, network) = session(&[Layer::Flatten, Layer::Dense { units: 3 }]);
        let linear = &network.stages[0].linear;
        let mut numbers = Numbers::new(2);
        let mut products = Products::new(&session, &network);
        // Values up to 1 with 9 fraction bits, weights up to 1 with 12.
        let x = numbers.below(linear.input_len(), 9);
        let w = numbers.below(linear.weight_len(), 12);
        products.factor(0, Factor::Input, &words(&x));
        products.factor(0, Factor::Weights, &words(&w));
        assert!(products.outputs(0).is_empty());
    }
}
