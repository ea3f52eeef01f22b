//! Values outside the range contract, as an audit or a simulation finds them, for the user and for the metrics.

use ringlet_core::{
    network::Network,
    session::{Session, Task, cost_row_names},
};
use serde::Serialize;

use crate::error::Failure;

/// The result of an audited iteration, as `--metrics` writes it, or of one in which a simulation saw values outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRecord {
    /// "audit", or "range" for what a simulation saw.
    pub kind: &'static str,
    /// From 1.
    pub iteration: u32,
    #[serde(skip)]
    task: Task,
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

    /// The record of `iteration`, from 0, with the counts of [`Trainer::audit_counts`].
    ///
    /// [`Trainer::audit_counts`]: ringlet_core::dealt::Trainer::audit_counts
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
            format!("{}, or go on with --on-range warn", remedy(self.task)),
        )
    }

    /// Where in the run it was.
    fn place(&self) -> String {
        let what = match self.task {
            Task::Train => "iteration",
            Task::Infer => "batch",
        };
        format!("{what} {}", self.iteration)
    }

    /// A warning for each layer and pass in which values left the contract.
    pub fn warnings(&self) -> Vec<String> {
        self.outside()
            .map(|(name, pass, outside)| {
                let place = format!("{name} {pass} in {}", self.place());
                outside_warning(outside.into(), &place, self.task)
            })
            .collect()
    }

    /// The layers and passes in which values left the contract, and how many.
    fn outside(&self) -> impl Iterator<Item = (&str, &'static str, u32)> {
        let passes = self.layers.iter().flat_map(|layer| {
            [
                (layer.name.as_str(), "forward", layer.outside_forward),
                (layer.name.as_str(), "backward", layer.outside_backward),
            ]
        });
        passes.filter(|&(_, _, outside)| outside > 0)
    }
}

/// What gives values more room.
fn remedy(task: Task) -> &'static str {
    match task {
        Task::Train => "use --ring u64, fewer --fraction-bits or a lower --lr",
        Task::Infer => "use --ring u64 or fewer --fraction-bits",
    }
}

/// The warning that `outside` values at a layer left the range contract.
pub fn outside_warning(outside: u64, place: &str, task: Task) -> String {
    let remedy = remedy(task);
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
