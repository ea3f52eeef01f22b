//! Training in one process, and its results.

mod options;
mod private;
mod stages;

use std::path::Path;

use ringlet::{
    config::{activation::Activation, session::with_polynomials},
    data::{Images, Part, load, normalise::floats, parameters::Parameters},
    reference::twin::Twin,
};
use ringlet_core::{
    data::Normalisation,
    model::{InitialWeights, Layer, Model, TripleScheme},
    network::Network,
    num::Format,
    num::RATE_FRACTION,
    prg::Key,
    session::{
        ClassList, ClassWeights, Headroom, KnownBackbone, Protocol, Schedule, Session, Task,
        TrainingOptions,
    },
};
use ringlet_tests::{metrics, mnist, record, ringlet, success, text};
use serde_json::Value;

use stages::every_kind_of_stage;

fn digits_session(images: &Images) -> Session {
    Session {
        model: Model::built_in("digits8").expect("built in"),
        format: Format::new::<u32>(12).expect("widths that fit"),
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [images.len() as u32, 0],
        contributions: None,
        batch: 50,
        micro_batch: 50,
        epochs: 1,
        limit: 12,
        learning_rate: 1 << 19,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 1,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

fn network(session: &Session) -> Network {
    match session.format.ring {
        32 => ringlet_core::dealt::check::<u32>(session),
        _ => ringlet_core::dealt::check::<u64>(session),
    }
    .expect("a session that runs")
}

/// The model that the shares of both parties add up to.
fn join(session: &Session, shares: [&Vec<Vec<u128>>; 2]) -> Vec<Parameters> {
    let network = network(session);
    let stages = network.stages.iter().zip(shares[0].iter().zip(shares[1]));
    stages
        .map(|(stage, (a, b))| {
            let sums: Vec<u128> = a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b)).collect();
            Parameters::decode(stage, session, &sums)
        })
        .collect()
}

#[test]
fn the_protocol_follows_its_twin_weight_by_weight() {
    let images = load(None, Part::Train).expect("built-in digits");
    let session = digits_session(&images);
    let activation = Activation::default();
    let mut sessions = [
        TripleScheme::Baseline,
        TripleScheme::Seed,
        TripleScheme::Fused,
    ]
    .map(|triples| with_polynomials(&session, triples, &activation).expect("a session"))
    .to_vec();
    let one = f64::from(1 << RATE_FRACTION);
    let step = Schedule::Step {
        epochs: 1,
        factor: 1 << (RATE_FRACTION - 1),
    };
    for (schedule, warm_up, decay, smoothing, clip, initial_weights) in [
        (step, 5, 0.0, 0.0, 0.05, InitialWeights::Xavier),
        (Schedule::Cosine, 0, 0.05, 0.0, 0.0, InitialWeights::He),
        (Schedule::Constant, 3, 0.01, 0.2, 0.0, InitialWeights::He),
    ] {
        let mut session = session.clone();
        session.training = TrainingOptions {
            schedule,
            warm_up,
            weight_decay: (decay * one) as u32,
            label_smoothing: (smoothing * one) as u32,
            initial_weights,
            nesterov: warm_up > 0,
            clip: (clip * one) as u32,
            privacy: None,
        };
        if smoothing == 0.0 {
            let classes = 0..network(&session).classes as u16;
            let weights: Vec<u16> = classes.map(|class| 4096 - 300 * class).collect();
            session.class_weights = ClassWeights::new(&weights).expect("weights");
        }
        sessions.push(session);
    }
    sessions.push(session);
    for session in sessions {
        let network = network(&session);
        let keys = [Key::new([1; 32]), Key::new([2; 32])];
        let recording = record(&session, &images, keys, 3);
        let [p0, p1] = &recording.shares;
        let mut twin = Twin::new(&network, &session, join(&session, [&p0[0], &p1[0]]));
        for iteration in 0..session.iterations() {
            let batch = session.batch(iteration);
            let mut samples = vec![0; batch.len as usize];
            session.batch_samples(batch, 0, &mut samples);
            let x = samples
                .iter()
                .flat_map(|&s| twin.floats(images.image(s as usize)));
            let labels: Vec<u8> = samples.iter().map(|&s| images.labels[s as usize]).collect();
            twin.step(x.collect(), &labels, (&session, iteration));
        }
        let (first, last) = (
            &join(&session, [&p0[0], &p1[0]]),
            join(&session, [&p0[1], &p1[1]]),
        );
        let (mut error, mut moved) = (0f32, 0f32);
        for ((trained, twin), first) in last.iter().zip(twin.parameters()).zip(first) {
            let pairs = |a: &Parameters| {
                a.weights
                    .iter()
                    .chain(&a.biases)
                    .copied()
                    .collect::<Vec<_>>()
            };
            for ((a, b), c) in pairs(trained).iter().zip(pairs(twin)).zip(pairs(first)) {
                error = error.max((a - b).abs());
                moved = moved.max((a - c).abs());
            }
        }
        println!("weights moved by up to {moved}, and differ from the twin's by up to {error}");
        assert!(moved > 0.05 && error < 0.05 * moved, "{moved} {error}");
    }
}

/// Parameters as one list.
fn flat<T: Copy>(parameters: &[Parameters<T>]) -> Vec<T> {
    parameters
        .iter()
        .flat_map(|p| p.weights.iter().chain(&p.biases).copied())
        .collect()
}

#[test]
fn every_gradient_equals_the_numeric_difference() {
    let images = load(None, Part::Train).expect("built-in digits");
    let labels = &images.labels[..6];
    let plain = Normalisation::NONE;
    let x: Vec<f64> = (0..6)
        .flat_map(|i| floats::<f64>(&plain, 1, images.image(i)))
        .collect();
    for model in every_kind_of_stage() {
        let mut session = digits_session(&images);
        session.model = model;
        let network = network(&session);
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        let parameters = network
            .stages
            .iter()
            .map(|stage| Parameters {
                weights: (0..stage.linear.weight_len()).map(|_| random()).collect(),
                biases: (0..stage.linear.channels()).map(|_| random()).collect(),
            })
            .collect();
        let mut twin = Twin::<f64>::new(&network, &session, parameters);
        let gradients = flat(&twin.gradients(x.clone(), labels, 6));
        let mut worst = 0f64;
        // A prime step reaches all layers and keeps the test short.
        for index in (0..gradients.len()).step_by(7) {
            let mut at = |offset: f64| {
                move_parameter(twin.parameters_mut(), index, offset);
                let loss = twin.loss(x.clone(), labels, 6);
                move_parameter(twin.parameters_mut(), index, -offset);
                loss
            };
            let step = 1e-6;
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            worst = worst.max((numeric - gradients[index]).abs());
        }
        assert!(worst < 1e-7, "{:?}: {worst}", session.model.layers);
    }
}

/// Adds to the parameter at `index` of the list that [`flat`] makes.
fn move_parameter(parameters: &mut [Parameters<f64>], mut index: usize, offset: f64) {
    for stage in parameters {
        for values in [&mut stage.weights, &mut stage.biases] {
            if let Some(value) = values.get_mut(index) {
                *value += offset;
                return;
            }
            index -= values.len();
        }
    }
}

#[test]
fn the_protocols_gradients_are_the_plaintext_ones() {
    let images = load(None, Part::Train).expect("built-in digits");
    let mut sessions = Vec::new();
    for model in every_kind_of_stage() {
        let mut session = digits_session(&images);
        session.model = model;
        session.limit = 1;
        session.momentum = 0;
        session.learning_rate = 1 << 24;
        // Polynomials cannot replace max pooling.
        let compares = |layer: &Layer| matches!(layer, Layer::MaxPool { .. });
        let adds = |layer: &Layer| matches!(layer, Layer::Add { .. });
        if !session.model.layers.iter().any(compares) {
            for triples in [
                TripleScheme::Baseline,
                TripleScheme::Seed,
                TripleScheme::Fused,
            ] {
                let published = with_polynomials(&session, triples, &Activation::default());
                sessions.push(published.expect("a session"));
            }
        }
        if session.model.layers.iter().any(adds) {
            // What is added has more range than what it is added to, and less.
            for bits in [[1, 3, 0, 2, 1, 0], [0, 1, 2, 0, 3, 1]] {
                let mut session = session.clone();
                let places = Network::new(&session.model)
                    .expect("a network")
                    .stages
                    .len()
                    + 1;
                session.headroom = Headroom::new(&bits[..places.min(6)]).expect("a few places");
                // Headroom takes fraction bits, so that an error of scale could hide in the rounding of the smaller ring.
                session.format = Format::new::<u64>(20).expect("widths that fit");
                sessions.push(session);
            }
        }
        sessions.push(session);
    }
    for session in sessions {
        let network = network(&session);
        let recording = record(&session, &images, [Key::new([1; 32]), Key::new([2; 32])], 3);
        let [p0, p1] = &recording.shares;
        let first = join(&session, [&p0[0], &p1[0]]);
        let last = flat(&join(&session, [&p0[1], &p1[1]]));
        let mut samples = vec![0; session.batch as usize];
        session.batch_samples(session.batch(0), 0, &mut samples);
        let x = samples
            .iter()
            .flat_map(|&s| floats(&session.normalisation, 1, images.image(s as usize)));
        let labels: Vec<u8> = samples.iter().map(|&s| images.labels[s as usize]).collect();
        // The learning rate is 1, so the weights move by the gradient.
        let mut twin: Twin<'_> = Twin::new(&network, &session, first.clone());
        twin.step(x.collect(), &labels, (&session, 0));
        let want = flat(twin.parameters());
        let (mut error, mut whole) = (0f32, 0f32);
        for ((before, after), want) in flat(&first).iter().zip(last).zip(want) {
            error += (after - want).powi(2);
            whole += (before - want).powi(2);
        }
        // Rounding is unbiased noise. The softmax has errors of up to 2^-10 in a probability.
        let relative = (error / whole).sqrt();
        println!(
            "gradients off by {:.2} % in the mean square",
            100.0 * relative
        );
        let (layers, triples) = (&session.model.layers, session.protocol.triples());
        assert!(relative < 0.05, "{layers:?} {triples}: {relative}");
    }
}

#[test]
fn the_receiver_alone_learns_the_model() {
    let images = load(None, Part::Train).expect("built-in digits");
    for receiver in ringlet_core::Role::BOTH {
        let mut session = digits_session(&images);
        session.limit = 2;
        session.receiver = Some(receiver);
        let keys = [Key::new([1; 32]), Key::new([2; 32])];
        let recording = record(&session, &images, keys, 3);
        assert!(recording.revealed[receiver.other().index()].is_none());
        let got = recording.revealed[receiver.index()]
            .as_ref()
            .expect("a model");
        let [p0, p1] = &recording.shares;
        let last = join(&session, [&p0[1], &p1[1]]);
        let network = network(&session);
        for ((stage, values), want) in network.stages.iter().zip(got).zip(last) {
            assert_eq!(Parameters::decode(stage, &session, values), want);
        }
    }
}

#[test]
fn the_default_run_learns_the_digits_as_well_as_its_twin() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    let path = file.to_str().expect("a path in UTF-8");
    success(&["train", "--twin", "--seed", "1", "--metrics", path]);
    let epochs = metrics(&file, "epoch");
    let last = epochs.last().expect("an epoch");
    let accuracy = last["accuracy"].as_f64().expect("an accuracy");
    let twin = last["twin_accuracy"].as_f64().expect("a twin");
    println!("digits8: {accuracy:.4}, twin {twin:.4}");
    assert!(accuracy > 0.93, "{accuracy}");
    assert!((accuracy - twin).abs() <= 0.02, "{accuracy} {twin}");
}

#[test]
fn data_of_both_parties_and_odd_batches_train_in_either_ring() {
    for ring in ["u32", "u64"] {
        let out = success(&[
            "train",
            "--twin",
            "--seed",
            "2",
            "--share-of-p0",
            "0.4",
            "--batch",
            "100",
            "--epochs",
            "2",
            "--micro-batch",
            "37",
            "--lr",
            "0.0625",
            "--ring",
            ring,
        ]);
        let line = out
            .lines()
            .find(|line| line.starts_with("epoch 2"))
            .expect("an epoch");
        let numbers: Vec<f64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        assert!(
            numbers[0] > 70.0 && (numbers[0] - numbers[1]).abs() < 3.0,
            "{ring}: {line}"
        );
        assert!(out.contains("every value kept the range contract"), "{out}");
    }
}

/// A run whose values leave their range.
const TOO_FAST: [&str; 7] = ["train", "--lr", "16", "--limit", "60", "--seed", "3"];

#[test]
fn values_that_leave_their_range_end_the_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let [model, checkpoints, file] = ["model", "checkpoints", "metrics"].map(path);
    let keep = [
        "--checkpoint",
        &checkpoints,
        "--every",
        "1",
        "--save",
        &model,
    ];
    let more = [&keep[..], &["--metrics", &file]].concat();
    for audited in [false, true] {
        let mut arguments = [&TOO_FAST[..], &more].concat();
        if audited {
            // Roles as processes see no values, so the audits end the run.
            arguments = [
                &TOO_FAST[..],
                &["--link", "tcp", "--audit", "1", "--save", &model],
            ]
            .concat();
            arguments.retain(|&argument| argument != "--seed" && argument != "3");
        }
        let output = ringlet(&arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        let last = err.lines().last().expect("a line");
        assert!(
            last.starts_with("error: values left the range contract in iteration ")
                && (last.contains(" forward") || last.contains(" backward"))
                && last.contains("--on-range warn"),
            "{err}"
        );
        assert!(!Path::new(&model).exists());
        if audited {
            continue;
        }
        // The last checkpoint is of the state before that iteration.
        let bad = metrics(Path::new(&file), "range")[0]["iteration"]
            .as_u64()
            .expect("a number");
        assert!(last.contains(&format!("in iteration {bad}:")), "{last}");
        assert_eq!(metrics(Path::new(&file), "iteration").len() as u64, bad - 1);
        let resume = ["--resume", &checkpoints, "--every", "1", "--limit", "60"];
        let again = ringlet(&[&TOO_FAST[..3], &["--seed", "3"], &resume].concat());
        let err = text(&again.stderr);
        assert!(err.contains(&format!("in iteration {bad}:")), "{err}");
    }
}

#[test]
fn values_outside_the_range_contract_are_told_with_their_layer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model");
    let path = path.to_str().expect("UTF-8");
    let output = ringlet(&[&TOO_FAST[..], &["--on-range", "warn", "--save", path]].concat());
    let warnings = text(&output.stderr);
    assert!(output.status.success(), "{warnings}");
    assert!(
        warnings.contains("values outside the range contract at "),
        "{warnings}"
    );
    assert!(!text(&output.stdout).contains("every value kept the range contract"));
    // The model says so for good.
    let output = ringlet(&["predict", "--model-file", path, "--count", "3"]);
    let warnings = text(&output.stderr);
    assert!(warnings.contains("left their range when"), "{warnings}");
}

#[test]
fn shaped_links_take_the_time_of_their_rounds() {
    for link in ["memory", "tcp"] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("metrics.jsonl");
        success(&[
            "train",
            "--link",
            link,
            "--delay",
            "10",
            "--rate",
            "100",
            "--limit",
            "2",
            "--batch",
            "8",
            "--metrics",
            file.to_str().expect("UTF-8"),
        ]);
        for record in metrics(&file, "iteration") {
            let rounds = record["rounds"].as_f64().expect("rounds");
            let seconds = record["seconds"].as_f64().expect("seconds");
            assert!(
                seconds >= rounds * 0.01,
                "{link}: {rounds} rounds in {seconds} s"
            );
        }
    }
}

#[test]
fn a_quarter_epoch_of_mnist_costs_no_accuracy() {
    keeps_accuracy(117, 0.92);
}

#[test]
#[ignore = "takes minutes"]
fn an_epoch_of_mnist_costs_no_accuracy() {
    keeps_accuracy(469, 0.96);
}

/// Trains convnet2 on MNIST for so many iterations of the first epoch. It is right for at least this part of the held-out
/// images, and as its twin is.
fn keeps_accuracy(limit: usize, least: f64) {
    let Some(mnist) = mnist() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    success(&[
        "train",
        "--model",
        "convnet2",
        "--data",
        mnist.to_str().expect("UTF-8"),
        "--batch",
        "128",
        "--lr",
        "0.0625",
        "--momentum",
        "0.875",
        "--epochs",
        "1",
        "--limit",
        &limit.to_string(),
        "--twin",
        "--seed",
        "1",
        "--metrics",
        file.to_str().expect("UTF-8"),
    ]);
    let iterations = metrics(&file, "iteration");
    let plan: Value = serde_json::from_str(&success(&[
        "plan", "--model", "convnet2", "--batch", "128", "--json",
    ]))
    .expect("a plan in JSON");
    let sum = |key: &str| {
        iterations
            .iter()
            .map(|r| r[key].as_u64().unwrap_or(0))
            .sum::<u64>()
    };
    assert_eq!(sum("dealer_bytes_p0"), plan["dealer_bytes_p0_session"]);
    // Every whole batch costs what the plan says, to the byte.
    assert_eq!(iterations.len(), limit);
    for record in &iterations[..limit.min(468)] {
        assert_eq!(record["online_bytes_p0"], plan["online_bytes"]);
        assert_eq!(record["dealer_bytes_p1"], plan["dealer_bytes_p1"]);
        assert_eq!(record["rounds"], plan["rounds"]);
        assert_eq!(record["opened_values"], plan["opened_values"]);
    }
    let at_most =
        |key: &str, most: u64| assert!(plan[key].as_u64().is_some_and(|v| v <= most), "{key}");
    at_most("online_bytes", 15_500_000);
    at_most("dealer_bytes_p1", 50_000_000);
    at_most("dealer_bytes_p0_session", 32);
    at_most("rounds", 45);
    let seconds: f64 = iterations
        .iter()
        .filter_map(|r| r["seconds"].as_f64())
        .sum();
    let epoch = &metrics(&file, "epoch")[0];
    let accuracy = epoch["accuracy"].as_f64().expect("an accuracy");
    let twin = epoch["twin_accuracy"].as_f64().expect("a twin");
    println!(
        "convnet2: {accuracy:.4}, twin {twin:.4}, {:.3} s per iteration",
        seconds / iterations.len() as f64
    );
    assert!(accuracy > least, "{accuracy}");
    assert!((accuracy - twin).abs() <= 0.005, "{accuracy} {twin}");
}
