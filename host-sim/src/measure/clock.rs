//! The processor time of a thread and of the process, in which other programs and waiting do not count.

use std::time::Duration;

/// A clock of the processor time of the thread that reads it; of the time of day where the system has none.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Duration);

impl Clock {
    /// Starts a clock, to be read by this thread.
    pub fn start() -> Self {
        Clock(system::of_thread())
    }

    /// Seconds since the start.
    pub fn seconds(self) -> f64 {
        system::of_thread().saturating_sub(self.0).as_secs_f64()
    }
}

/// A clock of the processor time of all threads of this process; of the time of day where the system has none.
#[derive(Clone, Copy, Debug)]
pub struct ProcessClock(Duration);

impl ProcessClock {
    /// Starts a clock.
    pub fn start() -> Self {
        ProcessClock(system::of_process())
    }

    /// Seconds since the start.
    pub fn seconds(self) -> f64 {
        system::of_process().saturating_sub(self.0).as_secs_f64()
    }
}

#[cfg(unix)]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    fn read(clock: ClockId) -> Duration {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    pub fn of_thread() -> Duration {
        read(ClockId::ThreadCPUTime)
    }

    pub fn of_process() -> Duration {
        read(ClockId::ProcessCPUTime)
    }
}

#[cfg(not(unix))]
mod system {
    use std::{
        sync::LazyLock,
        time::{Duration, Instant},
    };

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub fn of_thread() -> Duration {
        START.elapsed()
    }

    pub fn of_process() -> Duration {
        START.elapsed()
    }
}
