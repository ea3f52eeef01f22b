//! Where images come from: folders, arrays and tables, told apart by looking at them.

mod array;
mod arrays;
mod decode;
mod element;
mod folder;
mod open;
mod place;
mod table;

pub use open::{built_in, open};

use super::{classes::Classes, conversion::Raw};
use crate::error::Failure;

/// A part of a data set, as its files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilePart {
    /// Everything: the files do not say what is for training.
    All,
    /// To train on.
    Train,
    /// To choose settings by.
    Validation,
    /// Held out.
    Test,
}

impl FilePart {
    /// The part that a file or a folder is of, by its name.
    fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        let has = |part: &str| name.contains(part);
        match () {
            () if has("train") => FilePart::Train,
            () if has("val") => FilePart::Validation,
            () if has("test") || has("t10k") => FilePart::Test,
            () => FilePart::All,
        }
    }
}

impl std::fmt::Display for FilePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FilePart::All => "all",
            FilePart::Train => "train",
            FilePart::Validation => "validation",
            FilePart::Test => "test",
        })
    }
}

/// An image among others, whether it can be used or not.
pub struct Entry<'a> {
    /// Its number in its part, from 0.
    pub number: usize,
    /// What it is called.
    pub name: EntryName<'a>,
    /// Its label among the source's classes; none if the source has no labels.
    pub label: Option<usize>,
    /// The image, or why it cannot be used.
    pub image: Result<Raw<'a>, String>,
}

/// What an image is called.
#[derive(Clone, Copy)]
pub enum EntryName<'a> {
    /// A file.
    File(&'a str),
    /// A line of a table, from 1.
    Line(u64),
    /// A place in an array, from 0.
    Place(usize),
}

impl std::fmt::Display for EntryName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EntryName::File(name) => f.write_str(name),
            EntryName::Line(line) => write!(f, "line {line}"),
            EntryName::Place(place) => write!(f, "image {place}"),
        }
    }
}

/// A data set that was found. Its images are read one after the other, and none is kept.
pub trait Source {
    /// What it is, in a few words.
    fn kind(&self) -> String;
    /// The classes of its labels.
    fn classes(&self) -> &Classes;
    /// Its parts, each with the number of its images.
    fn parts(&self) -> Vec<(FilePart, usize)>;
    /// The channels that its images are to have; none if they all have the same anyway.
    fn channels(&self) -> Option<usize> {
        None
    }
    /// Gives the images of a part whose numbers are `wanted` to `take`, in their order. Fails if the part cannot be read on,
    /// or as `take` does.
    fn read(
        &self,
        part: FilePart,
        wanted: &dyn Fn(usize) -> bool,
        take: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}
