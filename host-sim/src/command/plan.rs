//! `ringlet plan`: the cost of a run, without running it.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use ringlet_core::{Role, session::Task};

use crate::{
    config::{
        args::{LinkArgs, RoleName, SampleCounts, SessionArgs, SessionFileArgs},
        protocol::Protocol,
        session::{CheckedSession, planned},
    },
    error::Failure,
    links::traffic_shaper::TrafficShape,
    measure::{course::Course, kept::Kept, secure_link},
    output::plan::{
        Beside, Form, costs, devices, json,
        privacy::{choices, table},
        seconds::Figures,
    },
};

/// How long a prediction measures the session, and a link, when there is no file.
const MEASURED: Duration = Duration::from_secs(10);
const LINK: Duration = Duration::from_millis(300);

/// Options of `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Print which boards can be P0, and the memory that P0 needs.
    #[arg(long, conflicts_with = "json")]
    pub device: bool,
    /// Print the cost to classify a batch instead of training.
    ///
    /// The party that owns no images, by --share-of-p0, has the model.
    #[arg(long, conflicts_with = "device")]
    pub infer: bool,
    /// Print the cost to evaluate the shared model on a batch of one party's held-out images, by --share-of-p0, instead of
    /// training.
    #[arg(long, conflicts_with_all = ["device", "infer"])]
    pub evaluate: bool,
    /// Print the noise that private gradients take for this batch and number of epochs, and for others: a guide to --dp-epsilon.
    #[arg(long, conflicts_with_all = ["device", "infer", "evaluate", "ranks", "seconds"])]
    pub dp: bool,
    /// The party that learns the trained model.
    #[arg(long, value_enum, value_name = "ROLE", conflicts_with_all = ["infer", "evaluate"])]
    pub reveal_to: Option<RoleName>,
    /// Numbers of training images that P0 and P1 own, as in `party`.
    ///
    /// A split of --data, or of a batch, when left out.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<SampleCounts>,
    /// Print what each rank of a role has, for growing numbers of ranks.
    #[arg(long, conflicts_with_all = ["device", "infer", "evaluate"])]
    pub ranks: bool,
    /// Predict the time on machines like this: from the figures that `ringlet bench --save` has left in FILE, or
    /// from some seconds of measurement without one.
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["device", "evaluate"])]
    pub seconds: Option<Option<PathBuf>>,
    /// The links of --seconds.
    #[command(flatten)]
    pub links: LinkArgs,
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
    let links = args.links.shape()?;
    if args.seconds.is_none() && links != TrafficShape::default() {
        return Err(Failure::new(
            "--profile, --delay and --rate belong to --seconds",
            "add --seconds, or leave them out",
        ));
    }
    let task = match (args.infer, args.evaluate) {
        (true, _) => Task::Infer,
        (_, true) => Task::Evaluate,
        _ => Task::Train,
    };
    let checked = planned(
        &args.session,
        &protocol,
        (task, args.samples),
        args.reveal_to.map(Role::from),
    )?;
    if args.device && checked.session.format.ring != u32::BITS {
        return Err(Failure::new(
            "devices are made for the ring of 32 bits",
            "leave out --ring u64, and --protocol spdz without --ring u32",
        ));
    }
    if args.dp {
        return guide(args, &checked);
    }
    if args.device {
        return devices(&checked.session, &checked.network);
    }
    if args.ranks && checked.session.most_ranks() == 1 {
        return Err(Failure::new(
            "one rank has all the work of this session",
            "choose a --micro-batch smaller than the batch, and not --triples baseline with a dealer",
        ));
    }
    let figures = args
        .seconds
        .as_ref()
        .map(|file| figures(file.as_ref(), &checked, links))
        .transpose()?;
    let form = match args.json {
        true => Form::Json,
        false => Form::Table,
    };
    let beside = Beside {
        figures: figures.as_ref(),
        ranks: args.ranks,
    };
    costs(&checked.session, &checked.network, beside, form)
}

/// What private gradients take, for this session and others.
fn guide(args: &PlanArgs, checked: &CheckedSession) -> Result<String, Failure> {
    let (session, network) = (&checked.session, &checked.network);
    let privacy = &args.session.privacy;
    if session.privacy().is_none() {
        return Err(Failure::new(
            "there is nothing to protect to",
            "say how much with --dp-epsilon, such as 3, or with --dp-noise; and give --data, or --samples",
        ));
    }
    let choices = match session.format.ring {
        u32::BITS => choices::<u32>(session, network, privacy)?,
        _ => choices::<u64>(session, network, privacy)?,
    };
    Ok(match args.json {
        true => json(&choices)?,
        false => table(&choices, privacy.delta()),
    })
}

/// The figures from a file, or measured now.
fn figures(
    file: Option<&PathBuf>,
    CheckedSession {
        session, network, ..
    }: &CheckedSession,
    links: TrafficShape,
) -> Result<Figures, Failure> {
    let Some(path) = file else {
        return Ok(Figures {
            source: "a measurement of this machine".to_owned(),
            link_seconds_per_byte: secure_link::seconds_per_byte(LINK)?,
            course: Course::measure(
                (session, network),
                session.batch_rows(),
                MEASURED,
                &mut |_| {},
            )?,
            links,
        });
    };
    let kept = Kept::read(path)?;
    let (to, bench) = match session.task {
        Task::Train => ("be trained", "bench"),
        Task::Infer | Task::Evaluate => ("classify", "bench --infer"),
    };
    let measured = kept.session(session).ok_or_else(|| {
        Failure::new(
            format!(
                "{} has no figures of model {} as it is to {to}",
                path.display(),
                session.model.name
            ),
            format!(
                "measure it, with `ringlet {bench} --save FILE` and the same options, or leave out the file"
            ),
        )
    })?;
    Ok(Figures {
        source: path.display().to_string(),
        course: measured.course.clone(),
        link_seconds_per_byte: kept.link_seconds_per_byte,
        links,
    })
}
