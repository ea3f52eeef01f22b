//! Labelled images, and the core's view of the images that a party owns.

use std::ops::Range;

use ring::digest::{Context, SHA256};
use ringlet_core::data::{Data, DataError};

use super::classes::Classes;
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
    /// What the labels stand for.
    pub classes: Classes,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The training images.
    Train,
    /// The held-out images.
    Test,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Number of images, as a session counts them.
    pub fn count(&self) -> Result<u32, Failure> {
        u32::try_from(self.len())
            .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))
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

    /// Images `range` alone, in the memory of all.
    pub fn slice(mut self, range: Range<usize>) -> Images {
        let len = self.image_len();
        self.pixels.truncate(range.end * len);
        self.pixels.drain(..range.start * len);
        self.pixels.shrink_to_fit();
        self.labels.truncate(range.end);
        self.labels.drain(..range.start);
        self
    }

    /// SHA-256 of shape, pixels and labels.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for len in self.shape {
            context.update(&(len as u64).to_le_bytes());
        }
        context.update(&self.pixels);
        context.update(&self.labels);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Refuses labels that are not a class; the error names the first.
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

/// The images that a party owns.
pub struct OwnImages<'a> {
    images: &'a Images,
    own: Range<usize>,
    classes: usize,
}

impl<'a> OwnImages<'a> {
    /// The core reads the images `own` of these. Labels must lie below `classes`.
    pub fn new(images: &'a Images, own: Range<usize>, classes: usize) -> Self {
        OwnImages {
            images,
            own,
            classes,
        }
    }

    /// The index of an own sample among all images.
    fn index(&self, sample: u32) -> Result<usize, DataError> {
        let index = self.own.start.checked_add(sample as usize);
        index
            .filter(|index| self.own.contains(index) && *index < self.images.len())
            .ok_or(DataError::Missing(sample))
    }
}

impl Data for OwnImages<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let index = self.index(sample)?;
        if out.len() != self.images.image_len() {
            return Err(DataError::Missing(sample));
        }
        out.copy_from_slice(self.images.image(index));
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        let index = self.index(sample)?;
        match self.images.labels.get(index) {
            None => Err(DataError::Missing(sample)),
            Some(&label) if usize::from(label) >= self.classes => {
                Err(DataError::Label { sample, label })
            }
            Some(&label) => Ok(label),
        }
    }
}
