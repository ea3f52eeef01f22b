//! The roles at their links: what a computing party and the assistant hold beside their memory.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    Role,
    cost::{Cost, traffic::Traffic},
    gate::{Offline, Online},
    net::link::{Link, LinkError, Segment},
    num::ring::Word,
    prg::{Key, Prg},
    share::Masked,
};

use super::gates::{Assisting, Computing};

/// A computing party's keys and links, with everything that passes counted: what it sends to both other roles as
/// online bytes, what the assistant sends to it as the dealer's.
///
/// The gates of the dealt protocols run on it too, with the assistant as their dealer.
pub struct PartyContext<P, A> {
    role: Role,
    pair: Prg,
    shared: Prg,
    peer: Link<P>,
    assistant: Link<A>,
    traffic: Traffic,
    cost_row: usize,
    backward: bool,
    /// Whether the assistant has been told something since it was last heard.
    asked: bool,
}

impl<P: Read + Write, A: Read + Write> PartyContext<P, A> {
    /// A party with the key of the computing parties and the one that it shares with the assistant, which both
    /// serve one session.
    pub fn new(role: Role, [pair, shared]: [Key; 2], peer: Link<P>, assistant: Link<A>) -> Self {
        PartyContext {
            role,
            pair: Prg::new(pair),
            shared: Prg::new(shared),
            peer,
            assistant,
            traffic: Traffic::default(),
            cost_row: 0,
            backward: false,
            asked: false,
        }
    }

    /// Takes the counts and starts again from zero.
    pub fn take_traffic(&mut self) -> Traffic {
        core::mem::take(&mut self.traffic)
    }

    /// Books what follows under a cost row.
    pub(crate) fn set_cost_row(&mut self, cost_row: usize, backward: bool) {
        self.cost_row = cost_row;
        self.backward = backward;
    }

    fn count(&mut self) -> &mut Cost {
        &mut self.traffic.cost_rows[self.cost_row][usize::from(self.backward)]
    }

    /// The link to the peer.
    pub(crate) fn peer(&mut self) -> &mut Link<P> {
        &mut self.peer
    }

    /// Sends the low bytes of shares to the peer, who asks for their sums.
    pub(super) fn tell_bytes(&mut self, shares: &[u64]) -> Result<(), LinkError> {
        self.assistant.flush()?;
        self.count().online_bytes += shares.len() as u64;
        for &share in shares {
            self.peer.send(&[share as u8])?;
        }
        self.peer.flush()
    }

    /// Receives the low bytes of the peer's shares, and leaves those of the sums.
    pub(super) fn hear_bytes(&mut self, shares: &mut [u64]) -> Result<(), LinkError> {
        self.assistant.flush()?;
        self.count().opened_values += shares.len() as u64;
        self.count().rounds += 1;
        for share in shares {
            let mut byte = [0];
            self.peer.receive(&mut byte)?;
            *share = share.wrapping_add(byte[0].into()) & 0xFF;
        }
        Ok(())
    }

    /// Bytes sent to both other roles so far.
    pub fn sent(&self) -> u64 {
        self.peer.sent() + self.assistant.sent()
    }

    /// Pushes out what was sent: the last step of a run.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        self.peer.flush()?;
        self.assistant.flush()
    }
}

impl<P: Read + Write, A: Read + Write> Computing for PartyContext<P, A> {
    fn role(&self) -> Role {
        self.role
    }

    fn pair(&self) -> &Prg {
        &self.pair
    }

    fn assistant(&self) -> &Prg {
        &self.shared
    }

    fn exchange(&mut self, bits: u32, own: &[u64], other: &mut [u64]) -> Result<(), LinkError> {
        other.copy_from_slice(own);
        let words = Masked::wrap_slice_mut(&mut *other);
        Online::open(self, &mut [Segment::words(words, bits)])?;
        // What has been opened is the sum modulo 2^bits, and both words are below that.
        let low = u64::MAX >> (64 - bits);
        for (other, &own) in other.iter_mut().zip(own) {
            *other = other.wrapping_sub(own) & low;
        }
        Ok(())
    }

    fn open(&mut self, bits: u32, lists: [&mut [u64]; 2]) -> Result<(), LinkError> {
        let mut segments = lists.map(|list| Segment::words(Masked::wrap_slice_mut(list), bits));
        Online::open(self, &mut segments)
    }

    fn tell_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.asked = true;
        self.count().online_bytes += bytes.len() as u64;
        self.assistant.send(bytes)
    }

    fn hear_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        // Only what was asked for has to be waited for.
        let waits = core::mem::take(&mut self.asked);
        let count = self.count();
        count.dealer_bytes += bytes.len() as u64;
        count.rounds += u64::from(waits);
        self.assistant.flush()?;
        self.assistant.receive(bytes)
    }
}

impl<P: Read + Write, A: Read + Write> Online for PartyContext<P, A> {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.shared
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        let count = self.count();
        count.rounds += 1;
        for segment in segments.iter() {
            count.opened_values += segment.values();
            count.online_bytes += segment.sent_len();
        }
        self.assistant.flush()?;
        self.peer.open(self.role, segments)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.hear_assistant(bytes)
    }
}

/// The assistant's keys and links.
pub struct AssistantContext<F, S> {
    own: Prg,
    shared: [Prg; 2],
    first: Link<F>,
    second: Link<S>,
}

impl<F: Read + Write, S: Read + Write> AssistantContext<F, S> {
    /// An assistant with a key of its own and those that it shares with P0 and P1.
    pub fn new(own: Key, shared: [Key; 2], first: Link<F>, second: Link<S>) -> Self {
        AssistantContext {
            own: Prg::new(own),
            shared: shared.map(Prg::new),
            first,
            second,
        }
    }

    /// Bytes sent to both parties so far.
    pub fn sent(&self) -> u64 {
        self.first.sent() + self.second.sent()
    }

    /// The links to both parties, with the run over.
    pub fn into_links(self) -> (Link<F>, Link<S>) {
        (self.first, self.second)
    }

    /// Pushes out what was sent: the last step of a run.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        self.first.flush()?;
        self.second.flush()
    }
}

impl<F: Read + Write, S: Read + Write> Assisting for AssistantContext<F, S> {
    fn own(&self) -> &Prg {
        &self.own
    }

    fn prg(&self, role: Role) -> &Prg {
        &self.shared[role.index()]
    }

    fn tell(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError> {
        match role {
            Role::P0 => self.first.send(bytes),
            Role::P1 => self.second.send(bytes),
        }
    }

    fn hear(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError> {
        // Whoever is waited for may wait for what has not gone out yet.
        self.flush()?;
        match role {
            Role::P0 => self.first.receive(bytes),
            Role::P1 => self.second.receive(bytes),
        }
    }
}

impl<F: Read + Write, S: Read + Write> Offline for AssistantContext<F, S> {
    fn prg(&self, role: Role) -> &Prg {
        &self.shared[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.second.send(bytes)
    }
}
