//! Weights after some steps of training, weight by weight against a float64 implementation that shares no code with
//! Ringlet: reference/steps.py, which made reference/weights.f32 for the networks of reference/networks.json.

mod cases;
mod private;

use ringlet::{
    data::{
        normalise::floats,
        parameters::{Parameters, Real},
    },
    reference::twin::Twin,
};

use ringlet_core::{
    model::Layer,
    session::{Protocol, TrainingOptions},
};

use cases::{Arithmetic, Case, MOVES, SECURENN, U32, U64, USUAL, cases, draw, network};
use private::train;

/// All parameters of a stage, weights first.
fn flat<T: Copy + Into<f64>>(parameters: &Parameters<T>) -> impl Iterator<Item = f64> + '_ {
    let all = parameters.weights.iter().chain(&parameters.biases);
    all.map(|&value| value.into())
}

/// The root of the mean square of the differences between two models, for each stage.
fn distances<T: Copy + Into<f64>>(
    got: &[Parameters<T>],
    wanted: &[Parameters<impl Copy + Into<f64>>],
) -> Vec<f64> {
    let stages = got.iter().zip(wanted);
    stages
        .map(|(got, wanted)| {
            let squares = flat(got).zip(flat(wanted)).map(|(a, b)| (a - b).powi(2));
            let (count, sum) = squares.fold((0, 0.0), |(count, sum), d| (count + 1, sum + d));
            (sum / f64::from(count)).sqrt()
        })
        .collect()
}

/// The weights of a plaintext network after each number of steps, from initial weights that `moved` returns.
fn train_twin<T: Real>(
    case: &Case,
    mut moved: impl FnMut(f64, usize, usize) -> f64,
) -> Vec<Vec<Parameters<T>>> {
    let session = case.session(U32, case.steps.last().copied().unwrap_or(0));
    let network = network(&session);
    let initial = case.initial.iter().enumerate();
    let initial = initial.map(|(stage, parameters)| {
        let mut all = flat(parameters).enumerate();
        let mut next = |count| {
            let next = all.by_ref().take(count);
            next.map(|(index, value)| T::from_f64(moved(value, stage, index)))
                .collect()
        };
        Parameters {
            weights: next(parameters.weights.len()),
            biases: next(parameters.biases.len()),
        }
    });
    let mut twin = Twin::new(&network, &session, initial.collect());
    let mut made = Vec::new();
    for step in 1..=case.steps.last().copied().unwrap_or(0) {
        let channels = network.input[2];
        let x = floats(&session.normalisation, channels, &case.images.pixels).collect();
        twin.step(x, &case.images.labels, (&session, step - 1));
        if case.steps.contains(&step) {
            made.push(twin.parameters().to_vec());
        }
    }
    made
}

/// How far a stage goes at most, after each number of steps, when each initial weight moves by half a unit up or down:
/// in three such runs in float64.
///
/// A move is as large as the rounding of one product's weights. Where a ReLU's input crosses 0 the gradient jumps, so
/// in deep networks and over many steps it becomes much larger, whatever the arithmetic.
fn response(case: &Case, unit: f64) -> Vec<f64> {
    let straight = train_twin::<f64>(case, |value, _, _| value);
    let mut most = vec![0f64; case.steps.len()];
    for run in 0..3 {
        let moved = train_twin::<f64>(case, |value, stage, index| {
            let up = draw(run, MOVES, stage, index) & 1 == 1;
            value + if up { unit / 2.0 } else { -unit / 2.0 }
        });
        for ((most, moved), straight) in most.iter_mut().zip(&moved).zip(&straight) {
            *most = distances(moved, straight).into_iter().fold(*most, f64::max);
        }
    }
    most
}

/// Compares private training with the reference, in units of the values' last bit. Each stage may be `limit` units
/// away, or three times as far as half a unit in the initial weights brings float64 itself.
fn check(arithmetic: Arithmetic, longest: u32, limit: f64) {
    let unit = 2f64.powi(-(arithmetic.0.fraction as i32));
    let units = |distances: Vec<f64>| -> Vec<f64> {
        distances
            .into_iter()
            .map(|distance| distance / unit)
            .collect()
    };
    let mut too_far = Vec::new();
    let is_securenn = matches!(arithmetic.1, Protocol::SecureNn { .. });
    for mut case in cases() {
        // SecureNN's protocols have no residual additions, and no options of a training beyond momentum.
        let adds = |layer: &Layer| layer.kind() == "add";
        let has_options =
            case.training != TrainingOptions::default() || case.class_weights.is_given();
        if is_securenn && (case.model.layers.iter().any(adds) || has_options) {
            continue;
        }
        case.steps.retain(|&steps| steps <= longest);
        let session = case.session(arithmetic, case.steps.last().copied().unwrap_or(0));
        let made = train(&case, &session);
        let responses = units(response(&case, unit));
        let runs = case.steps.iter().zip(&made).zip(&case.wanted);
        for (((steps, made), wanted), response) in runs.zip(responses) {
            let far = units(distances(made, wanted));
            let moved = units(distances(&case.initial, wanted));
            let line = format!(
                "{}, {steps} steps: {far:.2?} units, float64 {response:.2}, moved {moved:.0?}",
                case.model.name
            );
            println!("{line}");
            if far.iter().any(|&far| far > limit.max(3.0 * response)) {
                too_far.push(line);
            }
        }
    }
    assert!(too_far.is_empty(), "{too_far:#?}");
}

#[test]
fn the_twin_is_the_reference() {
    for case in cases() {
        let exact = train_twin::<f64>(&case, |value, _, _| value);
        let single = train_twin::<f32>(&case, |value, _, _| value);
        for ((exact, single), wanted) in exact.iter().zip(&single).zip(&case.wanted) {
            let most = |distances: Vec<f64>| distances.into_iter().fold(0.0, f64::max);
            let [exact, single] = [distances(exact, wanted), distances(single, wanted)].map(most);
            println!(
                "{}: {exact:.1e} in f64, {single:.1e} in f32",
                case.model.name
            );
            // The file has the reference's weights in float32.
            assert!(exact < 1e-7 && single < 1e-4, "{}", case.model.name);
        }
    }
}

#[test]
fn a_ring_of_32_bits_stays_within_three_units() {
    check(U32, 100, 3.0);
}

#[test]
fn the_usual_headroom_stays_within_seven_units() {
    check(USUAL, 8, 7.0);
}

#[test]
fn a_ring_of_64_bits_has_the_softmaxs_noise() {
    check(U64, 8, 16.0);
}

#[test]
fn securenn_stays_within_six_units_of_half_the_size() {
    check(SECURENN, 8, 6.0);
}
