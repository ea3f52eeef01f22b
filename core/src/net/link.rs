//! Links between roles: exact exchange of masked values with the peer, and the stream of corrections
//! that the dealer sends to P1.

use embedded_io::{Error as _, ErrorKind, Read, ReadExactError, Write};

use crate::{
    Role,
    cost::LANES,
    kernel::pack::{pack, packed_len, unpack},
    num::ring::Word,
    profile::{self, Section},
    share::{Masked, Share},
};
use bytemuck::TransparentWrapper;

/// The other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Remote {
    /// The other computing party.
    Peer,
    /// The dealer, seen from a party.
    Dealer,
    /// The assistant, seen from a party.
    Assistant,
    /// A party, seen from the dealer or the assistant.
    Party(Role),
}

impl core::fmt::Display for Remote {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Remote::Peer => f.write_str("the peer"),
            Remote::Dealer => f.write_str("the dealer"),
            Remote::Assistant => f.write_str("the assistant"),
            Remote::Party(role) => write!(f, "party {role}"),
        }
    }
}

/// Why bytes could not be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkError {
    /// The other end closed the link before the run was over: look there for the reason.
    Closed(Remote),
    /// The other end said nothing for too long: see whether it still runs.
    Silent(Remote),
    /// The link itself failed: check the cable, the address or the network.
    Failed(Remote, ErrorKind),
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LinkError::Closed(remote) => write!(f, "{remote} closed the link before the end"),
            LinkError::Silent(remote) => write!(f, "{remote} has been silent for too long"),
            LinkError::Failed(remote, kind) => write!(f, "the link to {remote} failed ({kind:?})"),
        }
    }
}

impl core::error::Error for LinkError {}

/// A connected link: bytes in order, both ways.
pub struct Link<T> {
    io: T,
    remote: Remote,
    /// Bytes that may be sent before the other end has read any, without risk of both ends waiting.
    ahead: usize,
    sent: u64,
    received: u64,
}

impl<T: Read + Write> Link<T> {
    /// Wraps a connected transport. `ahead` is how many bytes the transport is sure to take while
    /// the other end is not reading; 0 is always right.
    pub fn new(io: T, remote: Remote, ahead: usize) -> Self {
        Link {
            io,
            remote,
            ahead,
            sent: 0,
            received: 0,
        }
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.io
    }

    /// The transport, to be set up differently.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The transport, with the link over.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// The same link, once it is known who is at the other end.
    pub fn renamed(self, remote: Remote) -> Self {
        Link { remote, ..self }
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.sent += bytes.len() as u64;
        let remote = self.remote;
        self.io
            .write_all(bytes)
            .map_err(|e| failure(remote, e.kind()))
    }

    /// Pushes out what was sent.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        let remote = self.remote;
        self.io.flush().map_err(|e| failure(remote, e.kind()))
    }

    /// Fills `bytes`.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.received += bytes.len() as u64;
        let remote = self.remote;
        self.io.read_exact(bytes).map_err(|e| match e {
            ReadExactError::UnexpectedEof => LinkError::Closed(remote),
            ReadExactError::Other(e) => failure(remote, e.kind()),
        })
    }

    /// Opens masked values: sends this party's shares, receives the peer's, and leaves the sums in
    /// place. All segments travel as one message each way, packed at their widths.
    ///
    /// The two directions are interleaved in blocks so that neither end can wait for the other
    /// however little the transport buffers: without leave to send ahead, P0 sends a block and then
    /// reads one, P1 reads one and then sends.
    pub fn open<W: Word>(
        &mut self,
        role: Role,
        segments: &mut [Segment<'_, W>],
    ) -> Result<(), LinkError> {
        let _section = profile::section(Section::Link);
        let mut outgoing = Cursor::default();
        let mut incoming = Cursor::default();
        let (mut sent, mut received) = (0, 0);
        let mut block = [0; BLOCK];
        let mut own = [0; BLOCK];
        loop {
            // Send as far ahead of what has been received as the transport allows.
            loop {
                let first = role == Role::P0 && sent <= received;
                if !first && sent >= received + self.ahead {
                    break;
                }
                let Some(at) = outgoing.next(segments, Direction::Out) else {
                    break;
                };
                let len = segments[at.segment].pack(at, &mut own);
                self.send(&own[..len])?;
                sent += len;
            }
            self.flush()?;
            let Some(at) = incoming.next(segments, Direction::In) else {
                break;
            };
            let len = segments[at.segment].wire_len(at);
            self.receive(&mut block[..len])?;
            received += len;
            // P1 without leave to send ahead answers block by block, before the sum overwrites its share.
            while sent < received {
                let Some(at) = outgoing.next(segments, Direction::Out) else {
                    break;
                };
                let len = segments[at.segment].pack(at, &mut own);
                self.send(&own[..len])?;
                sent += len;
            }
            segments[at.segment].combine(at, &block[..len]);
        }
        // What is left to send needs no answer.
        while let Some(at) = outgoing.next(segments, Direction::Out) {
            let len = segments[at.segment].pack(at, &mut own);
            self.send(&own[..len])?;
        }
        self.flush()
    }
}

fn failure(remote: Remote, kind: ErrorKind) -> LinkError {
    match kind {
        ErrorKind::BrokenPipe
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected => LinkError::Closed(remote),
        ErrorKind::TimedOut => LinkError::Silent(remote),
        kind => LinkError::Failed(remote, kind),
    }
}

/// Bytes that are packed at a time.
const BLOCK: usize = 1024;

/// Who sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Both,
    Out,
    In,
}

/// One tensor of an opening: values that are added, or bits that are combined by exclusive or.
pub struct Segment<'a, W> {
    words: &'a mut [Masked<W>],
    bits: u32,
    planes: &'a mut [Masked<u8>],
    values: u64,
    direction: Direction,
}

impl<'a, W: Word> Segment<'a, W> {
    /// Elements of Z_2^bits.
    pub fn words(words: &'a mut [Masked<W>], bits: u32) -> Self {
        let values = words.len() as u64;
        Segment {
            words,
            bits,
            planes: &mut [],
            values,
            direction: Direction::Both,
        }
    }

    /// Bit planes holding `values` masked bits.
    pub fn planes(planes: &'a mut [Masked<u8>], values: u64) -> Self {
        Segment {
            words: &mut [],
            bits: W::BITS,
            planes,
            values,
            direction: Direction::Both,
        }
    }

    /// Values whose other share and other mask are zero because one party owns them in plaintext:
    /// the owner alone sends. The receiver's buffer must be zero.
    pub fn owned(words: &'a mut [Masked<W>], bits: u32, mine: bool) -> Self {
        Segment {
            direction: if mine { Direction::Out } else { Direction::In },
            ..Segment::words(words, bits)
        }
    }

    /// Shares of values that one party alone learns: the other sends its own. The values are left with the party
    /// that `learns`, and its shares with the other.
    pub fn revealed(words: &'a mut [Share<W>], bits: u32, learns: bool) -> Self {
        let words = Masked::wrap_slice_mut(Share::peel_slice_mut(words));
        Segment::owned(words, bits, !learns)
    }

    /// Values that become known, to both or to one.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Bytes that this party sends.
    pub fn sent_len(&self) -> u64 {
        if self.sends() { self.len() as u64 } else { 0 }
    }

    fn len(&self) -> usize {
        packed_len(self.words.len(), self.bits) + self.planes.len()
    }

    fn sends(&self) -> bool {
        self.direction != Direction::In
    }

    /// Elements in one block: a whole number of bytes, whatever the width.
    fn step(&self) -> usize {
        if self.words.is_empty() {
            BLOCK
        } else {
            (BLOCK * 8 / self.bits as usize / LANES).max(1) * LANES
        }
    }

    fn elements(&self) -> usize {
        self.words.len().max(self.planes.len())
    }

    fn range(&self, at: Place) -> core::ops::Range<usize> {
        at.first..(at.first + self.step()).min(self.elements())
    }

    fn wire_len(&self, at: Place) -> usize {
        let count = self.range(at).len();
        if self.words.is_empty() {
            count
        } else {
            packed_len(count, self.bits)
        }
    }

    fn pack(&self, at: Place, bytes: &mut [u8]) -> usize {
        let _section = profile::section(Section::Packing);
        let range = self.range(at);
        if self.words.is_empty() {
            bytes[..range.len()].copy_from_slice(Masked::peel_slice(&self.planes[range]));
        } else {
            pack(self.bits, Masked::peel_slice(&self.words[range]), bytes);
        }
        self.wire_len(at)
    }

    fn combine(&mut self, at: Place, bytes: &[u8]) {
        let _section = profile::section(Section::Packing);
        let range = self.range(at);
        if self.words.is_empty() {
            let planes = Masked::peel_slice_mut(&mut self.planes[range]);
            for (own, peer) in planes.iter_mut().zip(bytes) {
                *own ^= peer;
            }
        } else {
            let mut values = [W::ZERO; LANES];
            let words = Masked::peel_slice_mut(&mut self.words[range]);
            let group = packed_len(LANES, self.bits);
            for (words, bytes) in words.chunks_mut(LANES).zip(bytes.chunks(group)) {
                unpack(self.bits, bytes, &mut values[..words.len()]);
                for (own, &peer) in words.iter_mut().zip(&values) {
                    *own = own.plus(peer).low(self.bits);
                }
            }
        }
    }
}

/// Start of a block within the segments of an opening.
#[derive(Clone, Copy, Default)]
struct Place {
    segment: usize,
    first: usize,
}

/// Walks the blocks that travel one way: first those of the segments that travel both ways, then the
/// others. So the two directions stay level while one overwrites what the other still has to send.
#[derive(Default)]
struct Cursor {
    place: Place,
    one_way: bool,
}

impl Cursor {
    fn next<W: Word>(&mut self, segments: &[Segment<'_, W>], way: Direction) -> Option<Place> {
        loop {
            let wanted = if self.one_way { way } else { Direction::Both };
            while let Some(segment) = segments.get(self.place.segment) {
                if segment.direction == wanted && self.place.first < segment.elements() {
                    let place = self.place;
                    self.place.first += segment.step();
                    return Some(place);
                }
                self.place = Place {
                    segment: self.place.segment + 1,
                    first: 0,
                };
            }
            if self.one_way {
                return None;
            }
            self.one_way = true;
            self.place = Place::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::harness::duplex;

    extern crate std;
    use std::thread;

    /// Both ends open the same three segments; returns what P0 sent and what both then hold.
    fn exchange(capacity: usize) -> ([u32; 3], [u8; 2], [u32; 2]) {
        let [one, other] = duplex(capacity);
        let open = |role, end, mut words: [u32; 3], mut planes: [u8; 2], mut owned: [u32; 2]| {
            let mut link = Link::new(end, Remote::Peer, 0);
            let mine = role == Role::P0;
            link.open(
                role,
                &mut [
                    Segment::owned(Masked::wrap_slice_mut(&mut owned), 32, mine),
                    Segment::words(Masked::wrap_slice_mut(&mut words), 20),
                    Segment::planes(Masked::wrap_slice_mut(&mut planes), 16),
                ],
            )
            .unwrap();
            // Three values of 20 bits are 8 bytes, two planes 2, two words of one owner 8.
            let sent = 8 + 2 + if mine { 8 } else { 0 };
            assert_eq!(link.sent(), sent);
            (words, planes, owned)
        };
        thread::scope(|scope| {
            let p0 = scope.spawn(|| open(Role::P0, one, [1, 0xF_FFFF, 7], [0xF0, 1], [5, 6]));
            let p1 = open(Role::P1, other, [2, 3, 0x8_0000], [0x0F, 1], [0, 0]);
            assert_eq!(p0.join().unwrap(), p1);
            p1
        })
    }

    #[test]
    fn openings_add_words_combine_planes_and_pass_what_is_owned() {
        for capacity in [1, 5, 64, 4096] {
            let (words, planes, owned) = exchange(capacity);
            assert_eq!(words, [3, 2, 0x8_0007]);
            assert_eq!(planes, [0xFF, 0]);
            assert_eq!(owned, [5, 6]);
        }
    }

    #[test]
    fn a_message_is_these_bytes() {
        let [one, other] = duplex(4096);
        let mut link = Link::new(one, Remote::Peer, 4096);
        let mut words = [0x1_2345u32, 0xF_FFFF, 1];
        let words = Masked::wrap_slice_mut(&mut words);
        thread::scope(|scope| {
            let p0 = scope.spawn(move || link.open(Role::P0, &mut [Segment::words(words, 20)]));
            let mut wire = [0; 8];
            let mut other = Link::new(other, Remote::Peer, 4096);
            other.receive(&mut wire).unwrap();
            // 20 bits each, the lowest first, filled up to a byte.
            assert_eq!(wire, [0x45, 0x23, 0xF1, 0xFF, 0xFF, 0x01, 0x00, 0x00]);
            other.send(&[0; 8]).unwrap();
            p0.join().unwrap().unwrap();
        });
    }
}
