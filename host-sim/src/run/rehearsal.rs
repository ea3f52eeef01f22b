//! What a party sends in a session, counted without the other roles: it hears zeros. Which messages it sends depends on
//! public values alone.

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    data::{Data, DataError},
    dealt::{PartyContext, Plan, Trainer},
    net::{
        Link, Remote,
        secure::{Suite, frame_bytes, wire_bytes},
    },
    network::Network,
    num::Ring,
    prg::Key,
    session::{RunError, Session},
    share::NoObserver,
};

/// What a party sends to the other one after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes.
    pub bytes: u64,
    /// Messages: what is written between two flushes.
    pub messages: u64,
}

impl Sent {
    /// The bytes in the frames of a device's secure link.
    pub fn framed(self) -> u64 {
        let frames =
            |bytes, messages| frame_bytes(bytes, messages, Suite::Device.buffer_len(), false);
        self.bytes + frames(self.bytes, self.messages) - frames(0, 0)
    }

    /// Bytes of a device's secure link in a session: its Noise handshake, the frames and the end, without the greeting.
    /// P1 confirms the end.
    pub fn sealed(self, role: Role) -> u64 {
        let len = Suite::Device.buffer_len();
        wire_bytes(self.bytes, self.messages, len, role == Role::P1)
    }
}

/// Counts what the party of `role` sends in the whole session, at a link that takes nothing ahead, as a device's.
pub fn sent<R: Ring>(session: &Session, network: &Network, role: Role) -> Result<Sent, RunError> {
    let plan = Plan::new(session, network);
    let mut arena = vec![0; plan.arena_words::<R>(role)];
    let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
    let key = || Key::new([1; Key::LEN]);
    let mut party = Trainer::<R>::new(session, network, role, &key(), &mut arena, &mut opened)?;
    let peer = Link::new(Nobody::default(), Remote::Peer, 0);
    let dealer = Link::new(Nobody::default(), Remote::Dealer, 0);
    let mut cx = PartyContext::new(role, key(), peer, dealer);
    for iteration in 0..session.iterations() {
        party.iterate(&mut cx, iteration, &mut Blank, &mut NoObserver)?;
    }
    party.reveal(&mut cx, |_, _| {})?;
    let (peer, _) = cx.into_links();
    Ok(Sent {
        bytes: peer.sent(),
        messages: peer.transport().messages,
    })
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
