//! The report of a run: one page that holds all of it, written anew while the run goes on and at its end.
//!
//! - `page`: what a page holds.
//! - `planned`: what the plan says of the iterations of a run.
//! - `curves`, `costs`, `time`, `range`, `results`, `settings`: its sections, from what a run tells.
//! - `figures`, `pictures`, `render`: the page as HTML, in builds with the feature `report`.

mod costs;
mod curves;
#[cfg(feature = "report")]
mod figures;
pub mod page;
#[cfg(feature = "report")]
mod pictures;
mod planned;
mod range;
mod render;
pub mod results;
mod settings;
mod time;
mod writing;

use std::{cell::RefCell, rc::Rc};

use ringlet_core::{Role, cost::Traffic, network::Network, session::Session};

use crate::{
    config::args::ReportArgs,
    data::{Classes, file::check_writable},
    error::Failure,
    output::confusion::Confusion,
    run::{
        audits::AuditRecord,
        ranges::Ranges,
        records::{EpochRecord, IterationRecord},
        role_time::RoleTime,
    },
};
use page::Section;
use writing::Writing;

/// The report of a run, if the user wants one. Copies are of the same report.
#[derive(Clone, Default)]
pub struct Report(Option<Rc<RefCell<Writing>>>);

impl Report {
    /// The report that the options want, of a run that `heading` names. Fails at once if it cannot be written.
    pub fn new(args: &ReportArgs, heading: &str) -> Result<Self, Failure> {
        let Some(path) = &args.report else {
            return Ok(Report(None));
        };
        render::check()?;
        check_writable(path)?;
        let writing = Writing::new(path.clone(), args.report_every, heading);
        writing.write_running()?;
        Ok(Report(Some(Rc::new(RefCell::new(writing)))))
    }

    /// No report.
    pub fn none() -> Self {
        Report(None)
    }

    /// Whether there is one.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Notes something, if there is a report.
    fn keep(&self, note: impl FnOnce(&mut Writing)) {
        if let Some(writing) = &self.0 {
            note(&mut writing.borrow_mut());
        }
    }

    /// Notes something that may have to be written, if there is a report.
    fn with(&self, note: impl FnOnce(&mut Writing) -> Result<(), Failure>) -> Result<(), Failure> {
        match &self.0 {
            Some(writing) => note(&mut writing.borrow_mut()),
            None => Ok(()),
        }
    }

    /// The run is one of this session, and begins or goes on after its first `done` iterations.
    pub fn session(
        &self,
        (session, network): (&Session, &Network),
        done: u32,
    ) -> Result<(), Failure> {
        self.with(|writing| {
            writing.begin((session, network), done);
            writing.write_running()
        })
    }

    /// Adds a setting that the session does not have.
    pub fn setting(&self, name: &str, value: impl Into<String>) {
        self.keep(|writing| writing.settings.push((name.to_owned(), value.into())));
    }

    /// A party has measured what an iteration, from 0, has sent.
    pub fn traffic(&self, role: Role, iteration: u32, traffic: &Traffic) -> Result<(), Failure> {
        self.with(|writing| writing.traffic(role, iteration..iteration + 1, traffic))
    }

    /// A party has measured what an evaluation has sent that is the whole run.
    pub fn evaluation(&self, role: Role, traffic: &Traffic) -> Result<(), Failure> {
        self.with(|writing| writing.evaluation(role, traffic))
    }

    /// An iteration is done.
    pub fn iteration(&self, record: &IterationRecord) -> Result<(), Failure> {
        self.with(|writing| {
            writing.iteration(record);
            writing.write_if_due()
        })
    }

    /// A batch, from 0, has been classified.
    pub fn batch(&self, batch: u32) -> Result<(), Failure> {
        self.with(|writing| {
            writing.batch(batch);
            writing.write_if_due()
        })
    }

    /// An epoch is done.
    pub fn epoch(&self, record: &EpochRecord) {
        self.keep(|writing| writing.epoch(record));
    }

    /// An iteration was audited, or values left their range in it.
    pub fn range(&self, record: &AuditRecord) {
        self.keep(|writing| writing.range(record));
    }

    /// The shared model was evaluated after `done` iterations of its training. The owner of the images has the accuracy.
    pub fn validation(&self, done: u32, accuracy: Option<f64>) {
        self.keep(|writing| writing.validation(done, accuracy));
    }

    /// The counts of labels and classes at the end of the run.
    pub fn confusion(&self, confusion: &Confusion, names: &Classes) {
        self.keep(|writing| writing.confusion(confusion, names));
    }

    /// A section that the run has at its end, such as pictures; `make` makes it if there is a report.
    pub fn section(&self, make: impl FnOnce() -> Option<Section>) {
        self.keep(|writing| writing.further.extend(make()));
    }

    /// Where the roles' time went.
    pub fn times(&self, times: &[RoleTime]) {
        self.keep(|writing| writing.times = times.to_vec());
    }

    /// What a simulation saw of the range of all values.
    pub fn ranges(&self, ranges: &Ranges) {
        self.keep(|writing| writing.ranges = Some(*ranges));
    }

    /// The run has ended so. Writes the last page.
    pub fn end(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let Some(writing) = &self.0 else {
            return outcome;
        };
        let written = writing.borrow().write_end(&outcome);
        outcome.and(written)
    }
}
