//! Sessions on contributions of many owners.

use ringlet_core::{
    contribution::CollectionTask,
    session::{Contributions, EarlierEpochs, Session},
};

use super::session::CheckedSession;
use crate::{
    data::{contribution_file::ContributionFile, normalise::MeanAndDeviation},
    error::Failure,
};

impl CheckedSession {
    /// The session on contributions, which have the shape, the scale and the classes of their task; on those of one epoch after
    /// `earlier` ones, if each epoch is a session.
    ///
    /// Fails if the session is for others.
    pub fn on_contributions(
        self,
        file: &ContributionFile,
        earlier: Option<EarlierEpochs>,
    ) -> Result<Self, Failure> {
        let CollectionTask {
            input,
            classes,
            normalisation,
            fraction,
            ..
        } = &file.task;
        let differs = |what: String, remedy: &str| {
            Failure::new(format!("{}: {what}", file.path().display()), remedy)
        };
        let session = &self.session;
        let shape = session.model.input.map(u32::from);
        if shape != *input {
            return Err(differs(
                format!(
                    "its samples are {input:?}, and model {} takes {shape:?}",
                    session.model.name
                ),
                "give the --model that the samples were collected for",
            ));
        }
        if usize::from(*classes) != self.network.classes {
            return Err(differs(
                format!(
                    "its samples have {classes} classes, and model {} has {}",
                    session.model.name, self.network.classes
                ),
                "give a --model with as many classes",
            ));
        }
        let wanted = session.format.fraction - self.network.stages[0].headroom[0];
        if wanted != *fraction {
            return Err(differs(
                format!(
                    "its samples have {fraction} fraction bits, and the input of the session has {wanted} of its {}",
                    session.format.fraction
                ),
                "give the --fraction-bits that the samples were collected for, and no --range-bits for the input",
            ));
        }
        let normalise = MeanAndDeviation::of_core(normalisation).ok_or_else(|| {
            differs(
                "no mean and deviation make the numbers of its normalisation".to_owned(),
                "make a task with `ringlet task new`",
            )
        })?;
        let session = Session {
            contributions: Some(Contributions {
                list: file.list,
                earlier,
            }),
            ..self.session
        };
        let backbone = self.backbone;
        let checked = CheckedSession::new(session, normalise, self.classes)?;
        Ok(CheckedSession {
            backbone,
            ..checked
        })
    }
}
