//! All runs of a dashboard, one of which is chosen.

use std::time::SystemTime;

use super::run_state::{RunState, Status};
use crate::data::line_follower::LineFollower;

/// The runs, and where their records come from.
pub struct Dashboard {
    sources: Vec<LineFollower>,
    pub(super) runs: Vec<RunState>,
    pub(super) chosen: usize,
}

impl Dashboard {
    /// A dashboard over sources with these names.
    pub fn new(sources: Vec<(String, LineFollower)>) -> Self {
        let (names, sources): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        Dashboard {
            sources,
            runs: names.iter().map(|name| RunState::new(name)).collect(),
            chosen: 0,
        }
    }

    /// Takes what has come. Does not wait.
    pub fn look(&mut self) {
        self.take(|source, run| source.look(&mut |news| run.take(&news)));
    }

    /// Takes all there is: files to their present end, pipes until they are closed.
    pub fn read_to_end(&mut self) {
        self.take(|source, run| source.read_to_end(&mut |news| run.take(&news)));
    }

    fn take(&mut self, read: impl Fn(&mut LineFollower, &mut RunState)) {
        for (source, run) in self.sources.iter_mut().zip(&mut self.runs) {
            read(source, run);
            run.source = Some(source.state().clone());
            run.heard = source.last();
        }
    }

    /// Chooses the run that is so many places further down, from the last one round to the first.
    pub fn choose(&mut self, step: isize) {
        let count = self.runs.len().max(1) as isize;
        self.chosen = (self.chosen as isize + step).rem_euclid(count) as usize;
    }

    /// The chosen run.
    pub(super) fn chosen(&self) -> Option<&RunState> {
        self.runs.get(self.chosen)
    }

    /// The first source that cannot be read or that is not there, and why.
    pub fn missing(&self, now: SystemTime) -> Option<(&str, String)> {
        self.runs.iter().find_map(|run| match run.status(now) {
            Status::Unreadable(why) => Some((run.name.as_str(), why)),
            Status::Waiting(_) if run.source_is_absent() => {
                Some((run.name.as_str(), "there is no such file".to_owned()))
            }
            _ => None,
        })
    }
}
