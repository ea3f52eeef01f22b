//! Files of images, sound ones, for the tests to read or to damage.

use std::{fs, io::Cursor, path::Path};

use image::{GrayImage, ImageFormat, RgbImage};
use ringlet::data::{Images, Part};
pub use ringlet_tests::arrays::{npy, npz};

/// A path as text.
pub fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A pixel of image `image` of a class. Classes differ in brightness.
pub fn pixel(class: usize, image: usize, index: usize) -> u8 {
    (40 + 90 * class + (image * 7 + index * 13) % 50) as u8
}

/// The bytes of a greyscale image in a format.
pub fn grey(class: usize, number: usize, side: u32, format: ImageFormat) -> Vec<u8> {
    let image = GrayImage::from_fn(side, side, |x, y| {
        image::Luma([pixel(class, number, (y * side + x) as usize)])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

/// The bytes of a colour image in a format.
pub fn colour(class: usize, number: usize, sides: [u32; 2], format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(sides[0], sides[1], |x, y| {
        let value = pixel(class, number, (y * sides[0] + x) as usize);
        image::Rgb([value, 255 - value, value / 2])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

/// Writes a file, and makes its folder.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

/// A folder with greyscale images of 8x8 for each class.
pub fn folder(dir: &Path, classes: &[&str], count: usize) {
    for (class, name) in classes.iter().enumerate() {
        for number in 0..count {
            let bytes = grey(class, number, 8, ImageFormat::Png);
            write(&dir.join(name).join(format!("{number:03}.png")), &bytes);
        }
    }
}

/// An IDX file.
pub fn idx(kind: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|side| side.to_be_bytes()));
    bytes.extend(body);
    bytes
}

/// Twenty images of 8x8 in two classes, and their labels.
pub fn twenty() -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..20).map(|image| image % 2).collect();
    let pixels =
        (0..20usize).flat_map(|image| (0..64).map(move |index| pixel(image % 2, image, index)));
    (pixels.collect(), labels)
}

/// The images of a part of a data set.
pub fn load(path: &Path, part: Part) -> Images {
    ringlet::data::load(Some(path), part).expect("images")
}
