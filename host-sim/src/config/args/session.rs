//! Options on which all roles of a run must agree.

use clap::{Args, ValueEnum};
use ringlet_core::{
    model::{Loss, TripleScheme},
    session::{Protocol, Session},
};

use super::{PrivacyArgs, RoleName, data::DataArgs, training::TrainingArgs};
use crate::{
    config::activation::Activation,
    data::{normalise::MeanAndDeviation, range_bits::RangeBits},
};

/// How activations are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Exact ReLU.
    Exact,
    /// Polynomials instead of ReLU, as in SPDZ-style protocols, in a ring of 64 bits.
    Spdz,
    /// Exact ReLU by SecureNN, with an assistant during the run, in a ring of 64 bits.
    Securenn,
}

impl std::fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProtocolName::Exact => "exact",
            ProtocolName::Spdz => "spdz",
            ProtocolName::Securenn => "securenn",
        })
    }
}

/// The loss that training minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    /// Softmax with cross entropy.
    Softmax,
    /// ReLU(z) over the sum of ReLU(z) instead of softmax, as published.
    Normalised,
}

impl From<LossName> for Loss {
    fn from(name: LossName) -> Loss {
        match name {
            LossName::Softmax => Loss::Softmax,
            LossName::Normalised => Loss::Normalised,
        }
    }
}

/// The operations that triples are made for. They decide what is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TriplesName {
    /// Matrix products only; every product opens both its operands.
    Baseline,
    /// Convolutions, pooling and squares, each tensor opened once: the published optimum.
    Seed,
    /// One opening for a whole polynomial, and one for each image in the whole run.
    Fused,
}

impl From<TriplesName> for TripleScheme {
    fn from(name: TriplesName) -> TripleScheme {
        match name {
            TriplesName::Baseline => TripleScheme::Baseline,
            TriplesName::Seed => TripleScheme::Seed,
            TriplesName::Fused => TripleScheme::Fused,
        }
    }
}

/// The ring of linear arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RingName {
    /// 32 bits: one multiply-accumulate instruction on a microcontroller.
    U32,
    /// 64 bits: more range and precision.
    U64,
}

/// Options on which all roles of a run must agree.
#[derive(Clone, Debug, Args)]
pub struct SessionArgs {
    /// A built-in model, dense:CLASSES (one dense layer) or a JSON file.
    ///
    /// Built in are convnet1, convnet2, digits8 and securenn-a to securenn-d. Chosen by the data's shape when left out.
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// Part of the training images that P0 owns.
    ///
    /// P1 owns the rest.
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub share_of_p0: f64,
    /// Passes over the training images.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub epochs: u32,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: u32,
    /// Images processed at a time within a batch; fewer take less memory.
    ///
    /// Fewer take more rounds. The whole batch when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// How activations are computed.
    #[arg(long, value_enum, default_value_t = ProtocolName::Exact)]
    pub protocol: ProtocolName,
    /// What triples are made for.
    ///
    /// Under --protocol spdz fused when left out, under --protocol securenn baseline.
    #[arg(long, value_enum)]
    pub triples: Option<TriplesName>,
    /// The polynomial that replaces ReLU under --protocol spdz: relu:DEGREE or relu:DEGREE:LOW:HIGH (the least-squares
    /// fit on an interval), pond-relu or pond-sigmoid; relu:3:-1:1 when left out.
    #[arg(long, value_name = "POLYNOMIAL")]
    pub activation: Option<Activation>,
    /// The loss under --protocol securenn: softmax when left out, as in every other protocol.
    #[arg(long, value_enum)]
    pub loss: Option<LossName>,
    /// Learning rate; powers of two are exact.
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.03125,
        allow_negative_numbers = true
    )]
    pub lr: f64,
    /// Momentum, at least 0 and below 1: 0.875 when left out, and 0 under --protocol spdz, where an
    /// update then opens nothing.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    /// How the training goes otherwise.
    #[command(flatten)]
    pub training: TrainingArgs,
    /// How single images are protected.
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    /// Stop after this many iterations.
    #[arg(long, visible_alias = "iterations", value_name = "N")]
    pub limit: Option<u32>,
    /// Both parties learn the mean loss of each epoch, and nothing else of the losses.
    ///
    /// It is the cross entropy of the labels, without smoothing. Both parties have to ask for it.
    #[arg(long)]
    pub reveal_loss: bool,
    /// Every N iterations, from the first on, both parties learn how many values left the range contract at each
    /// layer, and nothing else.
    ///
    /// Never when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit: Option<u32>,
    /// Ring of linear arithmetic: u32 when left out, and u64 under --protocol spdz and securenn.
    #[arg(long, value_enum)]
    pub ring: Option<RingName>,
    /// Fraction bits of fixed-point numbers: 12 when left out, 20 for exact ReLU in u64, 13 for securenn.
    #[arg(long, value_name = "BITS")]
    pub fraction_bits: Option<u32>,
    /// How pixels become numbers: `none` for 0 (black) to 1 (white), or MEAN:DEVIATION of the pixels in these
    /// numbers, for all channels or for each.
    ///
    /// As a model's file keeps it when left out; else `train` and `calibrate` normalise images whose mean is larger
    /// than their deviation by both, and all others take `none`.
    #[arg(long, visible_alias = "normalize", value_name = "MEAN:DEVIATION[,...]")]
    pub normalise: Option<MeanAndDeviation>,
    /// Bits before the binary point of values between layers, which stay below 2^BITS: one number, or one for the
    /// images and one for each layer that learns.
    ///
    /// Range beyond what the ring leaves takes fraction bits. As a model's file keeps it or 9 when left out.
    #[arg(long, value_name = "BITS[,BITS...]")]
    pub range_bits: Option<RangeBits>,
    /// The party whose model the training begins with, which gives it with --init.
    ///
    /// Both draw a part of random weights when left out.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub init_by: Option<RoleName>,
    /// Seed.
    ///
    /// In `train` it makes the whole run reproducible, keys included, so it is for tests, and not for `--link tcp`.
    /// In `party` it seeds only the public order of images, and both parties must give the same.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
}

impl SessionArgs {
    /// The usual options, for the images that `data` names.
    pub fn usual(data: DataArgs) -> Self {
        SessionArgs {
            model: None,
            data,
            share_of_p0: 1.0,
            epochs: 1,
            batch: 32,
            micro_batch: None,
            protocol: ProtocolName::Exact,
            triples: None,
            activation: None,
            loss: None,
            lr: 0.03125,
            momentum: None,
            training: TrainingArgs::default(),
            privacy: PrivacyArgs::default(),
            limit: None,
            reveal_loss: false,
            audit: None,
            ring: None,
            fraction_bits: None,
            range_bits: None,
            normalise: None,
            init_by: None,
            seed: None,
        }
    }

    /// The options that give another process of this machine the same `session`, with this range, `normalise` and `momentum`.
    pub fn to_options(
        &self,
        session: &Session,
        (range, normalise): (&RangeBits, &MeanAndDeviation),
        momentum: f64,
    ) -> Vec<String> {
        let mut options: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| {
            options.extend([name.to_owned(), value]);
        };
        let model = self.model.clone();
        option("--model", model.unwrap_or(session.model.name.to_string()));
        option("--share-of-p0", self.share_of_p0.to_string());
        option("--epochs", session.epochs.to_string());
        option("--batch", session.batch.to_string());
        option("--micro-batch", session.micro_batch.to_string());
        option("--lr", self.lr.to_string());
        option("--momentum", momentum.to_string());
        option("--protocol", self.protocol.to_string());
        if self.protocol != ProtocolName::Exact {
            option("--triples", session.protocol.triples().to_string());
        }
        if let Protocol::SecureNn { loss, .. } = session.protocol {
            option("--loss", loss.to_string());
        }
        if let Some(activation) = &self.activation {
            option("--activation", activation.to_string());
        }
        option("--ring", format!("u{}", session.format.ring));
        option("--fraction-bits", session.format.fraction.to_string());
        if self.protocol == ProtocolName::Exact {
            option("--range-bits", range.to_string());
        }
        // Features are normalised by their range, and --normalise is of images.
        let images = self.normalise.as_ref();
        let normalise = images
            .filter(|_| self.data.backbone.is_given())
            .unwrap_or(normalise);
        option("--normalise", normalise.to_string());
        option("--seed", session.shuffle_seed.to_string());
        if let Some(owner) = session.initial_model {
            option("--init-by", owner.to_string());
        }
        if session.limit > 0 {
            option("--limit", session.limit.to_string());
        }
        if session.audit > 0 {
            option("--audit", session.audit.to_string());
        }
        if session.reveal_loss {
            options.push("--reveal-loss".to_owned());
        }
        options.extend(self.training.to_options());
        options.extend(self.privacy.to_options());
        options.extend(self.data.to_options());
        options
    }
}
