//! Why a device has no fresh value for a session.

use serde::{Deserialize, Serialize};

/// Why a device has no fresh value. Without one it would use its keys again, so it refuses the session.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotFresh {
    /// The firmware has neither a hardware generator nor a counter.
    NoSource,
    /// The hardware generator reports an error, or repeats itself.
    Generator,
    /// The counter's memory cannot be read or written.
    Storage,
    /// The counter's memory is damaged: the last value is not known. Remedy: erase it, and program a new secret.
    Damaged,
    /// The firmware contributes samples to collections and runs no session.
    Contributes,
}

impl core::fmt::Display for NotFresh {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            NotFresh::NoSource => {
                "the device's firmware has neither a hardware generator nor a counter of sessions"
            }
            NotFresh::Generator => "the device's hardware generator fails",
            NotFresh::Storage => "the device's counter of sessions cannot be read or written",
            NotFresh::Contributes => "the device's firmware contributes samples, and is no party",
            NotFresh::Damaged => "the device's counter of sessions is damaged",
        })
    }
}

impl core::error::Error for NotFresh {}
