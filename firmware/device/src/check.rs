//! Whether a device can run a session, and agrees to it.

use ringlet_core::{
    Role,
    data::{Data, DataError, sample_image::SampleImage},
    dealt::Plan,
    device::{Breach, Record, RecordError, Status},
    net::secure::PublicIdentity,
    network::{Activation, ModelError, Network, Stage},
    session::{Session, SessionError, Task},
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
    /// 64-bit words of the arena, and words of the ring that hold the other party's opened samples.
    pub words: [usize; 2],
    pub samples: OwnSamples<'a>,
}

/// The samples that the device's own party contributes: those in its store, or none.
pub struct OwnSamples<'a>(Option<SampleImage<'a>>);

impl Data for OwnSamples<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let store = self.0.as_mut().ok_or(DataError::Missing(sample))?;
        store.pixels(sample, out)
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        let store = self.0.as_mut().ok_or(DataError::Missing(sample))?;
        store.label(sample)
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
    if session.task != Task::Train {
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
    let plan = Plan::new(session, network);
    let words = [plan.arena_words::<Ring>(role), plan.opened_data_words(role)];
    // In words, not bytes: a session may ask for more bytes than this device can address.
    let opened = words[1].div_ceil(size_of::<u64>() / size_of::<Ring>());
    let needed = words[0].saturating_add(opened);
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
    let own = session.samples[role.index()];
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
        if session.model.input != store.shape() {
            return Err(Status::Shape(store.shape()));
        }
    }
    Ok(Requirements {
        network,
        words,
        samples: OwnSamples(store),
    })
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
