//! Where the reports of a party go: to its supervisor, to the terminal and to files, or nowhere.

use std::{
    io,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    cost::Traffic,
    session::{Session, Task},
};

use super::args::PartyArgs;
use crate::{
    config::{privacy::told, session::CheckedSession},
    console,
    data::{
        file::Staged,
        model_file::{self, keep},
        parameters::decode_model,
    },
    error::Failure,
    links::wait_time::WaitTime,
    output::{
        amounts::{bytes, counted},
        classes::{Names, classes_table},
        confusion::Confusion,
        progress::Progress,
        report::{Report, results::counts},
        tables::time_table,
    },
    run::{
        actors::Helper,
        event::{Evaluated, Event},
        reporter::{Made, Reporter},
        role_time::RoleTime,
        supervision,
    },
};

/// Sends all events to the supervisor.
pub struct Supervised;

impl Reporter for Supervised {
    fn listening(&mut self, address: String) -> Result<(), Failure> {
        self.event(Event::Listening(address))
    }

    fn connected(&mut self, _: [WaitTime; 2], _: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        supervision::send(io::stdout(), &event)
    }

    fn made(&mut self, _: Made) -> Result<(), Failure> {
        Ok(())
    }

    fn finished(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Says nothing: the party's first rank does.
pub struct Silent;

impl Reporter for Silent {
    fn listening(&mut self, _: String) -> Result<(), Failure> {
        Ok(())
    }

    fn connected(&mut self, _: [WaitTime; 2], _: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn event(&mut self, _: Event) -> Result<(), Failure> {
        Ok(())
    }

    fn made(&mut self, _: Made) -> Result<(), Failure> {
        Ok(())
    }

    fn finished(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Shows the progress of a party, and writes its files.
pub struct Terminal<'a> {
    args: &'a PartyArgs,
    checked: CheckedSession,
    /// The files of the images, if it classifies files.
    files: &'a [String],
    /// The labels of its held-out images.
    labels: &'a [u8],
    report: &'a Report,
    run: Option<Run>,
    kept: Option<Kept>,
}

/// A result that does not count yet.
enum Kept {
    /// A model whose file appears once the result counts, and what to say of it.
    Model(model_file::Kept, String),
    /// A file that appears once the result counts, and what to say of it.
    File(Staged, String),
    /// A table for the terminal.
    Table(String),
}

/// A run after its handshakes.
struct Run {
    start: Instant,
    progress: Progress,
    sums: Traffic,
    wait_times: [WaitTime; 2],
    /// Times of waiting over links that are closed.
    waited: [Duration; 2],
}

impl<'a> Terminal<'a> {
    /// A reporter for a party that has not connected yet.
    pub fn new(
        args: &'a PartyArgs,
        checked: &CheckedSession,
        (files, labels): (&'a [String], &'a [u8]),
        report: &'a Report,
    ) -> Self {
        Terminal {
            args,
            checked: checked.clone(),
            files,
            labels,
            report,
            run: None,
            kept: None,
        }
    }

    /// The next session of the training begins.
    pub fn go_on(&mut self, checked: &CheckedSession) {
        self.checked = checked.clone();
    }

    /// Writes how the run ended to the metrics file, if it began.
    pub fn end<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let told = match &mut self.run {
            Some(run) => run.progress.end(outcome.as_ref().err()),
            None => Ok(()),
        };
        // The first failure is the one to tell.
        outcome.and_then(|made| told.map(|()| made))
    }

    /// The name of its role.
    fn name(&self) -> &'static str {
        match self.args.role() {
            Role::P0 => "p0",
            Role::P1 => "p1",
        }
    }

    /// What the labels of held-out images and their classes tell, at their owner.
    fn confusion(&self, evaluated: &Evaluated) -> Option<Confusion> {
        if evaluated.owner != self.args.role() {
            return None;
        }
        let label = |&(image, class): &(u32, u8)| Some((*self.labels.get(image as usize)?, class));
        let pairs = evaluated.classes.iter().filter_map(label);
        Some(Confusion::new(self.checked.network.classes, pairs))
    }

    /// Reports an evaluation during the training. The last one, and one whose `result` counts alone, comes with the counts.
    fn evaluated(&mut self, evaluated: &Evaluated) -> Result<String, Failure> {
        let confusion = self.confusion(evaluated);
        let CheckedSession {
            session,
            network,
            classes,
            ..
        } = &self.checked;
        let Some(run) = &mut self.run else {
            return Ok(String::new());
        };
        run.sums.add(&evaluated.traffic);
        let evaluation = Session {
            task: Task::Evaluate,
            ..session.clone()
        };
        let parameters = (&evaluation, network);
        run.progress
            .evaluated(evaluated, confusion.as_ref(), parameters)?;
        match session.task {
            Task::Evaluate => {
                let traffic = &evaluated.traffic;
                self.report.evaluation(self.args.role(), traffic)?;
            }
            _ => {
                let accuracy = confusion.as_ref().map(Confusion::accuracy);
                self.report.validation(evaluated.done, accuracy);
            }
        }
        let Some(confusion) = confusion else {
            return Ok(String::new());
        };
        let line = format!(
            "after {} iterations: {:.2} % of {}'s {} held-out images right ({:.1} s)",
            evaluated.done,
            100.0 * confusion.accuracy(),
            evaluated.owner,
            evaluated.images,
            evaluated.seconds
        );
        let is_last = session.task == Task::Evaluate
            || evaluated.stops
            || session.is_last(evaluated.done.saturating_sub(1));
        if is_last {
            self.report.confusion(&confusion, classes);
        }
        Ok(match is_last {
            true => format!("{line}\n{}", confusion.table(classes)),
            false => line,
        })
    }

    /// Writes the result to the file that the user names. It appears when the result counts.
    fn keep(&mut self, made: Made) -> Result<Option<Kept>, Failure> {
        let (args, role) = (self.args, self.args.role());
        let CheckedSession {
            session, network, ..
        } = &self.checked;
        match made {
            Made::Model(Some(values)) => {
                let Some(path) = &args.output.save else {
                    return Ok(None);
                };
                let parameters = decode_model(network, session, &values);
                let left_range = self
                    .run
                    .as_ref()
                    .is_some_and(|run| run.progress.left_range());
                let saved = self.checked.saved(&parameters, left_range)?;
                let model = (&saved.model, saved.marks);
                let file = keep(path, model, &saved.network, &saved.parameters)?;
                let line = format!("{role}: the model is in {}", path.display());
                Ok(Some(Kept::Model(file, line)))
            }
            Made::Classes(classes) if session.samples_owner() == role => {
                let names = Names {
                    files: self.files,
                    classes: &self.checked.classes,
                };
                self.report
                    .section(|| Some(counts(&classes, network.classes, names.classes)));
                let table = classes_table(classes, 0, names)?;
                let Some(path) = &args.out else {
                    return Ok(Some(Kept::Table(table)));
                };
                let file = Staged::write(path, table.as_bytes())?;
                let line = format!("{role}: the classes are in {}", path.display());
                Ok(Some(Kept::File(file, line)))
            }
            Made::Evaluated(evaluated) => {
                let text = self.evaluated(&evaluated)?;
                Ok((!text.is_empty()).then_some(Kept::Table(text)))
            }
            _ => Ok(None),
        }
    }
}

impl Reporter for Terminal<'_> {
    fn listening(&mut self, address: String) -> Result<(), Failure> {
        let role = self.args.role();
        let peer = role.other();
        console::note(&format!("{role}: waiting for party {peer} at {address}"));
        Ok(())
    }

    fn connected(&mut self, wait_times: [WaitTime; 2], first: u32) -> Result<(), Failure> {
        if let Some(run) = &mut self.run {
            // The run goes on after a break, or in its next session.
            let before = std::mem::replace(&mut run.wait_times, wait_times);
            for (waited, before) in run.waited.iter_mut().zip(&before) {
                *waited += before.total();
            }
            run.progress.go_back(first)?;
            let parameters = (&self.checked.session, &self.checked.network);
            return self.report.session(parameters, first);
        }
        let start = Instant::now();
        let session = &self.checked.session;
        self.report
            .session((session, &self.checked.network), first)?;
        if session.task == Task::Train && session.receiver.is_none() {
            console::note(
                "nobody will learn the model; to reveal it, give both parties --reveal-to",
            );
        }
        let delta = self.args.session.privacy.delta();
        if let Some(told) = told(session, &self.checked.network, delta)? {
            console::note(&told);
        }
        let evaluated = match (session.task, self.args.validation.plan()) {
            (Task::Evaluate, _) => session.samples,
            (_, plan) => plan.map_or([0; 2], |plan| plan.samples),
        };
        for owner in Role::BOTH {
            let count = evaluated[owner.index()].into();
            if count > 0 {
                console::note(&format!(
                    "the shared model is evaluated on {} of {owner}, which alone learns their classes",
                    counted(count, "held-out image")
                ));
            }
        }
        let metrics = self.args.output.metrics.as_deref();
        let resumed = self.args.checkpoints.resume.as_ref().map(|_| first);
        self.run = Some(Run {
            start,
            progress: Progress::new(self.name(), session, (metrics, resumed))?
                .on_range(self.args.range.on_range)
                .in_report(self.report),
            sums: Traffic::default(),
            wait_times,
            waited: [Duration::ZERO; 2],
        });
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        if let Event::Evaluated(evaluated) = &event {
            let text = self.evaluated(evaluated)?;
            if evaluated.stops {
                console::note(&format!(
                    "the training stops after {} of {} iterations: no evaluation has found a higher accuracy lately",
                    evaluated.done,
                    self.checked.session.planned_iterations()
                ));
            }
            return match (&self.run, text.as_str()) {
                (None, _) | (_, "") => Ok(()),
                (Some(run), text) => run.progress.say(text.trim_end()),
            };
        }
        if let Event::Checked {
            contributions,
            left_out,
        } = &event
        {
            tell_checked(self.name(), *contributions, left_out);
            return Ok(());
        }
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        if let Event::Iteration {
            iteration, traffic, ..
        } = &event
        {
            run.sums.add(traffic);
            self.report.traffic(self.args.role(), *iteration, traffic)?;
        }
        let parameters = (&self.checked.session, &self.checked.network);
        run.progress
            .party_event(self.args.role(), parameters, run.start, event)
    }

    fn made(&mut self, made: Made) -> Result<(), Failure> {
        self.kept = self.keep(made)?;
        Ok(())
    }

    fn finished(&mut self) -> Result<(), Failure> {
        let Some(run) = &self.run else {
            return Ok(());
        };
        let role = self.args.role();
        if !self.checked.session.ends_training() {
            return Ok(());
        }
        run.progress.finish();
        if let Some(line) = run.progress.audits() {
            console::line(&format!("{role}: {line}"))?;
        }
        match self.kept.take() {
            Some(Kept::Model(file, line)) => {
                file.appear()?;
                console::line(&line)?;
            }
            Some(Kept::File(file, line)) => {
                file.appear()?;
                console::line(&line)?;
            }
            Some(Kept::Table(table)) => console::print(&table)?,
            None => {}
        }
        let total = run.sums.total();
        let (others, what) = match Helper::of(self.checked.session.protocol) {
            Helper::Dealer => ("the peer", "of corrections"),
            Helper::Assistant => ("the others", "from the assistant"),
        };
        console::line(&format!(
            "{role}: done; sent {} to {others} in {} rounds, received {} {what}",
            bytes(total.online_bytes),
            total.rounds,
            bytes(total.dealer_bytes),
        ))?;
        let [peer, helper] = &run.wait_times;
        let time = RoleTime {
            name: self.name(),
            total: run.start.elapsed(),
            peer: run.waited[0] + peer.total(),
            helper: run.waited[1] + helper.total(),
        };
        self.report.times(&[time]);
        console::print(&time_table(&self.checked.session, &[time]))
    }
}

/// The most contributions that are told one by one.
const TOLD: usize = 20;

/// Tells what the check of contributions found.
fn tell_checked(name: &str, contributions: u32, left_out: &[(String, u32)]) {
    let all = counted(contributions.into(), "contribution");
    console::note(&match left_out.len() {
        0 => format!("{name}: {all} checked, none left out"),
        count => format!("{name}: {all} checked, {count} left out"),
    });
    for (contribution, bounds) in left_out.iter().take(TOLD) {
        let bounds = counted((*bounds).into(), "bound");
        console::note(&format!(
            "{name}: contribution {contribution} breaks {bounds} and is left out"
        ));
    }
    if left_out.len() > TOLD {
        let more = left_out.len() - TOLD;
        console::note(&format!("{name}: {more} more contributions are left out"));
    }
}
