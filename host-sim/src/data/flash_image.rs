//! Samples and records as the flash of a device holds them.

use ringlet_core::{
    data::sample_image::{check, head},
    device::{MAX_RECORD_LEN, Record},
};
use zeroize::Zeroizing;

use super::images::Images;
use crate::error::Failure;

/// The flash image of `images` and their labels.
pub fn flash_image(images: &Images) -> Result<Vec<u8>, Failure> {
    let side = |side: usize| {
        u16::try_from(side)
            .map_err(|_| Failure::new("the images are too large for a device", "use smaller ones"))
    };
    let [rows, columns, channels] = images.shape;
    let shape = [side(rows)?, side(columns)?, side(channels)?];
    let head = head(images.count()?, shape);
    let parts = [&head[..], &images.labels, &images.pixels];
    let sum = check(parts);
    let mut image = parts.concat();
    image.extend(sum);
    Ok(image)
}

/// The flash image of a device's record.
pub fn record_image(record: &Record) -> Zeroizing<Vec<u8>> {
    let mut image = Zeroizing::new([0; MAX_RECORD_LEN]);
    let len = record.encode(&mut image);
    Zeroizing::new(image[..len].to_vec())
}
