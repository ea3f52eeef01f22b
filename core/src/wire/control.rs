//! What a device and the host that it is plugged into say to each other before a run: the host tells the
//! session, and the device whether it can run it.

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

use crate::{
    link::Link,
    message::{MessageError, receive, send},
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

/// What the device says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It will run the session.
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
    Shape([u16; 3]),
    /// The device holds no samples that it can read.
    NoSamples,
    /// The device is made for another ring, of so many bits.
    Ring(u32),
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Status::Ready => f.write_str("the device is ready"),
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
            Status::NoSamples => f.write_str("the device holds no samples that it can read"),
            Status::Ring(bits) => write!(f, "the device is made for a ring of {bits} bits"),
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
