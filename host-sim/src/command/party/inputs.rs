//! What a party brings: its own images, or the model.

use ringlet_core::{Role, model::Model, session::Session};

use super::samples;
use crate::{
    config::{
        args::{PartyArgs, Samples},
        settings,
    },
    data::{Images, Part, load, load_to_classify, model_file, parameters::Parameters},
    error::Failure,
};

/// What a party brings to a session.
pub(super) struct Own {
    /// Its images.
    pub images: Images,
    /// The numbers of both parties' images.
    pub samples: [u32; 2],
    /// The model that is trained or asked.
    pub model: Model,
    /// Its parameters, at the party that owns them.
    pub parameters: Vec<Parameters>,
}

impl Own {
    /// What `role` brings, as the arguments say.
    pub fn new(args: &PartyArgs, role: Role) -> Result<Self, Failure> {
        if !args.infer {
            let (images, samples) = own_images(args, role)?;
            let model = settings::model(args.session.model.as_deref(), Some(images.shape))?;
            settings::check_shape(&model, &images)?;
            return Ok(Own {
                images,
                samples,
                model,
                parameters: Vec::new(),
            });
        }
        if let Some(path) = &args.model_file {
            let (model, _, parameters) = model_file::load(path)?;
            let none = Images {
                shape: model.input.map(usize::from),
                pixels: Vec::new(),
                labels: Vec::new(),
            };
            let Some(Samples(samples)) = args.samples else {
                return Err(Failure::new(
                    "the model's owner does not know how many images there are",
                    "give both parties the same --samples, such as 100,0",
                ));
            };
            return Ok(Own {
                images: none,
                samples,
                model,
                parameters,
            });
        }
        let (all, _) = load_to_classify(args.session.data.as_deref())?;
        let mut samples = [0; 2];
        samples[role.index()] = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let samples = args.samples.map_or(samples, |Samples(samples)| samples);
        let count = samples[role.index()] as usize;
        if count > all.len() {
            return Err(too_few(role, count, all.len()));
        }
        let model = settings::model(args.session.model.as_deref(), Some(all.shape))?;
        settings::check_shape(&model, &all)?;
        Ok(Own {
            images: all.slice(0..count),
            samples,
            model,
            parameters: Vec::new(),
        })
    }
}

/// Whether the model's owner brings a model to an inference, and the images' owner none.
pub(super) fn brings_its_part(
    args: &PartyArgs,
    role: Role,
    session: &Session,
) -> Result<(), Failure> {
    match (session.model_owner() == Some(role), &args.model_file) {
        (true, None) => Err(Failure::new(
            format!("{role} is to classify by its model and has none"),
            "give --model-file, or correct --samples",
        )),
        (false, Some(_)) => Err(Failure::new(
            format!("the images are {role}'s own, so the model is the other party's"),
            "leave out --model-file, or correct --samples",
        )),
        _ => Ok(()),
    }
}

fn too_few(role: Role, count: usize, there: usize) -> Failure {
    Failure::new(
        format!("{role} is to own {count} images, but there are {there}"),
        "correct --samples, or give other --data",
    )
}

/// The images of `role` alone, and the numbers of both parties' images.
fn own_images(args: &PartyArgs, role: Role) -> Result<(Images, [u32; 2]), Failure> {
    let all = load(args.session.data.as_deref(), Part::Train)?;
    let samples = samples(args.samples, all.len(), args.session.share_of_p0)?;
    // Given numbers mean that each party's files hold its own images alone.
    let first = match (args.samples, role) {
        (None, Role::P1) => samples[0] as usize,
        _ => 0,
    };
    let count = samples[role.index()] as usize;
    if first + count > all.len() {
        return Err(too_few(role, first + count, all.len()));
    }
    Ok((all.slice(first..first + count), samples))
}
