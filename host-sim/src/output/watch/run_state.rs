//! What the records of a metrics file tell of its run.

use std::time::{Duration, SystemTime};

use super::record::{End, Iteration, Record, RunFacts, plain};
use crate::data::line_follower::{News, SourceState};

/// Iterations over which the rate is taken.
const RECENT: usize = 20;

/// A run without a line for this long is silent, and for this many times the longest recent iteration if that is more.
const SILENCE: f64 = 10.0;
const SILENT_ITERATIONS: f64 = 5.0;

/// Before the first iteration a run may be silent for this long.
const BEGINNING: f64 = 60.0;

/// A run, as its records tell of it.
#[derive(Default)]
pub struct RunState {
    /// The file or pipe.
    pub name: String,
    /// What the run is, if the file says so.
    pub facts: Option<RunFacts>,
    /// The last iteration.
    pub last: Option<Iteration>,
    /// Loss and seconds of each iteration.
    pub points: Vec<Point>,
    /// Accuracies, in their order.
    pub accuracies: Vec<Accuracy>,
    /// Whole epochs.
    pub epochs: u32,
    /// What audits found.
    pub audits: Audits,
    /// Lines that are no records.
    pub damage: Damage,
    /// How the run ended, if it did.
    pub end: Option<End>,
    /// Bytes that P0 and P1 sent so far.
    pub sent: [u64; 2],
    /// Bytes that the dealer or the assistant sent to them.
    pub dealt: [u64; 2],
    lines: u64,
    /// What has become of the source.
    pub source: Option<SourceState>,
    /// When the source told something last.
    pub heard: Option<SystemTime>,
}

/// What one iteration adds to the curves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub iteration: u32,
    pub seconds: f32,
    pub loss: Option<f32>,
    /// Bytes: sent by both, dealt to both.
    bytes: [u64; 4],
}

/// How well the model does.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// Iterations that were done.
    pub after: u32,
    /// Such as "epoch 3".
    pub label: String,
    pub model: Option<f64>,
    pub twin: Option<f64>,
}

/// What audits found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audits {
    /// Iterations that were audited.
    pub audited: Vec<u32>,
    /// Those in which values left their range.
    pub unsound: Vec<Unsound>,
}

/// Values that left their range in an iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsound {
    pub iteration: u32,
    pub values: u64,
    /// The first place.
    pub place: String,
}

/// Lines that are no records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Damage {
    pub count: u64,
    /// The number of the last such line, and what is wrong with it.
    pub last: Option<(u64, String)>,
}

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// There is nothing yet: why.
    Waiting(&'static str),
    /// Lines come.
    Running,
    /// No line for so long.
    Silent(Duration),
    /// It ended as it should.
    Done,
    /// It ended otherwise: why.
    Failed(String),
    /// The pipe is closed, and no end was told.
    CutOff,
    /// There was a file, which is gone.
    Gone,
    /// The source cannot be read: why.
    Unreadable(String),
}

impl RunState {
    /// A run of which nothing is known but where its records are.
    pub fn new(name: &str) -> Self {
        RunState {
            name: plain(name),
            ..RunState::default()
        }
    }

    /// Takes what the source tells.
    pub fn take(&mut self, news: &News<'_>) {
        match news {
            News::Again => *self = RunState::new(&self.name),
            News::Damaged(why) => {
                self.lines += 1;
                self.damaged(why);
            }
            News::Line(line) => {
                self.lines += 1;
                match Record::parse(line) {
                    Ok(record) => self.add(record),
                    Err(why) => self.damaged(&why),
                }
            }
        }
    }

    fn damaged(&mut self, why: &str) {
        self.damage.count += 1;
        self.damage.last = Some((self.lines, why.to_owned()));
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Run(facts) => {
                self.go_back(facts.done);
                self.end = None;
                self.facts = Some(facts);
            }
            Record::Iteration(iteration) => {
                // A pipe may bring the records of a run that went back.
                self.go_back(iteration.iteration.saturating_sub(1));
                let sent = [iteration.online_bytes_p0, iteration.online_bytes_p1];
                let dealt = [iteration.dealer_bytes_p0, iteration.dealer_bytes_p1];
                let bytes = [sent[0], sent[1], dealt[0], dealt[1]].map(Option::unwrap_or_default);
                self.points.push(Point {
                    iteration: iteration.iteration,
                    seconds: iteration.seconds as f32,
                    loss: iteration.loss.map(|loss| loss as f32),
                    bytes,
                });
                self.count(bytes, u64::saturating_add);
                self.last = Some(iteration);
                self.end = None;
            }
            Record::Epoch(epoch) => {
                self.epochs = epoch.epoch - u32::from(!epoch.whole && epoch.epoch > 0);
                self.accuracies.push(Accuracy {
                    after: self.done(),
                    label: match epoch.whole {
                        true => format!("epoch {}", epoch.epoch),
                        false => format!("in epoch {}", epoch.epoch),
                    },
                    model: epoch.accuracy,
                    twin: epoch.twin_accuracy,
                });
            }
            Record::Audit(audit) => {
                if audit.kind == "audit" {
                    self.audits.audited.push(audit.iteration);
                }
                let places = audit.layers.iter().flat_map(|layer| {
                    [
                        (&layer.name, "forward", layer.outside_forward),
                        (&layer.name, "backward", layer.outside_backward),
                    ]
                });
                let outside: Vec<_> = places.filter(|(_, _, count)| *count > 0).collect();
                let Some((name, pass, _)) = outside.first() else {
                    return;
                };
                let unsound = &mut self.audits.unsound;
                // An audit and the simulation may tell of the same values.
                unsound.retain(|other| other.iteration != audit.iteration);
                unsound.push(Unsound {
                    iteration: audit.iteration,
                    values: outside.iter().map(|(_, _, count)| u64::from(*count)).sum(),
                    place: format!("{name} {pass}"),
                });
            }
            Record::Validation(validation) => self.accuracies.push(Accuracy {
                after: validation.iteration,
                label: format!("at {} ({})", validation.iteration, validation.owner),
                model: validation.accuracy,
                twin: None,
            }),
            Record::End(end) => self.end = Some(end),
            Record::Other => {}
        }
    }

    fn count(&mut self, bytes: [u64; 4], change: fn(u64, u64) -> u64) {
        let [p0, p1, to_p0, to_p1] = bytes;
        self.sent = [change(self.sent[0], p0), change(self.sent[1], p1)];
        self.dealt = [change(self.dealt[0], to_p0), change(self.dealt[1], to_p1)];
    }

    /// Forgets all that came after the first `done` iterations.
    fn go_back(&mut self, done: u32) {
        if self.done() <= done {
            return;
        }
        while let Some(point) = self.points.pop_if(|point| point.iteration > done) {
            self.count(point.bytes, u64::saturating_sub);
        }
        self.last = self.last.take().filter(|last| last.iteration <= done);
        self.accuracies.retain(|accuracy| accuracy.after <= done);
        let epochs = self
            .accuracies
            .iter()
            .filter(|a| a.label.starts_with("epoch"));
        self.epochs = epochs.count() as u32;
        let Audits { audited, unsound } = &mut self.audits;
        audited.retain(|iteration| *iteration <= done);
        unsound.retain(|unsound| unsound.iteration <= done);
        self.end = None;
    }

    /// Iterations that are done.
    pub fn done(&self) -> u32 {
        let begun = self.facts.as_ref().map_or(0, |facts| facts.done);
        self.points.last().map_or(begun, |point| point.iteration)
    }

    /// Iterations of the whole run, if the file says so.
    pub fn total(&self) -> Option<u32> {
        self.facts.as_ref().map(|facts| facts.iterations)
    }

    /// Seconds of a recent iteration.
    pub fn iteration_seconds(&self) -> Option<f64> {
        let recent = self.recent();
        let total: f64 = recent.iter().map(|point| f64::from(point.seconds)).sum();
        let mean = total / recent.len() as f64;
        (mean.is_finite() && mean > 0.0).then_some(mean)
    }

    fn recent(&self) -> &[Point] {
        &self.points[self.points.len().saturating_sub(RECENT)..]
    }

    /// About how many seconds the run still takes, if it goes on.
    pub fn seconds_left(&self, now: SystemTime) -> Option<f64> {
        if self.status(now) != Status::Running {
            return None;
        }
        let left = self.total()?.saturating_sub(self.done());
        Some(self.iteration_seconds()? * f64::from(left))
    }

    /// Whether the run goes on.
    pub fn status(&self, now: SystemTime) -> Status {
        let has_records = self.lines > 0;
        if let Some(SourceState::Failed(why)) = &self.source {
            return Status::Unreadable(plain(why));
        }
        if let Some((line, why)) = &self.damage.last
            && self.damage.count == self.lines
        {
            return Status::Unreadable(format!("no line is a record of a run; line {line}: {why}"));
        }
        if let Some(end) = &self.end {
            return match (end.well, &end.message) {
                (true, _) => Status::Done,
                (false, Some(message)) => Status::Failed(message.clone()),
                (false, None) => Status::Failed("it does not say why".to_owned()),
            };
        }
        match &self.source {
            None | Some(SourceState::Absent) if has_records => return Status::Gone,
            None | Some(SourceState::Absent) => return Status::Waiting("no file yet"),
            Some(SourceState::Closed) => return Status::CutOff,
            Some(SourceState::Open | SourceState::Failed(_)) => {}
        }
        let silent = self
            .heard
            .and_then(|heard| now.duration_since(heard).ok())
            .unwrap_or_default();
        let longest = self.recent().iter().map(|p| f64::from(p.seconds));
        let limit = match self.points.is_empty() {
            true => BEGINNING,
            false => longest.fold(SILENCE, |limit, s| limit.max(SILENT_ITERATIONS * s)),
        };
        match silent.as_secs_f64() > limit {
            true => Status::Silent(silent),
            false if !has_records => Status::Waiting("no line yet"),
            false => Status::Running,
        }
    }

    /// Whether there is no such file.
    pub fn source_is_absent(&self) -> bool {
        self.source == Some(SourceState::Absent)
    }

    /// The name of a step: an iteration, or a batch of a run that does not train.
    pub fn step(&self) -> &'static str {
        match &self.facts {
            Some(facts) if facts.task != "train" => "batch",
            _ => "iteration",
        }
    }
}
