//! Options of commands that classify images by a model, with all roles on this machine.

use std::path::PathBuf;

use clap::Args;

use super::{
    DataArgs, LinkArgs, LogArgs, OnRange, ProtocolName, ReportArgs, RingName, RoleName,
    SessionArgs, SessionFileArgs, TriplesName, threads,
};
use crate::data::{normalise::MeanAndDeviation, range_bits::RangeBits};

/// The model, the images, and how the roles work on them.
#[derive(Clone, Debug, Args)]
pub struct ClassificationArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// The model: a file that `train --save` or `party --save` has written, or a state_dict of PyTorch's in safetensors, whose
    /// model --model describes.
    #[arg(long, value_name = "FILE")]
    pub model_file: PathBuf,
    /// The model's description, if the file has none: a built-in model's name or a JSON file.
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: u32,
    /// Images processed at a time within a batch.
    ///
    /// The whole batch when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// Classify on so many threads for each role.
    ///
    /// As many as the machine has processors when left out, but no more than a batch has micro-batches. The classes are the same.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
    /// The party that owns the images.
    ///
    /// Only it learns their classes. The other owns the model.
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = RoleName::P0)]
    pub asking: RoleName,
    /// How activations are computed.
    #[arg(long, value_enum, default_value_t = ProtocolName::Exact)]
    pub protocol: ProtocolName,
    /// What triples are made for.
    ///
    /// Under --protocol spdz fused when left out, under --protocol securenn baseline.
    #[arg(long, value_enum)]
    pub triples: Option<TriplesName>,
    /// Ring of linear arithmetic: u32 when left out, and u64 under --protocol spdz and securenn.
    #[arg(long, value_enum)]
    pub ring: Option<RingName>,
    /// Fraction bits of fixed-point numbers: 12 when left out, 20 for exact ReLU in u64, 13 for securenn.
    #[arg(long, value_name = "BITS")]
    pub fraction_bits: Option<u32>,
    /// Bits before the binary point of values between layers, as in `train`.
    ///
    /// As the model's file keeps it when left out.
    #[arg(long, value_name = "BITS[,BITS...]")]
    pub range_bits: Option<RangeBits>,
    /// How pixels become numbers, as in `train`.
    ///
    /// As the model's file keeps it when left out.
    #[arg(long, visible_alias = "normalize", value_name = "MEAN:DEVIATION[,...]")]
    pub normalise: Option<MeanAndDeviation>,
    /// Every N batches, from the first on, count privately how many values left the range contract at each layer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit: Option<u32>,
    /// Delay and rate of the links.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// When values leave the range contract: end without classes, or go on with a warning.
    #[arg(long, value_enum, value_name = "ACTION", default_value_t)]
    pub on_range: OnRange,
    /// Seed of all keys: for tests only.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// The report.
    #[command(flatten)]
    pub report: ReportArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Parses a number above 0.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

impl ClassificationArgs {
    /// The arguments of the session.
    pub fn session(&self) -> SessionArgs {
        SessionArgs {
            batch: self.batch,
            micro_batch: self.micro_batch,
            protocol: self.protocol,
            triples: self.triples,
            lr: 1.0,
            momentum: Some(0.0),
            audit: self.audit,
            ring: self.ring,
            fraction_bits: self.fraction_bits,
            range_bits: self.range_bits.clone(),
            normalise: self.normalise.clone(),
            seed: self.seed,
            ..SessionArgs::usual(self.data.clone())
        }
    }
}
