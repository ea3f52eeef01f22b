//! Figures of a machine in a file: the rates of its kernels, and the processor time of sessions.

use std::{fs, path::Path};

use ringlet_core::{
    data::Normalisation,
    session::{ClassList, Headroom, KnownBackbone, Session},
};
use serde::{Deserialize, Serialize};

use super::{course::Course, machine, rates::Rates};
use crate::{data::file::write_whole, error::Failure};

/// What a machine reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The version of the program.
    pub version: String,
    /// The processor.
    pub processor: String,
    /// Cores that a program may use.
    pub cores: usize,
    /// Processor seconds of a byte on a secure link, of sender and receiver together.
    pub link_seconds_per_byte: f64,
    /// The kernels.
    pub rates: Rates,
    /// The sessions.
    pub sessions: Vec<MeasuredSession>,
}

/// The processor time of a session's roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredSession {
    /// The model's name.
    pub model: String,
    /// The protocol's name.
    pub protocol: String,
    /// A checksum of all that the time of an iteration depends on, but the batch.
    pub work: String,
    /// The times.
    pub course: Course,
}

/// What is read first, whatever the version.
#[derive(Deserialize)]
struct Origin {
    version: String,
    processor: String,
}

/// The last line of a file, before the checksum of all above it.
const CHECKSUM: &str = "# checksum ";

impl Kept {
    /// Figures of this program on this machine, without any yet.
    pub fn here() -> Self {
        Kept {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: machine::processor(),
            cores: machine::cores(),
            link_seconds_per_byte: 0.0,
            rates: Rates::default(),
            sessions: Vec::new(),
        }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", path.display()), "")
        })?;
        let sum = crc32fast::hash(text.as_bytes());
        write_whole(path, format!("{text}{CHECKSUM}{sum:08x}\n").as_bytes())
    }

    /// Reads a file of this version and of this machine's processor.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let again = "measure again, with `ringlet bench --save`";
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("{name} cannot be read: {error}"), again))?;
        let damaged = |why: &str| Failure::new(format!("{name} is damaged: {why}"), again);
        let (body, sum) = text
            .rsplit_once(CHECKSUM)
            .ok_or_else(|| damaged("it has no checksum"))?;
        if sum.trim_end() != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err(damaged("its checksum is another"));
        }
        let origin: Origin = toml::from_str(body).map_err(|error| damaged(error.message()))?;
        let here = Kept::here();
        if origin.version != here.version {
            let (of, own) = (origin.version, here.version);
            return Err(Failure::new(
                format!("{name} is of version {of}, and this is {own}"),
                again,
            ));
        }
        if origin.processor != here.processor {
            let (of, own) = (origin.processor, here.processor);
            return Err(Failure::new(
                format!("{name} was measured on another processor ({of}) than this ({own})"),
                again,
            ));
        }
        let kept: Kept = toml::from_str(body).map_err(|error| damaged(error.message()))?;
        let sound = kept
            .sessions
            .iter()
            .all(|measured| measured.course.is_sound())
            && kept.link_seconds_per_byte.is_finite();
        match sound {
            true => Ok(kept),
            false => Err(damaged("a time is no number above zero")),
        }
    }

    /// The measured session that works as `session` does, with any batch.
    pub fn session(&self, session: &Session) -> Option<&MeasuredSession> {
        let work = work(session);
        self.sessions.iter().find(|measured| measured.work == work)
    }
}

/// A checksum of all that the time of an iteration depends on, but the batch.
pub fn work(session: &Session) -> String {
    let micro_batch = match session.micro_batch == session.batch_rows() {
        true => 0,
        false => session.micro_batch,
    };
    let session = Session {
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        samples: [0; 2],
        contributions: None,
        batch: 0,
        micro_batch,
        epochs: 1,
        limit: 0,
        learning_rate: 0,
        momentum: (session.momentum > 0).into(),
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 0,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
        ..session.clone()
    };
    let bytes = postcard::to_stdvec(&session).unwrap_or_default();
    format!("{:08x}", crc32fast::hash(&bytes))
}

#[cfg(test)]
mod tests {
    use ringlet_core::model::Model;

    use super::*;
    use crate::{
        config::session::one_batch,
        measure::{
            course::Point,
            rates::{Limit, Rate},
        },
    };

    fn session(model: &str, batch: u32) -> Session {
        let model = Model::built_in(model).expect("a built-in model");
        one_batch(model, batch).expect("a session")
    }

    fn kept() -> Kept {
        let (seconds, whole) = ([0.25, 0.5, 0.125], [1.0, 0.75]);
        Kept {
            link_seconds_per_byte: 1e-9,
            rates: Rates(vec![Rate {
                name: "copy".to_owned(),
                limit: Limit::Memory,
                rate: 1e10,
            }]),
            sessions: vec![MeasuredSession {
                model: "digits8".to_owned(),
                protocol: "exact".to_owned(),
                work: work(&session("digits8", 4)),
                course: Course(vec![Point {
                    batch: 4,
                    seconds,
                    whole,
                }]),
            }],
            ..Kept::here()
        }
    }

    #[test]
    fn figures_come_back_as_they_were_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("here.toml");
        kept().write(&path).expect("written");
        let back = Kept::read(&path).expect("a file");
        assert_eq!(back, kept());
        let found = back.session(&session("digits8", 128));
        assert_eq!(found.map(|found| found.course.largest()), Some(4));
        assert_eq!(back.session(&session("convnet2", 4)), None);
    }

    #[test]
    fn other_versions_and_processors_and_damage_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("here.toml");
        let refused = |kept: &Kept| {
            kept.write(&path).expect("written");
            Kept::read(&path).map_err(|failure| failure.to_string())
        };
        let version = "0.0.0".to_owned();
        let line = refused(&Kept { version, ..kept() });
        assert!(line.is_err_and(|line| line.contains("is of version 0.0.0")));
        let processor = "Z80".to_owned();
        let line = refused(&Kept {
            processor,
            ..kept()
        });
        assert!(line.is_err_and(|line| line.contains("another processor (Z80)")));
        let mut frozen = kept();
        frozen.sessions[0].course.0[0].seconds[1] = 0.0;
        assert!(refused(&frozen).is_err_and(|line| line.contains("is damaged")));
        kept().write(&path).expect("written");
        let text = fs::read_to_string(&path).expect("a file");
        for damaged in [&text[..text.len() - 20], &text.replace("0.25", "0.35"), ""] {
            fs::write(&path, damaged).expect("written");
            let line = Kept::read(&path).map_err(|failure| failure.to_string());
            assert!(line.is_err_and(|line| line.contains("is damaged")));
        }
    }
}
