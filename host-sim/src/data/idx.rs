//! The IDX format of the MNIST files, plain or gzipped.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

use super::images::{Images, Part};
use crate::{error::Failure, resources::filled};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// The most bytes of an unpacked file.
const MAX_BYTES: u64 = 4 << 30;

fn stem(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Test => "t10k",
    }
}

/// Loads a part from the files in `dir`.
pub fn load(dir: &Path, part: Part) -> Result<Images, Failure> {
    if !dir.is_dir() {
        return Err(Failure::new(
            format!("there is no directory {}", dir.display()),
            "give the directory that holds the IDX files with --data",
        ));
    }
    let images = find(dir, &format!("{}-images-idx3-ubyte", stem(part)))?;
    let labels = find(dir, &format!("{}-labels-idx1-ubyte", stem(part)))?;
    parse(
        (&images.display().to_string(), read(&images)?),
        (&labels.display().to_string(), read(&labels)?),
    )
}

/// Loads the images of one file. It has no labels, so all images get class 0.
pub fn unlabelled(path: &Path) -> Result<Images, Failure> {
    let name = path.display().to_string();
    let bytes = read(path)?;
    let sizes = header::<3>((&name, &bytes), IMAGES, "images")?;
    let labels = filled(0, sizes[0], "the labels")?;
    whole(&name, sizes, body::<3>(bytes), labels)
}

/// The digits that are built into the program.
pub fn built_in(part: Part) -> Result<Images, Failure> {
    let (images, labels): (&[u8], &[u8]) = match part {
        Part::Train => (
            include_bytes!("../../digits8/train-images-idx3-ubyte.gz"),
            include_bytes!("../../digits8/train-labels-idx1-ubyte.gz"),
        ),
        Part::Test => (
            include_bytes!("../../digits8/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../digits8/t10k-labels-idx1-ubyte.gz"),
        ),
    };
    let name = "the built-in digits";
    parse((name, unpack(name, images)?), (name, unpack(name, labels)?))
}

fn find(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let names = [
        name.to_owned(),
        format!("{name}.gz"),
        // Some mirrors write a dot before "idx".
        name.replace("-idx", ".idx"),
    ];
    names
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Failure::new(
                format!("{} holds neither {name} nor {name}.gz", dir.display()),
                "put it there: MNIST-style IDX files have these names",
            )
        })
}

/// Reads a file, unpacked.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| {
        Failure::new(
            format!("{name} cannot be read: {error}"),
            "check the file and its permissions",
        )
    })?;
    unpack(&name, BufReader::new(file))
}

/// The bytes of a file, which may be gzipped.
fn unpack(name: &str, mut file: impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::new();
    let unpacked = file
        .fill_buf()
        .map(|start| start.starts_with(&[0x1F, 0x8B]));
    unpacked
        .and_then(|gzipped| match gzipped {
            true => GzDecoder::new(file).take(MAX_BYTES).read_to_end(&mut plain),
            false => file.take(MAX_BYTES).read_to_end(&mut plain),
        })
        .map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => Failure::new(
                format!("the machine gives no memory for the images of {name}"),
                "give --data with fewer images, or use a machine with more memory",
            ),
            _ => Failure::new(
                format!("{name} is damaged: {error}"),
                "fetch the file again",
            ),
        })?;
    Ok(plain)
}

/// What follows a header of `N` numbers.
fn body<const N: usize>(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.drain(..4 * (N + 1));
    bytes.shrink_to_fit();
    bytes
}

/// Reads a header of `N` numbers and checks that exactly as many bytes follow as they say.
fn header<const N: usize>(
    (name, bytes): (&str, &[u8]),
    magic: u32,
    what: &str,
) -> Result<[usize; N], Failure> {
    let number = |index: usize| {
        let bytes = bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let broken = |why: &str| {
        Failure::new(
            format!("{name} {why}"),
            "fetch the file again, or give other --data",
        )
    };
    if number(0) != Some(magic) {
        return Err(broken(&format!("is not an IDX file of {what}")));
    }
    let mut sizes = [0; N];
    for (index, size) in sizes.iter_mut().enumerate() {
        *size = number(index + 1).ok_or_else(|| broken("is cut short in its header"))? as usize;
    }
    let body = &bytes[4 * (N + 1)..];
    let wanted = sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size));
    match wanted {
        Some(wanted) if wanted == body.len() => Ok(sizes),
        Some(wanted) if wanted > body.len() => Err(broken(&format!(
            "is cut short: {} bytes of {what} instead of {wanted}",
            body.len()
        ))),
        _ => Err(broken("has more bytes than its header says")),
    }
}

/// Parses a pair of IDX files, each with its name for error messages.
pub fn parse(images: (&str, Vec<u8>), labels: (&str, Vec<u8>)) -> Result<Images, Failure> {
    let sizes = header::<3>((images.0, &images.1), IMAGES, "images")?;
    let [label_count] = header::<1>((labels.0, &labels.1), LABELS, "labels")?;
    let [count, ..] = sizes;
    if count != label_count {
        return Err(Failure::new(
            format!(
                "{} holds {count} images but {} holds {label_count} labels",
                images.0, labels.0
            ),
            "use files that belong together",
        ));
    }
    whole(images.0, sizes, body::<3>(images.1), body::<1>(labels.1))
}

/// Images with their labels. Refuses a set without images.
fn whole(
    name: &str,
    sizes: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<u8>,
) -> Result<Images, Failure> {
    let [_, height, width] = sizes;
    if sizes.contains(&0) {
        return Err(Failure::new(
            format!("{name} holds no images"),
            "give other --data, with images in it",
        ));
    }
    Ok(Images {
        shape: [height, width, 1],
        pixels,
        labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(count: u32, labels: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut image_file = Vec::new();
        for number in [IMAGES, count, 2, 3] {
            image_file.extend(number.to_be_bytes());
        }
        image_file.extend((0..count * 6).map(|p| p as u8));
        let mut label_file = Vec::new();
        for number in [LABELS, labels.len() as u32] {
            label_file.extend(number.to_be_bytes());
        }
        label_file.extend(labels);
        (image_file, label_file)
    }

    #[test]
    fn reads_what_is_there() {
        let (images, labels) = files(3, &[4, 5, 6]);
        let images = parse(("i", images), ("l", labels)).unwrap();
        assert_eq!(images.shape, [2, 3, 1]);
        assert_eq!(images.image(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(images.labels, [4, 5, 6]);
    }

    #[test]
    fn every_truncation_is_refused_by_name() {
        let (images, labels) = files(3, &[4, 5, 6]);
        for end in 0..images.len() {
            let error =
                parse(("i.idx", images[..end].to_vec()), ("l.idx", labels.clone())).unwrap_err();
            assert!(error.to_string().contains("i.idx"), "{error}");
        }
        for end in 0..labels.len() {
            let error =
                parse(("i.idx", images.clone()), ("l.idx", labels[..end].to_vec())).unwrap_err();
            assert!(error.to_string().contains("l.idx"), "{error}");
        }
        let (_, fewer) = files(3, &[4, 5]);
        assert!(parse(("i", images), ("l", fewer)).is_err());
        let (none, no_labels) = files(0, &[]);
        assert!(parse(("i", none), ("l", no_labels)).is_err());
    }

    #[test]
    fn the_built_in_digits_are_whole() {
        let train = built_in(Part::Train).unwrap();
        let test = built_in(Part::Test).unwrap();
        assert_eq!((train.len(), test.len()), (1498, 299));
        assert_eq!(train.shape, [8, 8, 1]);
        for class in 0..10 {
            assert!(train.labels.iter().filter(|&&l| l == class).count() > 100);
            assert!(test.labels.iter().filter(|&&l| l == class).count() > 20);
        }
    }
}
