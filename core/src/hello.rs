//! The handshake: before any secret moves, each pair of roles makes sure that it is about to run the
//! same thing.

use embedded_io::{Read, Write};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Role,
    link::{Link, LinkError},
    prg::Key,
    session::Session,
};

/// Version of everything that travels. Roles of different versions refuse each other.
pub const VERSION: u16 = 1;

/// Marks the start of a handshake message: a peer that sends something else is not Ringlet.
const MAGIC: [u8; 4] = *b"RNGL";

/// The most bytes of a handshake message's body.
const MAX_BODY: usize = 1024;

/// What a party says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// The sender's role.
    pub role: Role,
    /// What the sender is about to run.
    pub session: Session,
}

/// What the dealer answers once it has heard both parties.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// The party's key.
    Key([u8; Key::LEN]),
    /// The parties differ, or the dealer cannot serve them.
    Refused(Reason),
}

/// Why a handshake was refused, in words.
pub type Reason = String<160>;

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The link failed.
    Link(LinkError),
    /// The other end does not speak this protocol at all.
    Foreign,
    /// The other end runs another version: update the older one.
    Version(u16),
    /// Both ends have the same role, or the role is taken.
    Role(Role),
    /// The sessions differ in the named parameter: start both with the same.
    Differs(&'static str),
    /// The dealer refused, for this reason.
    Refused(Reason),
    /// The session's description is longer than a message may be.
    TooLong,
}

impl core::fmt::Display for HelloError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            HelloError::Link(error) => error.fmt(f),
            HelloError::Foreign => f.write_str("the other end does not speak Ringlet's protocol"),
            HelloError::Version(version) => write!(
                f,
                "the other end has protocol version {version}, this one has {VERSION}: update the older"
            ),
            HelloError::Role(role) => write!(
                f,
                "there are two parties {role}: start one as {}",
                role.other()
            ),
            HelloError::Differs(what) => write!(
                f,
                "the parties have different {what}: start both with the same"
            ),
            HelloError::Refused(reason) => write!(f, "the dealer refused: {reason}"),
            HelloError::TooLong => f.write_str("the model's description is too long to be sent"),
        }
    }
}

impl core::error::Error for HelloError {}

impl From<LinkError> for HelloError {
    fn from(error: LinkError) -> Self {
        HelloError::Link(error)
    }
}

fn send<T: Read + Write>(link: &mut Link<T>, message: &impl Serialize) -> Result<(), HelloError> {
    let mut body = [0; MAX_BODY];
    let body = postcard::to_slice(message, &mut body).map_err(|_| HelloError::TooLong)?;
    link.send(&MAGIC)?;
    link.send(&(body.len() as u16).to_le_bytes())?;
    link.send(body)?;
    Ok(link.flush()?)
}

fn receive<T: Read + Write, M: DeserializeOwned>(link: &mut Link<T>) -> Result<M, HelloError> {
    let mut head = [0; 6];
    link.receive(&mut head)?;
    let len = usize::from(u16::from_le_bytes([head[4], head[5]]));
    if head[..4] != MAGIC || len > MAX_BODY {
        return Err(HelloError::Foreign);
    }
    let mut body = [0; MAX_BODY];
    link.receive(&mut body[..len])?;
    postcard::from_bytes(&body[..len]).map_err(|_| HelloError::Foreign)
}

impl Hello {
    /// What `role` says of `session`.
    pub fn new(role: Role, session: &Session) -> Self {
        Hello {
            version: VERSION,
            role,
            session: session.clone(),
        }
    }

    /// Greets the peer, and finds out whether it is about to run the same session.
    pub fn meet_peer<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HelloError> {
        send(link, self)?;
        let other: Hello = receive_hello(link)?;
        if other.role == self.role {
            return Err(HelloError::Role(self.role));
        }
        self.compare(&other)
    }

    /// Greets the dealer and waits for this party's key.
    pub fn meet_dealer<T: Read + Write>(&self, link: &mut Link<T>) -> Result<Key, HelloError> {
        send(link, self)?;
        match receive(link)? {
            Answer::Key(key) => Ok(Key::new(key)),
            Answer::Refused(reason) => Err(HelloError::Refused(reason)),
        }
    }

    /// Says what differs between two sessions, if anything.
    pub fn compare(&self, other: &Hello) -> Result<(), HelloError> {
        let (a, b) = (&self.session, &other.session);
        let checks = [
            (a.model == b.model, "models"),
            (a.format.ring == b.format.ring, "rings"),
            (a.format.fraction == b.format.fraction, "fraction bits"),
            (a.samples == b.samples, "numbers of samples"),
            (a.batch == b.batch, "batch sizes"),
            (a.micro_batch == b.micro_batch, "micro-batch sizes"),
            (a.epochs == b.epochs, "numbers of epochs"),
            (a.limit == b.limit, "limits of iterations"),
            (a.learning_rate == b.learning_rate, "learning rates"),
            (a.momentum == b.momentum, "momenta"),
            (a.order == b.order, "seeds of the samples' order"),
            (a.receiver == b.receiver, "receivers of the model"),
            (a == b, "parameters"),
        ];
        match checks.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(HelloError::Differs(what)),
            None => Ok(()),
        }
    }
}

/// Waits for the other end's hello.
pub fn receive_hello<T: Read + Write>(link: &mut Link<T>) -> Result<Hello, HelloError> {
    let hello: Hello = receive(link)?;
    if hello.version != VERSION {
        return Err(HelloError::Version(hello.version));
    }
    Ok(hello)
}

/// The dealer's answer to a party that may go on.
pub fn send_key<T: Read + Write>(link: &mut Link<T>, key: &Key) -> Result<(), HelloError> {
    send(link, &Answer::Key(*key.reveal()))
}

/// The dealer's answer to a party that may not.
pub fn refuse<T: Read + Write>(link: &mut Link<T>, why: &HelloError) -> Result<(), HelloError> {
    let mut reason: Vec<u8, 160> = Vec::new();
    // A longer text is cut; every text of this module fits.
    let _ = core::fmt::Write::write_fmt(&mut Cut(&mut reason), format_args!("{why}"));
    let reason = core::str::from_utf8(&reason).unwrap_or_default();
    send(
        link,
        &Answer::Refused(Reason::try_from(reason).unwrap_or_default()),
    )
}

/// Writes as much ASCII as there is room for.
struct Cut<'a>(&'a mut Vec<u8, 160>);

impl core::fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes().filter(u8::is_ascii) {
            if self.0.push(byte).is_err() {
                break;
            }
        }
        Ok(())
    }
}
