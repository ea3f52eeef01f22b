//! The layers in front of a model, as the options of a session name them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    args::{BackboneArgs, SessionArgs},
    model::model,
};
use crate::{
    data::{
        DataSet,
        backbone::{Backbone, unknown_range},
        model_file::{self, Marks},
        onnx,
    },
    error::Failure,
};

impl SessionArgs {
    /// Completes the options by what the file of a model says of the layers in front of it. Fails if they are missing, and
    /// `has_images` says that images are to go through them.
    pub fn adopt(&mut self, path: &Path, marks: &Marks, has_images: bool) -> Result<(), Failure> {
        let Some(mark) = &marks.backbone else {
            return Ok(());
        };
        if mark.freeze.is_none() && !self.data.backbone.is_given() && has_images {
            return Err(Failure::new(
                format!(
                    "the model of {} takes features and no images",
                    path.display()
                ),
                "give the file that makes them with --backbone",
            ));
        }
        if self.data.backbone.is_given()
            && (mark.freeze.is_none() || mark.freeze == self.data.backbone.freeze)
        {
            self.data
                .backbone
                .feature_range
                .get_or_insert(mark.features);
            self.normalise.get_or_insert_with(|| mark.images.clone());
        }
        Ok(())
    }

    /// Opens the layers in front of the model, if there are any: of `own`, the model's own file, where --backbone is left out.
    /// None too if only --freeze is given, at a role without images, which needs to know no weights.
    pub fn open_backbone(&mut self, own: Option<PathBuf>) -> Result<Option<Backbone>, Failure> {
        let BackboneArgs {
            freeze,
            backbone,
            feature_range,
        } = self.data.backbone.clone();
        let opened = match (freeze, backbone) {
            (None, None) => return Ok(None),
            (None, Some(path)) => {
                let bytes = fs::read(&path).unwrap_or_default();
                if path.is_file() && !onnx::is_file(&bytes) {
                    return Err(Failure::new(
                        format!("{} is no ONNX file", path.display()),
                        "say which layers of a model to use with --freeze",
                    ));
                }
                let size = self.data.resize.map(|size| [size.rows, size.columns]);
                let images = self.normalise.clone().unwrap_or_default();
                Backbone::of_onnx(&path, size, images)?
            }
            (Some(freeze), path) => {
                let Some(path) = path.or(own) else {
                    return Ok(None);
                };
                let described = self.model.as_deref();
                let described = described.map(|name| model(Some(name), None)).transpose()?;
                let trained = model_file::load(&path, described)?;
                self.adopt(&path, &trained.marks, false)?;
                self.model.get_or_insert_with(|| path.display().to_string());
                let images = self.normalise.clone().or(trained.marks.normalise.clone());
                let images = images.unwrap_or_default();
                let opened = Backbone::of_model(&path, &trained, &freeze, images)?;
                self.data.backbone.backbone = Some(path);
                opened
            }
        };
        self.normalise = Some(opened.images().clone());
        match self.data.backbone.feature_range.or(feature_range) {
            Some(range) => opened.with_range(range).map(Some),
            None => Ok(Some(opened)),
        }
    }

    /// The data set whose samples are features, if there are layers in front of the model. Fails if their range is not known.
    pub fn data_set(&mut self, own: Option<PathBuf>) -> Result<DataSet, Failure> {
        let backbone = self.open_backbone(own)?;
        if backbone
            .as_ref()
            .is_some_and(|opened| opened.range().is_none())
        {
            return Err(unknown_range());
        }
        Ok(DataSet {
            backbone: backbone.map(Arc::new),
            ..self.data.images()
        })
    }

    /// The same, where the images may tell the range of their features.
    pub fn measured_data_set(&mut self, own: Option<PathBuf>) -> Result<DataSet, Failure> {
        let images = self.data.images();
        let mut backbone = self.open_backbone(own)?;
        if let Some(opened) = backbone.take_if(|opened| opened.range().is_none()) {
            let range = images.measure(&opened)?;
            backbone = Some(opened.with_range(range)?);
        }
        if let Some(opened) = &backbone {
            self.data.backbone.feature_range = opened.range();
        }
        Ok(DataSet {
            backbone: backbone.map(Arc::new),
            ..images
        })
    }
}
