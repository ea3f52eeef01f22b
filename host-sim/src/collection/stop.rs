//! How the user ends a role: by an interrupt or a request to terminate.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::error::Failure;

/// Exit code of a program that an interrupt has ended.
const INTERRUPTED: i32 = 130;

/// Whether the user wants the role to end.
#[derive(Clone, Default)]
pub struct Stop(Arc<(AtomicBool, Mutex<()>, Condvar)>);

impl Stop {
    /// From now on an interrupt or a request to terminate is noted. A second one ends the process at once.
    pub fn watch() -> Result<Self, Failure> {
        let stop = Stop::default();
        let noted = stop.clone();
        let handler = move || {
            if noted.is_made() {
                std::process::exit(INTERRUPTED);
            }
            noted.make();
        };
        ctrlc::set_handler(handler).map_err(|error| {
            Failure::new(
                format!("interrupts cannot be watched: {error}"),
                "start the role by itself",
            )
        })?;
        Ok(stop)
    }

    /// Lets the role end.
    pub fn make(&self) {
        let (made, lock, changed) = &*self.0;
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        made.store(true, Ordering::SeqCst);
        changed.notify_all();
    }

    /// Whether the role is to end.
    pub fn is_made(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Waits until the role is to end.
    pub fn wait(&self) {
        let (_, lock, changed) = &*self.0;
        let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_made() {
            held = changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits so long, or until the role is to end.
    pub fn wait_for(&self, time: std::time::Duration) {
        let (_, lock, changed) = &*self.0;
        let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(held, time, |()| !self.is_made()));
    }
}
