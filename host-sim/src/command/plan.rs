//! `ringlet plan`: the cost of a run, without running it.

use clap::Args;
use ringlet_core::{Role, session::Task};

use crate::{
    config::{
        args::{RoleName, SessionArgs},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    data::Part,
    error::Failure,
    output::plan::{Form, costs, devices},
};

/// Options of `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Print which boards can be P0, and the memory that P0 needs.
    #[arg(long, conflicts_with = "json")]
    pub device: bool,
    /// Print the cost to classify a batch instead of training. The party that owns no images, by --share-of-p0, has the
    /// model.
    #[arg(long, conflicts_with = "device")]
    pub infer: bool,
    /// The party that learns the trained model.
    #[arg(long, value_enum, value_name = "ROLE", conflicts_with = "infer")]
    pub reveal_to: Option<RoleName>,
    /// The session.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The text of the plan.
pub fn run(args: &PlanArgs) -> Result<String, Failure> {
    let protocol = match args.device {
        true => Protocol::with_device(&args.session)?,
        false => Protocol::new(&args.session)?,
    };
    let data = &args.session.data;
    let images = match &data.data {
        Some(_) => Some(data.load(Part::Train)?),
        None => None,
    };
    // Costs depend only on the batch. Without data there are as many images as the batch has.
    let total = images
        .as_ref()
        .map_or(args.session.batch as usize, |images| images.len());
    let images: Vec<_> = images.iter().collect();
    let setting = Setting {
        model: ModelSource::Images(&images),
        samples: Samples::Split(total),
        shuffle_seed: 0,
        receiver: args.reveal_to.map(Role::from),
        task: match args.infer {
            true => Task::Infer,
            false => Task::Train,
        },
        normalise_by: None,
    };
    let CheckedSession {
        session, network, ..
    } = session(&args.session, &protocol, setting)?;
    match (args.device, args.json) {
        (true, _) if session.format.ring != u32::BITS => Err(Failure::new(
            "devices are made for the ring of 32 bits",
            "leave out --ring u64, and --protocol spdz without --ring u32",
        )),
        (true, _) => devices(&session, &network),
        (false, true) => costs(&session, &network, Form::Json),
        (false, false) => costs(&session, &network, Form::Table),
    }
}
