//! The handshake: before any secret is sent, the roles check that they run the same session.
//!
//! A role that connects sends its [`Greeting`] with its [`Hello`]; the role that listens compares sessions, and welcomes or
//! refuses it. The dealer or the assistant welcomes both parties, and then answers each with its session key. Over links
//! within one process the parties exchange plain [`Hello`] messages instead.

mod actor;
mod checkpoints;
mod greeting;

mod key_bytes;

use core::mem::discriminant;

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

pub use actor::Actor;
pub use checkpoints::{CheckpointId, Checkpoints};
pub use greeting::{
    Ends, Greeting, Welcome, accept_welcomed, greet, receive_greeting, refuse_greeting,
};

use crate::{
    Role,
    net::{
        link::{Link, LinkError},
        message::{MessageError, receive, send},
    },
    prg::Key,
    session::{Rank, Session, Validation},
};

/// Version of all messages and protocols. Roles of different versions refuse each other.
pub const VERSION: u16 = 23;

/// A party's first message to each other role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// The sender's role.
    pub role: Role,
    /// The session that the sender runs.
    pub session: Session,
    /// The identity of the sender's dealt file, if it has one in place of a dealer.
    pub dealt: Option<DealtId>,
    /// The checkpoints from which the sender could go on.
    pub checkpoints: Checkpoints,
    /// The held-out samples on which the shared model is evaluated as the training goes on, if any. They are no part of the
    /// session, since they change nothing about the model.
    pub validation: Option<Validation>,
    /// The rank that speaks. The first rank offers this number of ranks, and the dealer or the assistant chooses no more than
    /// that; a further rank names the chosen number.
    pub rank: Rank,
    /// How many processes the sender's role has. If there are several, each is a rank at an address of its own, and no other
    /// number of ranks can be chosen.
    pub processes: u16,
}

/// Identity of a session dealt ahead of time. Both parties' dealt files carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealtId(pub [u8; 16]);

/// The answer of the dealer or the assistant when it has both parties' hellos.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// The party's session key, wiped when dropped; the iteration that comes first; and how many ranks each role has.
    Key(#[serde(with = "key_bytes")] Key, u32, u16),
    /// The sessions do not match.
    Refused(Mismatch),
}

/// A public parameter on which the roles must agree.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "each is a field of the session")]
pub enum Parameter {
    Model,
    Ring,
    FractionBits,
    Headroom,
    Normalisation,
    Update,
    Task,
    TripleScheme,
    Protocol,
    Samples,
    Contributions,
    Batch,
    MicroBatch,
    Epochs,
    Limit,
    LearningRate,
    Momentum,
    Schedule,
    WeightDecay,
    LabelSmoothing,
    InitialWeights,
    Nesterov,
    Clip,
    Privacy,
    ClassWeights,
    Shuffle,
    Receiver,
    RevealLoss,
    InitialModel,
    Audit,
    Classes,
    /// The backbones by which images became samples.
    Backbone,
    Dealt,
    Validation,
}

impl core::fmt::Display for Parameter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Parameter::Model => "models",
            Parameter::Ring => "rings",
            Parameter::FractionBits => "fraction bits",
            Parameter::Headroom => "bits of headroom",
            Parameter::Normalisation => "normalisations of images",
            Parameter::Update => "ways of updating weights",
            Parameter::Task => "tasks",
            Parameter::TripleScheme => "triples",
            Parameter::Protocol => "protocols",
            Parameter::Samples => "numbers of samples",
            Parameter::Contributions => "lists of contributions",
            Parameter::Batch => "batch sizes",
            Parameter::MicroBatch => "micro-batch sizes",
            Parameter::Epochs => "numbers of epochs",
            Parameter::Limit => "limits of iterations",
            Parameter::LearningRate => "learning rates",
            Parameter::Momentum => "momenta",
            Parameter::Schedule => "schedules of the learning rate",
            Parameter::WeightDecay => "weight decays",
            Parameter::LabelSmoothing => "label smoothings",
            Parameter::InitialWeights => "initial weights",
            Parameter::Nesterov => "momenta: one of them Nesterov's",
            Parameter::Clip => "bounds of gradients (--clip-value)",
            Parameter::Privacy => "private gradients (--dp-...)",
            Parameter::ClassWeights => "class weights",
            Parameter::Shuffle => "seeds of the samples' order",
            Parameter::Receiver => "receivers of the model (--reveal-to)",
            Parameter::RevealLoss => "wishes to learn the loss (--reveal-loss)",
            Parameter::InitialModel => "initial models (--init, --init-by)",
            Parameter::Audit => "audits",
            Parameter::Classes => "lists of classes",
            Parameter::Backbone => "backbones",
            Parameter::Dealt => "dealt files",
            Parameter::Validation => "held-out images (--validate, --validate-every, --patience)",
        })
    }
}

/// Why two roles cannot run together.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mismatch {
    /// The other end does not speak this protocol.
    Foreign,
    /// The other end has this version. Remedy: update the older program.
    Version(u16),
    /// Both parties have this role.
    Role(Role),
    /// The sessions differ in this parameter. Remedy: start both parties with the same.
    Differs(Parameter),
    /// The session needs an assistant, and a dealer answers.
    Dealer,
    /// The session needs a dealer, and an assistant answers.
    Assistant,
    /// Another role than the wanted one listens here: this one.
    Actor(Actor),
    /// The identity is not the one that the roster gives this role.
    Identity,
    /// Other ranks are to come now, this one or those from this one on.
    Rank(u16),
    /// P0, P1 and the dealer or the assistant have these numbers of processes. Remedy: start all with the same.
    Processes([u16; 3]),
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
            Mismatch::Actor(actor) => write!(f, "{actor} listens there, not the wanted role"),
            Mismatch::Identity => {
                f.write_str("the identity is not the one that the roster gives the role")
            }
            Mismatch::Rank(index) => write!(f, "rank {index} is to come now"),
            Mismatch::Processes([p0, p1, helper]) => write!(
                f,
                "the roles have different numbers of processes: {p0} at p0, {p1} at p1, {helper} at the other role"
            ),
        }
    }
}

impl Mismatch {
    /// What the user can do about it, as a phrase without a full stop.
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
            Mismatch::Actor(_) => "correct the address",
            Mismatch::Rank(_) => "start all roles again",
            Mismatch::Processes(_) => "start all roles with the same number (mpirun -n)",
            Mismatch::Identity => "give all roles the same roster, and each its own identity",
        }
    }
}

/// Why a handshake failed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandshakeError {
    /// The link failed.
    Link(LinkError),
    /// The other end does not match this one.
    Mismatch(Mismatch),
    /// The dealer or the assistant refuses, because the parties do not match each other or it.
    Refused(Mismatch),
    /// The hello is longer than a message may be. Remedy: use a model with fewer layers.
    TooLong,
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
    /// The hello of `role` for `session`, without a dealt file.
    pub fn new(role: Role, session: &Session) -> Self {
        Hello {
            version: VERSION,
            role,
            session: session.clone(),
            dealt: None,
            checkpoints: Checkpoints::default(),
            validation: None,
            rank: Rank::ONLY,
            processes: 1,
        }
    }

    /// The same hello from another rank, or with an offer of ranks.
    pub fn with_rank(self, rank: Rank) -> Self {
        Hello { rank, ..self }
    }

    /// The same hello from the process that is this rank of its role.
    pub fn with_process(self, rank: Rank) -> Self {
        let processes = rank.count();
        Hello {
            rank,
            processes,
            ..self
        }
    }

    /// The same hello with a dealt file of this identity.
    pub fn with_dealt_file(self, dealt: DealtId) -> Self {
        Hello {
            dealt: Some(dealt),
            ..self
        }
    }

    /// Sends this hello to the peer, receives the peer's, and compares them.
    ///
    /// Fails if the link does, or if version, role or session do not match.
    #[inline(never)]
    pub fn exchange_with_peer<T: Read + Write>(
        &self,
        link: &mut Link<T>,
    ) -> Result<(), HandshakeError> {
        send(link, self)?;
        match &receive_hello(link) {
            Ok(heard) => Ok(self.check_peer(heard)?),
            Err(error) => Err(*error),
        }
    }

    /// As [`Hello::exchange_with_peer`], for a caller that has already received the peer's hello.
    pub fn reply_to_peer<T: Read + Write>(
        &self,
        link: &mut Link<T>,
        heard: &Hello,
    ) -> Result<(), HandshakeError> {
        send(link, self)?;
        Ok(self.check_peer(heard)?)
    }

    /// Checks that the party with the hello `heard` can be this one's peer.
    pub fn check_peer(&self, heard: &Hello) -> Result<(), Mismatch> {
        if heard.role == self.role {
            return Err(Mismatch::Role(self.role));
        }
        self.compare(heard)
    }

    /// Checks that a first rank speaks, when `ranks` is none, or else a further rank of so many.
    pub fn check_rank(&self, ranks: Option<u16>) -> Result<(), Mismatch> {
        match ranks {
            None if self.rank.is_first() => Ok(()),
            Some(count) if !self.rank.is_first() && self.rank.count() == count => Ok(()),
            None => Err(Mismatch::Rank(0)),
            Some(_) => Err(Mismatch::Rank(1)),
        }
    }

    /// Checks for the dealer or the assistant, which has `own` processes, that this party P0 and the party `p1` have as many.
    pub fn check_processes(&self, p1: &Hello, own: u16) -> Result<(), Mismatch> {
        let numbers = [self.processes, p1.processes, own];
        match numbers == [own; 3] {
            true => Ok(()),
            false => Err(Mismatch::Processes(numbers)),
        }
    }

    /// Sends this hello to the dealer or the assistant, which answers when it has both. Fails if the link does.
    #[inline(never)]
    pub fn send<T: Read + Write>(&self, link: &mut Link<T>) -> Result<(), HandshakeError> {
        Ok(send(link, self)?)
    }

    /// Compares sessions, dealt files and held-out samples, and fails with the first parameter that differs.
    pub fn compare(&self, other: &Hello) -> Result<(), Mismatch> {
        let (a, b) = (&self.session, &other.session);
        // The pattern names every field, so a new field does not compile until it is compared.
        let Session {
            model,
            format,
            headroom,
            normalisation,
            task,
            protocol,
            samples,
            contributions,
            batch,
            micro_batch,
            epochs,
            limit,
            learning_rate,
            momentum,
            training,
            class_weights,
            shuffle_seed,
            receiver,
            initial_model,
            reveal_loss,
            audit,
            classes,
            backbone,
        } = a;
        // The triple scheme has its own check below, so that its error names it.
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
            (*headroom == b.headroom, Parameter::Headroom),
            (*normalisation == b.normalisation, Parameter::Normalisation),
            (
                protocol.triples() == b.protocol.triples(),
                Parameter::TripleScheme,
            ),
            // Other lists mostly have other numbers.
            (*contributions == b.contributions, Parameter::Contributions),
            (*samples == b.samples, Parameter::Samples),
            (*batch == b.batch, Parameter::Batch),
            // With private gradients, micro-batches are of other rows.
            (training.privacy == b.training.privacy, Parameter::Privacy),
            (*micro_batch == b.micro_batch, Parameter::MicroBatch),
            (*epochs == b.epochs, Parameter::Epochs),
            (*limit == b.limit, Parameter::Limit),
            (*learning_rate == b.learning_rate, Parameter::LearningRate),
            (*momentum == b.momentum, Parameter::Momentum),
            (
                (training.schedule, training.warm_up) == (b.training.schedule, b.training.warm_up),
                Parameter::Schedule,
            ),
            (
                training.weight_decay == b.training.weight_decay,
                Parameter::WeightDecay,
            ),
            (
                training.label_smoothing == b.training.label_smoothing,
                Parameter::LabelSmoothing,
            ),
            (
                training.initial_weights == b.training.initial_weights,
                Parameter::InitialWeights,
            ),
            (
                training.nesterov == b.training.nesterov,
                Parameter::Nesterov,
            ),
            (training.clip == b.training.clip, Parameter::Clip),
            (*class_weights == b.class_weights, Parameter::ClassWeights),
            (*shuffle_seed == b.shuffle_seed, Parameter::Shuffle),
            (*receiver == b.receiver, Parameter::Receiver),
            (*reveal_loss == b.reveal_loss, Parameter::RevealLoss),
            (*initial_model == b.initial_model, Parameter::InitialModel),
            (*audit == b.audit, Parameter::Audit),
            (classes.agrees(&b.classes), Parameter::Classes),
            (backbone.agrees(&b.backbone), Parameter::Backbone),
            (self.dealt == other.dealt, Parameter::Dealt),
            (self.validation == other.validation, Parameter::Validation),
        ];
        match checks.into_iter().find(|(same, _)| !same) {
            Some((_, parameter)) => Err(Mismatch::Differs(parameter)),
            None => Ok(()),
        }
    }
}

/// Receives a hello. Fails if the link does, or if the other end has another version or speaks no such protocol.
#[inline(never)]
pub fn receive_hello<T: Read + Write>(link: &mut Link<T>) -> Result<Hello, HandshakeError> {
    let hello: Hello = receive(link)?;
    if hello.version != VERSION {
        return Err(Mismatch::Version(hello.version).into());
    }
    Ok(hello)
}

/// What the dealer or the assistant gives a party before a run.
pub struct Start {
    /// The party's session key.
    pub key: Key,
    /// The iteration that comes first.
    pub first: u32,
    /// How many ranks each role has.
    pub ranks: u16,
}

/// Receives the answer of the dealer or the assistant. Fails if it refuses.
#[inline(never)]
pub fn receive_key<T: Read + Write>(link: &mut Link<T>) -> Result<Start, HandshakeError> {
    match receive(link)? {
        Answer::Key(key, first, ranks) => Ok(Start { key, first, ranks }),
        Answer::Refused(mismatch) => Err(HandshakeError::Refused(mismatch)),
    }
}

/// Sends a party what it needs before a run. Fails if the link does.
pub fn send_key<T: Read + Write>(link: &mut Link<T>, start: &Start) -> Result<(), HandshakeError> {
    let key = start.key.clone();
    Ok(send(link, &Answer::Key(key, start.first, start.ranks))?)
}

/// Sends a party the reason why its session does not run. Fails if the link does.
pub fn refuse<T: Read + Write>(link: &mut Link<T>, why: Mismatch) -> Result<(), HandshakeError> {
    Ok(send(link, &Answer::Refused(why))?)
}

#[cfg(test)]
mod tests;
