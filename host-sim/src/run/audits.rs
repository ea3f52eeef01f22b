//! Values outside the range contract, as an audit or a simulation finds them, for the user and for the metrics.

use ringlet_core::{
    network::{Activation, Network},
    session::{Protocol, Session, Task, cost_row_names},
};
use serde::Serialize;

use crate::{
    data::range_bits::{RangeBits, most},
    error::Failure,
};

/// The names of the passes.
const PASSES: [&str; 2] = ["forward", "backward"];

/// The result of an audited iteration, as `--metrics` writes it, or of one in which a simulation saw values outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRecord {
    /// "audit", or "range" for what a simulation saw.
    pub kind: &'static str,
    /// From 1.
    pub iteration: u32,
    #[serde(skip)]
    task: Task,
    /// What to change if values left the contract, forward and backward.
    #[serde(skip)]
    remedies: [String; 2],
    /// The cost rows of the plan.
    pub layers: Vec<OutsideRecord>,
}

/// Values of one layer that left the range contract in an iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutsideRecord {
    /// The layer's name in the plan.
    pub name: String,
    /// In the forward pass.
    pub outside_forward: u32,
    /// In the backward pass, the update included.
    pub outside_backward: u32,
}

impl AuditRecord {
    /// The record of an iteration, from 0, in which a simulation saw values outside.
    pub fn seen(iteration: u32, parameters: (&Session, &Network), counts: &[[u32; 2]]) -> Self {
        AuditRecord {
            kind: "range",
            ..Self::new(iteration, parameters, counts)
        }
    }

    /// The record of `iteration`, from 0, with the counts of a party's audit, as [`dealt`] and [`securenn`] give them.
    ///
    /// [`dealt`]: ringlet_core::dealt::Trainer::audit_counts
    /// [`securenn`]: ringlet_core::securenn::Trainer::audit_counts
    pub fn new(
        iteration: u32,
        (session, network): (&Session, &Network),
        counts: &[[u32; 2]],
    ) -> Self {
        let rows = cost_row_names(session, network).into_iter().zip(counts);
        AuditRecord {
            kind: "audit",
            iteration: iteration + 1,
            task: session.task,
            remedies: [false, true].map(|backward| remedy((session, network), backward)),
            layers: rows
                .map(
                    |(name, &[outside_forward, outside_backward])| OutsideRecord {
                        name: name.to_string(),
                        outside_forward,
                        outside_backward,
                    },
                )
                .collect(),
        }
    }

    /// Whether no value left the contract.
    pub fn is_sound(&self) -> bool {
        self.warnings().is_empty()
    }

    /// The failure of a run that ends because values left the contract.
    pub fn failure(&self) -> Failure {
        let places: Vec<String> = self
            .outside()
            .map(|(name, pass, outside)| format!("{outside} at {name} {pass}"))
            .collect();
        Failure::new(
            format!(
                "values left the range contract in {}: {}",
                self.place(),
                places.join(", ")
            ),
            format!("{}, or go on with --on-range warn", self.remedy()),
        )
    }

    /// What to change: for the backward pass if only that left the contract.
    fn remedy(&self) -> &str {
        let [forward, backward] = &self.remedies;
        match self.outside().all(|(_, pass, _)| pass == PASSES[1]) {
            true => backward,
            false => forward,
        }
    }

    /// Where in the run it was.
    fn place(&self) -> String {
        let what = match self.task {
            Task::Train => "iteration",
            Task::Infer => "batch",
            Task::Evaluate => "the evaluation after iteration",
        };
        format!("{what} {}", self.iteration)
    }

    /// A warning for each layer and pass in which values left the contract.
    pub fn warnings(&self) -> Vec<String> {
        self.outside()
            .map(|(name, pass, outside)| {
                let place = format!("{name} {pass} in {}", self.place());
                outside_warning(outside.into(), &place, self.remedy())
            })
            .collect()
    }

    /// The layers and passes in which values left the contract, and how many.
    fn outside(&self) -> impl Iterator<Item = (&str, &'static str, u32)> {
        let passes = self.layers.iter().flat_map(|layer| {
            [
                (layer.name.as_str(), PASSES[0], layer.outside_forward),
                (layer.name.as_str(), PASSES[1], layer.outside_backward),
            ]
        });
        passes.filter(|&(_, _, outside)| outside > 0)
    }
}

/// What gives values of a session more room, forward or backward.
pub fn remedy((session, network): (&Session, &Network), backward: bool) -> String {
    let format = session.format;
    let mut remedies = Vec::new();
    let range = RangeBits::of(session, network);
    let has_polynomials = network
        .stages
        .iter()
        .any(|stage| matches!(stage.activation, Some(Activation::Polynomial(..))));
    let more = most(format);
    let is_least = |&bits: &u8| u32::from(bits) < more;
    let has_headroom = matches!(session.protocol, Protocol::Dealt { .. }) && !format.is_direct();
    if !backward && !has_polynomials && has_headroom && range.bits().iter().any(is_least) {
        remedies.push(format!("--range-bits {more}"));
    }
    if format.ring == u32::BITS {
        remedies.push("--ring u64".to_owned());
    } else if !has_polynomials {
        remedies.push("fewer --fraction-bits".to_owned());
    }
    match session.task {
        Task::Train => remedies.push("a lower --lr".to_owned()),
        Task::Infer | Task::Evaluate if remedies.is_empty() => {
            remedies.push("a model whose values stay smaller".to_owned());
        }
        Task::Infer | Task::Evaluate => {}
    }
    format!("use {}", remedies.join(" or "))
}

/// The warning that `outside` values at a layer left the range contract.
pub fn outside_warning(outside: u64, place: &str, remedy: &str) -> String {
    format!(
        "warning: {outside} values outside the range contract at {place}, so the result is not to \
         be trusted: {remedy}"
    )
}

/// Counts of the audits so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditSums {
    audits: u32,
    /// Audits that found values out of range.
    alarms: u32,
}

impl AuditSums {
    /// Counts one more audit.
    pub fn add(&mut self, record: &AuditRecord) {
        self.audits += 1;
        self.alarms += u32::from(!record.is_sound());
    }

    /// Whether an audit found values out of range.
    pub fn has_alarms(self) -> bool {
        self.alarms > 0
    }

    /// The line for the end of the run, if there were audits.
    pub fn line(self) -> Option<String> {
        let AuditSums { audits, alarms } = self;
        match (audits, alarms) {
            (0, _) => None,
            (1, 0) => Some("the audit found every value in its range".to_owned()),
            (_, 0) => Some(format!(
                "all {audits} audits found every value in its range"
            )),
            _ => Some(format!(
                "{alarms} of {audits} audits found values outside their range"
            )),
        }
    }
}
