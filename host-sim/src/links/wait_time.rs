//! How long a role waits on its links.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Time spent waiting on a link. Clones share the same counter.
#[derive(Clone, Debug, Default)]
pub struct WaitTime(Arc<AtomicU64>);

impl WaitTime {
    /// The time so far.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Adds the time that `action` takes.
    pub fn time<O>(&self, action: impl FnOnce() -> O) -> O {
        let start = Instant::now();
        let out = action();
        let nanos = start.elapsed().as_nanos() as u64;
        self.0.fetch_add(nanos, Ordering::Relaxed);
        out
    }
}
