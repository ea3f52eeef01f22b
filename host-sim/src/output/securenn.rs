//! What the user sees of a session with an assistant.

use ringlet_core::{
    cost::Traffic,
    network::Network,
    securenn::{Cost, assistant_words, party_words, plan},
    session::Session,
};
use serde::Serialize;

use crate::output::report::bytes;

/// The table at the end of a run: bytes that all roles sent in an iteration, by layer.
pub fn layer_table(session: &Session, network: &Network, sums: &Traffic) -> String {
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
    for (planned, line) in plan::cost_rows(session, network, 1)
        .iter()
        .zip(&sums.cost_rows)
    {
        let own = line.map(|cost| (cost.online_bytes + cost.dealer_bytes) / iterations);
        total = [total[0] + own[0], total[1] + own[1]];
        row(&planned.name, own);
    }
    row("total", total);
    table
}

/// What is to be said of the steps down, which nobody can check.
pub fn truncation_line(session: &Session) -> String {
    format!(
        "steps down are local, as published: that of a product x fails with probability |x| / 2^{}, and nobody notices",
        64 - 2 * session.format.fraction
    )
}

/// The plan of training as JSON: what all three roles send in one iteration, and what it takes of their memory.
#[derive(Serialize)]
pub struct TrainingPlan<'a> {
    model: &'a str,
    batch: u32,
    micro_batch: u32,
    parameters: usize,
    all_parties_bytes: u64,
    rounds: u64,
    arena_bytes_party: usize,
    arena_bytes_assistant: usize,
    layers: Vec<Layer>,
}

/// A layer's part of it.
#[derive(Serialize)]
struct Layer {
    name: String,
    forward: Sent,
    backward: Sent,
}

/// Bytes of all roles, and messages one after another.
#[derive(Clone, Copy, Default, Serialize)]
struct Sent {
    all_parties_bytes: u64,
    rounds: u64,
}

impl From<Cost> for Sent {
    fn from(cost: Cost) -> Self {
        Sent {
            all_parties_bytes: cost.bytes,
            rounds: cost.rounds,
        }
    }
}

impl<'a> TrainingPlan<'a> {
    /// The plan of one iteration over a whole batch.
    pub fn new(session: &'a Session, network: &Network) -> Self {
        let lines = plan::cost_rows(session, network, session.batch);
        let total: Cost = lines.iter().map(|line| line.forward + line.backward).sum();
        TrainingPlan {
            model: &session.model.name,
            batch: session.batch,
            micro_batch: session.micro_batch,
            parameters: network.parameters(),
            all_parties_bytes: total.bytes,
            rounds: total.rounds,
            arena_bytes_party: 8 * party_words(session, network),
            arena_bytes_assistant: 8 * assistant_words(session, network),
            layers: lines
                .iter()
                .map(|line| Layer {
                    name: line.name.to_string(),
                    forward: line.forward.into(),
                    backward: line.backward.into(),
                })
                .collect(),
        }
    }

    /// The same as a table.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{} with batches of {} by SecureNN's protocols: {} parameters\n\n\
             sent by all three roles in one iteration\n{:<16}{:>12}{:>12}{:>9}\n",
            self.model, self.batch, self.parameters, "", "forward", "backward", "rounds"
        );
        let mut total = [0; 2];
        for layer in &self.layers {
            let both = [layer.forward, layer.backward];
            let [forward, backward] = both.map(|sent| bytes(sent.all_parties_bytes));
            for (total, sent) in total.iter_mut().zip(both) {
                *total += sent.all_parties_bytes;
            }
            table += &format!(
                "{:<16}{forward:>12}{backward:>12}{:>9}\n",
                layer.name,
                layer.forward.rounds + layer.backward.rounds
            );
        }
        let [forward, backward] = total.map(bytes);
        table += &format!(
            "{:<16}{forward:>12}{backward:>12}{:>9}\n\nMemory: a party {}, the assistant {}.\n",
            "total",
            self.rounds,
            bytes(self.arena_bytes_party as u64),
            bytes(self.arena_bytes_assistant as u64)
        );
        table
    }
}
