//! What a device and its host say to each other, and what is programmed into a device.
//!
//! In a session the device sends [`DeviceHello`] and, if it can take part at all, [`Introduction`]. The host answers with the
//! session to run and the other party's identity ([`send_session`]). The device answers with a [`Status`]: once when it
//! knows the session, once more when it has its key, and at the end. A device that fails in between sends a status with the
//! reason, if the line still works.

#[cfg(feature = "uploads")]
mod contributing;
mod fresh;
pub mod model_image;
mod policy;
mod record;
mod sealed_state;

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

#[cfg(feature = "uploads")]
pub use contributing::{Contributed, GatewayHello, MAX_CODE, RefusalCode, UploadAnswer};
pub use fresh::NotFresh;
pub use model_image::{ModelImage, ModelImageError};
pub use policy::{Breach, MAX_MODELS, ModelId, Policy};
pub use record::{MAX_PEERS, MAX_RECORD_LEN, Peer, Peers, Record, RecordError};
pub use sealed_state::{
    Belonging, CHUNK, NAME_LEN, Opener, Sealer, StateError, name_of, sealed_len,
};

#[cfg(feature = "uploads")]
use crate::contribution::{TaskId, TaskImageError, UploadError};
use crate::{
    backbone::BackboneError,
    data::sample_image::SampleImageError,
    net::{
        link::{Link, LinkError},
        message::{MessageError, receive, send},
        secure::PublicIdentity,
    },
    prg::device_key::FRESH_LEN,
    session::handshake::{Actor, HandshakeError, Hello, Mismatch, VERSION},
};

/// Channels of a device's line.
pub mod channel {
    /// The other party.
    pub const PEER: usize = 0;
    /// The dealer, through the host.
    pub const DEALER: usize = 1;
    /// The host: the messages of this module.
    pub const CONTROL: usize = 2;
    /// The uploads of a device that contributes and is no party.
    pub const UPLOADS: usize = PEER;
}

/// Why a device restarted during a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Crash {
    /// The firmware panicked: a defect of the firmware.
    Panic,
    /// The processor faulted, most likely on a stack overflow.
    Fault,
}

impl core::fmt::Display for Crash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Crash::Panic => "its firmware panicked",
            Crash::Fault => "its processor met a fault, most likely for want of stack",
        })
    }
}

/// A device's first message in each session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHello {
    /// [`VERSION`] of the device.
    pub version: u16,
    /// The crash that ended the session before, if one did.
    pub crash: Option<Crash>,
}

impl DeviceHello {
    /// The message of a device of this version.
    pub fn new(crash: Option<Crash>) -> Self {
        DeviceHello {
            version: VERSION,
            crash,
        }
    }

    /// Sends the message to the host. Fails if the link does.
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Receives the message at the host. Fails if the link does, or if it carries anything else.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// A device's second message in each session: what the other roles need to know of it. All of it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The device's public identity, or why it has none.
    pub identity: Result<PublicIdentity, RecordError>,
    /// The fresh value of this session, or why there is none. The session's secrets derive from it and from the root secret
    /// (see [`device_key`](crate::prg::device_key)).
    pub fresh: Result<[u8; FRESH_LEN], NotFresh>,
}

impl Introduction {
    /// Sends the message to the host. Fails if the link does.
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Receives the message at the host. Fails if the link does, or if it carries anything else.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// What a device does beside the session of its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The public identity of the other party, which the device meets only if its policy names it.
    pub peer: PublicIdentity,
    /// Iterations from one checkpoint to the next; 0 if there are to be none.
    pub every: u32,
}

/// Sends a device the session to run. The device sends `hello` to the other roles, so its role is the device's. With
/// checkpoints the hello names the one that the device takes back, if it does not begin anew.
///
/// Fails if the link does, or if the session's description is longer than a message.
pub fn send_session<T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    assignment: Assignment,
) -> Result<(), MessageError> {
    send(link, hello)?;
    send(link, &assignment)
}

impl Assignment {
    /// Receives what comes with a session, after its hello: with [`receive_hello`](crate::session::handshake::receive_hello)
    /// the device's side of [`send_session`]. Fails if the link does, or if what comes is no such message.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// A device's answer to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// The device will run the session. It sends this again when it has its key.
    Ready,
    /// The session is over, and has taken this.
    Done(MemoryUsed),
    /// The session's parameters do not fit together, so it runs nowhere.
    Unsound,
    /// The session takes more arena memory than the device has, in bytes.
    Memory {
        /// Bytes that it takes.
        needed: u32,
        /// Bytes that the device has.
        given: u32,
    },
    /// The session takes another number of samples than the device holds.
    Samples {
        /// Samples that it takes of this party.
        asked: u32,
        /// Samples that the device holds.
        stored: u32,
    },
    /// The device's samples have this shape (rows, columns, channels), which is not the model's input.
    Shape([u16; 3]),
    /// The device cannot read its sample image.
    NoSamples(SampleImageError),
    /// The session has another ring than the firmware. Holds the bits of the firmware's ring.
    Ring(u32),
    /// The session's polynomials take more stack than the device has, in bytes.
    Stack {
        /// Bytes that they take.
        needed: u32,
        /// Bytes that the device has.
        given: u32,
    },
    /// The session has polynomials, and the firmware is built without them.
    Polynomials,
    /// The session is for a task that the firmware does not have.
    Task,
    /// The device has no secret of its own that it can use.
    NoSecret(RecordError),
    /// The device has no fresh value for the session.
    NotFresh(NotFresh),
    /// The session breaks the device's policy.
    Policy(Breach),
    /// The device and this role do not fit together.
    Mismatch(Actor, Mismatch),
    /// This role could not prove its identity to the device.
    Unauthentic(Actor),
    /// What this role sent was altered, repeated or left out on its way to the device.
    Tampered(Actor),
    /// A checkpoint: its name and the device's sealed state follow.
    Saving,
    /// The state that the device was given is none that it sealed for this session, party and checkpoint.
    Checkpoint,
    /// The device cannot read the backbone behind its samples.
    NoBackbone(BackboneError),
    /// The session's samples are made by another backbone than the device's.
    Backbone,
    /// The device cannot read the image of the model that is to classify.
    NoModel(ModelImageError),
    /// The parameters of the device's model are made for another session.
    Model,
    /// The device contributes, and has so much to send.
    #[cfg(feature = "uploads")]
    Offers {
        /// Uploads that come.
        uploads: u32,
        /// Samples in all of them.
        samples: u32,
    },
    /// The device holds another task than the gateway passes uploads on to: this one.
    #[cfg(feature = "uploads")]
    OtherTask(TaskId),
    /// The device cannot read the task behind its samples.
    #[cfg(feature = "uploads")]
    NoTask(TaskImageError),
    /// The device cannot make an upload of its samples.
    #[cfg(feature = "uploads")]
    NoUpload(UploadError),
    /// The device's contribution is over, or was ended early by an answer.
    #[cfg(feature = "uploads")]
    Contributed(Contributed),
}

impl Status {
    /// The status of a session that failed with `error` at the link to the role `other`. None if the line to the host has failed.
    pub fn of_failure(other: Actor, error: HandshakeError) -> Option<Self> {
        match error {
            HandshakeError::Mismatch(mismatch) | HandshakeError::Refused(mismatch) => {
                Some(Status::Mismatch(other, mismatch))
            }
            HandshakeError::Link(LinkError::Unauthentic(_)) => Some(Status::Unauthentic(other)),
            HandshakeError::Link(LinkError::Tampered(_)) => Some(Status::Tampered(other)),
            _ => None,
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Status::Ready => f.write_str("the device is ready"),
            Status::Done(_) => f.write_str("the device is done"),
            Status::Saving => f.write_str("the device gives its state"),
            Status::Checkpoint => f.write_str(
                "the device does not take its checkpoint back: it is damaged, or of another device or session",
            ),
            Status::NoBackbone(error) => write!(f, "the device has no features: {error}"),
            Status::NoModel(error) => write!(f, "the device has no model: {error}"),
            Status::Model => f.write_str(
                "the parameters on the device are made for another model, format, range or normalisation",
            ),
            Status::Backbone => f.write_str(
                "the session's samples are features of another backbone than the device has",
            ),
            Status::Polynomials => {
                f.write_str("the device's firmware leaves polynomials out: train with exact ReLU")
            }
            Status::Task => f.write_str("the device trains and classifies; it does nothing else"),
            Status::NoSecret(error) => write!(f, "the device has no secret of its own: {error}"),
            Status::NotFresh(error) => error.fmt(f),
            Status::Policy(breach) => {
                write!(f, "the device's policy forbids the session: {breach}")
            }
            Status::Mismatch(actor, mismatch) => {
                write!(f, "the device and {actor} do not fit together: {mismatch}")
            }
            Status::Unauthentic(actor) => write!(
                f,
                "{actor} could not prove its identity to the device, or the handshake was altered or repeated"
            ),
            Status::Tampered(actor) => {
                write!(f, "what {actor} sent to the device was altered on its way")
            }
            Status::Unsound => f.write_str("the device finds that the session cannot run"),
            Status::Memory { needed, given } => write!(
                f,
                "the session takes {needed} bytes of memory and the device has {given}"
            ),
            Status::Samples { asked, stored } => write!(
                f,
                "the session counts on {asked} samples of the device, which holds {stored}"
            ),
            Status::Shape([h, w, c]) => write!(
                f,
                "the device holds images of {h}x{w}x{c}, which the model does not take"
            ),
            Status::NoSamples(error) => write!(f, "the device has no samples: {error}"),
            #[cfg(feature = "uploads")]
            Status::Offers { uploads, samples } => {
                write!(f, "the device has {samples} samples in {uploads} uploads")
            }
            #[cfg(feature = "uploads")]
            Status::OtherTask(_) => {
                f.write_str("the device contributes to another task than the one given")
            }
            #[cfg(feature = "uploads")]
            Status::NoTask(error) => write!(f, "the device has no task: {error}"),
            #[cfg(feature = "uploads")]
            Status::NoUpload(error) => {
                write!(f, "the device cannot contribute its samples: {error}")
            }
            #[cfg(feature = "uploads")]
            Status::Contributed(_) => f.write_str("the device has contributed"),
            Status::Ring(bits) => write!(f, "the device is made for a ring of {bits} bits"),
            Status::Stack { needed, given } => write!(
                f,
                "the session's polynomials take {needed} bytes of stack and the device has {given}"
            ),
        }
    }
}

impl Status {
    /// Sends a status to the host. Fails if the link does.
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Receives a device's status at the host. Fails if the link does, or if it carries anything else.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// The memory that a session took of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MemoryUsed {
    /// Bytes that the device gave the party: its arena and the peer's opened samples.
    pub memory: u32,
    /// The most stack in use since the device started; 0 if the device does not measure it.
    pub stack: u32,
}
