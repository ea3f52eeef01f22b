//! What a gateway and a device that contributes say to each other beside the device's [`Status`](super::Status).
//!
//! After its first two messages the device hears to which task the gateway passes uploads on. If that is the task in the device's
//! flash, the device says how many uploads come ([`Status::Offers`](super::Status::Offers)). Each passes the channel
//! [`UPLOADS`](super::channel::UPLOADS) as it is, and the gateway answers it. At the end the device says what it has heard
//! ([`Status::Contributed`](super::Status::Contributed)).

use embedded_io::{Read, Write};
use heapless::String;
use serde::{Deserialize, Serialize};

use super::MemoryUsed;
use crate::{
    contribution::TaskId,
    net::{
        link::Link,
        message::{MessageError, receive, send},
    },
};

/// The most bytes of the code of a refusal.
pub const MAX_CODE: usize = 24;

/// The code by which a collection refuses an upload, such as `seals-differ`.
pub type RefusalCode = String<MAX_CODE>;

/// A gateway's first message: the task to which it passes uploads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayHello {
    /// The task.
    pub task: TaskId,
}

impl GatewayHello {
    /// Sends the message to the device. Fails if the link does.
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Receives the message at the device. Fails if the link does, or if it carries anything else.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum UploadAnswer {
    /// It is taken.
    Taken,
    /// It was taken before.
    Repeated,
    /// It is refused for good.
    Refused(RefusalCode),
    /// The collection cannot take it now. The device may send it again in another session.
    Later,
}

impl UploadAnswer {
    /// Sends the answer to the device. Fails if the link does.
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), MessageError> {
        send(link, self)
    }

    /// Receives the answer at the device. Fails if the link does, or if it carries anything else.
    pub fn receive<T: Read + Write>(link: &mut Link<T>) -> Result<Self, MessageError> {
        receive(link)
    }
}

/// What a device has contributed, by the answers that it has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Contributed {
    /// Uploads that are taken.
    pub taken: u32,
    /// Uploads that were taken before.
    pub repeated: u32,
    /// What the session took.
    pub used: MemoryUsed,
}
