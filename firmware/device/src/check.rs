//! Whether a device can run a session, and agrees to it.

use ringlet_core::{
    Role,
    backbone::{Backbone, BackboneError, Features},
    data::{Data, DataError, sample_image::SampleImage},
    dealt::Plan,
    device::{Breach, Record, RecordError, Status},
    net::secure::PublicIdentity,
    network::{Activation, ModelError, Network, Stage},
    session::{KnownBackbone, RunError, Session, SessionError, Task, handshake::Hello},
};

use crate::{Device, Ring};

/// Bytes of stack that evaluating a polynomial takes, with a margin.
const POLYNOMIAL_STACK: usize = 72 * 1024;

#[cfg(feature = "defmt")]
pub fn log_network(session: &Session, network: &Network) {
    let [rows, columns, channels] = session.model.input;
    defmt::info!(
        "images of {=u16}x{=u16}x{=u16} through {=usize} stages to {=usize} classes, {=u32} iterations",
        rows,
        columns,
        channels,
        network.stages.len(),
        network.classes,
        session.iterations()
    );
}

/// What a session takes of a device that can run it.
pub struct Requirements<'n, 'a> {
    pub network: &'n Network,
    /// 64-bit words of the arena, words of the ring that hold the other party's opened samples, and 32-bit words in which
    /// features are computed, and those that hold the classes of its own samples.
    pub words: [usize; 4],
    /// The samples that the device's own party contributes, if it does.
    pub images: Option<SampleImage<'a>>,
}

/// The samples that the device's own party contributes.
pub enum OwnSamples<'a, 'm> {
    None,
    Images(SampleImage<'a>),
    Features(Features<'a, 'm, SampleImage<'a>>),
}

impl<'a, 'm> OwnSamples<'a, 'm> {
    /// The images, or the features that a backbone makes of them in `memory`, which [`check_session`] has found to be enough.
    pub fn new(
        images: Option<SampleImage<'a>>,
        backbone: Result<Option<Backbone<'a>>, BackboneError>,
        memory: &'m mut [i32],
    ) -> Result<Self, RunError> {
        let Some(images) = images else {
            return Ok(OwnSamples::None);
        };
        let Ok(Some(backbone)) = backbone else {
            return Ok(OwnSamples::Images(images));
        };
        let features = Features::new(backbone, images, memory);
        let features = features.ok_or(DataError::Missing(0))?;
        Ok(OwnSamples::Features(features))
    }
}

impl Data for OwnSamples<'_, '_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        match self {
            OwnSamples::None => Err(DataError::Missing(sample)),
            OwnSamples::Images(images) => images.pixels(sample, out),
            OwnSamples::Features(features) => features.pixels(sample, out),
        }
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        match self {
            OwnSamples::None => Err(DataError::Missing(sample)),
            OwnSamples::Images(images) => images.label(sample),
            OwnSamples::Features(features) => features.label(sample),
        }
    }
}

/// Tells the other roles by which layers the device's images become samples, if the host does not know.
pub fn name_backbone(hello: &mut Hello, device: &Device<'_>) {
    let owns = hello.session.samples[hello.role.index()] > 0;
    if owns && hello.session.backbone == KnownBackbone::Unknown {
        hello.session.backbone = match &device.backbone {
            Ok(Some(backbone)) => KnownBackbone::Digest(backbone.digest()),
            _ => KnownBackbone::Absent,
        };
    }
}

/// Checks whether this device can run the session with the other party `peer`, and agrees to it. Returns what the session takes, or the status that refuses it.
/// `#[inline(never)]` so that its stack frame and that of the training do not add up.
#[inline(never)]
pub fn check_session<'n, 'a>(
    role: Role,
    session: &Session,
    network: &'n Result<Network, SessionError>,
    device: &Device<'a>,
    identity: Result<PublicIdentity, RecordError>,
    peer: PublicIdentity,
) -> Result<Requirements<'n, 'a>, Status> {
    if session.task == Task::Evaluate {
        return Err(Status::Task);
    }
    identity.map_err(Status::NoSecret)?;
    if session.format.ring != Ring::BITS {
        return Err(Status::Ring(Ring::BITS));
    }
    let network = network.as_ref().map_err(|error| match error {
        SessionError::Model(ModelError::NotInThisBuild(_)) => Status::Polynomials,
        _ => Status::Unsound,
    })?;
    check_policy(role, session, device, peer)?;
    check_model(role, session, network, device)?;
    let plan = Plan::new(session, network);
    let own = session.samples[role.index()];
    let features = features_words(session, own, device)?;
    let answers = match session.task {
        Task::Train => 0,
        _ => (own as usize).div_ceil(size_of::<Ring>()),
    };
    let words = [
        plan.arena_words::<Ring>(role),
        plan.opened_data_words(role),
        features,
        answers,
    ];
    // In words, not bytes: a session may ask for more bytes than this device can address.
    let halves = words[1..]
        .iter()
        .fold(0usize, |sum, &words| sum.saturating_add(words));
    let needed = words[0].saturating_add(halves.div_ceil(size_of::<u64>() / size_of::<Ring>()));
    let given = device.memory.len();
    if needed > given {
        return Err(Status::Memory {
            needed: clamp(needed.saturating_mul(size_of::<u64>())),
            given: clamp(given.saturating_mul(size_of::<u64>())),
        });
    }
    let polynomial = |stage: &Stage| matches!(stage.activation, Some(Activation::Polynomial(..)));
    if let Some(stack) = device.stack
        && stack.size() < POLYNOMIAL_STACK
        && network.stages.iter().any(polynomial)
    {
        return Err(Status::Stack {
            needed: clamp(POLYNOMIAL_STACK),
            given: clamp(stack.size()),
        });
    }
    let store = match device.store {
        _ if own == 0 => None,
        Ok(store) => Some(store),
        Err(error) => return Err(Status::NoSamples(error)),
    };
    if let Some(store) = &store {
        if own != store.len() {
            return Err(Status::Samples {
                asked: own,
                stored: store.len(),
            });
        }
        let is_image = !matches!(device.backbone, Ok(Some(_)));
        if is_image && session.model.input != store.shape() {
            return Err(Status::Shape(store.shape()));
        }
    }
    Ok(Requirements {
        network,
        words,
        images: store,
    })
}

/// Checks that the device's model is the one of an inference, if the device owns it.
#[inline(never)]
fn check_model(
    role: Role,
    session: &Session,
    network: &Network,
    device: &Device<'_>,
) -> Result<(), Status> {
    if session.task == Task::Train || session.model_owner() != Some(role) {
        return Ok(());
    }
    let model = device.model.map_err(Status::NoModel)?;
    match model.len() == network.parameters() && model.is_for(session) {
        true => Ok(()),
        false => Err(Status::Model),
    }
}

/// Checks that the device's backbone makes the samples of the session. Returns the 32-bit words that it takes.
#[inline(never)]
fn features_words(session: &Session, own: u32, device: &Device<'_>) -> Result<usize, Status> {
    let known = session.backbone;
    let backbone = match device.backbone {
        _ if own == 0 => return Ok(0),
        Err(error) => return Err(Status::NoBackbone(error)),
        Ok(None) if matches!(known, KnownBackbone::Digest(_)) => return Err(Status::Backbone),
        Ok(None) => return Ok(0),
        Ok(Some(backbone)) => backbone,
    };
    if known != KnownBackbone::Digest(backbone.digest()) {
        return Err(Status::Backbone);
    }
    if let Ok(store) = device.store
        && store.shape().map(usize::from) != backbone.input()
    {
        return Err(Status::Shape(store.shape()));
    }
    if session.model.input.map(usize::from) != backbone.output() {
        return Err(Status::Backbone);
    }
    Ok(Features::<SampleImage<'_>>::words(&backbone))
}

/// Checks a session whose sizes are sound against the device's policy.
#[inline(never)]
fn check_policy(
    role: Role,
    session: &Session,
    device: &Device<'_>,
    peer: PublicIdentity,
) -> Result<(), Status> {
    let record = Record::decode(device.record).map_err(Status::NoSecret)?;
    if !record.permits(role.other(), peer) {
        return Err(Status::Policy(Breach::Peer));
    }
    let policy = &record.policy;
    policy
        .check(session, device.fresh.given())
        .map_err(Status::Policy)
}

/// A number of bytes for a message.
pub fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
