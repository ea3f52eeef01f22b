//! The protocol contexts of the computing parties and of the assistant.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    Role,
    audit::Counting,
    cost::{Cost, stopwatch::Stopwatch, traffic::Traffic},
    gate::{Offline, Online},
    net::link::{Link, LinkError, Segment},
    num::ring::Word,
    prg::{Key, Prg},
    session::Progress,
    share::Masked,
};

use super::gates::{Assisting, Computing};

/// A computing party's protocol context: PRG keys, links, traffic counters. Bytes to both other roles count as online
/// bytes, bytes from the assistant as dealer bytes. It wipes its keys when it is dropped.
///
/// The gates of the dealt protocols also run on it, with the assistant as dealer.
pub struct PartyContext<P, A> {
    role: Role,
    /// Streams of the computing parties' common key.
    pair: Prg,
    /// Streams of the key shared with the assistant.
    shared: Prg,
    peer: Link<P>,
    assistant: Link<A>,
    traffic: Traffic,
    stopwatch: Stopwatch,
    cost_row: usize,
    backward: bool,
    /// Whether the party has sent something to the assistant since it last received from it.
    awaits_answer: bool,
    /// The next iteration that may use the keys' masks.
    progress: Progress,
}

impl<P: Read + Write, A: Read + Write> PartyContext<P, A> {
    /// The context of `role`. The keys are those that it shares with the peer and with the assistant; each session
    /// needs new ones.
    pub fn new(role: Role, [pair, shared]: [Key; 2], peer: Link<P>, assistant: Link<A>) -> Self {
        PartyContext {
            role,
            pair: Prg::new(pair),
            shared: Prg::new(shared),
            peer,
            assistant,
            traffic: Traffic::default(),
            stopwatch: Stopwatch::NONE,
            cost_row: 0,
            backward: false,
            awaits_answer: false,
            progress: Progress::Any,
        }
    }

    /// Measures the time of each cost row by a clock, which tells nanoseconds since any moment that stays. It is part of the
    /// traffic; what passes between iterations counts for no row.
    #[cfg(feature = "clock")]
    pub fn set_clock(&mut self, clock: fn() -> u64) {
        self.stopwatch = Stopwatch::new(clock);
    }

    /// Returns the traffic and resets the counters to zero.
    pub fn take_traffic(&mut self) -> Traffic {
        self.stopwatch.stop(&mut self.traffic);
        core::mem::take(&mut self.traffic)
    }

    /// Counts the traffic that follows under a cost row, forward or backward.
    pub(crate) fn set_cost_row(&mut self, cost_row: usize, backward: bool) {
        self.cost_row = cost_row;
        self.backward = backward;
        self.stopwatch.switch(&mut self.traffic, cost_row, backward);
    }

    /// The counters of the current cost row and direction.
    fn count(&mut self) -> &mut Cost {
        &mut self.traffic.cost_rows[self.cost_row][usize::from(self.backward)]
    }

    /// The next iteration that may use the keys' masks.
    pub(crate) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// The link to the peer.
    pub(crate) fn peer(&mut self) -> &mut Link<P> {
        &mut self.peer
    }

    /// Sends the low byte of each share to the peer, which learns the sums.
    pub(super) fn send_bytes(&mut self, shares: &[u64]) -> Result<(), LinkError> {
        self.assistant.flush()?;
        self.count().online_bytes += shares.len() as u64;
        for &share in shares {
            self.peer.send(&[share as u8])?;
        }
        self.peer.flush()
    }

    /// Receives the low bytes of the peer's shares, and replaces this party's shares by the low bytes of the sums.
    pub(super) fn receive_bytes(&mut self, shares: &mut [u64]) -> Result<(), LinkError> {
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

    /// Returns the links to the peer and the assistant after a run.
    pub fn into_links(self) -> (Link<P>, Link<A>) {
        (self.peer, self.assistant)
    }

    /// Flushes both links, as the last step of a run. Fails if a link does.
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
        // The opening is the sum modulo 2^bits; subtract this party's word.
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

    fn send_to_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.awaits_answer = true;
        self.count().online_bytes += bytes.len() as u64;
        self.assistant.send(bytes)
    }

    fn receive_from_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        // The party waits only for answers. The assistant sends its other messages ahead.
        let waits = core::mem::take(&mut self.awaits_answer);
        let count = self.count();
        count.dealer_bytes += bytes.len() as u64;
        count.rounds += u64::from(waits);
        self.assistant.flush()?;
        self.assistant.receive(bytes)
    }
}

impl<P: Read + Write, A: Read + Write> Counting for PartyContext<P, A> {
    fn count_under(&mut self, cost_row: usize, backward: bool) {
        self.set_cost_row(cost_row, backward);
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
        self.receive_from_assistant(bytes)
    }
}

/// The assistant's protocol context: PRG keys and links. It wipes its keys when it is dropped.
pub struct AssistantContext<F, S> {
    own: Prg,
    shared: [Prg; 2],
    first: Link<F>,
    second: Link<S>,
    /// The next iteration that may use the keys' masks.
    progress: Progress,
}

impl<F: Read + Write, S: Read + Write> AssistantContext<F, S> {
    /// A context with the assistant's own key, the keys that it shares with P0 and P1, and its links to P0 and P1. Each
    /// session needs new keys.
    ///
    /// A transport that keeps bytes until it is flushed must take any number of them while the party does not read. Otherwise the
    /// assistant may wait for one party, which waits for the other, which waits for bytes that are kept.
    pub fn new(own: Key, shared: [Key; 2], first: Link<F>, second: Link<S>) -> Self {
        AssistantContext {
            own: Prg::new(own),
            shared: shared.map(Prg::new),
            first,
            second,
            progress: Progress::Any,
        }
    }

    /// The next iteration that may use the keys' masks.
    pub(crate) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// Bytes sent to both parties so far.
    pub fn sent(&self) -> u64 {
        self.first.sent() + self.second.sent()
    }

    /// Returns the links to P0 and P1 after a run.
    pub fn into_links(self) -> (Link<F>, Link<S>) {
        (self.first, self.second)
    }

    /// Flushes both links, as the last step of a run. Fails if a link does.
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

    fn send_to(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError> {
        match role {
            Role::P0 => self.first.send(bytes),
            Role::P1 => self.second.send(bytes),
        }
    }

    fn receive_from(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError> {
        // Either party may wait for bytes that are still buffered here.
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
