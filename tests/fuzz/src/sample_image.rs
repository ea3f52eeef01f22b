//! Any bytes as an image of samples.

use ringlet_core::data::{
    Data, DataError,
    sample_image::{self, CHECK_LEN, HEAD_LEN, SampleImage, SampleImageError},
};

use super::allocation;

/// The input as an image, as one whose check is right, and as the samples of a whole one.
pub fn check(input: &[u8]) {
    let _ = allocation::none_in(|| read(input));
    // The check is over what the head says; any other length is cut off, or has something behind it.
    let mut image = input.to_vec();
    if let Some(end) = said_len(input).filter(|&end| end <= input.len()) {
        image.truncate(end);
        image.extend(sample_image::check([&input[..end]]));
        image.extend(&input[end..]);
        allocation::none_in(|| assert!(read(&image).is_ok()));
        image.truncate(end + CHECK_LEN - 1);
        assert!(matches!(
            SampleImage::new(&image),
            Err(SampleImageError::Truncated)
        ));
    }
    if let [samples, rows, columns, channels, content @ ..] = input {
        let shape = [rows, columns, channels].map(|side| u16::from(side % 5));
        whole(u32::from(samples % 16), shape, content);
    }
}

/// Where the content of an image ends, as its head says, if it is one.
fn said_len(image: &[u8]) -> Option<usize> {
    let head = image.first_chunk::<HEAD_LEN>()?;
    let samples = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
    let shape = [10, 12, 14].map(|at| u16::from_le_bytes([head[at], head[at + 1]]));
    if sample_image::head(samples, shape) != *head {
        return None;
    }
    let each: u128 = shape.iter().map(|&side| u128::from(side)).product();
    usize::try_from(HEAD_LEN as u128 + u128::from(samples) * (each + 1)).ok()
}

/// Reads the first, the last and one too many of the samples.
fn read(image: &[u8]) -> Result<(), SampleImageError> {
    let mut store = SampleImage::new(image)?;
    let each = store
        .shape()
        .iter()
        .map(|&side| usize::from(side))
        .product::<usize>();
    let mut pixels = [0; 4096];
    assert_eq!(store.is_empty(), store.label(0).is_err());
    for sample in [0, store.len().wrapping_sub(1), store.len(), u32::MAX] {
        let there = sample < store.len();
        assert_eq!(store.label(sample).is_ok(), there);
        if let Some(pixels) = pixels.get_mut(..each) {
            let read = store.pixels(sample, pixels);
            if each > 0 {
                assert_eq!(read.is_ok(), there);
            }
        }
        // Of another length than the samples are.
        let _ = store.pixels(sample, &mut pixels);
    }
    Ok(())
}

/// Samples that are packed come back as they were.
fn whole(samples: u32, shape: [u16; 3], content: &[u8]) {
    let each = shape
        .iter()
        .map(|&side| usize::from(side))
        .product::<usize>();
    let len = samples as usize * (1 + each);
    let mut image = sample_image::head(samples, shape).to_vec();
    image.extend(content.iter().chain(std::iter::repeat(&7)).take(len));
    let sum = sample_image::check([&image[..HEAD_LEN], &image[HEAD_LEN..]]);
    image.extend(sum);
    let mut store = SampleImage::new(&image).unwrap();
    assert_eq!((store.len(), store.shape()), (samples, shape));
    let (labels, pixels) = image[HEAD_LEN..][..len].split_at(samples as usize);
    let mut out = vec![0; each];
    for sample in 0..samples {
        let at = sample as usize;
        assert_eq!(store.label(sample), Ok(labels[at]));
        store.pixels(sample, &mut out).unwrap();
        assert_eq!(out, pixels[at * each..][..each]);
    }
    assert_eq!(store.label(samples), Err(DataError::Missing(samples)));
}
