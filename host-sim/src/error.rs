//! Errors of one line, with their cause and remedy.

use std::io;

use ringlet_core::{
    net::{LinkError, MessageError},
    num::FormatError,
    session::{
        RunError, SessionError,
        handshake::{HandshakeError, Mismatch, Parameter},
    },
};

/// An error for the user: the cause and the remedy.
#[derive(Clone, Debug)]
pub struct Failure {
    cause: String,
    remedy: String,
    consequence: bool,
    output_closed: bool,
    broken_link: bool,
    differs: Option<Parameter>,
}

impl Failure {
    /// An error with its cause and the remedy, both without a full stop.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure {
            cause: cause.into(),
            remedy: remedy.into(),
            consequence: false,
            output_closed: false,
            broken_link: false,
            differs: None,
        }
    }

    /// The failure to write `what`, such as a file.
    pub fn unwritten(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let (why, remedy) = match error.kind() {
            io::ErrorKind::StorageFull => (
                "the disk is full".to_owned(),
                "free space on it, or write to another",
            ),
            io::ErrorKind::QuotaExceeded => (
                "the quota of the disk is used up".to_owned(),
                "free space on it, or write to another",
            ),
            _ => (error.to_string(), "check the directory and the disk"),
        };
        Failure::new(format!("{what} cannot be written: {why}"), remedy)
    }

    /// Nobody reads the standard output any more. This ends the program without a message.
    pub fn output_closed() -> Self {
        Failure {
            output_closed: true,
            ..Failure::new("nobody reads the output any more", "")
        }
    }

    /// Whether the program ends only because nobody reads its output any more.
    pub fn is_output_closed(&self) -> bool {
        self.output_closed
    }

    /// A failure that another role reported.
    pub fn reported(message: String, consequence: bool) -> Self {
        Failure {
            consequence,
            ..Failure::new(message, "")
        }
    }

    /// The same failure, with the name of the role that failed.
    pub fn of(self, role: &str) -> Self {
        Failure {
            cause: format!("{role}: {}", self.cause),
            ..self
        }
    }

    /// The same failure, with a further remedy.
    pub fn with_remedy(self, remedy: String) -> Self {
        let remedy = match self.remedy.is_empty() {
            true => remedy,
            false => format!("{}; {remedy}", self.remedy),
        };
        Failure { remedy, ..self }
    }

    /// What has failed, and the remedy, which may be empty.
    pub fn parts(&self) -> [&str; 2] {
        [&self.cause, &self.remedy]
    }

    /// The same failure with another cause that may be behind it, and its remedy before the others.
    pub fn beside(self, cause: &str, remedy: &str) -> Self {
        let remedy = match self.remedy.as_str() {
            "" => remedy.to_owned(),
            other => format!("{remedy}; {other}"),
        };
        Failure {
            cause: format!("{}, and {cause}", self.cause),
            remedy,
            ..self
        }
    }

    /// The same failure, as one of a link that broke.
    pub fn of_broken_link(self) -> Self {
        Failure {
            broken_link: true,
            ..self
        }
    }

    /// Whether a link broke, so that the roles could meet again and go on from a checkpoint.
    pub fn is_broken_link(&self) -> bool {
        self.broken_link
    }

    /// The parameter in which roles differ, if that is the cause.
    pub fn differs_in(&self) -> Option<Parameter> {
        self.differs
    }

    /// Whether this is only a consequence of another role's failure.
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
            LinkError::Silent(_) => "see whether it still runs there, then start all roles again",
            LinkError::Failed(..) => "check the network, then start all roles again",
            LinkError::Tampered(_) => {
                "something damages the link or somebody alters it; nothing of this run may be used"
            }
            LinkError::Unauthentic(_) => {
                "give all roles the same roster, and each its own identity"
            }
            _ => "start all roles again",
        };
        Failure {
            consequence: matches!(error, LinkError::Closed(_)),
            broken_link: !matches!(error, LinkError::Unauthentic(_)),
            ..Failure::new(error.to_string(), remedy)
        }
    }
}

impl From<HandshakeError> for Failure {
    fn from(error: HandshakeError) -> Self {
        let mut differs = None;
        let remedy = match error {
            HandshakeError::Link(error) => return error.into(),
            HandshakeError::Mismatch(Mismatch::Differs(parameter))
            | HandshakeError::Refused(Mismatch::Differs(parameter)) => {
                differs = Some(parameter);
                option(parameter)
            }
            HandshakeError::Mismatch(mismatch) | HandshakeError::Refused(mismatch) => {
                mismatch.remedy()
            }
            HandshakeError::TooLong => "use a model with fewer layers",
            _ => "",
        };
        Failure {
            differs,
            ..Failure::new(error.to_string(), remedy)
        }
    }
}

/// The option that makes the parties agree on a parameter.
fn option(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Model => "give both the same --model, or the one in the --model-file",
        Parameter::Ring => "give both the same --ring",
        Parameter::FractionBits => "give both the same --fraction-bits",
        Parameter::Headroom => "give both the same --range-bits; a --model-file keeps its own",
        Parameter::Normalisation => "give both the same --normalise; a --model-file keeps its own",
        Parameter::Update => "give both the same --protocol and --momentum",
        Parameter::Task => "start both to train, or both to predict",
        Parameter::TripleScheme => "give both the same --triples",
        Parameter::Protocol => "give both the same --protocol and --loss",
        Parameter::Samples => "give both the same --samples or --share-of-p0",
        Parameter::Contributions => {
            "give all roles --contributions of one list, or leave it out at all of them"
        }
        Parameter::Batch => "give both the same --batch",
        Parameter::MicroBatch => "give both the same --micro-batch",
        Parameter::Epochs => "give both the same --epochs",
        Parameter::Limit => "give both the same --limit",
        Parameter::LearningRate => "give both the same --lr",
        Parameter::Momentum => "give both the same --momentum",
        Parameter::Schedule => "give both the same --schedule and --warm-up",
        Parameter::WeightDecay => "give both the same --weight-decay",
        Parameter::LabelSmoothing => "give both the same --label-smoothing",
        Parameter::Nesterov => "give both --nesterov, or neither",
        Parameter::Clip => "give both the same --clip-value",
        Parameter::Privacy => {
            "give both the same --dp-clip, --dp-delta, and --dp-noise or --dp-epsilon"
        }
        Parameter::ClassWeights => "give both the same --class-weights",
        Parameter::RevealLoss => "give both --reveal-loss, or neither",
        Parameter::InitialWeights => "give both the same --initial-weights",
        Parameter::Shuffle => "give both the same --seed",
        Parameter::Receiver => "give both the same --reveal-to",
        Parameter::Audit => "give both the same --audit",
        Parameter::Classes => {
            "give both the same --classes, in the same order, or folders of the same names"
        }
        Parameter::Dealt => "give both the files of one dealt session, or one dealer",
        _ => "give both the same options",
    }
}

impl From<MessageError> for Failure {
    fn from(error: MessageError) -> Self {
        HandshakeError::from(error).into()
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let remedy = match error {
            SessionError::NotInSecureNn(_) => "leave it out, or choose another --protocol",
            SessionError::Zero(_) => "give a larger number",
            SessionError::Momentum => "give one such as 0.875",
            SessionError::LearningRate => "give one such as 0.03",
            _ => "",
        };
        Failure::new(error.to_string(), remedy)
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
            RunError::RankLost => Failure::reported(error.to_string(), true),
            error => Failure::new(error.to_string(), ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_full() {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        let line = Failure::unwritten("model.safetensors", &error).to_string();
        assert!(
            line.starts_with("model.safetensors cannot be written: the disk is full: "),
            "{line}"
        );
    }
}
