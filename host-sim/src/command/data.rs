//! `ringlet data`: samples as devices hold them, and their secrets.

use std::path::Path;

use ringlet_core::{
    pairing::dealer_key,
    prg::Key,
    store::{check, head},
};

use crate::{
    cli::{DataCommand, PackArgs, SecretArgs},
    console,
    data::{Images, Part, load},
    error::Failure,
    model_file::{check_writable, write_whole},
    report::bytes,
    secrets::Secrets,
};

/// Does what the arguments ask for.
pub fn run(command: &DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Pack(args) => pack(args),
        DataCommand::Secret(args) => secret(args),
    }
}

/// Draws a device's secret.
fn secret(args: &SecretArgs) -> Result<(), Failure> {
    for path in [&args.out, &args.dealer_key] {
        check_writable(path)?;
    }
    let root = Secrets::System.device_root()?;
    write_whole(&args.out, root.reveal())?;
    write_whole(&args.dealer_key, dealer_key(&root).reveal())?;
    console::line(&format!(
        "{} is for the device alone, {} for its dealer alone",
        args.out.display(),
        args.dealer_key.display()
    ))
}

/// Reads a key that a device and its dealer share.
pub(super) fn read_key(path: &Path) -> Result<Key, Failure> {
    let wrong = |why: String| {
        Failure::new(
            format!("{} holds no key: {why}", path.display()),
            "make one with `ringlet data secret`",
        )
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let count = bytes.len();
    let bytes = bytes.try_into();
    bytes
        .map(Key::new)
        .map_err(|_| wrong(format!("it has {count} bytes in the place of {}", Key::LEN)))
}

/// Writes an image of samples.
fn pack(args: &PackArgs) -> Result<(), Failure> {
    let all = load(args.data.as_deref(), Part::Train)?;
    let last = args
        .count
        .map_or(Some(all.len()), |count| args.first.checked_add(count));
    let last = last.filter(|&last| last <= all.len() && args.first < last);
    let Some(last) = last else {
        return Err(Failure::new(
            format!("there are {} images", all.len()),
            "correct --first and --count",
        ));
    };
    let images = all.slice(args.first..last);
    check_writable(&args.out)?;
    let image = flash_image(&images)?;
    write_whole(&args.out, &image)?;
    let [rows, columns, channels] = images.shape;
    console::line(&format!(
        "{} images of {rows}x{columns}x{channels} in {}: {}",
        images.len(),
        args.out.display(),
        bytes(image.len() as u64)
    ))
}

/// Images and their labels as a device's flash holds them.
pub(super) fn flash_image(images: &Images) -> Result<Vec<u8>, Failure> {
    let side = |side: usize| {
        u16::try_from(side)
            .map_err(|_| Failure::new("the images are too large for a device", "use smaller ones"))
    };
    let [rows, columns, channels] = images.shape;
    let shape = [side(rows)?, side(columns)?, side(channels)?];
    let count = u32::try_from(images.len())
        .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))?;
    let head = head(count, shape);
    let parts = [&head[..], &images.labels, &images.pixels];
    let sum = check(parts);
    let mut image = parts.concat();
    image.extend(sum);
    Ok(image)
}
