//! `ringlet calibrate`: the range that the values of a training need, from a plaintext training on images at hand.

use clap::Args;
use ringlet_core::{
    Role,
    network::Network,
    session::{Session, Task},
};

use crate::{
    config::{
        args::{InitArgs, LogArgs, SessionArgs, SessionFileArgs},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console::{self, bar::Bar},
    data::{Images, Part, parameters::Parameters, range_bits::RangeBits},
    error::Failure,
    output::amounts::work,
    reference::calibration::Calibration,
};

/// Options of `calibrate`.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// The session.
    #[command(flatten)]
    pub session: SessionArgs,
    /// The model with which the training is to begin.
    #[command(flatten)]
    pub init: InitArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Calibrates.
pub fn run(args: &CalibrateArgs) -> Result<(), Failure> {
    let mut args = args.clone();
    let owner = args.session.init_by.map_or(Role::P0, Role::from);
    let initial = args.init.read(owner, &mut args.session)?;
    let initial = initial.map_or_else(Vec::new, |model| model.parameters);
    let set = args.session.measured_data_set(args.init.init.clone())?;
    let args = &args;
    let protocol = Protocol::new(&args.session)?;
    if protocol != Protocol::Exact {
        return Err(Failure::new(
            "only --protocol exact has a range to choose",
            "leave out --protocol",
        ));
    }
    let images = set.load(Part::Train)?;
    let setting = Setting {
        model: ModelSource::Images(&[&images]),
        samples: Samples::Split(images.len()),
        shuffle_seed: args.session.seed.unwrap_or(0),
        receiver: None,
        task: Task::Train,
        normalise_by: Some(&images),
        backbone: set.backbone.clone(),
    };
    let CheckedSession {
        session,
        network,
        normalise,
        ..
    } = session(&args.session, &protocol, setting)?;
    images.check_labels(network.classes)?;
    console::note(&format!(
        "training {} in plaintext, {}",
        session.model.name,
        work(&session)
    ));
    let calibration = calibrate(
        (&session, &network),
        (&images, &initial),
        session.iterations(),
    )?;
    // No place gets less than what is asked for, such as what the other party's images need.
    let range = match &args.session.range_bits {
        Some(asked) => calibration.range_bits().max(asked),
        None => calibration.range_bits(),
    };
    console::print(&table(&network, &calibration, &range))?;
    match calibration.is_short() {
        true => Err(short(&session)),
        false => {
            let front = match args.session.data.backbone.feature_range {
                Some(features) => {
                    let images = args.session.normalise.clone().unwrap_or_default();
                    format!("--normalise {images} --feature-range {features}")
                }
                None => format!("--normalise {normalise}"),
            };
            console::line(&format!("\n{front} --range-bits {range}"))
        }
    }
}

/// Calibrates on the first `iterations` of a session, which begins with the model `initial` if there is one, with a progress
/// bar.
pub fn calibrate(
    parameters: (&Session, &Network),
    (images, initial): (&Images, &[Parameters]),
    iterations: u32,
) -> Result<Calibration, Failure> {
    let shortened = Session {
        limit: iterations,
        ..parameters.0.clone()
    };
    let mut bar = Bar::new("calibration", &shortened);
    let calibration = Calibration::run(parameters, (images, initial), iterations, |done| {
        bar.set(done.into(), String::new());
    });
    bar.finish();
    calibration
}

/// No range of the session's format is enough.
pub fn short(session: &Session) -> Failure {
    Failure::new(
        format!(
            "in plaintext, values come near the end of the range that {} fraction bits in the ring of {} bits can give",
            session.format.fraction, session.format.ring
        ),
        match session.format.ring {
            u32::BITS => "choose --ring u64, or a lower --lr or --momentum",
            _ => "choose a lower --lr or --momentum",
        },
    )
}

/// The largest values of each stage, and the range that the training is to have.
fn table(network: &Network, calibration: &Calibration, range: &RangeBits) -> String {
    let mut bits = range.bits().iter();
    let mut next = || bits.next().copied().unwrap_or(0);
    let mut table = format!(
        "\n{:<16}{:>16}{:>18}{:>12}\n{:<16}{:>46}\n",
        "",
        "largest output",
        "largest velocity",
        "range bits",
        "images",
        next()
    );
    for (stage, largest) in network.stages.iter().zip(&calibration.largest) {
        table += &format!(
            "{:<16}{:>16.3}{:>18.4}{:>12}\n",
            stage.name,
            largest.output,
            largest.velocity,
            next()
        );
    }
    table
}
