//! The plan of training by SecureNN, as JSON and as a table.

use ringlet_core::{
    Role,
    network::Network,
    securenn::{Cost, assistant_words, party_words, plan},
    session::{RunError, Session},
};
use serde::Serialize;

use super::{
    links::LinkBytes,
    process::{helper_bytes, party_bytes},
    seconds::Seconds,
    securenn_ranks::SecureNnRanks,
    training::{Beside, CostJson},
};
use crate::output::amounts::bytes;

/// The plan of training: what all three roles send in one iteration, and the memory that they need.
#[derive(Serialize)]
pub struct SecureNnPlan<'a> {
    model: &'a str,
    batch: u32,
    micro_batch: u32,
    parameters: usize,
    all_parties_bytes: u64,
    rounds: u64,
    arena_bytes_party: usize,
    arena_bytes_assistant: usize,
    process_bytes_p0: u64,
    process_bytes_p1: u64,
    process_bytes_assistant: u64,
    link_bytes: LinkBytes,
    /// What an audit adds to an iteration, for a party and for the assistant as its dealer; null where there are none.
    audit: Option<CostJson>,
    /// Iterations from one audit to the next.
    #[serde(skip)]
    audit_every: u32,
    layers: Vec<Layer>,
    /// What each rank of a role has.
    #[serde(skip_serializing_if = "Option::is_none")]
    ranks: Option<SecureNnRanks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<Seconds>,
}

/// The plan of a layer.
#[derive(Serialize)]
struct Layer {
    name: String,
    forward: Sent,
    backward: Sent,
}

/// Bytes that all roles send, and rounds.
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

/// Of so many bytes that the assistant sends ahead, memory takes one more.
const AHEAD_SLACK: u64 = 16;

impl<'a> SecureNnPlan<'a> {
    /// The plan of one iteration over a whole batch, and what is to be beside it.
    pub fn new(
        session: &'a Session,
        network: &Network,
        Beside { figures, ranks }: Beside<'_>,
    ) -> Result<Self, RunError> {
        let rows = plan::cost_rows(session, network, session.batch);
        // What a link holds: all that all three send in a round of the widest pass, on average. One role sends a third.
        let (audit, ahead) = match session.has_audits() {
            true => (
                plan::audit_cost_rows(session, network, session.micro_batch),
                plan::audit_ahead(session, network),
            ),
            false => Default::default(),
        };
        let message = plan::cost_rows(session, network, session.micro_batch)
            .iter()
            .chain(&audit)
            .flat_map(|row| [row.forward, row.backward])
            .map(|pass| pass.bytes / pass.rounds.max(1))
            .max()
            .unwrap_or(0);
        let buffers = 8 * party_words(session, network) as u64;
        let memory = (buffers, message);
        // Corrections go ahead beside the assistant's third of a message, in chunks that are not all full.
        let ahead = message.max(ahead + ahead / AHEAD_SLACK + message / 3);
        let of_assistant = 8 * assistant_words(session, network) as u64;
        let held = [buffers + message, of_assistant + ahead];
        let process_of = |role| party_bytes(session, network, role, memory);
        let total: Cost = rows.iter().map(|row| row.forward + row.backward).sum();
        let link_bytes = LinkBytes::securenn(session, network)?;
        Ok(SecureNnPlan {
            seconds: figures
                .map(|figures| Seconds::new(figures, session, &link_bytes, total.rounds)),
            model: &session.model.name,
            batch: session.batch,
            micro_batch: session.micro_batch,
            parameters: network.parameters(),
            all_parties_bytes: total.bytes,
            rounds: total.rounds,
            arena_bytes_party: 8 * party_words(session, network),
            arena_bytes_assistant: 8 * assistant_words(session, network),
            process_bytes_p0: process_of(Role::P0),
            process_bytes_p1: process_of(Role::P1),
            process_bytes_assistant: helper_bytes(of_assistant, ahead),
            ranks: ranks.then(|| SecureNnRanks::new(session, network, held)),
            link_bytes,
            audit: session
                .has_audits()
                .then(|| plan::audit(session, network, session.batch).into()),
            audit_every: session.audit,
            layers: rows
                .iter()
                .map(|row| Layer {
                    name: row.name.to_string(),
                    forward: row.forward.into(),
                    backward: row.backward.into(),
                })
                .collect(),
        })
    }

    /// The plan as a table.
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
            "{:<16}{forward:>12}{backward:>12}{:>9}\n\n",
            "total", self.rounds
        );
        if let Some(audit) = &self.audit {
            table += &audit.of_an_audit("iteration", self.audit_every);
        }
        table += &format!(
            "Buffers: a party {}, the assistant {}.\n\
             Memory of a process, with program, images and links: p0 {}, p1 {}, the assistant {}.\n",
            bytes(self.arena_bytes_party as u64),
            bytes(self.arena_bytes_assistant as u64),
            bytes(self.process_bytes_p0),
            bytes(self.process_bytes_p1),
            bytes(self.process_bytes_assistant)
        );
        table += &self.link_bytes.lines("assistant");
        if let Some(ranks) = &self.ranks {
            table += &ranks.lines();
        }
        if let Some(seconds) = &self.seconds {
            table += &seconds.lines();
        }
        table
    }
}
