//! Public layers in front of a model, which the owner of the images computes in the clear: a model's own first layers in
//! integers, or an ONNX file.

mod cut;
mod layers;
mod runtime;

use std::{
    fmt, fs,
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use ring::digest::{Context, SHA256};
use ringlet_core::{
    backbone::{self as integers, VALUE_FRACTION},
    model::Model,
    session::KnownBackbone,
};

pub use cut::{Cut, cut};

use super::{
    feature_range::FeatureRange,
    normalise::MeanAndDeviation,
    parameters::Parameters,
    trained_model::{BackboneMark, Marks, Trained},
};
use crate::error::Failure;
use runtime::Runtime;

/// The range of a backbone whose features are only looked at.
const WIDE: [f64; 2] = [-63.0, 63.0];

/// Public layers in front of a model.
pub struct Backbone {
    /// Where they were found.
    path: PathBuf,
    computation: Computation,
    /// Rows, columns and channels of an image, and of its features.
    shapes: [[usize; 3]; 2],
    /// How pixels become numbers.
    images: MeanAndDeviation,
    range: Option<FeatureRange>,
    digest: [u8; 16],
}

/// What computes features.
enum Computation {
    /// The first layers of a model.
    Layers(Box<Frozen>),
    /// An ONNX file as it is.
    Onnx { runtime: Runtime, file: Vec<u8> },
}

/// The first layers of a model.
struct Frozen {
    /// The whole model.
    model: Model,
    /// The name of the last frozen layer that learned.
    freeze: String,
    cut: Cut,
    /// The parameters of the frozen layers.
    parameters: Vec<Parameters>,
    /// The range of the whole model's values, if its file says it.
    marks: Marks,
    /// The layers as the core reads them.
    bytes: Vec<u8>,
}

/// Keeps, of a model's parameters, those of the layers after the one that is frozen, if one is.
pub fn keep_after(trained: &mut Trained, freeze: Option<&str>) -> Result<(), Failure> {
    if let Some(freeze) = freeze {
        trained
            .parameters
            .drain(..cut(&trained.model, freeze)?.stages);
    }
    Ok(())
}

impl Backbone {
    /// The first layers of a model, up to the one called `freeze`. Its images are normalised as `images` says.
    pub fn of_model(
        path: &Path,
        trained: &Trained,
        freeze: &str,
        images: MeanAndDeviation,
    ) -> Result<Self, Failure> {
        let cut = cut(&trained.model, freeze)?;
        let parameters = trained.parameters[..cut.stages].to_vec();
        let mut backbone = Backbone {
            path: path.to_owned(),
            shapes: [trained.model.input, cut.head.input].map(|shape| shape.map(usize::from)),
            computation: Computation::Layers(Box::new(Frozen {
                model: trained.model.clone(),
                freeze: freeze.to_owned(),
                cut,
                parameters,
                marks: trained.marks.clone(),
                bytes: Vec::new(),
            })),
            images,
            range: None,
            digest: [0; 16],
        };
        backbone.prepare()?;
        Ok(backbone)
    }

    /// An ONNX file that takes images of `shape`, if it takes images of several sizes.
    pub fn of_onnx(
        path: &Path,
        shape: Option<[usize; 2]>,
        images: MeanAndDeviation,
    ) -> Result<Self, Failure> {
        let file = fs::read(path).map_err(|error| {
            Failure::new(
                format!("{} cannot be read: {error}", path.display()),
                "check the file and its permissions",
            )
        })?;
        let runtime = Runtime::new(path, &file, shape)?;
        let mut backbone = Backbone {
            path: path.to_owned(),
            shapes: runtime.shapes(),
            computation: Computation::Onnx { runtime, file },
            images,
            range: None,
            digest: [0; 16],
        };
        backbone.prepare()?;
        Ok(backbone)
    }

    /// The same with a range of its features.
    pub fn with_range(mut self, range: FeatureRange) -> Result<Self, Failure> {
        self.range = Some(range);
        self.prepare()?;
        Ok(self)
    }

    /// Makes what depends on the range.
    fn prepare(&mut self) -> Result<(), Failure> {
        let wide = FeatureRange::new(WIDE[0], WIDE[1]);
        let Some(range) = self.range.or(wide) else {
            return Ok(());
        };
        match &mut self.computation {
            Computation::Layers(frozen) => {
                frozen.bytes = layers::bytes(
                    frozen.model.input,
                    &frozen.cut.front,
                    &frozen.parameters,
                    &self.images,
                    range,
                )?;
                let read = integers::Backbone::new(&frozen.bytes);
                self.digest = read.map_or([0; 16], |read| read.digest());
            }
            Computation::Onnx { file, .. } => {
                let mut context = Context::new(&SHA256);
                for side in self.shapes[0] {
                    context.update(&(side as u64).to_le_bytes());
                }
                context.update(format!("{}\n{range}\n", self.images).as_bytes());
                context.update(file);
                let digest = context.finish();
                self.digest = std::array::from_fn(|index| digest.as_ref()[index]);
            }
        }
        Ok(())
    }

    /// Rows, columns and channels of an image.
    pub fn input(&self) -> [usize; 3] {
        self.shapes[0]
    }

    /// Rows, columns and channels of the features.
    pub fn output(&self) -> [usize; 3] {
        self.shapes[1]
    }

    /// The range of the features, if it is known.
    pub fn range(&self) -> Option<FeatureRange> {
        self.range
    }

    /// How the pixels of images become numbers.
    pub fn images(&self) -> &MeanAndDeviation {
        &self.images
    }

    /// What other roles learn of it.
    pub fn known(&self) -> KnownBackbone {
        KnownBackbone::Digest(self.digest)
    }

    /// The layers as a device reads them. None of an ONNX file's.
    pub fn flash_image(&self) -> Option<&[u8]> {
        match &self.computation {
            Computation::Layers(frozen) => Some(&frozen.bytes),
            Computation::Onnx { .. } => None,
        }
    }

    /// What a file says of a model behind this backbone. None while the features' range is not known.
    pub fn mark(&self) -> Option<BackboneMark> {
        Some(BackboneMark {
            freeze: match &self.computation {
                Computation::Layers(frozen) => Some(frozen.freeze.clone()),
                Computation::Onnx { .. } => None,
            },
            digest: hex(&self.digest),
            features: self.range?,
            images: self.images.clone(),
        })
    }

    /// Checks that this is the backbone of a model's file.
    pub fn check(&self, mark: &BackboneMark, model: &Path) -> Result<(), Failure> {
        match self.mark() {
            Some(own) if own == *mark => Ok(()),
            Some(own) if own.digest == mark.digest => Ok(()),
            _ => Err(Failure::new(
                format!(
                    "{} makes other features than those that {} was trained on",
                    self.path.display(),
                    model.display()
                ),
                "give the backbone, the normalisation and the size of images of its training",
            )),
        }
    }

    /// The whole model of which these are the first layers, with the parameters of the others, and what a file says of it. None
    /// of an ONNX file's, which stays a file of its own.
    pub fn whole(
        &self,
        head: &[Parameters],
        marks: &Marks,
    ) -> Option<(Model, Vec<Parameters>, Marks)> {
        let Computation::Layers(frozen) = &self.computation else {
            return None;
        };
        let parameters = frozen.parameters.iter().chain(head).cloned().collect();
        let stages = frozen.cut.stages + head.len();
        let range = marks.range.as_ref().map(|range| {
            let usual = &frozen.marks.range;
            range.behind(usual.as_ref(), frozen.cut.stages, stages)
        });
        let marks = Marks {
            range,
            normalise: Some(self.images.clone()),
            ..marks.clone()
        };
        Some((frozen.model.clone(), parameters, marks))
    }

    /// Computes the features of images, one after the other in `images`, on all processors, and appends them to `out`. Returns
    /// how many lay outside their range.
    pub fn features(&self, images: &[u8], out: &mut Vec<u8>) -> Result<u64, Failure> {
        let [from, to] = self.shapes.map(|shape| shape.iter().product::<usize>());
        let count = images.len() / from;
        let start = out.len();
        out.resize(start + count * to, 0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = count.div_ceil(threads).max(1);
        let images = images.chunks(share * from);
        let outs = out[start..].chunks_mut(share * to);
        thread::scope(|scope| {
            let parts: Vec<_> = images
                .zip(outs)
                .map(|(images, out)| {
                    thread::Builder::new().spawn_scoped(scope, move || self.part(images, out))
                })
                .collect();
            let mut outside = 0;
            for part in parts {
                let part = part.map_err(|error| {
                    Failure::new(format!("no thread can be started: {error}"), "free memory")
                })?;
                let part = part.join().map_err(|_| {
                    let file = self.path.display();
                    Failure::new(
                        format!("{file} cannot be computed"),
                        "give another backbone",
                    )
                })?;
                outside += part?;
            }
            Ok(outside)
        })
    }

    /// The features of some images, on this thread.
    fn part(&self, images: &[u8], out: &mut [u8]) -> Result<u64, Failure> {
        let [from, to] = self.shapes.map(|shape| shape.iter().product::<usize>());
        let range = self.range.ok_or_else(unknown_range)?;
        let mut outside = 0;
        let pairs = images.chunks_exact(from).zip(out.chunks_exact_mut(to));
        match &self.computation {
            Computation::Layers(frozen) => {
                let layers = frozen.read()?;
                let mut scratch = vec![0; layers.scratch_len()];
                for (image, out) in pairs {
                    outside += u64::from(layers.features(image, &mut scratch, out));
                }
            }
            Computation::Onnx { runtime, .. } => {
                for (image, out) in pairs {
                    let values = runtime.values(image, &self.images)?;
                    for (out, value) in out.iter_mut().zip(values) {
                        let (byte, beyond) = range.byte(value.into());
                        *out = byte;
                        outside += u64::from(beyond);
                    }
                }
            }
        }
        Ok(outside)
    }

    /// The range in which the features of these images lie. Fails if it cannot be one.
    pub fn measured(&self, images: &[u8]) -> Result<FeatureRange, Failure> {
        let from = self.input().iter().product::<usize>();
        let mut ends = [0f64; 2];
        let mut take = |value: f64| ends = [ends[0].min(value), ends[1].max(value)];
        match &self.computation {
            Computation::Layers(frozen) => {
                let layers = frozen.read()?;
                let mut scratch = vec![0; layers.scratch_len()];
                let one = 2f64.powi(VALUE_FRACTION as i32);
                for image in images.chunks_exact(from) {
                    let values = layers.values(image, &mut scratch).unwrap_or_default();
                    values
                        .iter()
                        .for_each(|&value| take(f64::from(value) / one));
                }
            }
            Computation::Onnx { runtime, .. } => {
                for image in images.chunks_exact(from) {
                    let values = runtime.values(image, &self.images)?;
                    values.into_iter().for_each(|value| take(value.into()));
                }
            }
        }
        FeatureRange::around(ends[0], ends[1]).ok_or_else(|| {
            Failure::new(
                format!(
                    "the features of {} reach from {} to {}, and they have to stay below 64",
                    self.path.display(),
                    ends[0],
                    ends[1]
                ),
                "let its last layer scale them, or clip them with --feature-range",
            )
        })
    }
}

impl fmt::Debug for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.display().to_string())
    }
}

impl Frozen {
    fn read(&self) -> Result<integers::Backbone<'_>, Failure> {
        integers::Backbone::new(&self.bytes)
            .map_err(|error| Failure::new(error.to_string(), "freeze other layers"))
    }
}

/// Nobody said in what range features lie.
pub fn unknown_range() -> Failure {
    Failure::new(
        "the range of the features is not known, and this party's images are not to tell it",
        "give all the same --feature-range; `ringlet calibrate` measures one on public images",
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
