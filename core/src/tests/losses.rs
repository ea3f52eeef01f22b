//! Losses that both parties learn at the end of an epoch, against an observer that sees both parties' shares of the logits.

use super::*;
use crate::model::cost_rows::map_row;

/// The mean loss of an epoch, from what both parties' observers saw of its logits.
fn observed(session: &Session, outcome: &Outcome, epoch: u32) -> f64 {
    let network = session.network().unwrap();
    let classes = network.classes;
    let unit = libm::scalbn(
        1.0,
        network.logit_headroom() as i32 - session.format.fraction as i32,
    );
    let last = map_row(network.stages.len() - 1);
    let per_epoch = session.iterations_per_epoch();
    let mut sum = 0.0;
    for iteration in epoch * per_epoch..(epoch + 1) * per_epoch {
        let batch = session.batch(iteration);
        let mut samples = vec![0; batch.len as usize];
        session.batch_samples(batch, 0, &mut samples);
        let of_logits = |party: usize| {
            let seen = &outcome.seen[party][iteration as usize].seen;
            let rows = seen.iter().filter(|seen| (seen.0, seen.1) == (last, false));
            rows.map(|seen| (seen.2, &seen.3)).collect::<Vec<_>>()
        };
        let mut logits = Vec::new();
        for ((bits, one), (_, other)) in of_logits(0).into_iter().zip(of_logits(1)) {
            let values = one.iter().zip(other);
            logits.extend(values.map(|(a, b)| signed(a.plus(*b).low(bits), bits) as f64 * unit));
        }
        for (logits, sample) in logits.chunks_exact(classes).zip(samples) {
            let highest = logits.iter().copied().fold(f64::MIN, f64::max);
            let all: f64 = logits.iter().map(|z| libm::exp(z - highest)).sum();
            let label = sample as usize % classes;
            sum += libm::log(all) - (logits[label] - highest);
        }
    }
    sum / f64::from(session.total_samples())
}

/// Checks a session's losses, and that they change no bit of the model.
fn check(session: &Session) {
    let hidden = Session {
        reveal_loss: false,
        ..session.clone()
    };
    let (outcome, plain) = (
        run_in_its_ring(session, DEFAULT_RUN),
        run_in_its_ring(&hidden, DEFAULT_RUN),
    );
    assert!(outcome.shares == plain.shares);
    assert!(plain.losses.iter().flatten().all(Option::is_none));
    assert_eq!(outcome.losses[0], outcome.losses[1]);
    let mut epochs = 0;
    for (iteration, loss) in (0..).zip(&outcome.losses[0]) {
        assert_eq!(loss.is_some(), session.reveals_loss_after(iteration));
        let Some(loss) = loss else { continue };
        assert_eq!(
            (loss.epoch, loss.samples),
            (epochs, session.total_samples())
        );
        let want = observed(session, &outcome, epochs);
        // Beside the errors of a mean, which are smaller.
        assert!(
            (loss.mean() - want).abs() < 1.0 / 512.0,
            "{} {want}",
            loss.mean()
        );
        epochs += 1;
    }
    assert_eq!(
        epochs,
        session.iterations() / session.iterations_per_epoch()
    );
}

#[test]
fn the_mean_loss_of_an_epoch_is_that_of_its_logits() {
    for (input, layers) in all_networks() {
        let mut sessions = polynomial_sessions(input, &layers);
        sessions.push(session::<u32>(input, &layers, 5));
        sessions.push(session::<u64>(input, &layers, 5));
        for (mut session, micro_batch) in sessions.into_iter().zip([5, 2, 1].into_iter().cycle()) {
            (session.micro_batch, session.audit) = (micro_batch, 1);
            session.reveal_loss = true;
            check(&session);
        }
    }
}

#[test]
fn part_of_an_epoch_reveals_no_loss() {
    let (input, layers) = networks().remove(0);
    let mut session = session::<u32>(input, &layers, 5);
    (session.limit, session.audit, session.reveal_loss) = (7, 1, true);
    check(&session);
    session.limit = 3;
    let outcome = run::<u32>(&session, DEFAULT_RUN);
    assert!(outcome.losses.iter().flatten().all(Option::is_none));
}

#[test]
fn a_loss_that_cannot_be_is_refused() {
    let (input, layers) = networks().remove(0);
    let session = session::<u32>(input, &layers, 5);
    let last = session.iterations_per_epoch() - 1;
    let network = session.network().unwrap();
    let of = |sum: i64| {
        EpochLoss::new(
            (&session, &network),
            last,
            [48, 18],
            sum as u64 & ((1 << 48) - 1),
        )
    };
    let samples = i64::from(session.total_samples());
    for mean in [0.0, 2.3, 120.0, -0.001] {
        let sum = (mean * libm::scalbn(1.0, 18)) as i64 * samples;
        let loss = of(sum).map(EpochLoss::mean);
        assert!(
            loss.is_some_and(|loss| (loss - mean).abs() < 0.001),
            "{mean}"
        );
    }
    let most = 1i64 << (18 + session.format.narrow() - session.format.fraction);
    for mean in [-0.1, -30.0, 2.0 * most as f64 * libm::scalbn(1.0, -18)] {
        let sum = (mean * libm::scalbn(1.0, 18)) as i64 * samples;
        assert_eq!(of(sum), None, "{mean}");
    }
}
