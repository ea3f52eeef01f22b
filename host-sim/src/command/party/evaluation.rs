//! The inputs of a party that evaluates a shared model: checkpoints, and held-out images at their owner.

use std::path::Path;

use ringlet_core::{
    net::secure::Identity,
    session::{KnownBackbone, handshake::Hello},
};

use super::{args::PartyArgs, inputs::held_out};
use crate::{
    config::{args::SampleCounts, session::CheckedSession},
    data::{
        Classes, Images,
        checkpoint_file::{Checkpoint, list, open},
    },
    error::Failure,
};

/// What a party brings to the evaluation.
pub struct EvaluationInputs {
    /// The session of the evaluation, and its network.
    pub checked: CheckedSession,
    /// The held-out images, at their owner.
    pub images: Images,
    /// The checkpoints of this party, whose model is evaluated.
    pub checkpoints: Vec<Checkpoint>,
}

impl EvaluationInputs {
    /// Reads the checkpoints of a party with this identity in `dir`, and its images.
    pub fn new(args: &PartyArgs, dir: &Path, identity: &Identity) -> Result<Self, Failure> {
        let role = args.role();
        let mut opened = Vec::new();
        for (_, path) in list(dir, role)? {
            opened.push(open(&path, role, identity)?);
        }
        let Some((training, _)) = opened.last().cloned() else {
            return Err(Failure::new(
                format!("{} holds no checkpoints of {role}", dir.display()),
                "give --evaluate the directory of its --checkpoint",
            ));
        };
        let samples = args.samples.map_or([0; 2], |SampleCounts(samples)| samples);
        if !samples.contains(&0) || samples == [0; 2] {
            return Err(Failure::new(
                "an evaluation is on held-out images of one party",
                "give both parties the same --samples, such as 100,0 or 0,100",
            ));
        }
        let session = training.evaluation(samples);
        let given = args.session.data.images().given_classes()?;
        let mut checked =
            CheckedSession::of_checkpoint(session, given.unwrap_or(Classes::Unknown))?;
        let set = args.session.clone().data_set(None)?;
        let own = match &set.backbone {
            Some(backbone) => backbone.known(),
            None => KnownBackbone::Absent,
        };
        let count = samples[role.index()];
        if count > 0 && !own.agrees(&training.backbone) {
            return Err(Failure::new(
                "the model was trained on samples that other frozen layers made",
                "give the --freeze, --backbone, --feature-range and --normalise of the training",
            ));
        }
        checked.backbone = set.backbone;
        let images = held_out(args, &checked, (count, "--samples"))?;
        checked.name_classes(&images.classes);
        let own = Hello::new(role, &training);
        let checkpoints = opened
            .into_iter()
            .filter(|(session, _)| own.compare(&Hello::new(role, session)).is_ok());
        Ok(EvaluationInputs {
            checkpoints: checkpoints.map(|(_, checkpoint)| checkpoint).collect(),
            checked,
            images,
        })
    }
}
