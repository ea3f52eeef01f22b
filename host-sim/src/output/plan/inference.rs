//! The plan of inference and evaluation: the cost of a batch, by either kind of protocol.

use ringlet_core::{
    Role,
    cost::Cost,
    dealt::Plan,
    network::Network,
    num::Ring,
    securenn,
    session::{RunError, Session},
};
use serde::Serialize;

use super::{
    links::LinkBytes,
    process::{DEALER_LINK, helper_bytes, party_bytes},
    ranges::{RangeJson, lines, ranges},
    seconds::{Figures, Seconds},
    training::CostJson,
};
use crate::output::amounts::{bytes, counted};

/// The plan of inference. Fields that a protocol does not have are left out.
#[derive(Serialize)]
pub struct InferencePlan<'a> {
    model: &'a str,
    batch: u32,
    micro_batch: u32,
    parameters: usize,
    asking: String,
    #[serde(flatten)]
    batch_cost: Sent,
    /// Bytes that both parties send to open the model, once in a session.
    setup_bytes: u64,
    #[serde(flatten)]
    dealt: Option<Dealt>,
    link_bytes: LinkBytes,
    /// What an audit adds to a batch, for a party and for the dealer or the assistant; null where there are none.
    audit: Option<CostJson>,
    layers: Vec<Layer>,
    /// The range contracts; none by SecureNN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<RangeJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<Seconds>,
}

/// Traffic of a batch, or of one layer of it.
#[derive(Clone, Copy, Default, Serialize)]
struct Sent {
    rounds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_bytes_p0: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_bytes_p1: Option<u64>,
    /// Bytes that the roles of the run send: both parties, and an assistant if there is one.
    all_parties_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dealer_bytes_p1: Option<u64>,
}

/// Memory, of buffers alone and of whole processes, and setup of the protocols with a dealer.
#[derive(Serialize)]
struct Dealt {
    dealer_bytes_p0_session: u64,
    arena_bytes_p0: usize,
    arena_bytes_p1: usize,
    arena_bytes_dealer: usize,
    process_bytes_p0: u64,
    process_bytes_p1: u64,
    process_bytes_dealer: u64,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    #[serde(flatten)]
    cost: Sent,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gates: Vec<Gate>,
}

#[derive(Serialize)]
struct Gate {
    gate: &'static str,
    #[serde(flatten)]
    cost: Sent,
}

impl Sent {
    /// The cost of a step for both parties.
    fn of_both([p0, p1]: [Cost; 2]) -> Self {
        Sent {
            rounds: p0.rounds,
            online_bytes_p0: Some(p0.online_bytes),
            online_bytes_p1: Some(p1.online_bytes),
            all_parties_bytes: p0.online_bytes + p1.online_bytes,
            dealer_bytes_p1: Some(p1.dealer_bytes),
        }
    }

    /// The cost of a step for all three roles.
    fn of_all(cost: securenn::Cost) -> Self {
        Sent {
            rounds: cost.rounds,
            all_parties_bytes: cost.bytes,
            ..Sent::default()
        }
    }

    fn columns(self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = match self.online_bytes_p0 {
            Some(_) => None,
            None => Some(self.all_parties_bytes),
        };
        [
            ("p0 sends", self.online_bytes_p0),
            ("p1 sends", self.online_bytes_p1),
            ("all three send", all),
            ("dealer to p1", self.dealer_bytes_p1),
        ]
        .into_iter()
        .filter_map(|(name, bytes)| Some((name, bytes?)))
    }

    fn row(self) -> String {
        let columns = self
            .columns()
            .map(|(_, sent)| format!("{:>15}", bytes(sent)));
        format!("{:>9}{}", self.rounds, columns.collect::<String>())
    }
}

/// The plan of the protocols with a dealer.
pub fn dealt<'a, R: Ring>(session: &'a Session, network: &Network) -> InferencePlan<'a> {
    let plan = Plan::new(session, network);
    let [p0, p1] = Role::BOTH.map(|role| plan.inference::<R>(role, session.batch_rows()));
    let total = |rows: &[ringlet_core::dealt::CostRow]| rows.iter().map(|row| row.forward).sum();
    let rows = p0.iter().zip(&p1).enumerate();
    let layers = rows.map(|(index, (p0, p1))| Layer {
        name: p0.name.to_string(),
        cost: Sent::of_both([p0.forward, p1.forward]),
        gates: gates::<R>(&plan, session.batch_rows(), index),
    });
    let setup = Role::BOTH.map(|role| plan.model_opening(role).online_bytes);
    let process_of = |role: Role| {
        let mut message = setup[role.index()];
        plan.inference_gates::<R>(role, session.micro_batch, |gate| {
            message = message.max(gate.cost.online_bytes);
        });
        let buffers = 8 * plan.arena_words::<R>(role) as u64;
        party_bytes(session, network, role, (buffers, message))
    };
    InferencePlan {
        layers: layers.collect(),
        ranges: ranges::<R>(session, network),
        setup_bytes: setup.iter().sum(),
        dealt: Some(Dealt {
            dealer_bytes_p0_session: Plan::DEALER_BYTES_P0,
            arena_bytes_p0: 8 * plan.arena_words::<R>(Role::P0),
            arena_bytes_p1: 8 * plan.arena_words::<R>(Role::P1),
            arena_bytes_dealer: 8 * plan.dealer_arena_words::<R>(),
            process_bytes_p0: process_of(Role::P0),
            process_bytes_p1: process_of(Role::P1),
            process_bytes_dealer: helper_bytes(
                8 * plan.dealer_arena_words::<R>() as u64,
                DEALER_LINK,
            ),
        }),
        audit: audit(session, plan.audit::<R>(session.batch_rows())),
        ..empty(
            session,
            network,
            Sent::of_both([total(&p0), total(&p1)]),
            LinkBytes::dealt::<R>(session, network),
        )
    }
}

/// The plan of SecureNN. Every product opens its weights anew.
pub fn securenn<'a>(
    session: &'a Session,
    network: &Network,
) -> Result<InferencePlan<'a>, RunError> {
    let rows = securenn::plan::cost_rows(session, network, session.batch_rows());
    let none = securenn::Cost::default();
    let total = rows.iter().fold(none, |sum, row| sum + row.forward);
    let layers = rows.iter().map(|row| Layer {
        name: row.name.to_string(),
        cost: Sent::of_all(row.forward),
        gates: Vec::new(),
    });
    let links = LinkBytes::securenn(session, network)?;
    let audited = securenn::plan::audit(session, network, session.batch_rows());
    Ok(InferencePlan {
        layers: layers.collect(),
        audit: audit(session, audited),
        ..empty(session, network, Sent::of_all(total), links)
    })
}

/// What an audit adds to a batch, if there are audits.
fn audit(session: &Session, cost: Cost) -> Option<CostJson> {
    session.has_audits().then(|| cost.into())
}

fn empty<'a>(
    session: &'a Session,
    network: &Network,
    batch_cost: Sent,
    link_bytes: LinkBytes,
) -> InferencePlan<'a> {
    InferencePlan {
        model: &session.model.name,
        batch: session.batch_rows(),
        micro_batch: session.micro_batch,
        parameters: network.parameters(),
        asking: session.samples_owner().to_string(),
        batch_cost,
        setup_bytes: 0,
        dealt: None,
        link_bytes,
        audit: None,
        layers: Vec::new(),
        ranges: Vec::new(),
        seconds: None,
    }
}

/// The gates of a cost row.
fn gates<R: Ring>(plan: &Plan<'_>, batch: u32, row: usize) -> Vec<Gate> {
    let of = |role| {
        let mut costs = Vec::new();
        plan.inference_gates::<R>(role, batch, |gate| {
            if gate.cost_row != row {
                return;
            }
            let known = costs.iter_mut().find(|(name, _)| *name == gate.gate);
            match known {
                Some((_, cost)) => *cost += gate.cost,
                None => costs.push((gate.gate, gate.cost)),
            }
        });
        costs
    };
    let [p0, p1] = Role::BOTH.map(of);
    let both = p0.into_iter().zip(p1);
    both.map(|((gate, p0), (_, p1))| Gate {
        gate,
        cost: Sent::of_both([p0, p1]),
    })
    .collect()
}

impl InferencePlan<'_> {
    /// The same plan with its time, if there are figures of this machine.
    pub fn with_time(mut self, session: &Session, figures: Option<&Figures>) -> Self {
        self.seconds = figures.map(|figures| {
            Seconds::new(figures, session, &self.link_bytes, self.batch_cost.rounds)
        });
        self
    }

    /// The plan as a table.
    pub fn table(&self, session: &Session) -> String {
        let mut table = format!(
            "{} with batches of {} in the ring of {} bits, {} fraction bits: {} parameters of {}\n\
             {} asks, and only it learns the classes\n\n{:<16}{:>9}",
            self.model,
            self.batch,
            session.format.ring,
            session.format.fraction,
            self.parameters,
            match session.model_owner() {
                Some(owner) => owner.to_string(),
                None => "both parties".to_owned(),
            },
            self.asking,
            "one batch",
            "rounds",
        );
        for (name, _) in self.batch_cost.columns() {
            table += &format!("{name:>15}");
        }
        table += "\n";
        for layer in &self.layers {
            table += &format!("{:<16}{}\n", layer.name, layer.cost.row());
        }
        table += &format!("{:<16}{}\n\n", "total", self.batch_cost.row());
        if let Some(audit) = &self.audit {
            table += &audit.of_an_audit("batch", session.audit);
        }
        if let Some(dealt) = &self.dealt {
            table += &format!(
                "The model is opened once in a session, with the first batch: {} sent by {}.\n\
                 Dealer to p0: {} bytes in the whole session.\n\
                 Buffers: p0 {}, p1 {}, dealer {}.\n\
                 Memory of a process, with program, {} and links: p0 {}, p1 {}, dealer {}.\n",
                bytes(self.setup_bytes),
                match session.model_owner() {
                    Some(owner) => owner.to_string(),
                    None => "both parties, half by each".to_owned(),
                },
                dealt.dealer_bytes_p0_session,
                bytes(dealt.arena_bytes_p0 as u64),
                bytes(dealt.arena_bytes_p1 as u64),
                bytes(dealt.arena_bytes_dealer as u64),
                counted(
                    session.samples.iter().map(|&own| u64::from(own)).sum(),
                    "image"
                ),
                bytes(dealt.process_bytes_p0),
                bytes(dealt.process_bytes_p1),
                bytes(dealt.process_bytes_dealer)
            );
        }
        let helper = match self.dealt {
            Some(_) => "dealer",
            None => "assistant",
        };
        table += &self.link_bytes.lines(helper);
        if !self.ranges.is_empty() {
            table += &lines(&self.ranges);
        }
        if let Some(seconds) = &self.seconds {
            table += &seconds.lines();
        }
        table
    }
}
