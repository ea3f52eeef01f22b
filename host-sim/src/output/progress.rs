//! Progress of a run: the bar, the lines above it, and the metrics file.

use std::{path::Path, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::{
    Role,
    network::Network,
    session::{Session, Task},
};
use serde::Serialize;

use super::{amounts::bytes, metrics::Metrics};
use crate::{
    console,
    error::Failure,
    run::{
        audits::{AuditRecord, AuditSums},
        event::Event,
        records::{EpochRecord, IterationRecord, party_record},
    },
};

/// Progress and metrics of a run.
pub struct Progress {
    bar: ProgressBar,
    metrics: Option<Metrics>,
    online_bytes: u64,
    rounds: u64,
    audits: AuditSums,
}

impl Progress {
    /// The progress of `iterations` iterations, with a metrics file if one is wanted. If the run goes on after
    /// `resumed` iterations, so does the file.
    pub fn new(
        iterations: u32,
        metrics: Option<&Path>,
        resumed: Option<u32>,
    ) -> Result<Self, Failure> {
        let metrics = metrics
            .map(|path| Metrics::new(path, resumed))
            .transpose()?;
        let bar = ProgressBar::new(iterations.into());
        let template = "{bar:24} iteration {pos}/{len}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Ok(Progress {
            bar,
            metrics,
            online_bytes: 0,
            rounds: 0,
            audits: AuditSums::default(),
        })
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
                console::note(&warning);
            }
        });
        self.write(record)
    }

    /// The result of all audits, if there were any.
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

    /// Prints a line above the bar.
    pub fn say(&self, line: &str) -> Result<(), Failure> {
        self.bar.suspend(|| console::line(line))
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
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
        if trains && (iteration + 1) % session.iterations_per_epoch() == 0 {
            self.epoch(&EpochRecord {
                kind: "epoch",
                epoch: session.batch(iteration).epoch + 1,
                accuracy: None,
                twin_accuracy: None,
                seconds: start.elapsed().as_secs_f64(),
            })?;
        }
        Ok(())
    }
}
