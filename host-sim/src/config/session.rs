//! The session that a command runs, made from its arguments and checked in one place.

use std::{path::Path, sync::Arc};

use ringlet_core::{
    Role,
    data::Normalisation,
    dealt,
    model::{Loss, Model, TripleScheme},
    network::Network,
    securenn,
    session::{
        self, ClassList, ClassWeights, Headroom, KnownBackbone, RATE_FRACTION, Session,
        SessionError, Task, TrainingOptions,
    },
};

use super::{
    activation::Activation,
    args::{PrivacyArgs, parties::SampleCounts, session::SessionArgs},
    model::{check_shape, model},
    privacy::{privacy_mark, with_privacy},
    protocol::Protocol,
};
use crate::{
    data::{
        Classes, Images, Part,
        backbone::{Backbone, cut, unknown_range},
        model_file::{self, Marks},
        normalise::MeanAndDeviation,
        parameters::Parameters,
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
    /// The normalisation of its samples.
    pub normalise: MeanAndDeviation,
    /// The classes that its labels stand for, as far as they are known here.
    pub classes: Classes,
    /// The layers that made its samples of images, where this role has them.
    pub backbone: Option<Arc<Backbone>>,
    /// Delta of private gradients, of which the model's file tells.
    pub delta: f64,
}

/// What a trained model's file is to hold.
pub struct Saved {
    /// The model: with the frozen layers if they are the first ones of a model.
    pub model: Model,
    /// Its network.
    pub network: Network,
    /// The parameters of each layer that learns or learned.
    pub parameters: Vec<Parameters>,
    /// What the file says of it.
    pub marks: Marks,
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
            backbone: None,
            delta: PrivacyArgs::default().delta(),
        })
    }

    /// Checks, before a model is trained, that it can be saved at `path`. `args` are those of the session.
    pub fn check_save(&self, path: &Path, args: &SessionArgs) -> Result<(), Failure> {
        if args.data.backbone.is_given() && self.backbone.is_none() {
            return Err(Failure::new(
                "the model cannot be saved without the frozen layers in front of it",
                "give their file with --backbone",
            ));
        }
        let whole = self.backbone.as_ref().and_then(|backbone| {
            backbone
                .whole(&[], &Marks::default())
                .map(|(model, ..)| model)
        });
        model_file::check(path, whole.as_ref().unwrap_or(&self.session.model))
    }

    /// What a file of the trained model is to hold, if these are its parameters.
    pub fn saved(&self, parameters: &[Parameters], left_range: bool) -> Result<Saved, Failure> {
        let marks = self.marks(left_range)?;
        let backbone = self.backbone.as_ref();
        match backbone.and_then(|backbone| backbone.whole(parameters, &marks)) {
            Some((model, parameters, marks)) => Ok(Saved {
                network: Network::new(&model).map_err(SessionError::from)?,
                model,
                parameters,
                marks,
            }),
            None => Ok(Saved {
                model: self.session.model.clone(),
                network: self.network.clone(),
                parameters: parameters.to_vec(),
                marks,
            }),
        }
    }

    /// Checks a session that a checkpoint has given, with its normalisation and its list of classes, which have these
    /// names as far as they are known here.
    pub fn of_checkpoint(session: Session, classes: Classes) -> Result<Self, Failure> {
        Ok(CheckedSession {
            network: checked_network(&session)?,
            session,
            normalise: MeanAndDeviation::default(),
            classes,
            backbone: None,
            delta: PrivacyArgs::default().delta(),
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
    fn marks(&self, left_range: bool) -> Result<Marks, Failure> {
        Ok(Marks {
            left_range,
            range: Some(RangeBits::of(&self.session, &self.network)),
            normalise: Some(self.normalise.clone()),
            classes: self.classes.names().map(<[String]>::to_vec),
            backbone: self.backbone.as_ref().and_then(|backbone| backbone.mark()),
            privacy: privacy_mark(&self.session, &self.network, self.delta)?,
        })
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

    /// The model, or what comes after its frozen layers.
    fn model(self, name: Option<&str>, freeze: Option<&str>) -> Result<Model, Failure> {
        let behind = |model: Model| match freeze {
            Some(freeze) => cut(&model, freeze).map(|cut| cut.head),
            None => Ok(model),
        };
        match self {
            ModelSource::Shape(shape) => behind(model(name, shape)?),
            ModelSource::Images(images) => {
                let model = behind(model(name, images.first().map(|images| images.shape))?)?;
                images
                    .iter()
                    .try_for_each(|images| check_shape(&model, images))?;
                Ok(model)
            }
            ModelSource::Trained(model, _, images) => {
                let model = behind(model.clone())?;
                images.map_or(Ok(()), |images| check_shape(&model, images))?;
                Ok(model)
            }
        }
    }

    /// Whether there are images here.
    fn has_images(&self) -> bool {
        match self {
            ModelSource::Images(images) => !images.is_empty(),
            ModelSource::Shape(_) => false,
            ModelSource::Trained(_, _, images) => images.is_some(),
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
    /// The layers that made samples of images, where this role has them.
    pub backbone: Option<Arc<Backbone>>,
}

/// Makes the session of a command, and checks it.
pub fn session(
    args: &SessionArgs,
    protocol: &Protocol,
    setting: Setting<'_>,
) -> Result<CheckedSession, Failure> {
    let mut kept = setting.model.marks();
    let classes = setting.model.classes(args.data.images().given_classes()?)?;
    let front = &args.data.backbone;
    let samples_are = Front::new(args, &setting, &kept)?;
    let head = match (&args.model, &front.freeze, classes.names()) {
        // Features have no built-in model.
        (None, None, Some(names)) if front.is_given() => Some(format!("dense:{}", names.len())),
        (name, ..) => name.clone(),
    };
    let freeze = front.freeze.as_deref();
    if let (Some(freeze), ModelSource::Trained(model, ..)) = (freeze, &setting.model) {
        let layers = cut(model, freeze)?.stages;
        kept.range = kept.range.map(|range| range.after(layers));
    }
    let model = setting.model.model(head.as_deref(), freeze)?;
    let model = protocol.adapt(model)?;
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
    let (class_weights, largest_weight) = args.training.class_weights(network.classes)?;
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
    let normalise = samples_are.normalise.unwrap_or_else(|| {
        let measured = setting.normalise_by.map(MeanAndDeviation::of);
        let helpful = measured.filter(MeanAndDeviation::helps);
        let given = args.normalise.clone().or(kept.normalise);
        given.or(helpful).unwrap_or_default()
    });
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
        learning_rate: units(args.lr * largest_weight, "--lr", "above 0 and up to 255")?,
        momentum: units(momentum, "--momentum", "from 0 to below 1")?,
        training: args.training.options(largest_weight)?,
        class_weights,
        shuffle_seed: setting.shuffle_seed,
        receiver: setting.receiver,
        contributions: None,
        reveal_loss: args.reveal_loss && setting.task == Task::Train,
        initial_model: args.init_by.map(Role::from),
        audit: args.audit.unwrap_or(0),
        classes: ClassList::Unknown,
        backbone: samples_are.known,
    };
    let session = match setting.task {
        Task::Train => {
            let check = |session: &Session| checked_network(session).map(drop);
            with_privacy(args, session, &network, largest_weight, check)?
        }
        Task::Infer | Task::Evaluate => inference(session)?,
    };
    Ok(CheckedSession {
        backbone: setting.backbone,
        delta: args.privacy.delta(),
        ..CheckedSession::new(session, normalise, classes)?
    })
}

/// What a session's samples are: images, or features of them.
struct Front {
    known: KnownBackbone,
    /// The normalisation of features; none of images.
    normalise: Option<MeanAndDeviation>,
}

impl Front {
    /// As the arguments, the setting and the file of a model say. Fails if samples are features of an unknown range.
    fn new(args: &SessionArgs, setting: &Setting<'_>, kept: &Marks) -> Result<Self, Failure> {
        if let Some(backbone) = &setting.backbone {
            return Ok(Front {
                known: backbone.known(),
                normalise: Some(backbone.range().ok_or_else(unknown_range)?.normalise()),
            });
        }
        if args.data.backbone.is_given() && setting.model.has_images() {
            return Err(Failure::new(
                "the weights of the frozen layers are not known",
                "give the file that has them with --backbone",
            ));
        }
        if args.data.backbone.feature_range.is_some()
            && !args.data.backbone.is_given()
            && setting.model.has_images()
        {
            return Err(Failure::new(
                "--feature-range is of what frozen layers make, and there are none",
                "add --freeze or --backbone, or give --normalise",
            ));
        }
        let behind = kept.backbone.as_ref().filter(|mark| mark.freeze.is_none());
        let known = match behind {
            Some(mark) => mark.known(),
            None if setting.model.has_images() => KnownBackbone::Absent,
            None => KnownBackbone::Unknown,
        };
        let range = match args.data.backbone.is_given() {
            true => Some(args.data.backbone.feature_range.ok_or_else(unknown_range)?),
            false => args.data.backbone.feature_range,
        };
        Ok(Front {
            known,
            normalise: range.map(|range| range.normalise()),
        })
    }
}

/// The session that the arguments describe, for a command that does not run it, with these numbers of samples if they are
/// given.
pub fn planned(
    args: &SessionArgs,
    protocol: &Protocol,
    (task, samples): (Task, Option<SampleCounts>),
    receiver: Option<Role>,
) -> Result<CheckedSession, Failure> {
    let mut args = args.clone();
    let set = args.measured_data_set(None)?;
    let args = &args;
    let images = match &set.path {
        Some(_) => Some(set.load(Part::Train)?),
        None => None,
    };
    // What an iteration costs depends only on the batch. Without data there are as many images as the batch has.
    let total = images
        .as_ref()
        .map_or(args.batch as usize, |images| images.len());
    let images: Vec<_> = images.iter().collect();
    let setting = Setting {
        model: ModelSource::Images(&images),
        samples: Samples::given_or_split(samples, total),
        shuffle_seed: 0,
        receiver,
        task,
        normalise_by: None,
        backbone: set.backbone.clone(),
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
        contributions: None,
        reveal_loss: false,
        initial_model: None,
        training: TrainingOptions::default(),
        class_weights: ClassWeights::NONE,
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
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 0,
        receiver: None,
        contributions: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
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
