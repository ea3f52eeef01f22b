//! `ringlet data`: samples as devices hold them.

use ringlet_core::store::{check, head};

use crate::{
    cli::{DataCommand, PackArgs},
    console,
    data::{Images, Part, load},
    error::Failure,
    model_file::{check_writable, write_whole},
    report::bytes,
};

/// Does what the arguments ask for.
pub fn run(command: &DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Pack(args) => pack(args),
    }
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
