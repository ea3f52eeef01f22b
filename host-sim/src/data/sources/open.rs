//! Which kind of data set lies at a path, told by looking at it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use super::{
    FilePart, Source,
    array::Array,
    arrays::Arrays,
    decode::is_image,
    folder::{Folder, content},
    place::{Place, fill, members},
    table::Tables,
};
use crate::error::Failure;

/// What is read, for whoever gave something else.
const TAKEN: &str =
    "give a folder with a folder of images for each class, or IDX, NumPy (.npy, .npz) or CSV files";

/// Names of arrays of images and of their labels, without a part's.
const ARRAYS: [&[&str]; 2] = [
    &["images", "image", "x", "data"],
    &["labels", "label", "y", "targets"],
];

/// The data set at `path`. `label` tells the column of the labels in tables. Fails if nothing that can be read lies there.
pub fn open(path: &Path, label: Option<&str>) -> Result<Box<dyn Source>, Failure> {
    if !path.exists() {
        return Err(Failure::new(
            format!("there is no directory {} and no such file", path.display()),
            "give the place of the images with --data",
        ));
    }
    match path.is_dir() {
        true => directory(path, label),
        false => file(path, label),
    }
}

/// The digits that are built into the program.
pub fn built_in() -> Result<Box<dyn Source>, Failure> {
    const NAME: &str = "the built-in digits";
    let array = |bytes, what| Array::open(Place::BuiltIn(NAME, bytes), what);
    let train = array(
        include_bytes!("../../../digits8/train-images-idx3-ubyte.gz"),
        "images",
    )?;
    let train_labels = array(
        include_bytes!("../../../digits8/train-labels-idx1-ubyte.gz"),
        "labels",
    )?;
    let test = array(
        include_bytes!("../../../digits8/t10k-images-idx3-ubyte.gz"),
        "images",
    )?;
    let test_labels = array(
        include_bytes!("../../../digits8/t10k-labels-idx1-ubyte.gz"),
        "labels",
    )?;
    let parts = vec![
        (FilePart::Train, train, Some(train_labels)),
        (FilePart::Test, test, Some(test_labels)),
    ];
    Ok(Box::new(Arrays::new("IDX files", parts)?))
}

fn file(path: &Path, label: Option<&str>) -> Result<Box<dyn Source>, Failure> {
    let place = Place::File(path.to_owned());
    let mut start = [0; 16];
    let read = place.read(|reader| {
        fill(reader, &mut start).map_err(|error| place.damaged(&error.to_string()))
    })?;
    let start = &start[..read];
    let refused =
        |what: &str, remedy: &str| Err(Failure::new(format!("{} {what}", path.display()), remedy));
    match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] | [0, 0, 0x08..=0x0E, 1..=8, ..] => {
            let format = match start[0] {
                0 => "an IDX file",
                _ => "a NumPy array",
            };
            let images = Array::open(place, "images")?;
            let parts = vec![(FilePart::All, images, None)];
            Ok(Box::new(Arrays::new(format, parts)?))
        }
        [b'P', b'K', 3, 4, ..] => zipped(path),
        start if is_image(start) => {
            let (dir, name) = (path.parent(), path.file_name());
            let name = name.unwrap_or_default().to_string_lossy().into_owned();
            let dir = dir.unwrap_or(Path::new(""));
            Ok(Box::new(Folder::unlabelled(dir, vec![name])?))
        }
        [] => refused("is empty", TAKEN),
        [0xFD, b'7', b'z', b'X', b'Z', ..] | [b'7', b'z', ..] | [b'B', b'Z', b'h', ..] => {
            refused("is an archive", "unpack it, and give the folder")
        }
        start if start.iter().any(|&byte| byte < b'\t') => {
            refused("is not an IDX file, an array, an image or a table", TAKEN)
        }
        _ => Ok(Box::new(Tables::new(vec![(FilePart::All, place)], label)?)),
    }
}

fn directory(dir: &Path, label: Option<&str>) -> Result<Box<dyn Source>, Failure> {
    let (folders, files) = content(dir)?;
    let ends = |end: &str| -> Vec<&String> {
        let with_end = |name: &&String| {
            let name = name.to_lowercase();
            name.ends_with(end) || name.ends_with(&format!("{end}.gz"))
        };
        files.iter().filter(with_end).collect()
    };
    let idx: Vec<&String> = files.iter().filter(|name| name.contains("idx")).collect();
    if idx.iter().any(|name| name.contains("images")) {
        let arrays = idx.into_iter().map(|name| {
            let stem = name.split_once("idx").map_or(&**name, |(stem, _)| stem);
            (stem.to_owned(), Place::File(dir.join(name)))
        });
        return paired(dir, "IDX files", arrays.collect());
    }
    let part = |name: &String| (FilePart::of(name), dir.join(name));
    let mut parts: Vec<_> = folders
        .iter()
        .filter(|name| is_part(name))
        .map(part)
        .collect();
    if !parts.is_empty() && parts.len() == folders.len() {
        once_each(dir, parts.iter().map(|(part, _)| *part))?;
        parts.sort_unstable();
        return Ok(Box::new(Folder::of_classes(dir, parts)?));
    }
    if !folders.is_empty() {
        let all = vec![(FilePart::All, dir.to_owned())];
        return Ok(Box::new(Folder::of_classes(dir, all)?));
    }
    let arrays = ends(".npy");
    if !arrays.is_empty() {
        let arrays = arrays.into_iter().map(|name| {
            let stem = name.split_once(".npy").map_or(&**name, |(stem, _)| stem);
            (stem.to_owned(), Place::File(dir.join(name)))
        });
        return paired(dir, "NumPy arrays", arrays.collect());
    }
    if let [archive] = ends(".npz")[..] {
        return zipped(&dir.join(archive));
    }
    let tables = ends(".csv");
    if !tables.is_empty() {
        let tables = tables.into_iter().map(|name| {
            let (part, path) = part(name);
            (part, Place::File(path))
        });
        let tables: Vec<_> = tables.collect();
        once_each(dir, tables.iter().map(|(part, _)| *part))?;
        return Ok(Box::new(Tables::new(tables, label)?));
    }
    let mut start = [0; 16];
    let images = files.iter().filter(|name| {
        let file = File::open(dir.join(name));
        let read = file.and_then(|mut file| fill(&mut file, &mut start));
        read.is_ok_and(|read| is_image(&start[..read]))
    });
    if images.count() > 0 {
        return Ok(Box::new(Folder::unlabelled(dir, files)?));
    }
    Err(Failure::new(
        format!(
            "{} holds neither train-images-idx3-ubyte nor any other images",
            dir.display()
        ),
        TAKEN,
    ))
}

/// Whether a folder is called like a part of a data set.
fn is_part(name: &str) -> bool {
    let names = [
        "train",
        "training",
        "test",
        "testing",
        "val",
        "valid",
        "validation",
    ];
    names.contains(&&*name.to_lowercase())
}

/// Refuses two files of the same part.
fn once_each(path: &Path, parts: impl Iterator<Item = FilePart>) -> Result<(), Failure> {
    let mut parts: Vec<FilePart> = parts.collect();
    parts.sort_unstable();
    match parts.array_windows().find(|[one, next]| one == next) {
        None => Ok(()),
        Some([part, _]) => Err(Failure::new(
            format!(
                "{} holds several files or folders of the part `{part}`",
                path.display()
            ),
            "leave one there, and call the others after their parts: train, val, test",
        )),
    }
}

/// The arrays of a .npz file.
fn zipped(path: &Path) -> Result<Box<dyn Source>, Failure> {
    let path = PathBuf::from(path);
    let members = members(&path)?;
    let arrays = members.iter().filter_map(|name| {
        let stem = name.strip_suffix(".npy")?;
        Some((stem.to_owned(), Place::Member(path.clone(), name.clone())))
    });
    let arrays: Vec<_> = arrays.collect();
    match arrays.is_empty() {
        false => paired(&path, "NumPy arrays", arrays),
        true => Err(Failure::new(
            format!("{} is an archive without arrays", path.display()),
            "unpack it, and give the folder",
        )),
    }
}

/// Arrays of images with the arrays of their labels, by their names: a part's name, and what is in it.
fn paired(
    path: &Path,
    format: &'static str,
    mut arrays: Vec<(String, Place)>,
) -> Result<Box<dyn Source>, Failure> {
    // A plain file comes before the same one gzipped.
    arrays.dedup_by(|next, one| next.0 == one.0);
    let [image_names, label_names] = ARRAYS;
    let is_of = |stem: &str, names: &[&str]| {
        let stem = stem.to_lowercase();
        let mut words = stem.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| names.contains(&word))
    };
    let mut parts = Vec::new();
    for (stem, place) in &arrays {
        if !is_of(stem, image_names) || is_of(stem, label_names) {
            continue;
        }
        let part = FilePart::of(stem);
        let labels = arrays
            .iter()
            .find(|(other, _)| is_of(other, label_names) && FilePart::of(other) == part);
        let labels = labels
            .map(|(_, place)| Array::open(place.clone(), "labels"))
            .transpose()?;
        if labels.is_none() && part != FilePart::All {
            return Err(Failure::new(
                format!("{} has the images {stem} without labels", path.display()),
                "put their labels beside them, in an array with `labels` in the place of `images`",
            ));
        }
        parts.push((part, Array::open(place.clone(), "images")?, labels));
    }
    once_each(path, parts.iter().map(|(part, ..)| *part))?;
    if parts.is_empty() {
        let names: Vec<&str> = arrays.iter().map(|(stem, _)| stem.as_str()).collect();
        return Err(Failure::new(
            format!(
                "{} has no array of images, but {}",
                path.display(),
                names.join(", ")
            ),
            "call them train_images, train_labels, test_images, test_labels, or images and labels",
        ));
    }
    parts.sort_by_key(|(part, ..)| *part);
    Ok(Box::new(Arrays::new(format, parts)?))
}
