//! Sessions with private gradients.

use super::*;
use crate::session::{NOISE_FRACTION, Privacy, RATE_FRACTION};

/// A bound that no gradient of the tests' networks reaches.
const FAR: f64 = 12.0;

/// A session in which each iteration draws all samples, with this bound and without noise.
pub(super) fn private<R: Ring>(input: [u16; 3], layers: &[Layer], bound: f64) -> Session {
    let mut session = session::<R>(input, layers, 17);
    session.training.privacy = Some(Privacy {
        clip: (bound * f64::from(1u32 << RATE_FRACTION)) as u32,
        noise: 0,
        rows: session.samples,
    });
    session
}

/// The same without private gradients.
fn plain(session: &Session) -> Session {
    let mut plain = session.clone();
    plain.training.privacy = None;
    plain
}

/// The largest difference of two models, and the largest parameter.
fn difference(a: &[f64], b: &[f64]) -> [f64; 2] {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0f64, f64::max);
    [
        largest(&mut differences.into_iter()),
        largest(&mut a.iter().map(|a| a.abs())),
    ]
}

#[test]
fn a_bound_out_of_reach_changes_nothing() {
    for (input, layers) in all_networks() {
        for session in [
            private::<u32>(input, &layers, FAR),
            private::<u64>(input, &layers, FAR),
        ] {
            // Dropouts draw by row, and rows are in another order.
            let network = session.network().unwrap();
            if network.stages.iter().any(|stage| stage.dropout.is_some()) {
                continue;
            }
            let clipped = run_in_its_ring(&session, DEFAULT_RUN).parameters(session.format);
            let plain = run_in_its_ring(&plain(&session), DEFAULT_RUN).parameters(session.format);
            let [difference, largest] = difference(&clipped, &plain);
            assert!(difference < 0.02, "{layers:?} {difference} {largest}");
        }
    }
}

#[test]
fn micro_batches_change_no_bit() {
    for (input, layers) in all_networks().into_iter().take(4) {
        let mut session = private::<u32>(input, &layers, 0.3);
        session.batch = 9;
        session.training.privacy.as_mut().unwrap().noise = 1 << NOISE_FRACTION;
        let mut whole = session.clone();
        whole.micro_batch = session.batch_rows();
        let whole = run::<u32>(&whole, DEFAULT_RUN);
        for micro_batch in [1, 4] {
            session.micro_batch = micro_batch;
            let parts = run::<u32>(&session, DEFAULT_RUN);
            assert!(parts.shares == whole.shares, "{micro_batch}");
        }
    }
}

/// The parameters of one stage in those of a network.
fn of_stage(network: &Network, stage: usize) -> Range<usize> {
    let lens = network.stages.iter().map(|stage| stage.parameters());
    let before: usize = lens.take(stage).sum();
    before..before + network.stages[stage].parameters()
}

#[test]
fn a_step_is_at_most_the_rate_times_the_bound() {
    for (input, layers) in all_networks() {
        for bound in [0.05, 0.4] {
            let mut session = private::<u32>(input, &layers, bound);
            (session.momentum, session.limit) = (0, 1);
            // All samples are of one class and much alike, so that their gradients hardly cancel.
            session.learning_rate = 1 << RATE_FRACTION;
            let network = session.network().unwrap();
            let after = run::<u32>(&session, DEFAULT_RUN).parameters(session.format);
            session.learning_rate = 1 << (RATE_FRACTION - 4);
            let before = run::<u32>(&session, DEFAULT_RUN).parameters(session.format);
            let mut largest = 0f64;
            for (index, stage) in network.stages.iter().enumerate() {
                // Weights are kept divided by the divisor.
                let divisor = f64::from(stage.divisor);
                let range = of_stage(&network, index);
                let pairs = after[range.clone()].iter().zip(&before[range]);
                let squares = pairs.enumerate().map(|(parameter, (a, b))| {
                    let is_weight = parameter < stage.linear.weight_len();
                    ((a - b) * if is_weight { divisor } else { 1.0 }).powi(2)
                });
                // The other one has made a sixteenth of the step.
                let norm = libm::sqrt(squares.sum::<f64>()) * 16.0 / 15.0;
                let most = bound / libm::sqrt(network.stages.len() as f64);
                assert!(norm < most * 1.005, "{layers:?} {index} {norm} {most}");
                largest = largest.max(norm / most);
            }
            // Gradients of some layers cancel.
            assert!(bound > 0.1 || largest > 0.1, "{layers:?} {largest}");
        }
    }
}

#[test]
fn noise_has_the_deviation_of_both_parties() {
    let (input, layers) = networks().remove(0);
    let (bound, multiplier) = (0.5, 3.0);
    let mut session = private::<u32>(input, &layers, bound);
    (session.momentum, session.limit) = (0, 1);
    session.learning_rate = 1 << RATE_FRACTION;
    let network = session.network().unwrap();
    let quiet = run::<u32>(&session, DEFAULT_RUN).parameters(session.format);
    let privacy = session.training.privacy.as_mut().unwrap();
    privacy.noise = (multiplier * f64::from(1u32 << NOISE_FRACTION)) as u32;
    let mut all = Vec::new();
    for weights in 0..12 {
        let options = RunOptions {
            weights,
            ..DEFAULT_RUN
        };
        let noisy = run::<u32>(&session, options).parameters(session.format);
        if weights == DEFAULT_RUN.weights {
            continue;
        }
        let mut still = session.clone();
        still.training.privacy.as_mut().unwrap().noise = 0;
        let quiet = run::<u32>(&still, options).parameters(session.format);
        let unit = multiplier * bound / f64::from(session.batch);
        let mut start = 0;
        for stage in &network.stages {
            for parameter in 0..stage.parameters() {
                let is_weight = parameter < stage.linear.weight_len();
                let scale = if is_weight {
                    f64::from(stage.divisor)
                } else {
                    1.0
                };
                let at = start + parameter;
                all.push((noisy[at] - quiet[at]) * scale / unit);
            }
            start += stage.parameters();
        }
    }
    assert!(quiet.iter().any(|&value| value != 0.0));
    let count = all.len() as f64;
    let mean = all.iter().sum::<f64>() / count;
    let variance = all.iter().map(|noise| noise * noise).sum::<f64>() / count;
    assert!(mean.abs() < 6.0 * libm::sqrt(2.0 / count), "{mean}");
    // The sum of two parties' noise.
    assert!(
        (variance - 2.0).abs() < 6.0 * 2.0 * libm::sqrt(2.0 / count),
        "{variance} {count}"
    );
}

#[test]
fn traffic_matches_the_plan() {
    for (input, layers) in all_networks() {
        for (micro_batch, ring) in [(11, 32), (3, 32), (1, 64)] {
            let mut session = match ring {
                32 => private::<u32>(input, &layers, 1.0),
                _ => private::<u64>(input, &layers, 1.0),
            };
            (session.batch, session.micro_batch, session.audit) = (6, micro_batch, 2);
            let privacy = session.training.privacy.as_mut().unwrap();
            (privacy.rows, privacy.noise) = ([7, 5], 1 << NOISE_FRACTION);
            match ring {
                32 => costs::check::<u32>(&session),
                _ => costs::check::<u64>(&session),
            }
        }
    }
}

#[test]
fn no_mask_serves_twice_and_openings_of_samples_do_not_repeat() {
    let (input, layers) = networks().remove(0);
    let mut session = private::<u32>(input, &layers, 0.3);
    (session.batch, session.micro_batch) = (6, 4);
    let options = RunOptions {
        records_streams: true,
        ..DEFAULT_RUN
    };
    let outcome = run::<u32>(&session, options);
    assert!(outcome.kept.is_empty());
    assert!(!outcome.used[0].is_empty());
}

#[test]
fn what_does_not_go_with_private_gradients_is_refused() {
    use crate::session::SessionError;
    let (input, layers) = networks().remove(0);
    let of = || private::<u32>(input, &layers, 1.0);
    let refused = |change: &dyn Fn(&mut Session)| {
        let mut session = of();
        change(&mut session);
        crate::dealt::check::<u32>(&session).unwrap_err()
    };
    assert!(crate::dealt::check::<u32>(&of()).is_ok());
    let is_not_private = |error| matches!(error, SessionError::NotPrivate(_));
    assert!(is_not_private(refused(
        &|session| session.reveal_loss = true
    )));
    assert!(is_not_private(refused(
        &|session| session.training.clip = 1 << 20
    )));
    assert!(is_not_private(refused(&|session| {
        session.protocol = Protocol::Dealt {
            triples: TripleScheme::Baseline,
        };
    })));
    fn privacy(session: &mut Session) -> &mut Privacy {
        session.training.privacy.as_mut().unwrap()
    }
    assert_eq!(refused(&|s| privacy(s).clip = 0), SessionError::Privacy);
    assert_eq!(
        refused(&|s| privacy(s).rows = [0, 6]),
        SessionError::Privacy
    );
    assert_eq!(
        refused(&|s| privacy(s).rows = [12, 6]),
        SessionError::Privacy
    );
    assert_eq!(
        refused(&|s| (privacy(s).clip, privacy(s).noise) = (u32::MAX, u32::MAX)),
        SessionError::PrivateWidths
    );
    assert_eq!(
        refused(&|s| privacy(s).clip = 1),
        SessionError::PrivateWidths
    );
    // Noise of so few last bits would not hold what the accountant says.
    assert_eq!(
        refused(&|s| privacy(s).noise = 1),
        SessionError::PrivateWidths
    );
}
