//! `ringlet data`: what a data set holds, and flash images of samples and records with secrets for devices.

use std::path::{Path, PathBuf};

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
#[cfg(feature = "collect")]
use crate::{
    config::{task_file::TaskFile, task_samples},
    data::flash_image::task_image,
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
    /// Pack the task of a collection behind the images, for a device that contributes them to it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["freeze", "backbone"])]
    pub task: Option<PathBuf>,
    /// With --task: contributions in an upload; as many as fit in 64 KB when left out.
    #[arg(long, value_name = "N", requires = "task")]
    pub per_upload: Option<u16>,
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

/// Images to choose from, and what is packed behind them.
struct Packed {
    images: Images,
    behind: Vec<u8>,
    /// What lies behind them, in words.
    with: String,
}

impl Packed {
    /// Images of a party, with the frozen layers if they are asked for.
    fn of_party(args: &PackArgs) -> Result<Self, Failure> {
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
        let images = set.load(Part::Train)?;
        let Some(backbone) = &behind else {
            return Ok(Packed {
                images,
                behind: Vec::new(),
                with: String::new(),
            });
        };
        fits(&images, backbone)?;
        let layers = backbone.flash_image().unwrap_or_default();
        Ok(Packed {
            images,
            behind: layers.to_vec(),
            with: format!(" with frozen layers of {}", bytes(layers.len() as u64)),
        })
    }

    /// Images that a device contributes, with the task of the collection in the file `task`.
    #[cfg(feature = "collect")]
    fn contributed(args: &PackArgs, task: &Path) -> Result<Self, Failure> {
        let task = TaskFile::read(task)?;
        let with = format!(" for the task {}", task.id_text());
        let images = task_samples::load(&args.data, &task)?;
        Ok(Packed {
            images,
            behind: task_image(&task.image(args.per_upload)?),
            with,
        })
    }

    #[cfg(not(feature = "collect"))]
    fn contributed(_: &PackArgs, _: &Path) -> Result<Self, Failure> {
        Err(Failure::new(
            "this program was built without collections",
            "build it with `cargo build --release --features collect`",
        ))
    }
}

/// Writes a flash image of samples.
fn pack(args: &PackArgs) -> Result<(), Failure> {
    let Packed {
        images: all,
        behind,
        with,
    } = match &args.task {
        Some(task) => Packed::contributed(args, task)?,
        None => Packed::of_party(args)?,
    };
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
    image.extend(behind);
    write_whole(&args.out, &image)?;
    let [rows, columns, channels] = images.shape;
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
