//! The attack on trainings with and without differentially private gradients.

use ringlet::{
    config::session::one_batch,
    data::{Images, Part, load},
    privacy::{Imprecision, SampledGaussian, Training, best_guesses},
    reference::{
        privacy_attack::{Attack, canary_scores},
        private_step::PrivateTraining,
    },
};
use ringlet_core::{model::Model, network::Network, session::Session};
use ringlet_tests::{failure, success};
use serde_json::Value;

const DELTA: f64 = 1e-5;
const CANARIES: usize = 20;

/// A short attack, and one that is strong enough.
const SHORT: [&str; 3] = ["audit-privacy", "--epochs", "15"];
const STRONG: [&str; 4] = ["--runs", "24", "--canaries", "20"];

fn json(options: &[&str]) -> Value {
    let out = success(&[&SHORT[..], options, &["--json"]].concat());
    serde_json::from_str(&out).expect("JSON")
}

fn number(told: &Value, name: &str) -> f64 {
    told[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {told}"))
}

#[test]
fn canaries_are_found_without_noise_and_stay_hidden_with_it() {
    for epsilon in ["1", "3"] {
        let told = json(&[&STRONG[..], &["--dp-epsilon", epsilon]].concat());
        let promised = number(&told, "epsilon");
        assert!(promised <= epsilon.parse().expect("a number"), "{told}");
        let [without, with] = ["without", "with"].map(|name| &told[name]);
        assert!(number(without, "epsilon") > 3.0, "{told}");
        assert!(number(with, "epsilon") < promised, "{told}");
        assert!(number(without, "accuracy") > 0.85, "{told}");
        assert!(number(with, "area") < 0.56, "{told}");
    }
}

#[test]
fn a_table_says_what_the_figures_mean() {
    let table = success(&[&SHORT[..], &STRONG].concat());
    for words in [
        "without noise",
        "area under the ROC curve",
        "so epsilon is at least (95 % confidence)",
        "with noise it does not: the noise protects",
    ] {
        assert!(table.contains(words), "{table}");
    }
    let table = success(&[&SHORT[..], &["--runs", "1", "--canaries", "2"]].concat());
    assert!(table.contains("too weak to tell"), "{table}");
}

#[test]
fn the_same_seed_finds_the_same() {
    let told = |seed| json(&["--runs", "2", "--seed", seed]);
    assert_eq!(told("5"), told("5"));
    assert_ne!(told("5"), told("6"));
}

#[test]
fn what_cannot_be_attacked_is_refused() {
    let refused = |options: &[&str], words: &str| {
        let line = failure(&[&SHORT[..], options].concat());
        assert!(line.contains(words), "{line}");
    };
    refused(&["--batch", "100000"], "sampling rate");
    refused(&["--dp-clip", "0"], "--dp-clip is 0");
    refused(&["--dp-noise", "0"], "noise multiplier");
    refused(&["--dp-epsilon", "inf"], "epsilon is inf");
    refused(&["--dp-delta", "2"], "delta is 2");
    refused(&["--dp-noise", "1", "--dp-epsilon", "3"], "--dp-epsilon");
    refused(
        &["-q", "--lr", "200", "--weight-decay", "0.9"],
        "range of floats",
    );
    refused(&["--data", "/nonexistent"], "/nonexistent");
    let dir = tempfile::tempdir().expect("a directory");
    for part in ["train", "test"] {
        let path = dir.path().join(format!("{part}.csv"));
        std::fs::write(path, "label,a,b,c,d\n1,0,9,0,9\n").expect("a file");
    }
    let one = dir.path().to_str().expect("a path");
    refused(
        &["--data", one, "--model", "dense:2"],
        "no second training image",
    );
}

/// A session on the digits of an attack.
fn session(samples: usize, epochs: u32) -> Session {
    let digits = Model::built_in("digits8").expect("built in");
    let mut session = one_batch(digits, 256).expect("a session");
    session.samples = [samples as u32, 0];
    session.epochs = epochs;
    session.learning_rate = 1 << 22;
    session
}

/// The epsilon that the attack proves of trainings that are meant to have `promised`.
fn proved(private: &PrivateTraining, session: &Session, [train, test]: [&Images; 2]) -> f64 {
    let network = Network::new(&session.model).expect("a network");
    let attack = Attack::new((&network, session), (train, test), CANARIES, 3);
    let observed = attack.observe_all(&[*private], 32, || ()).expect("threads");
    best_guesses(&canary_scores(&observed[0]), DELTA, 0.05).1
}

/// Noise that is accounted for and left out, or far less than it should be, is noticed.
#[test]
fn a_mechanism_that_does_not_protect_is_found_out() {
    let [train, test] = [Part::Train, Part::Test].map(|part| load(None, part).expect("digits"));
    let samples = Attack::expected_samples(train.len(), CANARIES);
    let session = session(samples, 15);
    let private = PrivateTraining {
        rate: 256.0 / samples as f64,
        clip: 1.0,
        noise: 6.0,
        parties: 1,
        seed: 0,
    };
    let training = Training {
        mechanism: SampledGaussian::new(private.rate, private.noise).expect("a mechanism"),
        imprecision: Imprecision::NONE,
    };
    let promised = training
        .guarantee(session.iterations().into(), DELTA)
        .expect("a guarantee")
        .epsilon;
    assert!((1.0..2.5).contains(&promised), "{promised}");
    let proved = |private: &PrivateTraining| proved(private, &session, [&train, &test]);
    let sound = proved(&private);
    let without = proved(&PrivateTraining {
        noise: 0.0,
        ..private
    });
    // Noise that somebody scaled by the batch.
    let less = proved(&PrivateTraining {
        noise: private.noise / 256.0,
        ..private
    });
    println!("{promised} promised; {sound} with noise, {without} without, {less} with little");
    assert!(sound < promised, "{sound}");
    assert!(without > promised && less > promised, "{without} {less}");
}
