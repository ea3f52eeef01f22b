//! Progress of a run: how far it is, what its epochs and audits tell, and the metrics file.

use std::{path::Path, time::Instant};

use ringlet_core::{
    Role,
    network::Network,
    session::{Session, Task},
};
use serde::Serialize;

use super::{amounts::bytes, confusion::Confusion, metrics::Metrics, report::Report};
use crate::{
    config::args::OnRange,
    console::{self, bar::Bar},
    error::Failure,
    run::{
        audits::{AuditRecord, AuditSums},
        event::{Evaluated, Event},
        records::{
            EndRecord, EpochRecord, IterationRecord, RunRecord, ValidationRecord, party_record,
        },
    },
};

/// Progress and metrics of a run.
pub struct Progress {
    bar: Bar,
    metrics: Option<Metrics>,
    start: Instant,
    report: Report,
    online_bytes: u64,
    audits: AuditSums,
    on_range: OnRange,
    left_range: bool,
    /// Accuracies of the model and of its twin at the last epoch.
    accuracies: Option<[f64; 2]>,
}

/// A model this much worse than its plaintext twin is told of.
const BEHIND: f64 = 0.02;

impl Progress {
    /// The progress of `who` in a session, with a metrics file if one is wanted. If the run goes on after `resumed`
    /// iterations, so does the file.
    pub fn new(
        who: impl Into<String>,
        session: &Session,
        (metrics, resumed): (Option<&Path>, Option<u32>),
    ) -> Result<Self, Failure> {
        let who = who.into();
        let mut metrics = metrics
            .map(|path| Metrics::new(path, resumed))
            .transpose()?;
        if let Some(metrics) = &mut metrics {
            let done = resumed.unwrap_or(0);
            metrics.write(&RunRecord::new(who.clone(), session, done))?;
        }
        Ok(Progress {
            bar: Bar::new(who, session),
            metrics,
            start: Instant::now(),
            report: Report::none(),
            online_bytes: 0,
            audits: AuditSums::default(),
            on_range: OnRange::default(),
            left_range: false,
            accuracies: None,
        })
    }

    /// The same progress, of a run that does this when values leave their range.
    pub fn on_range(self, on_range: OnRange) -> Self {
        Progress { on_range, ..self }
    }

    /// The same progress, of a run that has this report.
    pub fn in_report(self, report: &Report) -> Self {
        Progress {
            report: report.clone(),
            ..self
        }
    }

    /// Whether values left their range in an iteration that was watched or audited.
    pub fn left_range(&self) -> bool {
        self.left_range
    }

    /// The run goes back to the end of the first `done` iterations.
    pub fn go_back(&mut self, done: u32) -> Result<(), Failure> {
        match &mut self.metrics {
            Some(metrics) => metrics.go_back(done),
            None => Ok(()),
        }
    }

    fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        match &mut self.metrics {
            Some(metrics) => metrics.write(record),
            None => Ok(()),
        }
    }

    /// An iteration is done.
    pub fn iteration(&mut self, record: &IterationRecord) -> Result<(), Failure> {
        let sent = record.online_bytes_p0.max(record.online_bytes_p1);
        self.online_bytes += sent.unwrap_or(0);
        let loss = record.loss.map(|loss| format!("loss {loss:.3}, "));
        let message = format!(
            "{}{} sent",
            loss.unwrap_or_default(),
            bytes(self.online_bytes)
        );
        self.bar.set(record.iteration.into(), message);
        self.write(record)?;
        self.report.iteration(record)
    }

    /// An iteration was audited. Fails if values left their range and the run is to end then.
    pub fn audit(&mut self, record: &AuditRecord) -> Result<(), Failure> {
        self.audits.add(record);
        self.range(record)
    }

    /// A simulation saw values outside their range. Fails if the run is to end then.
    pub fn outside_range(&mut self, record: &AuditRecord) -> Result<(), Failure> {
        let is_first = !self.left_range;
        match (is_first, self.on_range) {
            // The end tells how many there were in the whole run.
            (false, OnRange::Warn) => {
                self.report.range(record);
                self.write(record)
            }
            _ => self.range(record),
        }
    }

    fn range(&mut self, record: &AuditRecord) -> Result<(), Failure> {
        self.report.range(record);
        self.write(record)?;
        if record.is_sound() {
            return Ok(());
        }
        self.left_range = true;
        if self.on_range == OnRange::Stop {
            return Err(record.failure());
        }
        self.bar.suspend(|| {
            for warning in record.warnings() {
                console::note(&warning);
            }
        });
        Ok(())
    }

    /// How far the model is behind its twin, if that is worth a warning.
    pub fn behind(&self) -> Option<String> {
        let [model, twin] = self.accuracies?;
        (twin - model > BEHIND).then(|| {
            format!(
                "warning: the private model is {:.2} points behind its plaintext twin",
                100.0 * (twin - model)
            )
        })
    }

    /// The result of all audits, if there were any.
    pub fn audits(&self) -> Option<String> {
        self.audits.line()
    }

    /// An epoch is done.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), Failure> {
        self.accuracies = record
            .accuracy
            .zip(record.twin_accuracy)
            .map(|(model, twin)| [model, twin]);
        self.report.epoch(record);
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        let mut told = Vec::new();
        if let Some(accuracy) = record.accuracy {
            told.push(format!(
                "{} of the held-out images right",
                percent(accuracy)
            ));
        }
        if let Some(accuracy) = record.twin_accuracy {
            told.push(format!("plaintext twin {}", percent(accuracy)));
        }
        if let Some(loss) = record.loss {
            told.push(format!("revealed loss {loss:.4}"));
        }
        if !told.is_empty() {
            let epoch = match record.whole {
                true => format!("epoch {}", record.epoch),
                false => format!("at the end, within epoch {}", record.epoch),
            };
            let told = told.join(", ");
            self.say(&format!("{epoch}: {told} ({:.1} s)", record.seconds))?;
        }
        self.write(record)
    }

    /// The shared model was evaluated. Its owner has counted the `confusion`. Fails if values left their range and the run is
    /// to end then.
    pub fn evaluated(
        &mut self,
        evaluated: &Evaluated,
        confusion: Option<&Confusion>,
        parameters: (&Session, &Network),
    ) -> Result<(), Failure> {
        if let Some(counts) = &evaluated.audit {
            let done = evaluated.done.saturating_sub(1);
            self.audit(&AuditRecord::new(done, parameters, counts))?;
        }
        let found = confusion.map(|found| (found.accuracy(), found.counts()));
        self.write(&ValidationRecord::new(evaluated, found))
    }

    /// Prints a result above the bar.
    pub fn say(&self, line: &str) -> Result<(), Failure> {
        self.bar.suspend(|| console::line(line))
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish();
    }

    /// Writes to the metrics file that the run ended, as it should or by a failure.
    pub fn end(&mut self, failure: Option<&Failure>) -> Result<(), Failure> {
        let seconds = self.start.elapsed().as_secs_f64();
        self.write(&EndRecord::new(failure, seconds))
    }

    /// Reports an event of one party, for a process that sees only that party. The run began at `start`.
    pub fn party_event(
        &mut self,
        role: Role,
        (session, network): (&Session, &Network),
        start: Instant,
        event: Event,
    ) -> Result<(), Failure> {
        let Event::Iteration {
            iteration,
            seconds,
            traffic,
            audit,
            epoch_loss,
            ..
        } = event
        else {
            return Ok(());
        };
        let parameters = (session, network);
        self.iteration(&party_record(
            role, iteration, seconds, parameters, &traffic,
        ))?;
        if let Some(counts) = audit {
            self.audit(&AuditRecord::new(iteration, parameters, &counts))?;
        }
        let trains = session.task == Task::Train;
        if trains && session.ends_epoch(iteration) {
            self.bar.tell_epoch(u64::from(iteration) + 1);
            self.epoch(&EpochRecord {
                kind: "epoch",
                epoch: session.batch(iteration).epoch + 1,
                whole: true,
                accuracy: None,
                twin_accuracy: None,
                loss: epoch_loss,
                seconds: start.elapsed().as_secs_f64(),
            })?;
        }
        Ok(())
    }
}
