//! Progress of a run: the bar, the lines above it, and the metrics file.

use std::{
    fs::File,
    io::{self, LineWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::{
    Role,
    network::Network,
    session::{Session, Task},
};
use serde::Serialize;

use super::amounts::bytes;
use crate::{
    console,
    data::file::check_writable,
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
    metrics: Option<(PathBuf, LineWriter<File>)>,
    online_bytes: u64,
    rounds: u64,
    audits: AuditSums,
}

impl Progress {
    /// The progress of `iterations` iterations, with a metrics file if one is wanted.
    pub fn new(iterations: u32, metrics: Option<&Path>) -> Result<Self, Failure> {
        let metrics = metrics
            .map(|path| {
                check_writable(path)?;
                let file = File::create(path)
                    .map_err(|error| Failure::unwritten(path.display(), &error))?;
                Ok::<_, Failure>((path.to_owned(), LineWriter::new(file)))
            })
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

    fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        let Some((path, metrics)) = &mut self.metrics else {
            return Ok(());
        };
        serde_json::to_string(record)
            .map_err(io::Error::from)
            .and_then(|line| writeln!(metrics, "{line}"))
            .map_err(|error| Failure::unwritten(path.display(), &error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn metrics_on_a_full_disk_are_named() {
        let full = File::options().write(true).open("/dev/full");
        let mut progress = Progress::new(1, None).expect("no file");
        progress.metrics = Some(("metrics".into(), LineWriter::new(full.expect("a device"))));
        let record = EpochRecord {
            kind: "epoch",
            epoch: 1,
            accuracy: None,
            twin_accuracy: None,
            seconds: 0.0,
        };
        let line = progress
            .write(&record)
            .map_err(|failure| failure.to_string());
        let wanted = "metrics cannot be written: the disk is full";
        assert!(line.is_err_and(|line| line.starts_with(wanted)));
    }
}
