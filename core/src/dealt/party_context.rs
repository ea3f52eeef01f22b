//! A party's desk: its key and its links, with everything that passes counted.

use embedded_io::{Read, Write};

use crate::{
    Role,
    cost::traffic::Traffic,
    gate::Online,
    net::link::{Link, LinkError, Segment},
    num::ring::Word,
    prg::{Key, Prg},
    profile,
};

/// What a party holds beside its memory.
pub struct PartyContext<P, D> {
    role: Role,
    prg: Prg,
    peer: Link<P>,
    dealer: Link<D>,
    traffic: Traffic,
    cost_row: usize,
    backward: bool,
}

impl<P: Read + Write, D: Read + Write> PartyContext<P, D> {
    /// A desk for `role` with the key that it shares with the dealer. P0's link to the dealer is not
    /// used after the key has come.
    pub fn new(role: Role, key: Key, peer: Link<P>, dealer: Link<D>) -> Self {
        PartyContext {
            role,
            prg: Prg::new(key),
            peer,
            dealer,
            traffic: Traffic::default(),
            cost_row: 0,
            backward: false,
        }
    }

    /// What has been counted so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Takes the counts and starts again from zero.
    pub fn take_traffic(&mut self) -> Traffic {
        core::mem::take(&mut self.traffic)
    }

    /// Books what follows under a cost row.
    pub(crate) fn set_cost_row(&mut self, cost_row: usize, backward: bool) {
        self.cost_row = cost_row;
        self.backward = backward;
        profile::cost_row(cost_row, backward);
    }

    /// Opens segments that belong to different cost rows in one round, which the first cost row pays for.
    pub(crate) fn open_rows<W: Word>(
        &mut self,
        segments: &mut [Segment<'_, W>],
        row_of: impl Fn(usize) -> usize,
    ) -> Result<(), LinkError> {
        let way = usize::from(self.backward);
        self.traffic.cost_rows[row_of(0)][way].rounds += 1;
        for (index, segment) in segments.iter().enumerate() {
            let cost = &mut self.traffic.cost_rows[row_of(index)][way];
            cost.opened_values += segment.values();
            cost.online_bytes += segment.sent_len();
        }
        self.peer.open(self.role, segments)
    }

    /// Bytes sent to the peer and received from it so far.
    pub fn peer_bytes(&self) -> [u64; 2] {
        [self.peer.sent(), self.peer.received()]
    }

    /// The link to the peer.
    pub(crate) fn peer(&mut self) -> &mut Link<P> {
        &mut self.peer
    }
}

impl<P: Read + Write, D: Read + Write> Online for PartyContext<P, D> {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        let cost_row = self.cost_row;
        self.open_rows(segments, |_| cost_row)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.traffic.cost_rows[self.cost_row][usize::from(self.backward)].dealer_bytes +=
            bytes.len() as u64;
        self.dealer.receive(bytes)
    }
}
