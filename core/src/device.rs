//! What a device and the host that it is plugged into say to each other beside the protocol: the device that it
//! is awake, the host what is to be run, the device whether it can, and at the end what it took.

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

use crate::{
    data::sample_image::SampleImageError,
    net::{
        link::Link,
        message::{MessageError, receive, send},
    },
    session::handshake::{HandshakeError, Hello, VERSION, receive_hello},
};

/// Channels of a device's port.
pub mod channel {
    /// To the other party.
    pub const PEER: usize = 0;
    /// To the dealer, through the host.
    pub const DEALER: usize = 1;
    /// To the host itself.
    pub const CONTROL: usize = 2;
}

/// Why a device started anew in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Crash {
    /// Its firmware panicked: a mistake in the firmware.
    Panic,
    /// Its processor met a fault: memory that is not there, most likely below the stack.
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

/// What a device says first in each session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awake {
    /// [`VERSION`] of the device.
    pub version: u16,
    /// How the session before this one ended, if by a crash.
    pub crash: Option<Crash>,
}

impl Awake {
    /// A device of this version.
    pub fn new(crash: Option<Crash>) -> Self {
        Awake {
            version: VERSION,
            crash,
        }
    }

    /// Tells the host.
    pub fn tell<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Waits for a device's.
    pub fn hear<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// Tells a device what to run: `hello` is what it is to say to the others, so its role is the device's. `nonce`
/// is to be new for each session: a device draws the session's secret from it and its own.
pub fn assign<T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    nonce: u64,
) -> Result<(), MessageError> {
    send(link, hello)?;
    send(link, &nonce)
}

/// Waits to be told what to run.
pub fn receive_task<T: Read + Write>(link: &mut Link<T>) -> Result<(Hello, u64), HandshakeError> {
    let hello = receive_hello(link)?;
    Ok((hello, receive(link)?))
}

/// What the device says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It will run the session; said again once it has its key.
    Ready,
    /// The session cannot run anywhere: its parameters do not fit together.
    Unsound,
    /// The session takes more memory than the device has, in bytes.
    Memory {
        /// What it takes.
        needed: u32,
        /// What there is.
        given: u32,
    },
    /// The session counts on other samples than the device holds.
    Samples {
        /// How many it counts on.
        asked: u32,
        /// How many there are.
        stored: u32,
    },
    /// The samples are images of another shape than the model takes.
    TrafficShape([u16; 3]),
    /// The device holds no samples that it can read.
    NoSamples(SampleImageError),
    /// The device is made for another ring, of so many bits.
    Ring(u32),
    /// The session's polynomials take more stack than the device has, in bytes.
    Stack {
        /// What they take.
        needed: u32,
        /// What there is.
        given: u32,
    },
    /// The session has polynomials, which the device's firmware leaves out.
    Polynomials,
    /// The session is for inference, which the device's firmware leaves out.
    Task,
    /// Nobody has programmed the device's own secret.
    NoSecret,
    /// The dealer sealed the key for another device.
    Seal,
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Status::Ready => f.write_str("the device is ready"),
            Status::Polynomials => {
                f.write_str("the device's firmware leaves polynomials out: train with exact ReLU")
            }
            Status::Task => f.write_str("the device trains; it does not predict"),
            Status::NoSecret => f.write_str("the device has no secret of its own"),
            Status::Seal => f.write_str("the dealer sealed the device's key for another device"),
            Status::Unsound => f.write_str("the device finds that the session cannot run"),
            Status::Memory { needed, given } => write!(
                f,
                "the session takes {needed} bytes of memory and the device has {given}"
            ),
            Status::Samples { asked, stored } => write!(
                f,
                "the session counts on {asked} samples of the device, which holds {stored}"
            ),
            Status::TrafficShape([h, w, c]) => write!(
                f,
                "the device holds images of {h}x{w}x{c}, which the model does not take"
            ),
            Status::NoSamples(error) => write!(f, "the device has no samples: {error}"),
            Status::Ring(bits) => write!(f, "the device is made for a ring of {bits} bits"),
            Status::Stack { needed, given } => write!(
                f,
                "the session's polynomials take {needed} bytes of stack and the device has {given}"
            ),
        }
    }
}

/// Tells the host.
pub fn tell<T: Read + Write>(link: &mut Link<T>, status: &Status) -> Result<(), MessageError> {
    send(link, status)
}

/// Waits for what the device says.
pub fn hear<T: Read + Write>(link: &mut Link<T>) -> Result<Status, MessageError> {
    receive(link)
}

/// What a session took of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Taken {
    /// Of the memory that it gave the party.
    pub memory: u32,
    /// The most that its stack has held since it started; 0 if it does not know.
    pub stack: u32,
}

impl Taken {
    /// Tells the host, at the end of a session.
    pub fn tell<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Waits for a device's.
    pub fn hear<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}
