//! `ringlet data pack-model`: a trained model for the flash of a device that owns it.

use std::path::PathBuf;

use clap::Args;
use ringlet_core::session::Task;

use crate::{
    config::{
        args::{DataArgs, SessionArgs},
        model::model,
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console,
    data::{
        file::{check_writable, write_whole},
        flash_image::model_image,
        model_file::{self, Trained},
        normalise::MeanAndDeviation,
        parameters::encode_model,
        range_bits::RangeBits,
    },
    error::Failure,
    output::amounts::bytes,
};

/// Options of `data pack-model`.
#[derive(Clone, Debug, Args)]
pub struct PackModelArgs {
    /// The model: a file that --save has written, or a state_dict of PyTorch's in safetensors, whose model --model describes.
    #[arg(long, value_name = "FILE")]
    pub model_file: PathBuf,
    /// The model's description, if the file has none: a built-in model's name or a JSON file.
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// Fraction bits of fixed-point numbers: 12 when left out.
    #[arg(long, value_name = "BITS")]
    pub fraction_bits: Option<u32>,
    /// Bits before the binary point of values between layers. As the model's file keeps it when left out.
    #[arg(long, value_name = "BITS[,BITS...]")]
    pub range_bits: Option<RangeBits>,
    /// How pixels become numbers. As the model's file keeps it when left out.
    #[arg(long, visible_alias = "normalize", value_name = "MEAN:DEVIATION[,...]")]
    pub normalise: Option<MeanAndDeviation>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Writes the flash image of a model, and prints the options that the owner of the images has to give.
pub fn run(args: &PackModelArgs) -> Result<(), Failure> {
    let session_args = SessionArgs {
        fraction_bits: args.fraction_bits,
        range_bits: args.range_bits.clone(),
        normalise: args.normalise.clone(),
        ..SessionArgs::usual(DataArgs::default())
    };
    let protocol = Protocol::with_device(&session_args)?;
    let described = args.model.as_deref();
    let described = described.map(|name| model(Some(name), None)).transpose()?;
    let trained = model_file::load(&args.model_file, described)?;
    let Trained {
        model,
        marks,
        parameters,
        ..
    } = &trained;
    let setting = Setting {
        model: ModelSource::Trained(model, marks, None),
        // The device is P0, and the images are P1's.
        samples: Samples::Counts([0, 1]),
        shuffle_seed: 0,
        receiver: None,
        task: Task::Infer,
        normalise_by: None,
        backbone: None,
    };
    let CheckedSession {
        session,
        network,
        normalise,
        ..
    } = session(&session_args, &protocol, setting)?;
    let values = encode_model(&network, &session, parameters)?;
    check_writable(&args.out)?;
    let image = model_image(&session, &values)?;
    write_whole(&args.out, &image)?;
    console::line(&format!(
        "{} parameters of {} in {}: {}",
        network.parameters(),
        model.name,
        args.out.display(),
        bytes(image.len() as u64)
    ))?;
    console::line(&format!(
        "the owner of the images gives --fraction-bits {} --range-bits {} --normalise {normalise}",
        session.format.fraction,
        RangeBits::of(&session, &network)
    ))
}
