//! What the user sees of a session with an assistant.

use ringlet_core::{meter::Meter, network::Network, plan::line_names, session::Session};

use crate::report::bytes;

/// The table at the end of a run: bytes that all roles sent in an iteration, by layer.
pub fn layer_table(session: &Session, network: &Network, sums: &Meter) -> String {
    let iterations = u64::from(session.iterations());
    let mut table = format!(
        "sent by all three roles in an iteration (mean over {iterations})\n{:<16}{:>12}{:>12}\n",
        "", "forward", "backward"
    );
    let mut total = [0; 2];
    let mut row = |name: &str, own: [u64; 2]| {
        let [forward, backward] = own.map(bytes);
        table += &format!("{name:<16}{forward:>12}{backward:>12}\n");
    };
    for (name, line) in line_names(network).iter().zip(&sums.lines) {
        let own = line.map(|cost| (cost.online_bytes + cost.dealer_bytes) / iterations);
        total = [total[0] + own[0], total[1] + own[1]];
        row(name, own);
    }
    row("total", total);
    table
}

/// What is to be said of the steps down, which nobody can check.
pub fn truncation_line(session: &Session) -> String {
    format!(
        "steps down are local, as published: a product x of 2 x {} fraction bits fails with probability |x| / 2^{}",
        session.format.fraction,
        64 - 2 * session.format.fraction
    )
}
