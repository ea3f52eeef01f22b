//! `ringlet data`: samples as devices hold them, and their secrets.

use std::{fs::OpenOptions, io::Write, path::Path};

use ringlet_core::{
    data::sample_image::{check, head},
    prg::{Key, device_key::dealer_key},
};

use crate::{
    config::args::{DataCommand, PackArgs, SecretArgs},
    data::{
        Images, Part,
        file::{check_writable, write_whole},
        load,
    },
    error::Failure,
    output::{console, report::bytes},
    run::secrets::Secrets,
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
        check_new(path)?;
    }
    let root = Secrets::System.device_root()?;
    keep_key(&args.out, &root)?;
    keep_key(&args.dealer_key, &dealer_key(&root))?;
    console::line(&format!(
        "{} is for the device alone, {} for its dealer alone",
        args.out.display(),
        args.dealer_key.display()
    ))
}

/// A secret that is written over is lost to the device that has it.
fn check_new(path: &Path) -> Result<(), Failure> {
    match path.try_exists() {
        Ok(true) => Err(Failure::new(
            format!("{} exists already", path.display()),
            "name another file, or delete it if no device needs it",
        )),
        _ => Ok(()),
    }
}

/// Writes a key to a new file, which no other user may read.
fn keep_key(path: &Path, key: &Key) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(key.reveal()));
    written.map_err(|error| {
        Failure::new(
            format!("{} cannot be written: {error}", path.display()),
            "check the directory and the space left",
        )
    })
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
            "give a --first and a --count that stay within them",
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
