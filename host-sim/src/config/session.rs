//! The session that a command runs, made from its arguments and checked in one place.

use ringlet_core::{
    Role,
    data::Normalisation,
    dealt,
    model::{Loss, Model, TripleScheme},
    network::Network,
    securenn,
    session::{self, ClassList, Headroom, RATE_FRACTION, Session, SessionError, Task},
};

use super::{
    activation::Activation,
    args::{parties::SampleCounts, session::SessionArgs},
    model::{check_shape, model},
    protocol::Protocol,
};
use crate::{
    data::{
        Classes, Images, Part, model_file::Marks, normalise::MeanAndDeviation,
        range_bits::RangeBits,
    },
    error::Failure,
};

/// A session whose parameters fit together, and its network.
#[derive(Clone, Debug)]
pub struct CheckedSession {
    /// The session.
    pub session: Session,
    /// The network that its model describes.
    pub network: Network,
    /// The normalisation of its images.
    pub normalise: MeanAndDeviation,
    /// The classes that its labels stand for, as far as they are known here.
    pub classes: Classes,
}

impl CheckedSession {
    /// Checks a session whose images are normalised by `normalise`, and whose labels stand for `classes`.
    pub fn new(
        session: Session,
        normalise: MeanAndDeviation,
        classes: Classes,
    ) -> Result<Self, Failure> {
        let session = Session {
            normalisation: normalise.normalisation(),
            classes: classes.list(),
            ..session
        };
        Ok(CheckedSession {
            network: checked_network(&session)?,
            session,
            normalise,
            classes,
        })
    }

    /// Checks a session that a checkpoint has given, with its normalisation and its list of classes, which have these
    /// names as far as they are known here.
    pub fn of_checkpoint(session: Session, classes: Classes) -> Result<Self, Failure> {
        Ok(CheckedSession {
            network: checked_network(&session)?,
            session,
            normalise: MeanAndDeviation::default(),
            classes,
        })
    }

    /// Takes the classes of further images, as far as none are known yet. If the session has no list of classes yet, it has
    /// theirs, which the peer compares.
    pub fn name_classes(&mut self, classes: &Classes) {
        if self.classes == Classes::Unknown {
            self.classes = classes.clone();
        }
        if self.session.classes == ClassList::Unknown {
            self.session.classes = classes.list();
        }
    }

    /// What a file says of the model that the session trains.
    pub fn marks(&self, left_range: bool) -> Marks {
        Marks {
            left_range,
            range: Some(RangeBits::of(&self.session, &self.network)),
            normalise: Some(self.normalise.clone()),
            classes: self.classes.names().map(<[String]>::to_vec),
        }
    }
}

/// The network of a session whose parameters fit together.
fn checked_network(session: &Session) -> Result<Network, Failure> {
    Ok(match session.protocol {
        session::Protocol::SecureNn { .. } => securenn::check(session)?,
        session::Protocol::Dealt { .. } if session.format.ring == u32::BITS => {
            dealt::check::<u32>(session)?
        }
        session::Protocol::Dealt { .. } => dealt::check::<u64>(session)?,
    })
}

/// Where the model of a session comes from.
pub enum ModelSource<'a> {
    /// `--model`, or the built-in model for these images. All of them must fit it.
    Images(&'a [&'a Images]),
    /// `--model`, or the built-in model for images of this shape, which the command does not use.
    Shape(Option<[usize; 3]>),
    /// A file with a trained model, and what it says of it. The images, if there are any here, must fit it.
    Trained(&'a Model, &'a Marks, Option<&'a Images>),
}

impl ModelSource<'_> {
    /// What a file says of its model.
    fn marks(&self) -> Marks {
        match self {
            ModelSource::Trained(_, marks, _) => (*marks).clone(),
            _ => Marks::default(),
        }
    }

    /// The classes that labels stand for: those that are `given`, those of the model's file, and those of the images. Fails
    /// if they differ.
    fn classes(&self, given: Option<Classes>) -> Result<Classes, Failure> {
        let images: Vec<&Images> = match self {
            ModelSource::Images(images) => images.to_vec(),
            ModelSource::Shape(_) => Vec::new(),
            ModelSource::Trained(_, _, images) => images.iter().copied().collect(),
        };
        let of_images = images
            .into_iter()
            .map(|images| ("the images", images.classes.clone()));
        let given = given.map(|given| ("--classes", given));
        let of_model = [("the model", self.marks().classes())];
        let mut found = ("", Classes::Unknown);
        for (whose, classes) in given.into_iter().chain(of_model).chain(of_images) {
            if !classes.list().agrees(&found.1.list()) {
                return Err(Failure::new(
                    format!(
                        "the classes of {} are {}, and those of {whose} are {classes}",
                        found.0, found.1
                    ),
                    "give --classes with the names of the model's classes, in their order",
                ));
            }
            if found.1 == Classes::Unknown {
                found = (whose, classes);
            }
        }
        Ok(found.1)
    }

    fn model(self, name: Option<&str>) -> Result<Model, Failure> {
        match self {
            ModelSource::Shape(shape) => model(name, shape),
            ModelSource::Images(images) => {
                let model = model(name, images.first().map(|images| images.shape))?;
                images
                    .iter()
                    .try_for_each(|images| check_shape(&model, images))?;
                Ok(model)
            }
            ModelSource::Trained(model, _, images) => {
                images.map_or(Ok(()), |images| check_shape(model, images))?;
                Ok(model.clone())
            }
        }
    }
}

/// The numbers of samples of both parties.
#[derive(Clone, Copy, Debug)]
pub enum Samples {
    /// These.
    Counts([u32; 2]),
    /// So many images, split by `--share-of-p0`.
    Split(usize),
}

impl Samples {
    /// As given, or a split of `total`.
    pub fn given_or_split(given: Option<SampleCounts>, total: usize) -> Self {
        given.map_or(Samples::Split(total), |SampleCounts(counts)| {
            Samples::Counts(counts)
        })
    }

    fn counts(self, share_of_p0: f64) -> Result<[u32; 2], Failure> {
        let total = match self {
            Samples::Counts(counts) => return Ok(counts),
            Samples::Split(total) => total,
        };
        if !(0.0..=1.0).contains(&share_of_p0) {
            return Err(Failure::new(
                format!("the share of P0 is {share_of_p0}"),
                "give a part between 0 and 1 with --share-of-p0",
            ));
        }
        let total = u32::try_from(total)
            .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))?;
        let first = (f64::from(total) * share_of_p0).round() as u32;
        Ok([first, total - first])
    }
}

/// What a command knows of its session beside the arguments.
pub struct Setting<'a> {
    /// Where the model comes from.
    pub model: ModelSource<'a>,
    /// The numbers of samples of both parties.
    pub samples: Samples,
    /// Seed of the public order of samples.
    pub shuffle_seed: u64,
    /// The party that learns the trained model, if any.
    pub receiver: Option<Role>,
    /// Training or inference.
    pub task: Task,
    /// Images whose mean and deviation normalise all images where that helps, if nothing else says how.
    pub normalise_by: Option<&'a Images>,
}

/// Makes the session of a command, and checks it.
pub fn session(
    args: &SessionArgs,
    protocol: &Protocol,
    setting: Setting<'_>,
) -> Result<CheckedSession, Failure> {
    let kept = setting.model.marks();
    let classes = setting.model.classes(args.data.set().given_classes()?)?;
    let model = protocol.adapt(setting.model.model(args.model.as_deref())?)?;
    let network = Network::new(&model).map_err(SessionError::from)?;
    if let Some(names) = classes
        .names()
        .filter(|names| names.len() > network.classes)
    {
        return Err(Failure::new(
            format!(
                "there are {} classes ({classes}), and model {} has {}",
                names.len(),
                model.name,
                network.classes
            ),
            "use a model with more classes, or other data",
        ));
    }
    let samples = setting.samples.counts(args.share_of_p0)?;
    let momentum = momentum(args, protocol);
    if args.limit == Some(0) {
        return Err(Failure::new(
            "--limit 0 leaves nothing to do",
            "give at least one iteration",
        ));
    }
    let format = protocol.format(args.ring, args.fraction_bits, momentum)?;
    let headroom = protocol.headroom(
        &network,
        format,
        [args.range_bits.as_ref(), kept.range.as_ref()],
    )?;
    let measured = setting.normalise_by.map(MeanAndDeviation::of);
    let helpful = measured.filter(MeanAndDeviation::helps);
    let given = args.normalise.clone().or(kept.normalise);
    let normalise = given.or(helpful).unwrap_or_default();
    let session = Session {
        model,
        format,
        headroom,
        normalisation: Normalisation::NONE,
        task: setting.task,
        protocol: protocol.core(),
        samples,
        batch: args.batch,
        micro_batch: args.micro_batch.unwrap_or(args.batch),
        epochs: args.epochs,
        limit: args.limit.unwrap_or(0),
        learning_rate: units(args.lr, "--lr", "above 0 and up to 255")?,
        momentum: units(momentum, "--momentum", "from 0 to below 1")?,
        shuffle_seed: setting.shuffle_seed,
        receiver: setting.receiver,
        initial_model: args.init_by.map(Role::from),
        audit: args.audit.unwrap_or(0),
        classes: ClassList::Unknown,
    };
    let session = match setting.task {
        Task::Train => session,
        Task::Infer | Task::Evaluate => inference(session)?,
    };
    CheckedSession::new(session, normalise, classes)
}

/// The session that the arguments describe, for a command that does not run it.
pub fn planned(
    args: &SessionArgs,
    protocol: &Protocol,
    task: Task,
    receiver: Option<Role>,
) -> Result<CheckedSession, Failure> {
    let images = match &args.data.data {
        Some(_) => Some(args.data.load(Part::Train)?),
        None => None,
    };
    // What an iteration costs depends only on the batch. Without data there are as many images as the batch has.
    let total = images
        .as_ref()
        .map_or(args.batch as usize, |images| images.len());
    let images: Vec<_> = images.iter().collect();
    let setting = Setting {
        model: ModelSource::Images(&images),
        samples: Samples::Split(total),
        shuffle_seed: 0,
        receiver,
        task,
        normalise_by: None,
    };
    session(args, protocol, setting)
}

/// The momentum that the arguments give, or the usual one of their protocol.
pub fn momentum(args: &SessionArgs, protocol: &Protocol) -> f64 {
    args.momentum.unwrap_or(protocol.usual_momentum())
}

/// A rate in the session's units.
fn units(rate: f64, option: &str, range: &str) -> Result<u32, Failure> {
    let scaled = (rate * f64::from(1u32 << RATE_FRACTION)).round();
    if rate.is_finite() && (0.0..=f64::from(u32::MAX)).contains(&scaled) {
        Ok(scaled as u32)
    } else {
        Err(Failure::new(
            format!("{option} {rate} is out of range"),
            format!("give a number {range}"),
        ))
    }
}

/// Inference and evaluation run once over the samples of one party, and have no loss.
fn inference(session: Session) -> Result<Session, Failure> {
    if !session.samples.contains(&0) {
        return Err(Failure::new(
            match session.task {
                Task::Evaluate => "an evaluation is on held-out images of one party",
                _ => "inference is on images of one party, by the model of the other",
            },
            "let one have them all: --share-of-p0 1 or 0, or --samples N,0 or 0,N",
        ));
    }
    let batch = session.batch.min(session.total_samples()).max(1);
    let protocol = match session.protocol {
        // The same loss for all parties, since none is used.
        session::Protocol::SecureNn { triples, .. } => session::Protocol::SecureNn {
            triples,
            loss: Loss::Softmax,
        },
        dealt => dealt,
    };
    Ok(Session {
        batch,
        micro_batch: session.micro_batch.min(batch),
        epochs: 1,
        receiver: None,
        initial_model: None,
        protocol,
        ..session
    })
}

/// One iteration over a batch of P0's samples by exact ReLU: what comparisons count. Costs do not depend on the
/// learning rate, so it is 1, which every ring can represent.
pub fn one_batch(model: Model, batch: u32) -> Result<Session, Failure> {
    let protocol = Protocol::Exact;
    let momentum = protocol.usual_momentum();
    let format = protocol.format(None, None, momentum)?;
    let network = Network::new(&model).map_err(SessionError::from)?;
    Ok(Session {
        model,
        format,
        headroom: protocol.headroom(&network, format, [None; 2])?,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: protocol.core(),
        samples: [batch, 0],
        batch,
        micro_batch: batch,
        epochs: 1,
        limit: 0,
        learning_rate: units(1.0, "--lr", "")?,
        momentum: units(momentum, "--momentum", "")?,
        shuffle_seed: 0,
        receiver: None,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
    })
}

/// The same training with SPDZ triples and polynomials, as "Image recognition without disclosing your data" (2018)
/// has it: without momentum, so that an update opens nothing.
pub fn with_polynomials(
    session: &Session,
    triples: TripleScheme,
    activation: &Activation,
) -> Result<Session, Failure> {
    let protocol = Protocol::Spdz {
        triples,
        activation: activation.clone(),
    };
    Ok(Session {
        model: protocol.adapt(session.model.clone())?,
        format: protocol.format(None, None, 0.0)?,
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        protocol: protocol.core(),
        momentum: 0,
        ..session.clone()
    })
}
