//! What went wrong, in one line, with what to do about it.

use ringlet_core::{
    fixed::FormatError, hello::HelloError, link::LinkError, party::RunError, session::SessionError,
};

/// An error for the user: the cause and the remedy.
#[derive(Clone, Debug)]
pub struct Failure {
    cause: String,
    remedy: String,
    consequence: bool,
}

impl Failure {
    /// An error with its cause and the remedy, both without a full stop.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure {
            cause: cause.into(),
            remedy: remedy.into(),
            consequence: false,
        }
    }

    /// A failure that another role told.
    pub fn told(message: String, consequence: bool) -> Self {
        Failure {
            consequence,
            ..Failure::new(message, "")
        }
    }

    /// The same, saying which role it struck.
    pub fn of(self, role: &str) -> Self {
        Failure {
            cause: format!("{role}: {}", self.cause),
            ..self
        }
    }

    /// Whether this only follows from another role's failure.
    pub fn is_consequence(&self) -> bool {
        self.consequence
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cause)?;
        if self.remedy.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.remedy)
        }
    }
}

impl std::error::Error for Failure {}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let remedy = match error {
            LinkError::Closed(_) => "look there for the reason, then start all roles again",
            LinkError::Failed(..) => "check the network, then start all roles again",
        };
        Failure {
            consequence: matches!(error, LinkError::Closed(_)),
            ..Failure::new(error.to_string(), remedy)
        }
    }
}

impl From<HelloError> for Failure {
    fn from(error: HelloError) -> Self {
        let remedy = match error {
            HelloError::Link(error) => return error.into(),
            HelloError::Mismatch(mismatch) | HelloError::Refused(mismatch) => mismatch.remedy(),
            HelloError::TooLong => "use a model with fewer layers",
        };
        Failure::new(error.to_string(), remedy)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Failure::new(error.to_string(), "")
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        Failure::new(error.to_string(), "")
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Link(error) => error.into(),
            error => Failure::new(error.to_string(), ""),
        }
    }
}
