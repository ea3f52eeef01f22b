//! ONNX files of any operators, run by the `tract-onnx` crate, which only builds with the feature `backbone` have.

use std::path::Path;

use crate::{data::normalise::MeanAndDeviation, error::Failure};

#[cfg(feature = "backbone")]
mod built {
    use std::sync::Arc;

    use ringlet_core::data::Normalisation;
    use tract_onnx::{prelude::*, tract_hir::infer::Factoid};

    use super::*;
    use crate::data::normalise::floats;

    /// An ONNX file that takes one image and gives its features.
    pub struct Runtime {
        name: String,
        plan: Arc<TypedRunnableModel>,
        shapes: [[usize; 3]; 2],
        /// Whether the file has channels before rows and columns, at its input and at its output.
        channels_first: [bool; 2],
    }

    impl Runtime {
        /// Reads a file. `size` is rows and columns of an image, if the file leaves them open.
        pub fn new(path: &Path, file: &[u8], size: Option<[usize; 2]>) -> Result<Self, Failure> {
            let unfit = |what: String| {
                Failure::new(
                    format!("{} cannot be a backbone: {what}", path.display()),
                    "give an ONNX file with one input, an image, and one output, its features",
                )
            };
            let failed = |error: TractError| unfit(format!("{error:#}"));
            let mut bytes = file;
            let model = tract_onnx::onnx()
                .model_for_read(&mut bytes)
                .map_err(failed)?;
            let [inputs, outputs] = [model.input_outlets(), model.output_outlets()]
                .map(|outlets| outlets.map_or(0, <[_]>::len));
            if [inputs, outputs] != [1, 1] {
                return Err(unfit(format!(
                    "it has {inputs} inputs and {outputs} outputs"
                )));
            }
            let fact = model.input_fact(0).map_err(failed)?;
            let sides: Vec<Option<usize>> = fact
                .shape
                .dims()
                .map(|side| {
                    side.concretize()
                        .and_then(|side| usize::try_from(side.to_i64().ok()?).ok())
                })
                .collect();
            let [_, first, second, third] = sides[..] else {
                return Err(unfit(format!("its input has {} dimensions", sides.len())));
            };
            let is_colour = |side: Option<usize>| side.is_some_and(|side| (1..=4).contains(&side));
            let (channels_first, channels, own) = match (is_colour(first), is_colour(third)) {
                (true, _) => (true, first, [second, third]),
                (false, true) => (false, third, [first, second]),
                (false, false) => {
                    return Err(unfit(format!("its input {fact:?} is no image")));
                }
            };
            let channels = channels.unwrap_or(0);
            let side = |index: usize| own[index].or(size.map(|size| size[index]));
            let (Some(rows), Some(columns)) = (side(0), side(1)) else {
                return Err(Failure::new(
                    format!("{} takes images of any size", path.display()),
                    "say which size with --resize WIDTHxHEIGHT",
                ));
            };
            let input = match channels_first {
                true => [1, channels, rows, columns],
                false => [1, rows, columns, channels],
            };
            let plan = model
                .with_input_fact(0, f32::fact(input).into())
                .and_then(|model| model.into_optimized())
                .and_then(|model| model.into_runnable())
                .map_err(failed)?;
            let mut runtime = Runtime {
                name: path.display().to_string(),
                plan,
                shapes: [[rows, columns, channels], [0; 3]],
                channels_first: [channels_first, true],
            };
            // What it makes of a black image says of what shape features are.
            let black = vec![0; rows * columns * channels];
            let tensor = runtime.run(&black, &Normalisation::NONE)?;
            let shape = tensor.shape();
            runtime.shapes[1] = match *shape {
                [1, len] | [1, len, 1, 1] | [1, 1, 1, len] | [len] => [1, 1, len],
                [1, channels, rows, columns] if channels_first => [rows, columns, channels],
                [1, rows, columns, channels] => [rows, columns, channels],
                _ => return Err(unfit(format!("its output has shape {shape:?}"))),
            };
            runtime.channels_first[1] = channels_first && shape.len() == 4;
            if runtime.shapes[1]
                .iter()
                .any(|&side| side == 0 || side > u16::MAX.into())
            {
                return Err(unfit(format!("its output has shape {shape:?}")));
            }
            Ok(runtime)
        }

        /// Rows, columns and channels of an image and of its features.
        pub fn shapes(&self) -> [[usize; 3]; 2] {
            self.shapes
        }

        fn run(&self, image: &[u8], normalisation: &Normalisation) -> Result<Tensor, Failure> {
            let failed = |error: TractError| {
                Failure::new(
                    format!("{} fails on an image: {error:#}", self.name),
                    "give another backbone",
                )
            };
            let [rows, columns, channels] = self.shapes[0];
            let pixels: Vec<f32> = floats(normalisation, channels, image).collect();
            let tensor = match self.channels_first[0] {
                false => Tensor::from_shape(&[1, rows, columns, channels], &pixels),
                true => {
                    let mut planes = vec![0f32; pixels.len()];
                    for (index, &value) in pixels.iter().enumerate() {
                        planes[index % channels * rows * columns + index / channels] = value;
                    }
                    Tensor::from_shape(&[1, channels, rows, columns], &planes)
                }
            };
            let tensor = tensor.map_err(failed)?;
            let mut found = self.plan.run(tvec!(tensor.into())).map_err(failed)?;
            let found = found.remove(0).into_tensor();
            found
                .cast_to::<f32>()
                .map(|tensor| tensor.into_owned())
                .map_err(failed)
        }

        /// The features of an image: row by row, the channels of a place together.
        pub fn values(&self, image: &[u8], images: &MeanAndDeviation) -> Result<Vec<f32>, Failure> {
            let tensor = self.run(image, &images.normalisation())?;
            let wrong = |what: &str| {
                Failure::new(format!("{}: {what}", self.name), "give another backbone")
            };
            let values = tensor.to_plain_array_view::<f32>();
            let values = values.map_err(|error| wrong(&format!("{error:#}")))?;
            let values: Vec<f32> = values.iter().copied().collect();
            let [rows, columns, channels] = self.shapes[1];
            if values.len() != rows * columns * channels {
                return Err(wrong("its output changes its shape"));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(wrong("a feature of an image is no number"));
            }
            let places = rows * columns;
            let transposed = |index: usize| values[index % channels * places + index / channels];
            Ok(match self.channels_first[1] {
                true => (0..values.len()).map(transposed).collect(),
                false => values,
            })
        }
    }
}

#[cfg(not(feature = "backbone"))]
mod built {
    use super::*;

    /// An ONNX file, which this program cannot run.
    pub struct Runtime {}

    impl Runtime {
        /// Fails, because the program can run no such file.
        pub fn new(path: &Path, _: &[u8], _: Option<[usize; 2]>) -> Result<Self, Failure> {
            Err(Failure::new(
                format!(
                    "{} is an ONNX file, and this program was built without what runs it",
                    path.display()
                ),
                "build it with `cargo build --release --features backbone`, or freeze layers of a model with --freeze",
            ))
        }

        /// Never called.
        pub fn shapes(&self) -> [[usize; 3]; 2] {
            [[0; 3]; 2]
        }

        /// Never called.
        pub fn values(&self, _: &[u8], _: &MeanAndDeviation) -> Result<Vec<f32>, Failure> {
            Ok(Vec::new())
        }
    }
}

pub use built::Runtime;
