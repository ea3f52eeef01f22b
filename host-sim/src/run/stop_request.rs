//! What an interrupt or a request to terminate does to a run that keeps checkpoints: the iteration under way is finished,
//! and a checkpoint written. Outside of a run, while roles wait for each other, the program ends at once, for there is
//! nothing to write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{console, error::Failure};

/// Exit code of a program that an interrupt has ended.
const INTERRUPTED: i32 = 130;

static MADE: AtomicBool = AtomicBool::new(false);
static NOTED: AtomicBool = AtomicBool::new(false);

/// Runs under way in this process.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// From now on an interrupt or a request to terminate lets the runs of this process end with a checkpoint. A second one
/// ends the process at once.
pub fn watch() -> Result<(), Failure> {
    let handler = || {
        if MADE.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED);
        }
        if RUNS.load(Ordering::SeqCst) == 0 {
            console::note(
                "interrupted while no run was under way; --resume goes on from the checkpoints",
            );
            std::process::exit(INTERRUPTED);
        }
        console::note("stopping with a checkpoint; a second interrupt ends at once");
    };
    match ctrlc::set_handler(handler) {
        // Another run of this process has set it.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(Failure::new(
            format!("interrupts cannot be watched: {error}"),
            "leave out --checkpoint",
        )),
    }
}

/// Whether the user wants the program to stop.
pub fn is_made() -> bool {
    MADE.load(Ordering::SeqCst)
}

/// Says when the run will stop, the first time that it is called.
pub fn note_once(text: &str) {
    if !NOTED.swap(true, Ordering::SeqCst) {
        console::note(text);
    }
}

/// A run that ends with a checkpoint when the user wants so. It is under way until this is dropped.
#[must_use]
pub struct UnderWay(());

impl UnderWay {
    /// A run begins.
    pub fn begin() -> Self {
        RUNS.fetch_add(1, Ordering::SeqCst);
        UnderWay(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        RUNS.fetch_sub(1, Ordering::SeqCst);
    }
}
