//! The handshake: before any secret moves, each pair of roles makes sure that it is about to run the
//! same thing.

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

use crate::{
    Role,
    link::{Link, LinkError},
    message::{MessageError, receive, send},
    pairing::seal,
    prg::Key,
    session::Session,
};

/// Version of everything that travels. Roles of different versions refuse each other.
pub const VERSION: u16 = 6;

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
    Triples,
    Protocol,
    Samples,
    Batch,
    MicroBatch,
    Epochs,
    Limit,
    LearningRate,
    Momentum,
    Order,
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
            Parameter::Triples => "triples",
            Parameter::Protocol => "protocols",
            Parameter::Samples => "numbers of samples",
            Parameter::Batch => "batch sizes",
            Parameter::MicroBatch => "micro-batch sizes",
            Parameter::Epochs => "numbers of epochs",
            Parameter::Limit => "limits of iterations",
            Parameter::LearningRate => "learning rates",
            Parameter::Momentum => "momenta",
            Parameter::Order => "seeds of the samples' order",
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
pub enum HelloError {
    /// The link failed.
    Link(LinkError),
    /// The other end does not fit.
    Mismatch(Mismatch),
    /// The dealer refused: what it heard does not fit together.
    Refused(Mismatch),
    /// The session's description is longer than a message may be: use a model with fewer layers.
    TooLong,
    /// The dealer sent a device's key for all to read: give it the key that it shares with the device.
    Unsealed,
    /// The dealer takes this party for a device: let it have no key for this role.
    Sealed,
}

impl core::fmt::Display for HelloError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            HelloError::Link(error) => error.fmt(f),
            HelloError::Mismatch(mismatch) => mismatch.fmt(f),
            HelloError::Refused(mismatch) => write!(f, "the dealer refused: {mismatch}"),
            HelloError::TooLong => f.write_str("the model's description is too long to be sent"),
            HelloError::Unsealed => {
                f.write_str("the dealer does not seal the device's key, so others could read it")
            }
            HelloError::Sealed => f.write_str("the dealer takes this party for a device"),
        }
    }
}

impl core::error::Error for HelloError {}

impl From<Mismatch> for HelloError {
    fn from(mismatch: Mismatch) -> Self {
        HelloError::Mismatch(mismatch)
    }
}

impl From<MessageError> for HelloError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Link(error) => HelloError::Link(error),
            MessageError::Foreign => HelloError::Mismatch(Mismatch::Foreign),
            MessageError::TooLong => HelloError::TooLong,
        }
    }
}

impl From<LinkError> for HelloError {
    fn from(error: LinkError) -> Self {
        HelloError::Link(error)
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
    pub fn meet_peer<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HelloError> {
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
    ) -> Result<(), HelloError> {
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
    pub fn announce<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HelloError> {
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
            triples,
            assisted,
            samples,
            batch,
            micro_batch,
            epochs,
            limit,
            learning_rate,
            momentum,
            order,
            receiver,
            audit,
        } = a;
        let checks = [
            (*model == b.model, Parameter::Model),
            (format.ring == b.format.ring, Parameter::Ring),
            (
                format.fraction == b.format.fraction,
                Parameter::FractionBits,
            ),
            (format.weights == b.format.weights, Parameter::Update),
            (*task == b.task, Parameter::Task),
            (*assisted == b.assisted, Parameter::Protocol),
            (*triples == b.triples, Parameter::Triples),
            (*samples == b.samples, Parameter::Samples),
            (*batch == b.batch, Parameter::Batch),
            (*micro_batch == b.micro_batch, Parameter::MicroBatch),
            (*epochs == b.epochs, Parameter::Epochs),
            (*limit == b.limit, Parameter::Limit),
            (*learning_rate == b.learning_rate, Parameter::LearningRate),
            (*momentum == b.momentum, Parameter::Momentum),
            (*order == b.order, Parameter::Order),
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
pub fn receive_hello<T: Read + Write>(link: &mut Link<T>) -> Result<Hello, HelloError> {
    let hello: Hello = receive(link)?;
    if hello.version != VERSION {
        return Err(Mismatch::Version(hello.version).into());
    }
    Ok(hello)
}

/// Waits for the dealer's answer: this party's key.
#[inline(never)]
pub fn receive_key<T: Read + Write>(link: &mut Link<T>) -> Result<Key, HelloError> {
    match receive(link)? {
        Answer::Key(key) => Ok(Key::new(key)),
        Answer::Refused(mismatch) => Err(HelloError::Refused(mismatch)),
        Answer::Sealed { .. } => Err(HelloError::Sealed),
    }
}

/// The same for a device, whose key is sealed with the one that it shares with the dealer.
#[inline(never)]
pub fn receive_sealed_key<T: Read + Write>(
    link: &mut Link<T>,
    shared: &Key,
) -> Result<Key, HelloError> {
    match receive(link)? {
        Answer::Sealed { nonce, key } => Ok(Key::new(seal(shared, nonce, &key))),
        Answer::Refused(mismatch) => Err(HelloError::Refused(mismatch)),
        Answer::Key(_) => Err(HelloError::Unsealed),
    }
}

/// Passes the dealer's answer on to a device, if nobody on the way can read the key.
pub fn pass_sealed_key_on<A: Read + Write, B: Read + Write>(
    dealer: &mut Link<A>,
    device: &mut Link<B>,
) -> Result<(), HelloError> {
    let answer = receive(dealer)?;
    match answer {
        Answer::Key(_) => return Err(HelloError::Unsealed),
        Answer::Refused(_) | Answer::Sealed { .. } => send(device, &answer)?,
    }
    match answer {
        Answer::Refused(mismatch) => Err(HelloError::Refused(mismatch)),
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
) -> Result<(), HelloError> {
    let answer = Answer::Sealed {
        nonce: with.nonce,
        key: seal(&with.shared, with.nonce, key.reveal()),
    };
    Ok(send(link, &answer)?)
}

/// The dealer's answer to a party that may go on.
pub fn send_key<T: Read + Write>(link: &mut Link<T>, key: &Key) -> Result<(), HelloError> {
    Ok(send(link, &Answer::Key(*key.reveal()))?)
}

/// The dealer's answer to a party that may not.
pub fn refuse<T: Read + Write>(link: &mut Link<T>, why: Mismatch) -> Result<(), HelloError> {
    Ok(send(link, &Answer::Refused(why))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixed::Format,
        gate::bench::duplex,
        link::Remote,
        loss::Loss,
        model::{Layer, Model},
        session::Task,
        triples::Triples,
    };

    extern crate std;
    use std::{thread, vec, vec::Vec};

    fn session() -> Session {
        Session {
            model: Model::new("m", [1, 1, 4], &[Layer::Dense { units: 3 }]).unwrap(),
            format: Format {
                ring: 32,
                fraction: 12,
                weights: 12,
            },
            task: Task::Train,
            triples: Triples::Fused,
            assisted: None,
            samples: [300, 2],
            batch: 5,
            micro_batch: 5,
            epochs: 1,
            limit: 0,
            learning_rate: 1 << 20,
            momentum: 0,
            order: 9,
            receiver: Some(Role::P1),
            audit: 0,
        }
    }

    /// What one end sends is read from the other as bytes.
    fn bytes_of(say: impl FnOnce(&mut Link<crate::gate::bench::End>), len: usize) -> Vec<u8> {
        let [one, other] = duplex(4096);
        let mut one = Link::new(one, Remote::Peer, 0);
        let mut other = Link::new(other, Remote::Peer, 0);
        say(&mut one);
        assert_eq!(one.sent(), len as u64);
        let mut bytes = vec![0; len];
        other.receive(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn hello_is_these_bytes() {
        let hello = Hello::new(Role::P0, &session());
        let bytes = bytes_of(|link| hello.announce(link).unwrap(), 38);
        let body = [
            6, 0, // version, role
            1, b'm', 1, 1, 4, 1, 1, 3, // model: name, input, one dense layer of 3
            32, 12, 12, // format
            0, 2, 0, // train, fused triples, not assisted
            0xAC, 0x02, 2, // samples, 300 as a varint
            5, 5, 1, 0, // batch, micro-batch, epochs, limit
            0x80, 0x80, 0x40, // learning rate, 2^20
            0, 9, // momentum, order
            1, 1, // receiver: p1
            0, // no audit
            0, // no dealt files
        ];
        assert_eq!(bytes[..4], *b"RNGL");
        assert_eq!(bytes[4..6], (body.len() as u16).to_le_bytes());
        assert_eq!(bytes[6..], body);
    }

    #[test]
    fn the_answers_are_these_bytes() {
        let key = bytes_of(|link| send_key(link, &Key::new([7; 32])).unwrap(), 39);
        assert_eq!(key[..7], *b"RNGL\x21\0\0");
        assert_eq!(key[7..], [7; 32]);
        let why = Mismatch::Differs(Parameter::Batch);
        let refusal = bytes_of(|link| refuse(link, why).unwrap(), 9);
        assert_eq!(refusal, *b"RNGL\x03\0\x01\x03\x08");
    }

    #[test]
    fn whatever_arrives_is_an_answer_or_an_error() {
        // Every message cut at every place, and with every byte changed.
        let hello = Hello::new(Role::P1, &session());
        let whole = bytes_of(|link| hello.announce(link).unwrap(), 38);
        let hear = |bytes: Vec<u8>| {
            let [one, other] = duplex(4096);
            let mut one = Link::new(one, Remote::Peer, 0);
            one.send(&bytes).unwrap();
            drop(one);
            receive_hello(&mut Link::new(other, Remote::Peer, 0))
        };
        assert_eq!(hear(whole.clone()), Ok(hello.clone()));
        let mut newer = whole.clone();
        newer[6] = 7;
        assert_eq!(hear(newer), Err(Mismatch::Version(7).into()));
        assert_eq!(
            hear(b"GET / HTTP/1.1".to_vec()),
            Err(Mismatch::Foreign.into())
        );
        for at in 0..whole.len() {
            let cut = hear(whole[..at].to_vec());
            assert_eq!(cut, Err(LinkError::Closed(Remote::Peer).into()), "{at}");
            for change in [0x01, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                // A value within its range still makes a hello, which then differs.
                assert_ne!(hear(changed), Ok(hello.clone()), "{at} {change}");
            }
        }
    }

    #[test]
    fn every_parameter_is_compared() {
        let own = Hello::new(Role::P0, &session());
        let other = |change: fn(&mut Session)| {
            let mut session = session();
            change(&mut session);
            own.compare(&Hello::new(Role::P1, &session))
        };
        type Change = fn(&mut Session);
        let changes: [(Change, Parameter); 17] = [
            (|s| s.model.input[2] = 5, Parameter::Model),
            (|s| s.format.ring = 64, Parameter::Ring),
            (|s| s.format.fraction = 11, Parameter::FractionBits),
            (|s| s.format.weights = 13, Parameter::Update),
            (|s| s.task = Task::Infer, Parameter::Task),
            (|s| s.triples = Triples::Seed, Parameter::Triples),
            (|s| s.assisted = Some(Loss::Softmax), Parameter::Protocol),
            (|s| s.samples[1] = 3, Parameter::Samples),
            (|s| s.batch = 6, Parameter::Batch),
            (|s| s.micro_batch = 6, Parameter::MicroBatch),
            (|s| s.epochs = 2, Parameter::Epochs),
            (|s| s.limit = 1, Parameter::Limit),
            (|s| s.learning_rate += 1, Parameter::LearningRate),
            (|s| s.momentum = 1, Parameter::Momentum),
            (|s| s.order = 1, Parameter::Order),
            (|s| s.receiver = None, Parameter::Receiver),
            (|s| s.audit = 9, Parameter::Audit),
        ];
        assert_eq!(other(|_| ()), Ok(()));
        for (change, parameter) in changes {
            assert_eq!(other(change), Err(Mismatch::Differs(parameter)));
        }
        let dealt = Hello::new(Role::P1, &session()).holding(Dealt([1; 16]));
        assert_eq!(
            own.compare(&dealt),
            Err(Mismatch::Differs(Parameter::Dealt))
        );
    }

    #[test]
    fn parties_meet_over_a_link() {
        let [one, other] = duplex(4096);
        let meet = |role, end| {
            let hello = Hello::new(role, &session());
            hello.meet_peer(&mut Link::new(end, Remote::Peer, 0))
        };
        thread::scope(|scope| {
            let p0 = scope.spawn(|| meet(Role::P0, one));
            assert_eq!(meet(Role::P1, other), Ok(()));
            assert_eq!(p0.join().unwrap(), Ok(()));
        });
    }
}
