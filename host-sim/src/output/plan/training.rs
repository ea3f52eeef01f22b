//! The plan of training with a dealer, as JSON and as a table.

use ringlet_core::{
    Role,
    cost::Cost,
    dealt::{CostRow, Plan},
    network::Network,
    num::Ring,
    session::Session,
};
use serde::Serialize;

use super::{
    links::LinkBytes,
    process::{DEALER_LINK, helper_bytes, party_bytes},
    ranges::{RangeJson, lines, ranges},
    ranks::RanksPlan,
    seconds::{Figures, Seconds},
};
use crate::output::amounts::{bytes, counted};

/// A cost row as JSON.
#[derive(Serialize)]
struct RowJson<'a> {
    name: &'a str,
    forward: CostJson,
    backward: CostJson,
    gates: Vec<GateJson>,
}

/// A gate's cost as JSON.
#[derive(Serialize)]
struct GateJson {
    gate: &'static str,
    direction: &'static str,
    #[serde(flatten)]
    cost: CostJson,
}

/// A party's cost as JSON.
#[derive(Serialize)]
pub struct CostJson {
    opened_values: u64,
    online_bytes: u64,
    dealer_bytes_p1: u64,
    rounds: u64,
}

impl From<Cost> for CostJson {
    fn from(cost: Cost) -> Self {
        CostJson {
            opened_values: cost.opened_values,
            online_bytes: cost.online_bytes,
            dealer_bytes_p1: cost.dealer_bytes,
            rounds: cost.rounds,
        }
    }
}

impl CostJson {
    /// The line of a table for the audit of an iteration or a batch, of which one in `every` is audited.
    pub fn of_an_audit(&self, what: &str, every: u32) -> String {
        format!(
            "An audited {what}, one in {every}, adds {} sent, {} of corrections and {} rounds.\n",
            bytes(self.online_bytes),
            bytes(self.dealer_bytes_p1),
            self.rounds
        )
    }
}

/// What a plan of training has beside its costs.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The figures of this machine, for its time.
    pub figures: Option<&'a Figures>,
    /// Whether it says what each rank has, with a dealer.
    pub ranks: bool,
}

/// The plan of training as JSON.
#[derive(Serialize)]
pub struct TrainingPlan<'a> {
    model: &'a str,
    batch: u32,
    micro_batch: u32,
    parameters: usize,
    opened_values: u64,
    online_bytes: u64,
    rounds: u64,
    dealer_bytes_p0_session: u64,
    dealer_bytes_p1: u64,
    opened_values_later_epochs: u64,
    online_bytes_later_epochs: u64,
    arena_bytes_p0: usize,
    arena_bytes_p1: usize,
    arena_bytes_dealer: usize,
    process_bytes_p0: u64,
    process_bytes_p1: u64,
    process_bytes_dealer: u64,
    link_bytes: LinkBytes,
    /// What an audit adds to an iteration; null where there are none.
    audit: Option<CostJson>,
    /// What the revealed loss adds to the last iteration of an epoch; null where it is not revealed.
    revealed_loss: Option<CostJson>,
    ranges: Vec<RangeJson>,
    layers: Vec<RowJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranks: Option<RanksPlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<Seconds>,
}

/// The cost rows of an iteration of the first epoch, whose images belong to one party. The first row includes the opening
/// of the data.
pub fn cost_rows<R: Ring>(session: &Session, network: &Network) -> Vec<CostRow> {
    let plan = Plan::new(session, network);
    let mut rows: Vec<CostRow> = plan
        .cost_rows::<R>(session.batch_rows())
        .into_iter()
        .collect();
    rows[0].forward += plan.data::<R>(session.batch_rows(), session.batch_rows());
    rows
}

/// The plan of training as JSON.
pub fn plan_json<'a, R: Ring>(
    session: &'a Session,
    network: &Network,
    rows: &'a [CostRow],
    Beside { figures, ranks }: Beside<'_>,
) -> TrainingPlan<'a> {
    let plan = Plan::new(session, network);
    let later = plan.iteration::<R>(session.batch_rows());
    let first: Cost = rows.iter().map(|row| row.forward + row.backward).sum();
    let mut message = plan
        .data::<R>(session.batch_rows(), session.batch_rows())
        .online_bytes;
    plan.gates::<R>(session.micro_batch, |gate| {
        message = message.max(gate.cost.online_bytes);
    });
    let buffers_of = |role| {
        let opened = plan.opened_data_words(role) * size_of::<R>();
        (8 * plan.arena_words::<R>(role) + opened) as u64
    };
    let process_of = |role| party_bytes(session, network, role, (buffers_of(role), message));
    let held = Role::BOTH.map(|role| buffers_of(role) + message);
    let link_bytes = LinkBytes::dealt::<R>(session, network);
    TrainingPlan {
        seconds: figures.map(|figures| Seconds::new(figures, session, &link_bytes, first.rounds)),
        ranks: ranks.then(|| RanksPlan::new::<R>(session, network, held)),
        model: &session.model.name,
        batch: session.batch_rows(),
        micro_batch: session.micro_batch,
        parameters: network.parameters(),
        opened_values: first.opened_values,
        online_bytes: first.online_bytes,
        rounds: first.rounds,
        dealer_bytes_p0_session: Plan::DEALER_BYTES_P0,
        dealer_bytes_p1: first.dealer_bytes,
        opened_values_later_epochs: later.opened_values,
        online_bytes_later_epochs: later.online_bytes,
        arena_bytes_p0: 8 * plan.arena_words::<R>(Role::P0),
        arena_bytes_p1: 8 * plan.arena_words::<R>(Role::P1),
        arena_bytes_dealer: 8 * plan.dealer_arena_words::<R>(),
        process_bytes_p0: process_of(Role::P0),
        process_bytes_p1: process_of(Role::P1),
        process_bytes_dealer: helper_bytes(8 * plan.dealer_arena_words::<R>() as u64, DEALER_LINK),
        link_bytes,
        audit: session
            .has_audits()
            .then(|| plan.audit::<R>(session.batch_rows()).into()),
        revealed_loss: session
            .reveal_loss
            .then(|| plan.loss_of(session.iterations_per_epoch() - 1).into()),
        ranges: ranges::<R>(session, network),
        layers: rows
            .iter()
            .enumerate()
            .map(|(index, row)| RowJson {
                name: &row.name,
                forward: row.forward.into(),
                backward: row.backward.into(),
                gates: gate_costs::<R>(&plan, session.batch_rows(), index),
            })
            .collect(),
    }
}

/// The gates of a cost row. The data is opened in the first one.
fn gate_costs<R: Ring>(plan: &Plan<'_>, batch: u32, row: usize) -> Vec<GateJson> {
    let mut gates = Vec::new();
    let mut push = |gate, backward, cost: Cost| {
        gates.push(GateJson {
            gate,
            direction: if backward { "backward" } else { "forward" },
            cost: cost.into(),
        });
    };
    if row == 0 {
        push("data", false, plan.data::<R>(batch, batch));
    }
    plan.gates::<R>(batch, |gate| {
        if gate.cost_row == row {
            push(gate.gate, gate.backward, gate.cost);
        }
    });
    gates
}

/// The plan of training as a table.
pub fn plan_table(session: &Session, plan: &TrainingPlan<'_>, rows: &[CostRow]) -> String {
    let mut table = format!(
        "{} with batches of {} in the ring of {} bits, {} fraction bits: {} parameters\n\n{:<14}{:>10}{:>14}{:>12}{:>14}\n",
        plan.model,
        plan.batch,
        session.format.ring,
        session.format.fraction,
        plan.parameters,
        "one iteration",
        "",
        "opened values",
        "sent",
        "dealer to p1"
    );
    for row in rows {
        for (pass, cost) in [("forward", row.forward), ("backward", row.backward)] {
            if cost == Cost::ZERO {
                continue;
            }
            let name = if pass == "forward" {
                row.name.as_str()
            } else {
                ""
            };
            table += &format!(
                "{name:<14}{pass:>10}{:>14}{:>12}{:>14}\n",
                cost.opened_values,
                bytes(cost.online_bytes),
                bytes(cost.dealer_bytes)
            );
        }
    }
    table += &format!(
        "{:<14}{:>10}{:>14}{:>12}{:>14}\n\n",
        "total",
        "",
        plan.opened_values,
        bytes(plan.online_bytes),
        bytes(plan.dealer_bytes_p1)
    );
    table += &format!("{} rounds. ", plan.rounds);
    if session.keeps_data() {
        let later = bytes(plan.online_bytes_later_epochs);
        table += &format!("Later epochs open no data again: {later} sent.\n");
    } else {
        table += "Every epoch opens the data again.\n";
    }
    if let Some(audit) = &plan.audit {
        table += &audit.of_an_audit("iteration", session.audit);
    }
    if let Some(loss) = &plan.revealed_loss {
        table += &format!(
            "The loss that is revealed at the end of an epoch adds {} sent and {} round.\n",
            bytes(loss.online_bytes),
            loss.rounds
        );
    }
    table += &format!(
        "Dealer to p0: {} bytes in the whole session.\n\
         Buffers: p0 {}, p1 {}, dealer {}.\n\
         Memory of a process, with program, {} and links: p0 {}, p1 {}, dealer {}.\n",
        plan.dealer_bytes_p0_session,
        bytes(plan.arena_bytes_p0 as u64),
        bytes(plan.arena_bytes_p1 as u64),
        bytes(plan.arena_bytes_dealer as u64),
        counted(
            session.samples.iter().map(|&own| u64::from(own)).sum(),
            "image"
        ),
        bytes(plan.process_bytes_p0),
        bytes(plan.process_bytes_p1),
        bytes(plan.process_bytes_dealer)
    );
    table += &plan.link_bytes.lines("dealer");
    table += &lines(&plan.ranges);
    if let Some(ranks) = &plan.ranks {
        table += &ranks.lines();
    }
    if let Some(seconds) = &plan.seconds {
        table += &seconds.lines();
    }
    table
}
