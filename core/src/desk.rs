//! A party's desk: its key and its links, with everything that passes counted.

use embedded_io::{Read, Write};

use crate::{
    Role,
    gate::Online,
    link::{Link, LinkError, Segment},
    meter::Meter,
    prg::{Key, Prg},
    ring::Word,
    tally,
};

/// What a party holds beside its memory.
pub struct Desk<P, D> {
    role: Role,
    prg: Prg,
    peer: Link<P>,
    dealer: Link<D>,
    meter: Meter,
    line: usize,
    backward: bool,
}

impl<P: Read + Write, D: Read + Write> Desk<P, D> {
    /// A desk for `role` with the key that it shares with the dealer. P0's link to the dealer is not
    /// used after the key has come.
    pub fn new(role: Role, key: Key, peer: Link<P>, dealer: Link<D>) -> Self {
        Desk {
            role,
            prg: Prg::new(key),
            peer,
            dealer,
            meter: Meter::default(),
            line: 0,
            backward: false,
        }
    }

    /// What has been counted so far.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Takes the counts and starts again from zero.
    pub fn take_meter(&mut self) -> Meter {
        core::mem::take(&mut self.meter)
    }

    /// Books what follows under a line of the plan.
    pub(crate) fn book(&mut self, line: usize, backward: bool) {
        self.line = line;
        self.backward = backward;
        tally::line(line, backward);
    }

    /// Opens segments that belong to different lines in one round, which the first line pays for.
    pub(crate) fn open_lines<W: Word>(
        &mut self,
        segments: &mut [Segment<'_, W>],
        line_of: impl Fn(usize) -> usize,
    ) -> Result<(), LinkError> {
        let way = usize::from(self.backward);
        self.meter.lines[line_of(0)][way].rounds += 1;
        for (index, segment) in segments.iter().enumerate() {
            let cost = &mut self.meter.lines[line_of(index)][way];
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

impl<P: Read + Write, D: Read + Write> Online for Desk<P, D> {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        let line = self.line;
        self.open_lines(segments, |_| line)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.meter.lines[self.line][usize::from(self.backward)].dealer_bytes += bytes.len() as u64;
        self.dealer.receive(bytes)
    }
}
