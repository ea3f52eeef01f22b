//! What private gradients take: the noise, the rows and the bytes of other batches and other numbers of epochs.

use ringlet_core::{Role, dealt::Plan, network::Network, num::Ring, session::Session};
use serde::Serialize;

use crate::{
    config::{
        args::PrivacyArgs,
        privacy::{micro_batch, privacy},
    },
    error::Failure,
    output::amounts::bytes,
    privacy::Protection,
};

/// Batches of the table, as multiples of the wanted one, and likewise epochs.
const BATCHES: [(u32, u32); 5] = [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)];
const EPOCHS: [(u32, u32); 3] = [(1, 2), (1, 1), (2, 1)];

/// One way to train with private gradients.
#[derive(Serialize)]
pub struct Choice {
    batch: u32,
    epochs: u32,
    iterations: u32,
    /// Rows of a batch for the images of P0 and of P1.
    rows: [u32; 2],
    /// The noise multiplier.
    noise: f64,
    epsilon: Option<f64>,
    /// The deviation of both parties' noise in a value of the mean gradient, over the bound of a gradient.
    noise_of_mean: f64,
    /// Bytes that P0 sends to P1 in the whole run, and the dealer to P1.
    sent: u64,
    dealt: u64,
}

/// The choices around a session, each with the noise that `args` ask for. Those that the ring or the data do not take are left out.
pub fn choices<R: Ring>(
    session: &Session,
    network: &Network,
    args: &PrivacyArgs,
) -> Result<Vec<Choice>, Failure> {
    let mut choices = Vec::new();
    let scaled = |value: u32, (times, part): (u32, u32)| value.saturating_mul(times) / part;
    let batches = BATCHES.map(|part| (scaled(session.batch, part), session.epochs));
    let epochs = EPOCHS.map(|part| (session.batch, scaled(session.epochs, part)));
    for (batch, epochs) in batches.into_iter().chain(epochs) {
        let is_first = |choice: &Choice| (choice.batch, choice.epochs) != (batch, epochs);
        if batch == 0 || epochs == 0 || !choices.iter().all(is_first) {
            continue;
        }
        let mut other = session.clone();
        (other.batch, other.epochs) = (batch, epochs);
        other.training.privacy = None;
        if batch > session.total_samples() {
            continue;
        }
        other.training.privacy = privacy(args, &other, network, 1.0)?;
        other.micro_batch = micro_batch(&other, network);
        if ringlet_core::dealt::check::<R>(&other).is_err() {
            continue;
        }
        choices.push(choice::<R>(&other, network, args.delta())?);
    }
    choices.sort_by_key(|choice| (choice.batch, choice.epochs));
    Ok(choices)
}

/// What a session takes.
fn choice<R: Ring>(session: &Session, network: &Network, delta: f64) -> Result<Choice, Failure> {
    let privacy = session.privacy().unwrap_or_default();
    let iterations = session.iterations();
    let protection = Protection::new(session, network.parameters());
    let guarantee = protection.guarantee(&privacy, iterations.into(), delta)?;
    let plan = Plan::new(session, network);
    Ok(Choice {
        batch: session.batch,
        epochs: session.epochs,
        iterations,
        rows: privacy.rows,
        noise: privacy.multiplier(),
        epsilon: guarantee.map(|guarantee| (guarantee.epsilon * 1e3).ceil() / 1e3),
        noise_of_mean: std::f64::consts::SQRT_2 * privacy.multiplier() / f64::from(session.batch),
        sent: plan.sent_to_peer::<R>(Role::P0, 0).bytes,
        dealt: plan.run_corrections::<R>(0),
    })
}

/// The choices as a table.
pub fn table(choices: &[Choice], delta: f64) -> String {
    let mut table = format!(
        "{:>7}{:>8}{:>12}{:>10}{:>9}{:>10}{:>16}{:>12}{:>14}\n",
        "batch",
        "epochs",
        "iterations",
        "rows",
        "noise",
        "epsilon",
        "noise of mean",
        "p0 sends",
        "dealer to p1"
    );
    for choice in choices {
        let epsilon = choice.epsilon;
        table += &format!(
            "{:>7}{:>8}{:>12}{:>10}{:>9.4}{:>10}{:>16.6}{:>12}{:>14}\n",
            choice.batch,
            choice.epochs,
            choice.iterations,
            choice.rows[0] + choice.rows[1],
            choice.noise,
            epsilon.map_or("none".to_owned(), |epsilon| format!("{epsilon:.3}")),
            choice.noise_of_mean,
            bytes(choice.sent),
            bytes(choice.dealt)
        );
    }
    table
        + &format!(
            "\nepsilon at delta {delta:e}. The noise of the mean is that of each value of a gradient, as a part of --dp-clip: the smaller, the better\nthe model, as long as there are iterations enough to learn\n"
        )
}
