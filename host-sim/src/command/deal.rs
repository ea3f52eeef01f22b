//! `ringlet deal`: the dealer's work ahead of time, into files.

use std::{fs, path::PathBuf};

use clap::Args;
use ringlet_core::{
    Role,
    net::{Link, Remote},
    session::{Task, handshake::DealtId},
};

use crate::{
    config::{
        args::{LogArgs, RoleName, SampleCounts, SecretArgs, SessionArgs, SessionFileArgs},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console::{self, bar::Bar},
    data::Part,
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED},
    output::amounts::bytes,
    run::{
        dealer::{corrections, deal},
        dealt_files::{Dealing, DealtWriter},
        dealt_positions::with_spare,
        secrets::Secrets,
    },
};

/// Options of `deal`.
#[derive(Clone, Debug, Args)]
pub struct DealArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Directory for the files p0.key and p1.dealt.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Numbers of training images that P0 and P1 own, when no directory holds them all.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<SampleCounts>,
    /// The party that will learn the trained model.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub reveal_to: Option<RoleName>,
    /// Iterations to deal beyond those of the session, for a run with checkpoints that is cut off: what was begun is spent,
    /// so it takes as many more as it loses.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub spare: u32,
    /// The session, with the options that both parties will give.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Where the keys come from.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Deals a session into files.
pub fn run(args: &DealArgs) -> Result<(), Failure> {
    let mut args = args.clone();
    let set = args.session.data_set(None)?;
    let args = &args;
    let protocol = Protocol::with_dealer(&args.session)?;
    // Only the number and shape of images matter here.
    let images = match args.samples {
        Some(_) if args.session.data.data.is_none() => None,
        _ => Some(set.load(Part::Train)?),
    };
    let total = images.as_ref().map_or(0, |images| images.len());
    let setting = Setting {
        model: ModelSource::Shape(images.map(|images| images.shape)),
        samples: Samples::given_or_split(args.samples, total),
        shuffle_seed: args.session.seed.unwrap_or(0),
        receiver: args.reveal_to.map(Role::from),
        task: Task::Train,
        normalise_by: None,
        backbone: set.backbone.clone(),
    };
    let CheckedSession { session, .. } = session(&args.session, &protocol, setting)?;
    let dealt = with_spare(&session, args.spare)?;
    let corrections = corrections(&dealt)?;
    let secrets = Secrets::new(args.secrets.seed());
    let keys = secrets.dealer_keys()?;
    let identity = DealtId(secrets.identity()?);
    fs::create_dir_all(&args.out).map_err(|error| {
        Failure::new(
            format!("{} cannot be made: {error}", args.out.display()),
            "give another directory with --out",
        )
    })?;
    let [key_p0, key_p1] = &keys;
    let dealing = Dealing {
        identity,
        session: &session,
        spare: args.spare,
    };
    let start =
        |role, key, corrections| DealtWriter::create(&args.out, role, &dealing, key, corrections);
    let p0 = start(Role::P0, key_p0, 0)?;
    let mut p1 = start(Role::P1, key_p1, corrections)?;
    let spare = match args.spare {
        0 => String::new(),
        spare => format!(" and {spare} spare ones"),
    };
    console::note(&format!(
        "dealing {} iterations{spare} of {} images for {}: {} for p1",
        session.iterations(),
        session.batch,
        session.model.name,
        bytes(corrections)
    ));
    let mut bar = Bar::new("deal", &dealt);
    let fault = p1.fault();
    let link = Link::new(AnyEnd::new(&mut p1), Remote::Party(Role::P1), UNBOUNDED);
    let ended = deal(&dealt, keys.clone(), link, 0, &mut |iteration, made| {
        bar.set(u64::from(iteration) + 1, bytes(made));
    });
    bar.finish();
    ended.map_err(|failure| fault.take().unwrap_or(failure))?;
    // P0's file appears last, so a pair is there only when both are whole.
    let p1 = p1.finish()?;
    let p0 = p0.finish()?;
    console::line(&format!(
        "{}: p0.key of {} for p0, p1.dealt of {} for p1; each serves one run",
        args.out.display(),
        bytes(p0),
        bytes(p1)
    ))
}
