//! The handshake: before any secret moves, each pair of roles makes sure that it is about to run the
//! same thing.

use core::mem::discriminant;

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

use crate::{
    Role,
    net::{
        link::{Link, LinkError},
        message::{MessageError, receive, send},
    },
    prg::{
        Key,
        device_key::{TAG_LEN, seal, tag},
    },
    session::Session,
};

/// Version of everything that travels. Roles of different versions refuse each other.
pub const VERSION: u16 = 7;

/// What a party says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// The sender's role.
    pub role: Role,
    /// What the sender is about to run.
    pub session: Session,
    /// The dealt session that it holds a file of, if there is no dealer.
    pub dealt: Option<Dealt>,
}

/// Names a session that was dealt ahead of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dealt(pub [u8; 16]);

/// What the dealer answers once it has heard both parties.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// The party's key.
    Key([u8; Key::LEN]),
    /// The parties do not fit together.
    Refused(Mismatch),
    /// A device's key, sealed for it alone.
    Sealed {
        /// Of this seal alone.
        nonce: u64,
        /// Tells the device that it is meant.
        tag: [u8; TAG_LEN],
        /// The key in its seal.
        key: [u8; Key::LEN],
    },
}

/// A public parameter on which the roles must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "each is a field of the session")]
pub enum Parameter {
    Model,
    Ring,
    FractionBits,
    Update,
    Task,
    TripleScheme,
    Protocol,
    Samples,
    Batch,
    MicroBatch,
    Epochs,
    Limit,
    LearningRate,
    Momentum,
    Shuffle,
    Receiver,
    Audit,
    Dealt,
}

impl core::fmt::Display for Parameter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Parameter::Model => "models",
            Parameter::Ring => "rings",
            Parameter::FractionBits => "fraction bits",
            Parameter::Update => "ways of updating weights",
            Parameter::Task => "tasks",
            Parameter::TripleScheme => "triples",
            Parameter::Protocol => "protocols",
            Parameter::Samples => "numbers of samples",
            Parameter::Batch => "batch sizes",
            Parameter::MicroBatch => "micro-batch sizes",
            Parameter::Epochs => "numbers of epochs",
            Parameter::Limit => "limits of iterations",
            Parameter::LearningRate => "learning rates",
            Parameter::Momentum => "momenta",
            Parameter::Shuffle => "seeds of the samples' order",
            Parameter::Receiver => "receivers of the model (--reveal-to)",
            Parameter::Audit => "audits",
            Parameter::Dealt => "dealt files",
        })
    }
}

/// Why two roles do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mismatch {
    /// The other end does not speak this protocol at all.
    Foreign,
    /// The other end runs another version: update the older one.
    Version(u16),
    /// Both parties have the same role.
    Role(Role),
    /// The sessions differ: start both parties with the same.
    Differs(Parameter),
    /// The parties want an assistant, and there is a dealer.
    Dealer,
    /// The parties want a dealer, and there is an assistant.
    Assistant,
}

impl core::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Mismatch::Foreign => f.write_str("the other end does not speak Ringlet's protocol"),
            Mismatch::Version(version) => write!(
                f,
                "the other end has protocol version {version}, this one has {VERSION}"
            ),
            Mismatch::Role(role) => write!(f, "there are two parties {role}"),
            Mismatch::Differs(parameter) => write!(f, "the parties have different {parameter}"),
            Mismatch::Dealer => f.write_str("the parties want an assistant, and there is a dealer"),
            Mismatch::Assistant => {
                f.write_str("the parties want a dealer, and there is an assistant")
            }
        }
    }
}

impl Mismatch {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Mismatch::Foreign => "check the address, and that a ringlet runs there",
            Mismatch::Version(_) => "update the older program",
            Mismatch::Role(_) => "start one as p0 and one as p1",
            Mismatch::Differs(_) => "start both with the same",
            Mismatch::Dealer => {
                "start `ringlet assistant` in the dealer's place, or choose another --protocol"
            }
            Mismatch::Assistant => {
                "start `ringlet dealer` in the assistant's place, or give --protocol securenn"
            }
        }
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandshakeError {
    /// The link failed.
    Link(LinkError),
    /// The other end does not fit.
    Mismatch(Mismatch),
    /// The dealer or the assistant refused: what it heard does not fit together.
    Refused(Mismatch),
    /// The session's description is longer than a message may be: use a model with fewer layers.
    TooLong,
    /// The dealer sent a device's key for all to read: give it the key that it shares with the device.
    Unsealed,
    /// The dealer takes this party for a device: let it have no key for this role.
    Sealed,
    /// The dealer sealed the device's key for another device: let it have this one's key.
    OtherDevice,
}

impl core::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            HandshakeError::Link(error) => error.fmt(f),
            HandshakeError::Mismatch(mismatch) => mismatch.fmt(f),
            HandshakeError::Refused(mismatch) => write!(f, "refused: {mismatch}"),
            HandshakeError::TooLong => {
                f.write_str("the model's description is too long to be sent")
            }
            HandshakeError::Unsealed => {
                f.write_str("the dealer does not seal the device's key, so others could read it")
            }
            HandshakeError::Sealed => f.write_str("the dealer takes this party for a device"),
            HandshakeError::OtherDevice => {
                f.write_str("the dealer sealed the key for another device")
            }
        }
    }
}

impl core::error::Error for HandshakeError {}

impl From<Mismatch> for HandshakeError {
    fn from(mismatch: Mismatch) -> Self {
        HandshakeError::Mismatch(mismatch)
    }
}

impl From<MessageError> for HandshakeError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Link(error) => HandshakeError::Link(error),
            MessageError::Foreign => HandshakeError::Mismatch(Mismatch::Foreign),
            MessageError::TooLong => HandshakeError::TooLong,
        }
    }
}

impl From<LinkError> for HandshakeError {
    fn from(error: LinkError) -> Self {
        HandshakeError::Link(error)
    }
}

impl Hello {
    /// What `role` says of `session`.
    pub fn new(role: Role, session: &Session) -> Self {
        Hello {
            version: VERSION,
            role,
            session: session.clone(),
            dealt: None,
        }
    }

    /// The same, holding a file of a dealt session.
    pub fn holding(self, dealt: Dealt) -> Self {
        Hello {
            dealt: Some(dealt),
            ..self
        }
    }

    /// Greets the peer, and finds out whether it is about to run the same session.
    #[inline(never)]
    pub fn meet_peer<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HandshakeError> {
        send(link, self)?;
        match &receive_hello(link) {
            Ok(heard) => Ok(self.check_peer(heard)?),
            Err(error) => Err(*error),
        }
    }

    /// As [`Hello::meet_peer`], once the peer's hello has been heard.
    pub fn answer_peer<T: Read + Write>(
        &self,
        link: &mut Link<T>,
        heard: &Hello,
    ) -> Result<(), HandshakeError> {
        send(link, self)?;
        Ok(self.check_peer(heard)?)
    }

    fn check_peer(&self, heard: &Hello) -> Result<(), Mismatch> {
        if heard.role == self.role {
            return Err(Mismatch::Role(self.role));
        }
        self.compare(heard)
    }

    /// Greets the dealer, which answers once it has heard both parties.
    #[inline(never)]
    pub fn announce<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HandshakeError> {
        Ok(send(link, self)?)
    }

    /// Says what differs between two sessions, if anything.
    pub fn compare(&self, other: &Hello) -> Result<(), Mismatch> {
        let (a, b) = (&self.session, &other.session);
        // Every field by name: a new one does not compile until it is compared.
        let Session {
            model,
            format,
            task,
            protocol,
            samples,
            batch,
            micro_batch,
            epochs,
            limit,
            learning_rate,
            momentum,
            shuffle_seed,
            receiver,
            audit,
        } = a;
        // Triples are compared apart, so that a difference in them alone is named.
        let same_protocol = discriminant(protocol) == discriminant(&b.protocol)
            && protocol.loss() == b.protocol.loss();
        let checks = [
            (*task == b.task, Parameter::Task),
            (same_protocol, Parameter::Protocol),
            (*model == b.model, Parameter::Model),
            (format.ring == b.format.ring, Parameter::Ring),
            (
                format.fraction == b.format.fraction,
                Parameter::FractionBits,
            ),
            (format.weights == b.format.weights, Parameter::Update),
            (
                protocol.triples() == b.protocol.triples(),
                Parameter::TripleScheme,
            ),
            (*samples == b.samples, Parameter::Samples),
            (*batch == b.batch, Parameter::Batch),
            (*micro_batch == b.micro_batch, Parameter::MicroBatch),
            (*epochs == b.epochs, Parameter::Epochs),
            (*limit == b.limit, Parameter::Limit),
            (*learning_rate == b.learning_rate, Parameter::LearningRate),
            (*momentum == b.momentum, Parameter::Momentum),
            (*shuffle_seed == b.shuffle_seed, Parameter::Shuffle),
            (*receiver == b.receiver, Parameter::Receiver),
            (*audit == b.audit, Parameter::Audit),
            (self.dealt == other.dealt, Parameter::Dealt),
        ];
        match checks.into_iter().find(|(same, _)| !same) {
            Some((_, parameter)) => Err(Mismatch::Differs(parameter)),
            None => Ok(()),
        }
    }
}

/// Waits for the other end's hello.
#[inline(never)]
pub fn receive_hello<T: Read + Write>(link: &mut Link<T>) -> Result<Hello, HandshakeError> {
    let hello: Hello = receive(link)?;
    if hello.version != VERSION {
        return Err(Mismatch::Version(hello.version).into());
    }
    Ok(hello)
}

/// Waits for the dealer's answer: this party's key.
#[inline(never)]
pub fn receive_key<T: Read + Write>(link: &mut Link<T>) -> Result<Key, HandshakeError> {
    match receive(link)? {
        Answer::Key(key) => Ok(Key::new(key)),
        Answer::Refused(mismatch) => Err(HandshakeError::Refused(mismatch)),
        Answer::Sealed { .. } => Err(HandshakeError::Sealed),
    }
}

/// The same for a device, whose key is sealed with the one that it shares with the dealer.
#[inline(never)]
pub fn receive_sealed_key<T: Read + Write>(
    link: &mut Link<T>,
    shared: &Key,
) -> Result<Key, HandshakeError> {
    match receive(link)? {
        Answer::Sealed {
            nonce, tag: told, ..
        } if told != tag(shared, nonce) => Err(HandshakeError::OtherDevice),
        Answer::Sealed { nonce, key, .. } => Ok(Key::new(seal(shared, nonce, &key))),
        Answer::Refused(mismatch) => Err(HandshakeError::Refused(mismatch)),
        Answer::Key(_) => Err(HandshakeError::Unsealed),
    }
}

/// Passes the dealer's answer on to a device, if nobody on the way can read the key.
pub fn pass_sealed_key_on<A: Read + Write, B: Read + Write>(
    dealer: &mut Link<A>,
    device: &mut Link<B>,
) -> Result<(), HandshakeError> {
    let answer = receive(dealer)?;
    match answer {
        Answer::Key(_) => return Err(HandshakeError::Unsealed),
        Answer::Refused(_) | Answer::Sealed { .. } => send(device, &answer)?,
    }
    match answer {
        Answer::Refused(mismatch) => Err(HandshakeError::Refused(mismatch)),
        _ => Ok(()),
    }
}

/// How the dealer seals a device's key.
pub struct Seal {
    /// The key that the dealer shares with the device.
    pub shared: Key,
    /// New for each session.
    pub nonce: u64,
}

/// The dealer's answer to a device that may go on.
pub fn send_sealed_key<T: Read + Write>(
    link: &mut Link<T>,
    key: &Key,
    with: &Seal,
) -> Result<(), HandshakeError> {
    let answer = Answer::Sealed {
        nonce: with.nonce,
        tag: tag(&with.shared, with.nonce),
        key: seal(&with.shared, with.nonce, key.reveal()),
    };
    Ok(send(link, &answer)?)
}

/// The dealer's answer to a party that may go on.
pub fn send_key<T: Read + Write>(link: &mut Link<T>, key: &Key) -> Result<(), HandshakeError> {
    Ok(send(link, &Answer::Key(*key.reveal()))?)
}

/// The dealer's answer to a party that may not.
pub fn refuse<T: Read + Write>(link: &mut Link<T>, why: Mismatch) -> Result<(), HandshakeError> {
    Ok(send(link, &Answer::Refused(why))?)
}

#[cfg(test)]
mod tests;
