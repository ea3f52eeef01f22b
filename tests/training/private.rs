//! The twin's differentially private iterations.

use ringlet::{
    data::{Images, Part, load, parameters::Parameters},
    reference::{private_step::PrivateTraining, twin::Twin},
};
use ringlet_core::{network::Network, session::Session};

use crate::{digits_session, flat, network, stages::every_kind_of_stage};

/// No clipping, no noise and no draw: each iteration takes all samples as they are.
const EXACT: PrivateTraining = PrivateTraining {
    rate: 1.0,
    clip: 1e9,
    noise: 0.0,
    parties: 2,
    seed: 1,
};

/// The first `count` digits.
fn digits(count: usize) -> Images {
    load(None, Part::Train)
        .expect("built-in digits")
        .slice(0..count)
}

/// Random parameters of a network.
fn random_parameters(network: &Network) -> Vec<Parameters<f64>> {
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    let stages = network.stages.iter();
    let parameters = stages.map(|stage| Parameters {
        weights: (0..stage.linear.weight_len()).map(|_| random()).collect(),
        biases: (0..stage.linear.channels()).map(|_| random()).collect(),
    });
    parameters.collect()
}

/// Sessions on digits whose models have every kind of stage, with all that changes an update.
fn sessions(images: &Images) -> Vec<Session> {
    let session = |model| {
        let mut session = digits_session(images);
        session.model = model;
        session.batch = images.len() as u32;
        session.micro_batch = session.batch;
        session.training.nesterov = true;
        session.training.weight_decay = 1 << 14;
        session.training.label_smoothing = 1 << 20;
        session
    };
    every_kind_of_stage().into_iter().map(session).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn each_stage_of_a_samples_gradient_is_clipped_to_its_bound() {
    let images = digits(6);
    for session in sessions(&images) {
        let network = network(&session);
        let parameters = random_parameters(&network);
        let twin = Twin::<f64>::new(&network, &session, parameters);
        let sum = |chosen: &[usize], bound: f64| {
            twin.clipped_sum((&images, chosen), (&session, 0), bound, 1)
                .expect("no thread is needed")
        };
        // Half of the first sample's norm by some stage: others stay as they are.
        let whole: Vec<f64> = sum(&[0], 1e9).iter().map(norm_of).collect();
        for bound in [whole[0] / 2.0, whole.iter().fold(0.0, |a, b| a + b), 1e-3] {
            let mut added = vec![Vec::new(); network.stages.len()];
            for sample in 0..images.len() {
                let unclipped = sum(&[sample], 1e9);
                let clipped = sum(&[sample], bound);
                for (stage, (clipped, unclipped)) in clipped.iter().zip(&unclipped).enumerate() {
                    let [clipped, unclipped] =
                        [clipped, unclipped].map(|stage| flat(std::slice::from_ref(stage)));
                    let factor = (bound / norm(&unclipped)).min(1.0);
                    assert!(norm(&clipped) <= bound * (1.0 + 1e-12));
                    let wanted = unclipped.iter().map(|value| value * factor);
                    let far = clipped.iter().zip(wanted).map(|(a, b)| (a - b).abs());
                    assert!(far.fold(0.0, f64::max) < 1e-12 * (1.0 + bound));
                    added[stage].resize(clipped.len(), 0.0);
                    for (sum, value) in added[stage].iter_mut().zip(clipped) {
                        *sum += value;
                    }
                }
            }
            let all: Vec<usize> = (0..images.len()).collect();
            let far = flat(&sum(&all, bound))
                .into_iter()
                .zip(added.into_iter().flatten())
                .map(|(a, b)| (a - b).abs());
            // Dropout depends on a sample's place in the batch.
            if network.stages.iter().all(|stage| stage.dropout.is_none()) {
                assert!(far.fold(0.0, f64::max) < 1e-10 * (1.0 + bound));
            }
        }
    }
}

fn norm_of(stage: &Parameters<f64>) -> f64 {
    norm(&flat(std::slice::from_ref(stage)))
}

#[test]
fn without_clipping_noise_and_draws_an_iteration_is_the_usual_one() {
    let images = digits(70);
    for session in sessions(&images) {
        let network = network(&session);
        let parameters = random_parameters(&network);
        let mut usual = Twin::<f64>::new(&network, &session, parameters.clone());
        let mut private = Twin::<f64>::new(&network, &session, parameters);
        for iteration in 0..3 {
            let pixels = (0..images.len()).flat_map(|image| usual.floats(images.image(image)));
            let pixels = pixels.collect();
            usual.step(pixels, &images.labels, (&session, iteration));
            private
                .iterate_privately(&session, &images, iteration, &EXACT, 2)
                .expect("threads");
        }
        let [usual, private] = [usual, private].map(|twin| flat(twin.parameters()));
        let far = usual.iter().zip(&private).map(|(a, b)| (a - b).abs());
        let far = far.fold(0.0, f64::max);
        assert!(far < 1e-9, "{:?}: {far}", session.model.layers);
    }
}

#[test]
fn noise_has_the_deviation_of_all_parties_and_other_values_each_time() {
    let images = digits(20);
    let mut session = digits_session(&images);
    session.momentum = 0;
    [session.batch, session.micro_batch] = [20; 2];
    let network = network(&session);
    let parameters = random_parameters(&network);
    let learning_rate = f64::from(session.learning_rate) / f64::from(1 << 24);
    for (parties, wanted) in [(1, 1.5), (2, 1.5 * 2f64.sqrt())] {
        let moved = |noise: f64, seed: u64, iteration: u32| {
            let private = PrivateTraining {
                clip: 0.5,
                noise,
                parties,
                seed,
                ..EXACT
            };
            let mut twin = Twin::<f64>::new(&network, &session, parameters.clone());
            twin.iterate_privately(&session, &images, iteration, &private, 1)
                .expect("no thread is needed");
            flat(twin.parameters())
        };
        let plain = moved(0.0, 1, 0);
        let noise = |seed, iteration| -> Vec<f64> {
            let noisy = moved(3.0, seed, iteration);
            let noise = noisy.iter().zip(&plain);
            noise.map(|(a, b)| (b - a) / learning_rate * 20.0).collect()
        };
        let first = noise(1, 0);
        let count = first.len() as f64;
        let got = norm(&first) / count.sqrt();
        assert!((got / wanted - 1.0).abs() < 0.05, "{got} for {wanted}");
        for other in [noise(2, 0), noise(1, 1)] {
            let products = first.iter().zip(&other).map(|(a, b)| a * b);
            let correlation = products.sum::<f64>() / norm(&first) / norm(&other);
            assert!(correlation.abs() < 0.1, "{correlation}");
        }
    }
}

#[test]
fn each_sample_is_drawn_by_itself() {
    let private = PrivateTraining { rate: 0.1, ..EXACT };
    let drawn: Vec<Vec<usize>> = (0..400)
        .map(|iteration| private.draw(iteration, 500))
        .collect();
    let counts = drawn.iter().map(|drawn| drawn.len() as f64);
    let mean = counts.clone().sum::<f64>() / 400.0;
    let variance = counts.map(|count| (count - mean).powi(2)).sum::<f64>() / 400.0;
    // 500 times 0.1, and 500 times 0.1 times 0.9.
    assert!((mean - 50.0).abs() < 1.5, "{mean}");
    assert!((variance - 45.0).abs() < 12.0, "{variance}");
    let both = drawn.iter().filter(|drawn| drawn.contains(&7));
    let both = both.filter(|drawn| drawn.contains(&8)).count();
    assert!(both < 15, "{both}");
    assert_eq!(EXACT.draw(0, 9), (0..9).collect::<Vec<_>>());
}

#[test]
fn the_sum_does_not_depend_on_the_number_of_threads() {
    let images = digits(333);
    let session = digits_session(&images);
    let network = network(&session);
    let parameters = ringlet::data::parameters::initial_model(
        &network,
        &session,
        [1, 2].map(|byte| ringlet_core::prg::Key::new([byte; 32])),
    );
    let private = PrivateTraining {
        rate: 0.7,
        clip: 1.0,
        noise: 0.3,
        ..EXACT
    };
    let trained = |threads| {
        let mut twin: Twin<'_> = Twin::new(&network, &session, parameters.clone());
        for iteration in 0..3 {
            twin.iterate_privately(&session, &images, iteration, &private, threads)
                .expect("threads");
        }
        twin.parameters().to_vec()
    };
    assert_eq!(trained(1), trained(2));
    assert_eq!(trained(1), trained(5));
}
