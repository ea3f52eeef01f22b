//! What the user sees: progress while it runs, tables when it ends, and the metrics file.

use std::{
    fs::File,
    io::{LineWriter, Write},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::{
    cost::{Cost, Traffic},
    dealt::{CostRow, Plan},
    network::{Activation, Network},
    num::Ring,
    session::{Protocol, Session, Task},
};
use serde::Serialize;

use crate::{
    data::file::check_writable,
    error::Failure,
    output::{
        comparison::{PUBLISHED_VALUE_BYTES, published_values},
        console,
    },
    run::{
        audits::{AuditRecord, AuditSums, outside_warning},
        collect::{EpochRecord, IterationRecord},
        ranges::Ranges,
    },
};

/// Progress and metrics of a run.
pub struct Report {
    bar: ProgressBar,
    metrics: Option<LineWriter<File>>,
    online_bytes: u64,
    rounds: u64,
    audits: AuditSums,
}

impl Report {
    /// A report on `iterations` iterations, with the metrics file if one is wanted.
    pub fn new(iterations: u32, metrics: Option<&Path>) -> Result<Self, Failure> {
        let metrics = metrics
            .map(|path| {
                check_writable(path)?;
                File::create(path).map(LineWriter::new).map_err(|error| {
                    Failure::new(
                        format!("{} cannot be written: {error}", path.display()),
                        "give another file with --metrics",
                    )
                })
            })
            .transpose()?;
        let bar = ProgressBar::new(iterations.into());
        let template = "{bar:24} iteration {pos}/{len}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Ok(Report {
            bar,
            metrics,
            online_bytes: 0,
            rounds: 0,
            audits: AuditSums::default(),
        })
    }

    fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        let Some(metrics) = &mut self.metrics else {
            return Ok(());
        };
        serde_json::to_string(record)
            .map_err(|error| error.to_string())
            .and_then(|line| writeln!(metrics, "{line}").map_err(|error| error.to_string()))
            .map_err(|error| {
                Failure::new(
                    format!("the metrics cannot be written: {error}"),
                    "check the space left",
                )
            })
    }

    /// An iteration is done.
    pub fn iteration(&mut self, record: &IterationRecord) -> Result<(), Failure> {
        let sent = record.online_bytes_p0.max(record.online_bytes_p1);
        self.online_bytes += sent.unwrap_or(0);
        self.rounds += record.rounds;
        self.bar.set_position(record.iteration.into());
        self.bar.set_message(format!(
            "{} a party, {} rounds",
            bytes(self.online_bytes),
            self.rounds
        ));
        self.write(record)
    }

    /// An iteration was audited.
    pub fn audit(&mut self, record: &AuditRecord) -> Result<(), Failure> {
        self.audits.add(record);
        self.bar.suspend(|| {
            for warning in record.warnings() {
                eprintln!("{warning}");
            }
        });
        self.write(record)
    }

    /// What all audits together found, if there were any.
    pub fn audits(&self) -> Option<String> {
        self.audits.line()
    }

    /// An epoch is done.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), Failure> {
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        let mut line = format!("epoch {}", record.epoch);
        if let Some(accuracy) = record.accuracy {
            line += &format!(": {} of the held-out images right", percent(accuracy));
        }
        if let Some(accuracy) = record.twin_accuracy {
            line += &format!(", plaintext twin {}", percent(accuracy));
        }
        self.say(&format!("{line} ({:.1} s)", record.seconds))?;
        self.write(record)
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) -> Result<(), Failure> {
        self.bar.suspend(|| console::line(line))
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        c if c >= 1e9 => format!("{:.2} GB", c / 1e9),
        c if c >= 1e6 => format!("{:.2} MB", c / 1e6),
        c if c >= 1e3 => format!("{:.2} kB", c / 1e3),
        c => format!("{c} B"),
    }
}

/// So many of something, in words.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a session does, in words.
pub fn work(session: &Session) -> String {
    let step = match session.task {
        Task::Train => "iteration",
        Task::Infer => "batch",
    };
    let steps = match (session.task, session.iterations()) {
        (Task::Infer, count) if count != 1 => format!("{count} batches"),
        (_, count) => counted(count.into(), step),
    };
    format!("{steps} of {}", counted(session.batch.into(), "image"))
}

/// The table at the end: bytes that a party sent in an iteration, by layer, beside the published
/// protocol's for the same network and batch.
pub fn layer_table<R: Ring>(session: &Session, network: &Network, sums: &Traffic) -> String {
    let iterations = u64::from(session.iterations());
    let lines = Plan::new(session, network).cost_rows::<R>(session.batch);
    // The softmax is ours alone: there the logits are revealed.
    let mut published = published_values(session).unwrap_or_else(|| vec![[0; 2]; lines.len()]);
    if let Some(softmax) = published.last_mut() {
        *softmax = [0; 2];
    }
    let mut table = format!(
        "sent by a party in an iteration (mean of both over {iterations}), beside the published protocol (see the README)\n\
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
    for (line, (measured, published)) in lines.iter().zip(sums.cost_rows.iter().zip(&published)) {
        let own = measured.map(|cost| cost.online_bytes / (2 * iterations));
        for way in 0..2 {
            total[0][way] += own[way];
            total[1][way] += published[way];
        }
        row(&line.name, own, *published);
    }
    row("total", total[0], total[1]);
    let sum = |ways: [u64; 2]| ways[0] + ways[1];
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

/// Where a role's time went.
pub struct Spent {
    /// The role.
    pub name: &'static str,
    /// From start to end.
    pub total: Duration,
    /// Waiting for the peer.
    pub peer: Duration,
    /// Waiting for the dealer, or the dealer for P1 to read.
    pub dealer: Duration,
}

/// The table of times.
pub fn time_table(session: &Session, spent: &[Spent]) -> String {
    let helper = match session.protocol {
        Protocol::SecureNn { .. } => "waiting for assistant",
        Protocol::Dealt { .. } => "waiting for dealing",
    };
    let mut table = format!(
        "{:<14}{:>12}{:>18}{helper:>23}\n",
        "seconds", "computing", "waiting for peer"
    );
    for role in spent {
        let computing = role.total.saturating_sub(role.peer + role.dealer);
        table += &format!(
            "{:<14}{:>12.2}{:>18.2}{:>23.2}\n",
            role.name,
            computing.as_secs_f64(),
            role.peer.as_secs_f64(),
            role.dealer.as_secs_f64()
        );
    }
    table
}

/// What is to be said of the range contract: a line if it was kept, warnings if it was not.
pub fn range_lines(lines: &[CostRow], ranges: &Ranges) -> Result<String, Vec<String>> {
    let mut warnings = Vec::new();
    let mut largest = (0.0, String::new());
    for (line, met) in lines.iter().zip(ranges) {
        for (way, met) in ["forward", "backward"].into_iter().zip(met) {
            let place = format!("{} {way}", line.name);
            if met.outside > 0 {
                warnings.push(outside_warning(
                    met.outside,
                    &format!("{place} in the whole run"),
                ));
            }
            if met.largest > largest.0 {
                largest = (met.largest, place);
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

/// A line's costs as JSON.
#[derive(Serialize)]
struct LineJson<'a> {
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

#[derive(Serialize)]
struct CostJson {
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

/// A plan as JSON.
#[derive(Serialize)]
pub struct PlanJson<'a> {
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
    /// What an audit adds to an iteration; null where there are none.
    audit: Option<CostJson>,
    layers: Vec<LineJson<'a>>,
}

/// The lines of a plan, with the opening of the data booked where it happens: in an iteration of the
/// first epoch whose images belong to one party.
pub fn plan_lines<R: Ring>(session: &Session, network: &Network) -> Vec<CostRow> {
    let plan = Plan::new(session, network);
    let mut lines: Vec<CostRow> = plan.cost_rows::<R>(session.batch).into_iter().collect();
    lines[0].forward += plan.data::<R>(session.batch, session.batch);
    lines
}

/// The plan of a session as JSON.
pub fn plan_json<'a, R: Ring>(
    session: &'a Session,
    network: &Network,
    lines: &'a [CostRow],
) -> PlanJson<'a> {
    use ringlet_core::Role;
    let plan = Plan::new(session, network);
    let later = plan.iteration::<R>(session.batch);
    let first: Cost = lines.iter().map(|line| line.forward + line.backward).sum();
    PlanJson {
        model: &session.model.name,
        batch: session.batch,
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
        audit: session
            .has_audits()
            .then(|| plan.audit::<R>(session.batch).into()),
        layers: lines
            .iter()
            .enumerate()
            .map(|(index, line)| LineJson {
                name: &line.name,
                forward: line.forward.into(),
                backward: line.backward.into(),
                gates: gate_costs::<R>(&plan, session.batch, index),
            })
            .collect(),
    }
}

/// The gates of a line; data stands with the first layer, where it is opened.
fn gate_costs<R: Ring>(plan: &Plan<'_>, batch: u32, line: usize) -> Vec<GateJson> {
    let mut gates = Vec::new();
    let mut push = |gate, backward, cost: Cost| {
        gates.push(GateJson {
            gate,
            direction: if backward { "backward" } else { "forward" },
            cost: cost.into(),
        });
    };
    if line == 0 {
        push("data", false, plan.data::<R>(batch, batch));
    }
    plan.gates::<R>(batch, |gate| {
        if gate.cost_row == line {
            push(gate.gate, gate.backward, gate.cost);
        }
    });
    gates
}

/// The plan of a session as a table.
pub fn plan_table<R: Ring>(session: &Session, network: &Network, lines: &[CostRow]) -> String {
    let plan = plan_json::<R>(session, network, lines);
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
    for line in lines {
        for (way, cost) in [("forward", line.forward), ("backward", line.backward)] {
            if cost == Cost::ZERO {
                continue;
            }
            let name = if way == "forward" {
                line.name.as_str()
            } else {
                ""
            };
            table += &format!(
                "{name:<14}{way:>10}{:>14}{:>12}{:>14}\n",
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
    for (line, range) in Plan::new(session, network).polynomial_ranges() {
        let limit = 1u64 << range;
        table += &format!("{} takes values within +-{limit}.\n", lines[line].name);
    }
    table += &format!("{} rounds. ", plan.rounds);
    if session.protocol.triples().keep_data() {
        let later = bytes(plan.online_bytes_later_epochs);
        table += &format!("Later epochs open no data again: {later} sent.\n");
    } else {
        table += "Every epoch opens the data again.\n";
    }
    if let Some(audit) = &plan.audit {
        table += &format!(
            "An audited iteration, one in {}, adds {} sent, {} of corrections and {} rounds.\n",
            session.audit,
            bytes(audit.online_bytes),
            bytes(audit.dealer_bytes_p1),
            audit.rounds
        );
    }
    table += &format!(
        "Dealer to p0: {} bytes in the whole session.\n\
         Memory: p0 {}, p1 {}, dealer {}.\n",
        plan.dealer_bytes_p0_session,
        bytes(plan.arena_bytes_p0 as u64),
        bytes(plan.arena_bytes_p1 as u64),
        bytes(plan.arena_bytes_dealer as u64)
    );
    table
}
