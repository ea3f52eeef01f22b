//! `ringlet data`: what a data set holds, and flash images of samples and records with secrets for devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    device_record::{self, SecretArgs},
    inspect::{self, InspectArgs},
    model_image::{self, PackModelArgs},
};
use crate::{
    config::args::{DataArgs, LogArgs, SessionArgs},
    console,
    data::{
        Images, Part,
        backbone::Backbone,
        file::{check_writable, write_whole},
        flash_image::flash_image,
    },
    error::Failure,
    output::amounts::bytes,
};

/// Commands below `data`.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// Pack training images and their labels for the flash of a device.
    Pack(PackArgs),
    /// Pack a trained model for the flash of a device that classifies others' images by it.
    PackModel(PackModelArgs),
    /// Print what a data set holds: its images by class, their sizes and values, and what cannot be used.
    Inspect(InspectArgs),
    /// Draw a device's secret, and write it with the roles that the device knows and its policy. Print the device's public
    /// identity, for the roster.
    Secret(SecretArgs),
}

/// Options of `data pack`.
#[derive(Clone, Debug, Args)]
pub struct PackArgs {
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// The first image.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: usize,
    /// The number of images; all from the first on when left out.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// With --freeze: pack the images as they are, and the frozen layers behind them, so that the device computes the features
    /// itself. Without this option the features are packed.
    #[arg(long, requires = "freeze")]
    pub with_backbone: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

impl DataCommand {
    /// What a command that reads images tells on standard error.
    pub fn log(&self) -> Option<&LogArgs> {
        match self {
            DataCommand::Pack(args) => Some(&args.log),
            DataCommand::Inspect(args) => Some(&args.log),
            DataCommand::PackModel(_) | DataCommand::Secret(_) => None,
        }
    }
}

/// Runs a command below `data`.
pub fn run(command: &DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Pack(args) => pack(args),
        DataCommand::PackModel(args) => model_image::run(args),
        DataCommand::Inspect(args) => inspect::run(args),
        DataCommand::Secret(args) => device_record::run(args),
    }
}

/// Refuses images of another shape than a backbone takes.
fn fits(images: &Images, backbone: &Backbone) -> Result<(), Failure> {
    if images.shape == backbone.input() {
        return Ok(());
    }
    let [rows, columns, channels] = backbone.input();
    Err(Failure::new(
        format!(
            "the frozen layers take images of {rows}x{columns}x{channels}, and these are others"
        ),
        "give --resize or --greyscale",
    ))
}

/// Writes a flash image of samples.
fn pack(args: &PackArgs) -> Result<(), Failure> {
    let mut set = SessionArgs::usual(args.data.clone()).data_set(None)?;
    if args.data.backbone.is_given() && set.backbone.is_none() {
        return Err(Failure::new(
            "the weights of the frozen layers are not known",
            "give the file that has them with --backbone",
        ));
    }
    let behind = match args.with_backbone {
        true => set.backbone.take(),
        false => None,
    };
    let all = set.load(Part::Train)?;
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
    let mut image = flash_image(&images)?;
    if let Some(backbone) = &behind {
        fits(&images, backbone)?;
        image.extend(backbone.flash_image().unwrap_or_default());
    }
    write_whole(&args.out, &image)?;
    let [rows, columns, channels] = images.shape;
    let with = match &behind {
        Some(backbone) => {
            let layers = backbone.flash_image().map_or(0, <[u8]>::len);
            format!(" with frozen layers of {}", bytes(layers as u64))
        }
        None => String::new(),
    };
    console::line(&format!(
        "{} images of {rows}x{columns}x{channels}{with} in {}: {}",
        images.len(),
        args.out.display(),
        bytes(image.len() as u64)
    ))?;
    match images.classes.names() {
        // A device knows numbers alone.
        Some(_) => console::line(&format!("the classes are {}", images.classes)),
        None => Ok(()),
    }
}
