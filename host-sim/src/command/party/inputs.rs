//! The inputs of a party: its own images, or its model.

use std::{path::Path, sync::Arc};

use ringlet_core::{
    Role,
    session::{EarlierEpochs, Task, Validation, handshake::Actor},
};

use super::args::PartyArgs;
use crate::{
    config::{
        args::SampleCounts,
        model::{check_shape, model},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console,
    data::{
        Classes, DataSet, Images, Part,
        backbone::keep_after,
        contribution_file::ContributionFile,
        dataset::ToClassify,
        model_file::{self, Trained},
        parameters::Parameters,
    },
    error::Failure,
};

/// A party's session and inputs.
pub struct Inputs {
    /// The session and its network.
    pub checked: CheckedSession,
    /// The images of this party.
    pub images: Images,
    /// Its held-out images of --validate, whose number may be 0, if the shared model is evaluated.
    pub held_out: Option<(Validation, Images)>,
    /// The contributions that it trains on, if neither party owns the samples.
    pub contributions: Option<Arc<ContributionFile>>,
    /// The names of their files, if they are files to classify.
    pub files: Vec<String>,
    /// The parameters of the model, at their owner: in inference, and in a training that begins with one.
    pub parameters: Vec<Parameters>,
}

impl Inputs {
    /// Reads the files that the arguments name, and makes the session. `speaks` says whether to warn the user.
    pub fn new(args: &PartyArgs, protocol: &Protocol, speaks: bool) -> Result<Self, Failure> {
        let mut inputs = match (args.infer, &args.model_file) {
            (false, _) if args.contributions.is_some() => {
                let path = args.contributions.as_deref().unwrap_or(Path::new(""));
                let file = ContributionFile::open(path, Actor::Party(args.role()))?;
                Inputs::on_contributions(args, protocol, (Arc::new(file), None))?
            }
            (false, _) => Inputs::of_trainer(args, protocol, speaks)?,
            (true, None) => Inputs::of_image_owner(args, protocol)?,
            (true, Some(path)) => Inputs::of_model_owner(args, protocol, path)?,
        };
        inputs.hold_out(args)?;
        Ok(inputs)
    }

    /// Reads the held-out images of evaluations during the training, if there are any.
    pub fn hold_out(&mut self, args: &PartyArgs) -> Result<(), Failure> {
        if let Some(plan) = args.validation.plan() {
            let count = plan.samples[args.role().index()];
            let images = held_out(args, &self.checked, (count, "--validate"))?;
            self.checked.name_classes(&images.classes);
            self.held_out = Some((plan, images));
        }
        Ok(())
    }

    fn of_trainer(args: &PartyArgs, protocol: &Protocol, speaks: bool) -> Result<Self, Failure> {
        let mut args = args.clone();
        let role = args.role();
        let initial = args.init.read(role, &mut args.session)?;
        let parameters = initial.map_or_else(Vec::new, |model| model.parameters);
        let set = args.session.data_set(args.init.init.clone())?;
        let args = &args;
        let data = &args.session.data;
        let given = args.samples.map(|SampleCounts(counts)| counts);
        if let (Some(counts), None) = (given, &data.data)
            && counts[role.index()] == 0
        {
            // It has no images, so it needs to know only their shape, which the model says.
            let shape = ModelSource::Shape(None);
            let checked = make_session(args, protocol, (shape, &set), Samples::Counts(counts))?;
            return Ok(Inputs {
                images: none(&checked),
                held_out: None,
                contributions: None,
                files: Vec::new(),
                checked,
                parameters,
            });
        }
        let all = set.load(Part::Train)?;
        let samples = Samples::given_or_split(args.samples, all.len());
        let model = ModelSource::Images(&[&all]);
        let checked = make_session(args, protocol, (model, &set), samples)?;
        let samples = checked.session.samples;
        // If the numbers are given, the files of each party hold only its own images.
        let first = match (args.samples, role) {
            (None, Role::P1) => samples[0] as usize,
            _ => 0,
        };
        let count = samples[role.index()] as usize;
        if given.is_some() && count < all.len() && speaks {
            console::note(&format!(
                "warning: --samples gives {role} {count} images, and there are {}: the first {count} are used",
                all.len()
            ));
        }
        Ok(Inputs {
            images: slice(role, all, first, count)?,
            held_out: None,
            contributions: None,
            files: Vec::new(),
            checked,
            parameters,
        })
    }

    /// The inputs of a training on contributions; of a part of it after `earlier` epochs, if each epoch is a session.
    pub fn on_contributions(
        args: &PartyArgs,
        protocol: &Protocol,
        (file, earlier): (Arc<ContributionFile>, Option<EarlierEpochs>),
    ) -> Result<Self, Failure> {
        let mut args = args.clone();
        let data = &args.session.data;
        let given = [
            ("--classes", data.classes.is_some()),
            ("--resize", data.resize.is_some()),
            ("--greyscale", data.greyscale),
            (
                "--test-part",
                data.test_part.is_some() && args.validation.plan().is_none(),
            ),
            ("--label-column", data.label_column.is_some()),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::new(
                format!("{option} is for images, and contributions have the form of their task"),
                "leave it out",
            ));
        }
        let role = args.role();
        let initial = args.init.read(role, &mut args.session)?;
        let set = args.session.data_set(args.init.init.clone())?;
        let shape = file.task.input.map(|len| len as usize);
        let samples = Samples::Counts([file.count, 0]);
        let shape = ModelSource::Shape(Some(shape));
        let checked = make_session(&args, protocol, (shape, &set), samples)?;
        let checked = checked.on_contributions(&file, earlier)?;
        Ok(Inputs {
            images: none(&checked),
            contributions: Some(file),
            held_out: None,
            files: Vec::new(),
            checked,
            parameters: initial.map_or_else(Vec::new, |model| model.parameters),
        })
    }

    fn of_image_owner(args: &PartyArgs, protocol: &Protocol) -> Result<Self, Failure> {
        let role = args.role();
        let mut args = args.clone();
        let set = args.session.data_set(None)?;
        let args = &args;
        let ToClassify {
            images: all,
            names: files,
            ..
        } = set.load_to_classify()?;
        let mut samples = [0; 2];
        samples[role.index()] = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let samples = args
            .samples
            .map_or(samples, |SampleCounts(samples)| samples);
        let model = ModelSource::Images(&[&all]);
        let checked = make_session(args, protocol, (model, &set), Samples::Counts(samples))?;
        if checked.session.model_owner() == Some(role) {
            return Err(Failure::new(
                format!("{role} is to classify by its model and has none"),
                "give --model-file, or correct --samples",
            ));
        }
        Ok(Inputs {
            held_out: None,
            contributions: None,
            files,
            images: slice(role, all, 0, samples[role.index()] as usize)?,
            checked,
            parameters: Vec::new(),
        })
    }

    fn of_model_owner(args: &PartyArgs, protocol: &Protocol, path: &Path) -> Result<Self, Failure> {
        let role = args.role();
        let described = args.session.model.as_deref();
        let described = described.map(|name| model(Some(name), None)).transpose()?;
        let mut trained = model_file::load(path, described)?;
        let mut args = args.clone();
        args.session.adopt(path, &trained.marks, false)?;
        let set = args.session.data_set(Some(path.to_owned()))?;
        let args = &args;
        keep_after(&mut trained, args.session.data.backbone.freeze.as_deref())?;
        let Trained {
            model,
            marks,
            parameters,
            ..
        } = trained;
        let Some(SampleCounts(samples)) = args.samples else {
            return Err(Failure::new(
                "the model's owner does not know how many images there are",
                "give both parties the same --samples, such as 100,0",
            ));
        };
        let model = ModelSource::Trained(&model, &marks, None);
        let checked = make_session(args, protocol, (model, &set), Samples::Counts(samples))?;
        if checked.session.model_owner() != Some(role) {
            return Err(Failure::new(
                format!("the images are {role}'s own, so the model is the other party's"),
                "leave out --model-file, or correct --samples",
            ));
        }
        Ok(Inputs {
            images: none(&checked),
            held_out: None,
            contributions: None,
            files: Vec::new(),
            checked,
            parameters,
        })
    }
}

/// The first `count` held-out images of a party, as an `option` gives their number.
pub fn held_out(
    args: &PartyArgs,
    checked: &CheckedSession,
    (count, option): (u32, &str),
) -> Result<Images, Failure> {
    let CheckedSession {
        session, network, ..
    } = checked;
    if count == 0 {
        return Ok(none(checked));
    }
    if args.session.data.backbone.is_given() && checked.backbone.is_none() {
        return Err(Failure::new(
            "the weights of the frozen layers are not known",
            "give the file that has them with --backbone",
        ));
    }
    let set = DataSet {
        backbone: checked.backbone.clone(),
        ..args.session.data.images()
    };
    let all = set.load(Part::Test)?;
    let (there, count) = (all.len(), count as usize);
    if count > there {
        return Err(Failure::new(
            format!(
                "{option} gives {} {count} held-out images, but there are {there}",
                args.role()
            ),
            format!("correct {option}, or give other --data"),
        ));
    }
    check_shape(&session.model, &all)?;
    all.check_labels(network.classes)?;
    if !all.classes.list().agrees(&session.classes) {
        return Err(Failure::new(
            format!(
                "the classes of the held-out images are {}, and the training has others",
                all.classes
            ),
            "give --classes with the names of the training's classes, in their order",
        ));
    }
    Ok(all.slice(0..count))
}

/// No images, of the shape that the model takes.
pub fn none(checked: &CheckedSession) -> Images {
    Images {
        shape: checked.session.model.input.map(usize::from),
        pixels: Vec::new(),
        labels: Vec::new(),
        classes: Classes::Unknown,
    }
}

fn make_session(
    args: &PartyArgs,
    protocol: &Protocol,
    (model, set): (ModelSource<'_>, &DataSet),
    samples: Samples,
) -> Result<CheckedSession, Failure> {
    let setting = Setting {
        model,
        samples,
        // The order is public; the parties only have to agree on it.
        shuffle_seed: args.session.seed.unwrap_or(0),
        receiver: args.reveal_to.map(Role::from),
        task: match args.infer {
            true => Task::Infer,
            false => Task::Train,
        },
        normalise_by: None,
        backbone: set.backbone.clone(),
    };
    session(&args.session, protocol, setting)
}

/// The images of `role`: `count` from `first` on.
fn slice(role: Role, all: Images, first: usize, count: usize) -> Result<Images, Failure> {
    let end = first + count;
    if end > all.len() {
        let there = all.len();
        return Err(Failure::new(
            format!("{role} is to own {end} images, but there are {there}"),
            "correct --samples, or give other --data",
        ));
    }
    Ok(all.slice(first..end))
}
