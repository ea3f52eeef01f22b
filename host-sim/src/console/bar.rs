//! How far a run has got: a bar on a terminal, and without one a line every few seconds and at the end of each epoch.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::session::{Session, Task};

use super::Advance;
use crate::console;

/// How long a run goes on without a line.
const SILENCE: Duration = Duration::from_secs(5);

/// From so many things on there is progress to tell of.
const MANY: u64 = 1000;

/// The progress of a run.
pub struct Bar {
    bar: ProgressBar,
    /// Who runs.
    who: String,
    steps: Steps,
    total: u64,
    start: Instant,
    /// The step after which this process began to look on, and when that was.
    first: Option<(u64, Instant)>,
    /// How long no line is printed; none if a bar is shown, or nothing at all.
    silence: Option<Duration>,
    last_line: Instant,
}

/// What a run consists of.
#[derive(Clone, Copy)]
enum Steps {
    /// Iterations, so many in an epoch.
    Iterations(u64),
    /// Others of this name, of which there are many in a second or few.
    Named(&'static str, Pace),
    /// Bytes or time, of which only the part is of interest.
    Parts,
}

/// How fast steps follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// --verbose tells of each.
    Slow,
    /// Nobody wants a line of each.
    Fast,
}

impl Bar {
    /// The progress of `who` in the iterations or batches of a session.
    pub fn new(who: impl Into<String>, session: &Session) -> Self {
        let (steps, template) = match session.task {
            Task::Train => (
                Steps::Iterations(session.iterations_per_epoch().into()),
                "{bar:12} iteration {pos}/{len}{msg}, {eta} left",
            ),
            Task::Infer | Task::Evaluate => {
                return Bar::of_steps(&who.into(), "batch", session.iterations().into());
            }
        };
        Bar::of(
            who.into(),
            steps,
            session.planned_iterations().into(),
            template,
        )
    }

    /// The progress of `who` towards an amount, such as a number of bytes.
    pub fn of_parts(who: &str, total: u64) -> Self {
        let template = "[{elapsed_precise}] {wide_bar} {percent}%{msg}";
        Bar::of(who.to_owned(), Steps::Parts, total.max(1), template)
    }

    /// The progress of `who` in `total` steps of this name.
    pub fn of_steps(who: &str, name: &'static str, total: u64) -> Self {
        let steps = Steps::Named(name, Pace::Slow);
        Bar::of(who.to_owned(), steps, total, &template(name))
    }

    /// The progress of `who` in `total` things of this name, each of which takes no time to speak of. Few are not told of.
    pub fn of_things(who: &str, name: &'static str, total: u64) -> Self {
        if total < MANY {
            return Bar::hidden();
        }
        let steps = Steps::Named(name, Pace::Fast);
        Bar::of(who.to_owned(), steps, total, &template(name))
    }

    /// No progress: somebody else tells of it.
    pub fn hidden() -> Self {
        Bar {
            bar: ProgressBar::hidden(),
            silence: None,
            ..Bar::of(String::new(), Steps::Parts, 1, "")
        }
    }

    fn of(who: String, steps: Steps, total: u64, template: &str) -> Self {
        let log = console::log();
        let bar = match log.has_bar() {
            true => ProgressBar::new(total),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let silence = match (log.verbose, steps) {
            (false, _) | (true, Steps::Named(_, Pace::Fast)) => SILENCE,
            (true, _) => Duration::ZERO,
        };
        let now = Instant::now();
        Bar {
            bar,
            who,
            steps,
            total,
            start: now,
            first: None,
            silence: (!log.quiet && !log.has_bar()).then_some(silence),
            last_line: now,
        }
    }

    /// So many steps are done. `message` says what they took.
    pub fn set(&mut self, done: u64, message: String) {
        let epoch = match self.steps {
            // The step before an epoch's end belongs to it.
            Steps::Iterations(per_epoch) => {
                format!("epoch {}", done.div_ceil(per_epoch.max(1)))
            }
            Steps::Named(..) | Steps::Parts => String::new(),
        };
        let parts: Vec<String> = [epoch, message]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let message = parts.join(", ");
        self.bar.set_position(done);
        self.first.get_or_insert((done, Instant::now()));
        if let Some(silence) = self.silence
            && self.last_line.elapsed() >= silence
        {
            self.last_line = Instant::now();
            let line = self.line(done, &message);
            console::advance(&line, self.advance(done));
        }
        let behind = if parts.is_empty() { "" } else { ", " };
        self.bar.set_message(format!("{behind}{message}"));
    }

    /// Tells that an epoch has ended after so many steps, if one has.
    pub fn tell_epoch(&self, done: u64) {
        let Steps::Iterations(per_epoch) = self.steps else {
            return;
        };
        if done.is_multiple_of(per_epoch) {
            let (epoch, seconds) = (done / per_epoch, self.start.elapsed().as_secs_f64());
            let line = format!("{}: epoch {epoch} is over ({seconds:.1} s)", self.who);
            let advance = self.advance(done);
            self.bar.suspend(|| console::advance(&line, advance));
        }
    }

    fn advance(&self, done: u64) -> Advance<'_> {
        Advance {
            role: &self.who,
            done,
            total: self.total,
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }

    fn line(&self, done: u64, message: &str) -> String {
        let (who, total) = (&self.who, self.total);
        let mut line = match self.steps {
            Steps::Iterations(_) => format!("{who}: iteration {done} of {total}"),
            Steps::Named(name, _) => format!("{who}: {name} {done} of {total}"),
            Steps::Parts => format!("{who}: {} %", 100 * done / total),
        };
        if !message.is_empty() {
            line += &format!(", {message}");
        }
        line += &format!(" ({:.1} s", self.start.elapsed().as_secs_f64());
        if let Some(left) = self.left(done) {
            line += &format!(", about {left:.0} s left");
        }
        line + ")"
    }

    /// About how many seconds the run still takes.
    fn left(&self, done: u64) -> Option<f64> {
        let (first, since) = self.first?;
        let steps = done.checked_sub(first).filter(|&steps| steps > 0)?;
        let each = since.elapsed().as_secs_f64() / steps as f64;
        Some(each * self.total.saturating_sub(done) as f64)
    }

    /// Does something while no bar is in the way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar of steps of this name.
fn template(name: &str) -> String {
    format!("{{bar:12}} {name} {{pos}}/{{len}}{{msg}}, {{eta}} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_how_far_a_run_is_and_how_long_it_takes() {
        let mut bar = Bar::of("p0".to_owned(), Steps::Iterations(5), 12, "");
        for (done, epoch) in [(1, 1), (5, 1), (6, 2)] {
            bar.set(done, "3 B".to_owned());
            assert_eq!(bar.bar.message(), format!(", epoch {epoch}, 3 B"));
        }
        bar.set(6, String::new());
        assert_eq!(bar.bar.message(), ", epoch 2");
        bar.first = Some((1, Instant::now()));
        let line = bar.line(4, "9 B");
        assert!(line.starts_with("p0: iteration 4 of 12, 9 B ("), "{line}");
        assert!(line.ends_with(" s left)"), "{line}");
        // Nothing can be said of the time after one step.
        assert!(!bar.line(1, "").contains("left"));
        let data = Bar::of_things("data", "image", 4000);
        assert!(
            data.line(1000, "")
                .starts_with("data: image 1000 of 4000 (")
        );
        let hub = Bar::of("hub".to_owned(), Steps::Parts, 400, "");
        assert!(hub.line(100, "").starts_with("hub: 25 % ("));
    }
}
