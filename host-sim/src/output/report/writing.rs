//! What a run has told so far, and the page of it in its file.

use std::{
    env,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    cost::Traffic,
    network::Network,
    session::{Session, Task},
};

use super::{
    costs::Costs,
    curves::{By, Learning},
    page::{Page, Section, State, Tile, grouped},
    planned::Step,
    range::{self, Audits},
    render::html,
    results::{self, percent},
    settings::Settings,
    time,
};
use crate::{
    data::{Classes, file::write_whole},
    error::Failure,
    output::{
        amounts::{bytes, counted},
        confusion::Confusion,
    },
    run::{
        audits::AuditRecord,
        ranges::Ranges,
        records::{EpochRecord, IterationRecord},
        role_time::RoleTime,
    },
};

/// A report that is being written.
pub struct Writing {
    path: PathBuf,
    every: Duration,
    heading: String,
    arguments: Vec<String>,
    begun: Instant,
    written: Instant,
    session: Option<(Session, Network)>,
    /// Iterations before this run, and those that are done.
    start: u32,
    done: u32,
    learning: Learning,
    costs: Costs,
    audits: Audits,
    confusion: Option<(Tile, Section)>,
    /// Settings that the session does not have.
    pub settings: Vec<(String, String)>,
    /// Where the roles' time went.
    pub times: Vec<RoleTime>,
    /// What a simulation saw of the range of all values.
    pub ranges: Option<Ranges>,
    /// Further sections.
    pub further: Vec<Section>,
}

impl Writing {
    /// A report in this file, written anew every so many seconds, of a run that `heading` names and that begins now.
    pub fn new(path: PathBuf, every: u64, heading: &str) -> Self {
        let now = Instant::now();
        let arguments = env::args_os().skip(1);
        Writing {
            path,
            every: Duration::from_secs(every),
            heading: heading.to_owned(),
            arguments: arguments
                .map(|text| text.to_string_lossy().into_owned())
                .collect(),
            begun: now,
            written: now,
            session: None,
            start: 0,
            done: 0,
            learning: Learning::default(),
            costs: Costs::default(),
            audits: Audits::default(),
            confusion: None,
            settings: Vec::new(),
            times: Vec::new(),
            ranges: None,
            further: Vec::new(),
        }
    }

    /// The run is one of this session, and begins or goes on after its first `done` iterations.
    pub fn begin(&mut self, (session, network): (&Session, &Network), done: u32) {
        let epochs = epochs(session, done);
        self.learning.go_back(done, epochs);
        if self.session.is_none() && done > 0 {
            let earlier = format!("iteration {done} of an earlier run, which this page leaves out");
            self.settings.push(("goes on after".to_owned(), earlier));
        }
        (self.start, self.done) = (done, done);
        self.session = Some((session.clone(), network.clone()));
    }

    /// A party has measured what these iterations, from 0, have sent.
    pub fn traffic(
        &mut self,
        role: Role,
        iterations: Range<u32>,
        traffic: &Traffic,
    ) -> Result<(), Failure> {
        let Some((session, network)) = &self.session else {
            return Ok(());
        };
        let step = |iteration| Step {
            role,
            start: self.start,
            iteration,
        };
        let steps: Vec<Step> = iterations.map(step).collect();
        self.costs.add(&steps, (session, network), traffic)
    }

    /// A party has measured what the whole evaluation has sent, and that is all of the run.
    pub fn evaluation(&mut self, role: Role, traffic: &Traffic) -> Result<(), Failure> {
        let session = self.session.as_ref();
        self.done = session.map_or(0, |(session, _)| session.iterations());
        self.traffic(role, 0..self.done, traffic)
    }

    /// An iteration is done.
    pub fn iteration(&mut self, record: &IterationRecord) {
        self.done = record.iteration;
        let at = |loss: f64| (record.iteration, loss);
        self.learning.loss.extend(record.loss.map(at));
        self.learning.twin_loss.extend(record.twin_loss.map(at));
    }

    /// A batch, from 0, has been classified.
    pub fn batch(&mut self, batch: u32) {
        self.done = batch + 1;
    }

    /// An epoch is done.
    pub fn epoch(&mut self, record: &EpochRecord) {
        // The last epoch may be cut short.
        let place = match record.whole {
            true => record.epoch.into(),
            false => match &self.session {
                Some((session, _)) => epochs(session, self.done),
                None => record.epoch.into(),
            },
        };
        self.learning
            .epoch_loss
            .extend(record.loss.map(|loss| (self.done, loss)));
        let at = |part: f64| (place, part);
        self.learning.accuracy.extend(record.accuracy.map(at));
        self.learning
            .twin_accuracy
            .extend(record.twin_accuracy.map(at));
    }

    /// An iteration was audited, or values left their range in it.
    pub fn range(&mut self, record: &AuditRecord) {
        self.audits.add(record);
    }

    /// The shared model was evaluated after `done` iterations of its training.
    pub fn validation(&mut self, done: u32, accuracy: Option<f64>) {
        self.learning.by = By::Iterations;
        let at = |part: f64| (done.into(), part);
        self.learning.accuracy.extend(accuracy.map(at));
    }

    /// The counts of labels and classes.
    pub fn confusion(&mut self, confusion: &Confusion, names: &Classes) {
        let tile = Tile {
            name: "images right".to_owned(),
            value: percent(confusion.accuracy()),
            note: format!("of {}", confusion.total()),
        };
        self.confusion = Some((tile, results::confusion(confusion, names)));
    }

    /// Writes the page of a run that goes on, if the last one is old enough.
    pub fn write_if_due(&mut self) -> Result<(), Failure> {
        if self.written.elapsed() < self.every {
            return Ok(());
        }
        self.written = Instant::now();
        self.write_running()
    }

    /// Writes the page of a run that goes on.
    pub fn write_running(&self) -> Result<(), Failure> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let place = match self.place() {
            Some(place) => {
                format!("This run is under way: {place}, {seconds:.1} s after its beginning.")
            }
            None => "This run has just begun.".to_owned(),
        };
        let every = self.every.as_secs();
        let text = format!(
            "{place} The page is written anew every {every} s; if it stays as it is, the run was stopped."
        );
        self.write(State::Running, text)
    }

    /// Writes the last page.
    pub fn write_end(&self, outcome: &Result<(), Failure>) -> Result<(), Failure> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let Err(failure) = outcome else {
            return self.write(State::Finished, format!("Finished after {seconds:.1} s."));
        };
        let place = match self.place() {
            Some(place) => format!("at {place}, after {seconds:.1} s"),
            None => "before it began".to_owned(),
        };
        let text = format!("This run failed {place}, and has no result: {failure}");
        self.write(State::Failed, text)
    }

    /// How far the run is, once it has begun.
    fn place(&self) -> Option<String> {
        let (session, _) = self.session.as_ref()?;
        let what = match session.task {
            Task::Train => "iteration",
            Task::Infer | Task::Evaluate => "batch",
        };
        Some(format!(
            "{what} {} of {}",
            self.done,
            session.planned_iterations()
        ))
    }

    fn write(&self, state: State, state_text: String) -> Result<(), Failure> {
        let page = Page {
            heading: self.heading.clone(),
            subject: self.subject(),
            state,
            state_text,
            refresh: (state == State::Running).then_some(self.every.as_secs()),
            tiles: self.tiles(),
            warnings: self.warnings(),
            sections: self.sections(),
        };
        write_whole(&self.path, html(&page)?.as_bytes())
    }

    /// The model and the number of images.
    fn subject(&self) -> String {
        let Some((session, network)) = &self.session else {
            return String::new();
        };
        format!(
            "{}, {} parameters, {}",
            session.model.name,
            grouped(network.parameters() as u64),
            counted(session.total_samples().into(), "image")
        )
    }

    fn sections(&self) -> Vec<Section> {
        let session = self.session.as_ref();
        let session = session.map(|(session, network)| (session, network));
        let mut sections: Vec<Section> = Vec::new();
        sections.extend(self.learning.section());
        sections.extend(self.confusion.as_ref().map(|(_, section)| section.clone()));
        sections.extend(self.further.iter().cloned());
        if let Some(parameters) = session {
            sections.extend(self.costs.section(parameters));
            let measured = self.costs.measured();
            sections.extend(time::section(parameters, &self.times, measured));
            sections.extend(range::section(
                parameters,
                self.ranges.as_ref(),
                &self.audits,
            ));
        }
        let settings = Settings {
            arguments: &self.arguments,
            session,
            more: &self.settings,
        };
        sections.push(settings.section());
        sections
    }

    fn warnings(&self) -> Vec<String> {
        let outside = self.audits.outside();
        let mut warnings = Vec::new();
        if outside > 0 {
            warnings.push(format!(
                "{outside} values left their range, so the result is not to be trusted."
            ));
        }
        warnings
    }

    /// The figures that come first.
    fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut tile = |name: &str, value: String, note: String| {
            tiles.push(Tile {
                name: name.to_owned(),
                value,
                note,
            });
        };
        let last = |points: &[(f64, f64)]| points.last().map(|&(_, part)| part);
        match (&self.confusion, last(&self.learning.accuracy)) {
            (_, Some(part)) => {
                let twin = last(&self.learning.twin_accuracy);
                let twin = twin.map(|twin| format!("plaintext twin {}", percent(twin)));
                tile(
                    "held-out images right",
                    percent(part),
                    twin.unwrap_or_default(),
                );
            }
            (Some((found, _)), None) => tile(&found.name, found.value.clone(), found.note.clone()),
            (None, None) => {}
        }
        if let Some(&(_, loss)) = self.learning.loss.last() {
            let twin = self.learning.twin_loss.last();
            let twin = twin.map(|(_, loss)| format!("plaintext twin {loss:.4}"));
            tile(
                "last batch's loss",
                format!("{loss:.4}"),
                twin.unwrap_or_default(),
            );
        }
        if let Some((session, _)) = &self.session {
            let name = match session.task {
                Task::Train => "iterations",
                Task::Infer | Task::Evaluate => "batches",
            };
            tile(
                name,
                self.done.to_string(),
                format!(
                    "of {}, {} images each",
                    session.planned_iterations(),
                    session.batch
                ),
            );
        }
        let seen: Vec<_> = self.costs.totals().into_iter().flatten().collect();
        if let (Some(first), iterations @ 1..) = (seen.first(), self.costs.iterations()) {
            let sent: u64 = seen.iter().map(|cost| cost.online_bytes).sum();
            let sent = sent / seen.len() as u64;
            tile(
                "sent by a party",
                bytes(sent / iterations),
                format!("an iteration; {} in all", bytes(sent)),
            );
            tile(
                "rounds",
                mean(first.rounds, iterations),
                format!("an iteration; {} in all", first.rounds),
            );
        }
        tiles
    }
}

/// The mean of a sum over so many, with a digit behind the point if it is no whole number.
fn mean(sum: u64, count: u64) -> String {
    match sum % count {
        0 => (sum / count).to_string(),
        _ => format!("{:.1}", sum as f64 / count as f64),
    }
}

/// Epochs that the first `done` iterations are, with a part of one.
fn epochs(session: &Session, done: u32) -> f64 {
    let earlier = session.earlier().map_or(0, |earlier| earlier.epochs);
    let own = done.saturating_sub(session.first_iteration());
    f64::from(earlier) + f64::from(own) / f64::from(session.iterations_per_epoch())
}
