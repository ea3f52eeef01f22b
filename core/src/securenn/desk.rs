//! The roles at their links: what a computing party and the assistant hold beside their memory.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    Role,
    link::{Link, LinkError, Segment},
    prg::{Key, Prg},
    sharing::Masked,
};

use super::{Assisting, Computing};

/// A computing party's keys and links.
pub struct PartyDesk<P, A> {
    role: Role,
    pair: Prg,
    shared: Prg,
    peer: Link<P>,
    assistant: Link<A>,
}

impl<P: Read + Write, A: Read + Write> PartyDesk<P, A> {
    /// A party with the key of the computing parties and the one that it shares with the assistant, which both
    /// serve one session.
    pub fn new(role: Role, [pair, shared]: [Key; 2], peer: Link<P>, assistant: Link<A>) -> Self {
        PartyDesk {
            role,
            pair: Prg::new(pair),
            shared: Prg::new(shared),
            peer,
            assistant,
        }
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

impl<P: Read + Write, A: Read + Write> Computing for PartyDesk<P, A> {
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
        self.assistant.flush()?;
        other.copy_from_slice(own);
        let words = Masked::wrap_slice_mut(&mut *other);
        self.peer
            .open(self.role, &mut [Segment::words(words, bits)])?;
        // What has been opened is the sum modulo 2^bits, and both words are below that.
        let low = u64::MAX >> (64 - bits);
        for (other, &own) in other.iter_mut().zip(own) {
            *other = other.wrapping_sub(own) & low;
        }
        Ok(())
    }

    fn tell_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.assistant.send(bytes)
    }

    fn hear_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.assistant.flush()?;
        self.assistant.receive(bytes)
    }
}

/// The assistant's keys and links.
pub struct AssistantDesk<F, S> {
    own: Prg,
    shared: [Prg; 2],
    first: Link<F>,
    second: Link<S>,
}

impl<F: Read + Write, S: Read + Write> AssistantDesk<F, S> {
    /// An assistant with a key of its own and those that it shares with P0 and P1.
    pub fn new(own: Key, shared: [Key; 2], first: Link<F>, second: Link<S>) -> Self {
        AssistantDesk {
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

impl<F: Read + Write, S: Read + Write> Assisting for AssistantDesk<F, S> {
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
