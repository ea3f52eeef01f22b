//! `ringlet qemu`: boards in QEMU by one command.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use ringlet::{
    config::privacy::privacy_mark,
    data::{
        Part, load,
        model_file::{Marks, save},
        normalise::MeanAndDeviation,
        parameters::Parameters,
        range_bits::RangeBits,
    },
    privacy::Protection,
    reference::twin::Twin,
    run::secrets::Secrets,
};
use ringlet_core::{
    Role,
    data::Normalisation,
    model::Model,
    network::Network,
    num::Format,
    prg::device_key::session_secret,
    session::{
        ClassList, KnownBackbone, NOISE_FRACTION, Privacy, Protocol, RATE_FRACTION, Session, Task,
    },
};
use ringlet_tests::{failure, program, record_with, served::fresh, success, text, usual_headroom};

/// Batch, micro-batch, iterations and digits.
struct Sizes(u32, u32, u32, usize);

/// With the same seed, the board's model is the one that a host trains, to the last bit. The command prints its accuracy.
fn trains_as_a_host_would(board: &str, sizes: Sizes, noise: Option<u32>) {
    let Sizes(batch, micro_batch, limit, count) = sizes;
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let (trained, wanted) = (path("trained"), path("wanted"));
    let numbers = [batch, micro_batch, limit, count as u32].map(|number| number.to_string());
    let mut arguments = vec!["qemu", "--board", board, "--seed", "3", "--lr", "0.0625"];
    let options = ["--batch", "--micro-batch", "--limit", "--count"];
    for (option, number) in options.into_iter().zip(&numbers) {
        arguments.extend([option, number]);
    }
    arguments.extend(["--save", trained.to_str().expect("UTF-8")]);
    let multiplier = noise.map(|noise| noise.to_string());
    if let Some(multiplier) = &multiplier {
        arguments.extend(["--dp-noise", multiplier]);
    }
    let said = success(&arguments);

    let images = load(None, Part::Train).expect("built-in digits");
    let model = Model::built_in("digits8").expect("built in");
    let format = Format::new::<u32>(12).expect("widths that fit");
    let mut session = Session {
        headroom: usual_headroom(&model, format),
        model,
        format,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [count as u32, 0],
        contributions: None,
        batch,
        micro_batch,
        epochs: 1,
        limit,
        learning_rate: 1 << 20,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 3,
        receiver: Some(Role::P1),
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    };
    if let Some(noise) = noise {
        let parameters = Network::new(&session.model)
            .expect("a network")
            .parameters();
        let protection = Protection::new(&session, parameters);
        session.training.privacy = Some(Privacy {
            clip: 1 << RATE_FRACTION,
            noise: noise << NOISE_FRACTION,
            rows: protection.rows(session.iterations().into(), 1e-5),
        });
    }
    let secrets = Secrets::Seed(3);
    let root = secrets.device_root().expect("a secret");
    let weights = [
        session_secret(&root, &fresh(1)),
        secrets.initial_weights(Role::P1).expect("a secret"),
    ];
    let keys = secrets.dealer_keys().expect("keys");
    let host = record_with(&session, &images.slice(0..count), keys, weights);
    let [_, revealed] = host.revealed;
    let network = ringlet_core::dealt::check::<u32>(&session).expect("a session that runs");
    let stages = network
        .stages
        .iter()
        .zip(revealed.expect("P1 gets the model"));
    let model: Vec<Parameters> = stages
        .map(|(stage, values)| Parameters::decode(stage, &session, &values))
        .collect();
    let marks = Marks {
        left_range: false,
        range: Some(RangeBits::of(&session, &network)),
        normalise: Some(MeanAndDeviation::default()),
        classes: None,
        backbone: None,
        privacy: privacy_mark(&session, &network, 1e-5).expect("an epsilon"),
    };
    save(&wanted, (&session.model, marks), &network, &model).expect("a file");
    let read = |path: &Path| std::fs::read(path).expect("a model");
    assert!(read(&trained) == read(&wanted), "{said}");

    let test = load(None, Part::Test).expect("built-in digits");
    let accuracy = 100.0 * Twin::new(&network, &session, model).accuracy(&test);
    assert!(
        said.contains(&format!("held-out digits: {accuracy:.2} %")),
        "{said}"
    );
    for figure in ["plaintext twin", "the board sent", "of stack", "done: "] {
        assert!(said.contains(figure), "{said}");
    }
}

#[test]
fn a_riscv_board_trains_as_a_host_would() {
    trains_as_a_host_would("riscv-virt", Sizes(20, 20, 5, 1400), None);
}

#[test]
fn a_cortex_m4_trains_as_a_host_would() {
    trains_as_a_host_would("mps2-an386", Sizes(4, 4, 1, 16), None);
}

#[test]
fn an_stm32f405_trains_as_a_host_would() {
    trains_as_a_host_would("stm32f405", Sizes(4, 2, 1, 16), None);
}

#[test]
fn a_board_protects_its_samples_as_a_host_would() {
    trains_as_a_host_would("riscv-virt", Sizes(3, 1, 1, 6), Some(2));
}

#[test]
fn a_board_without_private_gradients_says_so() {
    let line = failure(&["qemu", "--board", "stm32f405", "--dp-noise", "1"]);
    assert!(line.contains("private gradients"), "{line}");
}

/// The twin learns what the board learns, from the same initial weights on the same batches.
#[test]
fn the_twin_keeps_pace() {
    let arguments = ["qemu", "--board", "riscv-virt", "--limit", "25"];
    let said = success(&[&arguments[..], &["--seed", "3"]].concat());
    let (_, figures) = said.split_once("held-out digits: ").expect("a figure");
    let mut words = figures.split([' ', '%', ',']);
    let mut next = || words.by_ref().find_map(|word| word.parse::<f64>().ok());
    let [model, twin] = [next(), next()].map(|percent| percent.expect("a percentage"));
    assert!(model > 30.0 && (model - twin).abs() < 6.0, "{said}");
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let board = "riscv-virt";
    for (arguments, hint) in [
        (&["--board", "arduino"][..], "choose one of stm32f405, mps2"),
        (
            &["--board", board, "--firmware", "nowhere"],
            "no file nowhere",
        ),
        (&["--board", board, "--count", "5000"], "correct --count"),
        (&["--board", board, "--batch", "0"], "batch size"),
        (&["--board", board, "--model", "convnet2"], "8x8x1"),
        (
            &["--board", board, "--batch", "900"],
            "bytes of memory and the device has",
        ),
    ] {
        let all: Vec<&str> = ["qemu"].iter().chain(arguments).copied().collect();
        let line = failure(&all);
        assert!(line.contains(hint), "{arguments:?}: {line}");
    }
}

#[test]
fn without_qemu_the_command_says_what_to_install() {
    let output = Command::new(program())
        .args(["qemu", "--board", "stm32f405"])
        .env("PATH", "/nowhere")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let line = text(&output.stderr);
    assert!(!output.status.success());
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("install QEMU"), "{line}");
}
