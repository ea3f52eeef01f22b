//! Tables and lines at the end of a run: what was sent, where the time went, which values left their range.

use ringlet_core::{
    cost::Traffic,
    network::{Activation, Network},
    session::{Protocol, Session, cost_row_names},
};

use super::{
    amounts::bytes,
    comparison::costs::{PUBLISHED_VALUE_BYTES, published_values},
};
use crate::run::{
    audits::{outside_warning, remedy},
    ranges::Ranges,
    role_time::RoleTime,
};

/// Bytes that were sent in an iteration, by layer.
pub fn layer_table(session: &Session, network: &Network, sums: &Traffic) -> String {
    match session.protocol {
        Protocol::Dealt { .. } => dealt_layer_table(session, network, sums),
        Protocol::SecureNn { .. } => securenn_layer_table(session, network, sums),
    }
}

/// Bytes that a party sent in an iteration, by layer, beside those of the published protocol for the same network and
/// batch.
fn dealt_layer_table(session: &Session, network: &Network, sums: &Traffic) -> String {
    let iterations = u64::from(session.iterations());
    let names = cost_row_names(session, network);
    // The published protocol has no softmax: it reveals the logits.
    let mut published = published_values(session).unwrap_or_else(|| vec![[0; 2]; names.len()]);
    if let Some(softmax) = published.last_mut() {
        *softmax = [0; 2];
    }
    let mut table = format!(
        "sent by a party in an iteration (mean of both over {iterations}), compared with the published protocol (see docs/src/benchmarks.md)\n\
         {:<16}{:>12}{:>12}{:>16}{:>16}\n",
        "", "forward", "backward", "published fwd", "published bwd"
    );
    let mut row = |name: &str, own: [u64; 2], other: [u64; 2]| {
        let [forward, backward] = own.map(bytes);
        let [other_forward, other_backward] = other.map(|values| {
            if values == 0 {
                "-".to_owned()
            } else {
                bytes(values * PUBLISHED_VALUE_BYTES)
            }
        });
        table += &format!(
            "{name:<16}{forward:>12}{backward:>12}{other_forward:>16}{other_backward:>16}\n"
        );
    };
    let mut total = [[0; 2]; 2];
    for (name, (measured, published)) in names.iter().zip(sums.cost_rows.iter().zip(&published)) {
        let own = measured.map(|cost| cost.online_bytes / (2 * iterations));
        for pass in 0..2 {
            total[0][pass] += own[pass];
            total[1][pass] += published[pass];
        }
        row(name, own, *published);
    }
    row("total", total[0], total[1]);
    let sum = |passes: [u64; 2]| passes[0] + passes[1];
    let (own, other) = (sum(total[0]), sum(total[1]) * PUBLISHED_VALUE_BYTES);
    if other > 0 {
        let exact = network
            .stages
            .iter()
            .all(|stage| !matches!(stage.activation, Some(Activation::Polynomial(..))));
        table += &format!(
            "{} where the published protocol sends {}: {:.1} times less, with {}no logit revealed\n",
            bytes(own),
            bytes(other),
            other as f64 / own.max(1) as f64,
            if exact { "exact ReLU and " } else { "" },
        );
    }
    table
}

/// Bytes that all three roles of SecureNN sent in an iteration, by layer.
fn securenn_layer_table(session: &Session, network: &Network, sums: &Traffic) -> String {
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
    let names = cost_row_names(session, network);
    for (name, measured) in names.iter().zip(&sums.cost_rows) {
        let own = measured.map(|cost| (cost.online_bytes + cost.dealer_bytes) / iterations);
        total = [total[0] + own[0], total[1] + own[1]];
        row(name, own);
    }
    row("total", total);
    table
}

/// Where the time of each role went.
pub fn time_table(session: &Session, times: &[RoleTime]) -> String {
    let helper = match session.protocol {
        Protocol::SecureNn { .. } => "waiting for assistant",
        Protocol::Dealt { .. } => "waiting for dealing",
    };
    let mut table = format!(
        "{:<14}{:>12}{:>18}{helper:>23}\n",
        "seconds", "computing", "waiting for peer"
    );
    for role in times {
        let computing = role.total.saturating_sub(role.peer + role.helper);
        table += &format!(
            "{:<14}{:>12.2}{:>18.2}{:>23.2}\n",
            role.name,
            computing.as_secs_f64(),
            role.peer.as_secs_f64(),
            role.helper.as_secs_f64()
        );
    }
    table
}

/// The result of the range checks: a line if every value kept the contract, warnings if not.
pub fn range_lines(
    session: &Session,
    network: &Network,
    ranges: &Ranges,
) -> Result<String, Vec<String>> {
    let mut warnings = Vec::new();
    let mut largest = (0.0, String::new());
    for (name, range) in cost_row_names(session, network).iter().zip(ranges) {
        for ((pass, backward), range) in [("forward", false), ("backward", true)]
            .into_iter()
            .zip(range)
        {
            let place = format!("{name} {pass}");
            if range.outside > 0 {
                warnings.push(outside_warning(
                    range.outside,
                    &format!("{place} in the whole run"),
                    &remedy((session, network), backward),
                ));
            }
            if range.largest > largest.0 {
                largest = (range.largest, place);
            }
        }
    }
    if !warnings.is_empty() {
        return Err(warnings);
    }
    Ok(format!(
        "every value kept the range contract; the largest used {:.0} % of it ({})",
        100.0 * largest.0,
        largest.1
    ))
}

/// How often SecureNN's local truncation fails, which nobody can check.
pub fn truncation_line(session: &Session) -> String {
    format!(
        "truncation is local, as published: that of a product x fails with probability |x| / 2^{}, and nobody notices",
        64 - 2 * session.format.fraction
    )
}
