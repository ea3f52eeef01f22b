//! Amounts in words: bytes, counts, and the work of a session.

use ringlet_core::session::{Session, Task};

/// A number of bytes, in the unit that suits it.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        c if c >= 1e9 => format!("{:.2} GB", c / 1e9),
        c if c >= 1e6 => format!("{:.2} MB", c / 1e6),
        c if c >= 1e3 => format!("{:.2} kB", c / 1e3),
        c => format!("{c} B"),
    }
}

/// A number of things.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The work of a session: its iterations or batches.
pub fn work(session: &Session) -> String {
    let steps = steps(session.task, session.iterations());
    format!("{steps} of {}", counted(session.batch.into(), "image"))
}

/// So many iterations of a training, or batches of other tasks.
pub fn steps(task: Task, count: u32) -> String {
    match (task, count) {
        (Task::Train, count) => counted(count.into(), "iteration"),
        (Task::Infer | Task::Evaluate, 1) => "1 batch".to_owned(),
        (Task::Infer | Task::Evaluate, count) => format!("{count} batches"),
    }
}

/// A time, in the unit that suits it.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s if s < 36_000.0 => format!("{:.0} min", s / 60.0),
        s if s < 360_000.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
