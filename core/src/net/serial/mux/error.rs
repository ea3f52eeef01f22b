//! Why a session on a line failed.

use embedded_io::{Error, ErrorKind};

/// Why a session on a line failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MuxError {
    /// The line failed.
    Line(ErrorKind),
    /// The other end sent no frame, or accepted no bytes, before the timeout.
    Silent,
    /// The other end was reset, or started another session.
    Reset,
}

impl core::fmt::Display for MuxError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MuxError::Line(kind) => write!(f, "the line failed ({kind:?})"),
            MuxError::Silent => f.write_str("the other end has been silent for too long"),
            MuxError::Reset => f.write_str("the other end has been reset"),
        }
    }
}

impl core::error::Error for MuxError {}

impl Error for MuxError {
    fn kind(&self) -> ErrorKind {
        match self {
            MuxError::Line(kind) => *kind,
            MuxError::Silent => ErrorKind::TimedOut,
            MuxError::Reset => ErrorKind::ConnectionReset,
        }
    }
}
