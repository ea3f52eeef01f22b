//! The model with which a training begins.

use std::path::PathBuf;

use clap::Args;
use ringlet_core::Role;

use super::{RoleName, SessionArgs};
use crate::{
    config::model::model,
    data::{backbone::keep_after, model_file},
    error::Failure,
};

/// The model with which a training begins.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Begin with this model, in place of random weights: a file that --save has written, or a state_dict of
    /// PyTorch's in safetensors, whose model --model describes.
    ///
    /// In `party` the model is this party's; the other gives --init-by.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
}

impl InitArgs {
    /// Reads the model, which is `role`'s, and completes the options of the session by what its file says: the description,
    /// the normalisation of images, and the owner.
    pub fn read(
        &self,
        role: Role,
        session: &mut SessionArgs,
    ) -> Result<Option<model_file::Trained>, Failure> {
        let Some(path) = &self.init else {
            return match session.init_by.map(Role::from) {
                Some(owner) if owner == role => Err(Failure::new(
                    format!(
                        "--init-by names {role} as the owner of a model, and {role} gives none"
                    ),
                    "give it with --init",
                )),
                _ => Ok(None),
            };
        };
        let owner = session.init_by.map(Role::from).unwrap_or(role);
        if owner != role {
            return Err(Failure::new(
                format!("{role} has the model to begin with, and --init-by gives it to {owner}"),
                "leave out --init or --init-by",
            ));
        }
        let described = session.model.as_deref();
        let described = described.map(|name| model(Some(name), None)).transpose()?;
        let mut trained = model_file::load(path, described)?;
        session.adopt(path, &trained.marks, true)?;
        keep_after(&mut trained, session.data.backbone.freeze.as_deref())?;
        session
            .model
            .get_or_insert_with(|| path.display().to_string());
        if session.normalise.is_none() {
            session.normalise.clone_from(&trained.marks.normalise);
        }
        session.init_by = Some(match role {
            Role::P0 => RoleName::P0,
            Role::P1 => RoleName::P1,
        });
        Ok(Some(trained))
    }
}
