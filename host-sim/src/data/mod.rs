//! Labelled images: loading them, and handing each party its own.

pub mod file;
pub mod idx;
pub mod model_file;
pub mod parameters;

use std::path::Path;

use ringlet_core::data::{Data, DataError};

use crate::error::Failure;

/// Labelled images of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// Pixels, image by image.
    pub pixels: Vec<u8>,
    /// One class for each image.
    pub labels: Vec<u8>,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The images to learn from.
    Train,
    /// The held-out images.
    Test,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of one image.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The pixels of image `index`.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.image_len()..][..self.image_len()]
    }

    /// Images `range` alone.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Images {
        let len = self.image_len();
        Images {
            shape: self.shape,
            pixels: self.pixels[range.start * len..range.end * len].to_vec(),
            labels: self.labels[range].to_vec(),
        }
    }

    /// Refuses labels that are no class, naming the first.
    pub fn check_labels(&self, classes: usize) -> Result<(), Failure> {
        match self.labels.iter().position(|&l| usize::from(l) >= classes) {
            None => Ok(()),
            Some(sample) => Err(Failure::new(
                format!(
                    "image {sample} has label {}, but the model has {classes} classes",
                    self.labels[sample]
                ),
                "use a model with more classes or other data",
            )),
        }
    }
}

/// Loads a part of the data set in `dir`, or of the built-in digits.
pub fn load(dir: Option<&Path>, part: Part) -> Result<Images, Failure> {
    match dir {
        Some(dir) => idx::load(dir, part),
        None => idx::built_in(part),
    }
}

/// Loads images to be classified: the held-out ones of a directory or of the built-in digits, or those of one file, and
/// whether their classes are known.
pub fn load_to_classify(path: Option<&Path>) -> Result<(Images, bool), Failure> {
    match path {
        Some(file) if !file.is_dir() => Ok((idx::unlabelled(file)?, false)),
        dir => Ok((load(dir, Part::Test)?, true)),
    }
}

/// A party's own images.
pub struct OwnImages {
    images: Images,
    classes: usize,
}

impl OwnImages {
    /// Hands out `images`, whose labels must lie below `classes`.
    pub fn new(images: Images, classes: usize) -> Self {
        OwnImages { images, classes }
    }
}

impl Data for OwnImages {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        if sample as usize >= self.images.len() || out.len() != self.images.image_len() {
            return Err(DataError::Missing(sample));
        }
        out.copy_from_slice(self.images.image(sample as usize));
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        match self.images.labels.get(sample as usize) {
            None => Err(DataError::Missing(sample)),
            Some(&label) if usize::from(label) >= self.classes => {
                Err(DataError::Label { sample, label })
            }
            Some(&label) => Ok(label),
        }
    }
}
