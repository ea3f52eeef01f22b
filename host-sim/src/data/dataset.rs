//! Data sets: a directory of MNIST-style files, one file of images, or the built-in digits.

use std::path::Path;

use super::{
    idx,
    images::{Images, Part},
};
use crate::error::Failure;

/// Loads a part of the data set in `dir`, or of the built-in digits.
pub fn load(dir: Option<&Path>, part: Part) -> Result<Images, Failure> {
    match dir {
        Some(dir) => idx::load(dir, part),
        None => idx::built_in(part),
    }
}

/// Loads images to classify: the images of one file, or the held-out ones of a directory or of the built-in digits. The
/// flag says whether their classes are known.
pub fn load_to_classify(path: Option<&Path>) -> Result<(Images, bool), Failure> {
    match path {
        Some(file) if !file.is_dir() => Ok((idx::unlabelled(file)?, false)),
        dir => Ok((load(dir, Part::Test)?, true)),
    }
}
