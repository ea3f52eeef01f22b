//! Options of `predict`.

use std::path::PathBuf;

use clap::Args;

use super::{LinkArgs, ProtocolName, RingName, RoleName, SessionArgs, TriplesName};

/// Options of `predict`.
#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// The model: a file that `train --save` or `party --save` has written.
    #[arg(long, value_name = "FILE")]
    pub model_file: PathBuf,
    /// The images: an IDX file of images, or a directory of MNIST-style IDX files, whose held-out images are taken. The
    /// built-in held-out digits when left out.
    #[arg(long, value_name = "FILE|DIR")]
    pub data: Option<PathBuf>,
    /// Classify this image alone, counted from 0.
    #[arg(long, value_name = "N", conflicts_with = "count")]
    pub image: Option<usize>,
    /// Classify the first so many images; all when left out.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<usize>,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: u32,
    /// Images worked on at a time within a batch. The whole batch when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// The party that owns the images, and alone learns their classes. The other owns the model.
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = RoleName::P0)]
    pub asking: RoleName,
    /// How activations are computed.
    #[arg(long, value_enum, default_value_t = ProtocolName::Exact)]
    pub protocol: ProtocolName,
    /// What masks are made for under --protocol spdz, fused when left out, and under --protocol securenn, baseline
    /// when left out.
    #[arg(long, value_enum)]
    pub triples: Option<TriplesName>,
    /// Ring of linear arithmetic: u32 when left out, and u64 under --protocol spdz and securenn.
    #[arg(long, value_enum)]
    pub ring: Option<RingName>,
    /// Fraction bits of fixed-point numbers: 12 when left out, 20 for exact ReLU in u64, 13 for securenn.
    #[arg(long, value_name = "BITS")]
    pub fraction_bits: Option<u32>,
    /// Write the classes to this file, as CSV; up to 20 are printed when left out.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What the links are like.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// Seed of all keys: for tests alone.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

impl PredictArgs {
    /// What the parties agree on, as a session's arguments.
    pub(crate) fn session(&self) -> SessionArgs {
        SessionArgs {
            model: None,
            data: None,
            share_of_p0: 1.0,
            epochs: 1,
            batch: self.batch,
            micro_batch: self.micro_batch,
            protocol: self.protocol,
            triples: self.triples,
            activation: None,
            loss: None,
            lr: 1.0,
            momentum: Some(0.0),
            limit: None,
            audit: None,
            ring: self.ring,
            fraction_bits: self.fraction_bits,
            seed: self.seed,
        }
    }
}
