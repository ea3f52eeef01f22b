//! A dry run of one role without the others, which counts what the role sends: it hears zeros. Which messages a role sends
//! depends on public values alone.

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    data::{Data, DataError},
    dealt::{PartyContext, Plan, Sent, Trainer},
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    securenn::{self, Assistant, AssistantContext, assistant_words, party_words},
    session::{
        RunError, Session, Task,
        handshake::{Start, send_key},
    },
    share::NoObserver,
};

use crate::links::connect::UNBOUNDED;

/// Counts what the party of `role` sends in the whole session, at a link that takes `ahead` bytes ahead: a device's takes
/// none.
pub fn sent<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
    ahead: usize,
) -> Result<Sent, RunError> {
    let plan = Plan::new(session, network);
    let mut arena = vec![0; plan.arena_words::<R>(role)];
    let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
    let mut party = Trainer::<R>::new(session, network, role, &key(), &mut arena, &mut opened)?;
    let peer = Link::new(Nobody::default(), Remote::Peer, ahead);
    let dealer = Link::new(Nobody::default(), Remote::Dealer, 0);
    let mut cx = PartyContext::new(role, key(), peer, dealer);
    for iteration in 0..session.iterations() {
        party.iterate(&mut cx, iteration, &mut Blank, &mut NoObserver)?;
    }
    party.reveal(&mut cx, |_, _| {})?;
    let (peer, _) = cx.into_links();
    Ok(counted(&peer))
}

/// What a helper sends to a party before the protocol: its key.
pub fn key_message() -> Sent {
    let mut link = link(Remote::Party(Role::P0));
    let start = Start {
        key: key(),
        first: 0,
        ranks: 1,
    };
    // The first iteration takes a byte more in a run that goes on from a checkpoint.
    match send_key(&mut link, &start) {
        Ok(()) => counted(&link),
        Err(_) => Sent::default(),
    }
}

/// What the roles of a session send, P0 first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RolesSent {
    /// Each party to the other.
    pub to_peer: [Sent; 2],
    /// Each party to the dealer or the assistant.
    pub to_helper: [Sent; 2],
    /// The dealer or the assistant to each party.
    pub from_helper: [Sent; 2],
}

/// Counts what the roles of SecureNN send in an iteration over `len` samples, which is `audited` or not. All such
/// iterations are alike.
pub fn securenn_iteration(
    session: &Session,
    network: &Network,
    len: u32,
    audited: bool,
) -> Result<RolesSent, RunError> {
    let session = &Session {
        samples: match session.samples_owner() {
            Role::P0 => [len, 0],
            Role::P1 => [0, len],
        },
        batch: len,
        micro_batch: session.micro_batch.min(len),
        limit: 1,
        receiver: None,
        initial_model: None,
        audit: audited.into(),
        ..session.clone()
    };
    let mut sent = RolesSent::default();
    for role in Role::BOTH {
        let mut memory = vec![0; party_words(session, network)];
        let links = (link(Remote::Peer), link(Remote::Assistant));
        let mut cx = securenn::PartyContext::new(role, [key(), key()], links.0, links.1);
        match session.task {
            Task::Train => {
                let mut party =
                    securenn::Trainer::new(session, network, role, &key(), &mut memory)?;
                party.iterate(&mut cx, 0, &mut Blank, &mut NoObserver)?;
            }
            Task::Infer => {
                let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
                party.classify(&mut cx, 0, &mut Blank, &mut NoObserver, |_, _| {})?;
            }
        }
        let (peer, assistant) = cx.into_links();
        sent.to_peer[role.index()] = counted(&peer);
        sent.to_helper[role.index()] = counted(&assistant);
    }
    let mut memory = vec![0; assistant_words(session, network)];
    let mut assistant = Assistant::new(session, network, &mut memory)?;
    let links = Role::BOTH.map(|role| link(Remote::Party(role)));
    let [first, second] = links;
    let mut cx = AssistantContext::new(key(), [key(), key()], first, second);
    assistant.iterate(&mut cx, 0)?;
    let (first, second) = cx.into_links();
    sent.from_helper = [counted(&first), counted(&second)];
    Ok(sent)
}

/// Any key.
fn key() -> Key {
    Key::new([1; Key::LEN])
}

fn link(remote: Remote) -> Link<Nobody> {
    Link::new(Nobody::default(), remote, UNBOUNDED)
}

fn counted(link: &Link<Nobody>) -> Sent {
    Sent {
        bytes: link.sent(),
        messages: link.transport().messages,
    }
}

/// A transport that hears zeros and counts messages.
#[derive(Default)]
struct Nobody {
    messages: u64,
    written: bool,
}

impl ErrorType for Nobody {
    type Error = Infallible;
}

impl Read for Nobody {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        bytes.fill(0);
        Ok(bytes.len())
    }
}

impl Write for Nobody {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.written |= !bytes.is_empty();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.messages += u64::from(std::mem::take(&mut self.written));
        Ok(())
    }
}

/// Blank samples of the first class.
struct Blank;

impl Data for Blank {
    fn pixels(&mut self, _: u32, out: &mut [u8]) -> Result<(), DataError> {
        out.fill(0);
        Ok(())
    }

    fn label(&mut self, _: u32) -> Result<u8, DataError> {
        Ok(0)
    }
}
