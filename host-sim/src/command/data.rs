//! `ringlet data`: flash images and secrets for devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ringlet_core::prg::device_key::dealer_key;

use crate::{
    console,
    data::{
        Part,
        file::{check_writable, write_whole},
        flash_image::flash_image,
        key_file, load,
    },
    error::Failure,
    output::amounts::bytes,
    run::secrets::Secrets,
};

/// Commands below `data`.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// Pack training images and their labels for the flash of a device.
    Pack(PackArgs),
    /// Draw a device's root secret, and the key that the device shares with its dealer.
    Secret(SecretArgs),
}

/// Options of `data secret`.
#[derive(Clone, Debug, Args)]
pub struct SecretArgs {
    /// The file for the device: 32 bytes, to program into its flash with its samples.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The file for the dealer: 32 bytes, for `ringlet dealer --p0-key`.
    #[arg(long, value_name = "FILE")]
    pub dealer_key: PathBuf,
}

/// Options of `data pack`.
#[derive(Clone, Debug, Args)]
pub struct PackArgs {
    /// Directory of MNIST-style IDX files, plain or gzipped. The built-in digits when left out.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The first image.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: usize,
    /// The number of images; all from the first on when left out.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Runs a command below `data`.
pub fn run(command: &DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Pack(args) => pack(args),
        DataCommand::Secret(args) => secret(args),
    }
}

/// Draws the secret of a device.
fn secret(args: &SecretArgs) -> Result<(), Failure> {
    for path in [&args.out, &args.dealer_key] {
        key_file::check_new(path)?;
    }
    let root = Secrets::System.device_root()?;
    key_file::write_new(&args.out, &root)?;
    key_file::write_new(&args.dealer_key, &dealer_key(&root))?;
    console::line(&format!(
        "{} is only for the device, {} only for its dealer",
        args.out.display(),
        args.dealer_key.display()
    ))
}

/// Writes a flash image of samples.
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
