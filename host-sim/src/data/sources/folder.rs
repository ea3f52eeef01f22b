//! A folder of image files: a folder for each class, within train/ and test/ or not; or images without classes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use ringlet_core::session::Shuffle;

use super::{Entry, EntryName, FilePart, Source, decode, place::unreadable};
use crate::{
    data::{classes::Classes, conversion::Raw},
    error::Failure,
};

/// A file, and the label of its folder.
struct Image {
    label: Option<u8>,
    /// Below the part's folder.
    name: String,
}

/// The images of one part.
struct Part {
    name: FilePart,
    dir: PathBuf,
    images: Vec<Image>,
}

/// A folder of image files.
pub struct Folder {
    parts: Vec<Part>,
    classes: Classes,
    channels: usize,
}

/// What a folder holds, by name and in the order of names: folders, and everything else. Hidden files are left out, and so
/// are those that file managers leave behind.
pub fn content(dir: &Path) -> Result<(Vec<String>, Vec<String>), Failure> {
    let failed = |error| unreadable(&dir.display().to_string(), &error);
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_string().map_err(|name| {
            Failure::new(
                format!("{} has a name that is not UTF-8", dir.join(name).display()),
                "give it another name",
            )
        })?;
        if name.starts_with('.') || ["Thumbs.db", "desktop.ini", "__MACOSX"].contains(&&*name) {
            continue;
        }
        match entry.path().is_dir() {
            true => folders.push(name),
            false => files.push(name),
        }
    }
    folders.sort_unstable();
    files.sort_unstable();
    Ok((folders, files))
}

impl Folder {
    /// The images of these parts, each in a folder with a folder for each class. A class of one part is one of all.
    pub fn of_classes(root: &Path, parts: Vec<(FilePart, PathBuf)>) -> Result<Self, Failure> {
        decode::check(&root.display().to_string())?;
        let mut names = BTreeSet::new();
        for (_, dir) in &parts {
            let (folders, _) = content(dir)?;
            if folders.is_empty() {
                return Err(Failure::new(
                    format!("{} has no folder for each class", dir.display()),
                    "put the images of each class into a folder with its name",
                ));
            }
            names.extend(folders);
        }
        let classes = Classes::of(&names, &root.display().to_string())?;
        let read = |(name, dir): (FilePart, PathBuf)| -> Result<Part, Failure> {
            let mut images = Vec::new();
            let (folders, files) = content(&dir)?;
            let stray = |file| Image {
                label: None,
                name: file,
            };
            images.extend(files.into_iter().map(stray));
            for folder in folders {
                // A label is one of at most 256 classes.
                let label = classes
                    .label(&folder)
                    .and_then(|label| label.try_into().ok());
                let (within, files) = content(&dir.join(&folder))?;
                let image = |file| Image {
                    label,
                    name: format!("{folder}/{file}"),
                };
                images.extend(within.into_iter().chain(files).map(image));
            }
            Ok(match name {
                FilePart::Train | FilePart::All => Part {
                    name,
                    dir,
                    images: mixed(images),
                },
                _ => Part { name, dir, images },
            })
        };
        let parts = parts.into_iter().map(read).collect::<Result<_, _>>()?;
        Folder::new(root, parts, classes)
    }

    /// Images without classes: those of these files, in their order.
    pub fn unlabelled(dir: &Path, files: Vec<String>) -> Result<Self, Failure> {
        decode::check(&dir.display().to_string())?;
        let images = files.into_iter().map(|name| Image { label: None, name });
        let part = Part {
            name: FilePart::All,
            dir: dir.to_owned(),
            images: images.collect(),
        };
        Folder::new(dir, vec![part], Classes::Unknown)
    }

    fn new(root: &Path, parts: Vec<Part>, classes: Classes) -> Result<Self, Failure> {
        if parts.iter().any(|part| part.images.is_empty()) {
            return Err(Failure::new(
                format!("{} holds no images", root.display()),
                "give other --data, with images in it",
            ));
        }
        // Some greyscale images may be among colour ones. A few of each class tell.
        let mut colour = false;
        for part in &parts {
            let mut seen = [0u8; 257];
            for image in &part.images {
                let seen = &mut seen[image.label.map_or(256, usize::from)];
                if *seen < 3 && !colour {
                    *seen += 1;
                    let file = fs::read(part.dir.join(&image.name)).unwrap_or_default();
                    colour |= decode::is_colour(&file).unwrap_or(false);
                }
            }
        }
        Ok(Folder {
            parts,
            classes,
            channels: if colour { 3 } else { 1 },
        })
    }
}

/// The images in a mixed order that is always the same: whatever takes the first of them gets some of all classes.
fn mixed(images: Vec<Image>) -> Vec<Image> {
    let Ok(count) = u32::try_from(images.len()) else {
        return images;
    };
    let shuffle = Shuffle::new(count, 0);
    let mut images: Vec<Option<Image>> = images.into_iter().map(Some).collect();
    let places = (0..count).map(|place| shuffle.sample(0, place) as usize);
    places.filter_map(|place| images[place].take()).collect()
}

impl Source for Folder {
    fn kind(&self) -> String {
        let colours = match self.channels {
            1 => "greyscale",
            _ => "colour",
        };
        match self.classes {
            Classes::Unknown => format!("{colours} image files without classes"),
            _ => format!("a folder of {colours} image files by class"),
        }
    }

    fn classes(&self) -> &Classes {
        &self.classes
    }

    fn parts(&self) -> Vec<(FilePart, usize)> {
        let counted = |part: &Part| (part.name, part.images.len());
        self.parts.iter().map(counted).collect()
    }

    fn channels(&self) -> Option<usize> {
        Some(self.channels)
    }

    fn read(
        &self,
        part: FilePart,
        wanted: &dyn Fn(usize) -> bool,
        take: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let parts = self.parts.iter().filter(|own| own.name == part);
        let (mut file, mut pixels) = (Vec::new(), Vec::new());
        for part in parts {
            let wanted = |(number, _): &(usize, &Image)| wanted(*number);
            for (number, image) in part.images.iter().enumerate().filter(wanted) {
                let path = part.dir.join(&image.name);
                let shape = match (image.label, &self.classes) {
                    (None, Classes::Named(_) | Classes::Numbered) => {
                        Err("lies beside the folders of the classes".to_owned())
                    }
                    _ => read(&path, &mut file).and_then(|()| decode::decode(&file, &mut pixels)),
                };
                let image = Entry {
                    number,
                    name: EntryName::File(&path.display().to_string()),
                    label: image.label.map(usize::from),
                    image: shape.map(|shape| Raw {
                        shape,
                        pixels: &pixels,
                    }),
                };
                take(image)?;
            }
        }
        Ok(())
    }
}

/// Reads a whole file. The error says why it cannot be read.
fn read(path: &Path, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    if path.is_dir() {
        return Err("is a folder within the folder of a class".to_owned());
    }
    let mut read = || File::open(path)?.read_to_end(bytes);
    match read() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot be read ({error})")),
    }
}
