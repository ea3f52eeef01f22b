//! Samples and records as the flash of a device holds them.

#[cfg(feature = "collect")]
use ringlet_core::contribution::task_image::{MAX_LEN, TaskImage};
use ringlet_core::{
    data::sample_image::{check, head},
    device::{MAX_RECORD_LEN, Record, model_image},
    session::Session,
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

/// The flash image of a model's parameters, as a session of that model takes them.
pub fn model_image(session: &Session, values: &[Vec<u128>]) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::new("the model is too large for a device", "use a smaller one");
    let count = values.iter().map(Vec::len).sum::<usize>();
    let count = u32::try_from(count).map_err(|_| too_large())?;
    let mut image = model_image::head(session, count).to_vec();
    for &value in values.iter().flatten() {
        let value = i64::try_from(value as i128).map_err(|_| too_large())?;
        image.extend(value.to_le_bytes());
    }
    let sum = model_image::check(&image);
    image.extend(sum);
    Ok(image)
}

/// The flash image of a task, for a device that contributes to it.
#[cfg(feature = "collect")]
pub fn task_image(image: &TaskImage) -> Vec<u8> {
    let mut bytes = [0; MAX_LEN];
    let len = image.encode(&mut bytes);
    bytes[..len].to_vec()
}

/// The flash image of a device's record.
pub fn record_image(record: &Record) -> Zeroizing<Vec<u8>> {
    let mut image = Zeroizing::new([0; MAX_RECORD_LEN]);
    let len = record.encode(&mut image);
    Zeroizing::new(image[..len].to_vec())
}
