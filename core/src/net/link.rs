//! Links between roles: byte streams with counters, and the opening of masked values between the parties.

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, ReadExactError, Write};

use crate::{
    Role,
    cost::LANES,
    kernel::pack::{pack, packed_len, unpack},
    num::ring::Word,
    profile::{self, Section},
    share::{Masked, Share},
};
use bytemuck::TransparentWrapper;

/// The role at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Remote {
    /// The other party, seen from a party.
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

/// Why sending or receiving failed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkError {
    /// The other end closed the link before the end of the run. Its own messages give the reason.
    Closed(Remote),
    /// The other end sent nothing before a timeout. Check that it still runs.
    Silent(Remote),
    /// The transport failed. Check the cable, the address or the network.
    Failed(Remote, ErrorKind),
    /// What came was altered, repeated, left out or put in another place on its way, or more came than belongs to the
    /// session. Nothing of it may be used.
    Tampered(Remote),
    /// The other end could not prove its identity, or has heard another handshake. Check the roster.
    Unauthentic(Remote),
}

impl LinkError {
    /// The role at the other end of the link.
    pub fn remote(self) -> Remote {
        match self {
            LinkError::Closed(remote)
            | LinkError::Silent(remote)
            | LinkError::Failed(remote, _)
            | LinkError::Tampered(remote)
            | LinkError::Unauthentic(remote) => remote,
        }
    }
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LinkError::Closed(remote) => write!(f, "{remote} closed the link before the end"),
            LinkError::Silent(remote) => write!(f, "{remote} has been silent for too long"),
            LinkError::Failed(remote, kind) => write!(f, "the link to {remote} failed ({kind:?})"),
            LinkError::Tampered(remote) => {
                write!(f, "what {remote} sent was altered on its way")
            }
            LinkError::Unauthentic(remote) => {
                write!(
                    f,
                    "{remote} could not prove its identity, or the handshake was altered"
                )
            }
        }
    }
}

impl core::error::Error for LinkError {}

/// A transport whose ends can confirm to each other that a session is over.
pub trait Finish: ErrorType {
    /// Tells the other end that this one has received everything and will send no more data, and waits until the other
    /// has said the same. The end that `waits` says so only after it has heard the other; at most one end waits.
    ///
    /// # Errors
    /// When the ends disagree on the bytes that were sent, when bytes are left over, or when the transport fails.
    fn end(&mut self, waits: bool) -> Result<(), Self::Error>;

    /// After [`Finish::end`]: confirms that this end has heard the other. The end that `waits` waits for this
    /// confirmation and sends none.
    ///
    /// # Errors
    /// When the confirmation does not come, or when the transport fails.
    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error>;

    /// Ends a session and confirms it. If the end that waits succeeds, the other has succeeded too. If the other
    /// succeeds, the end that waits can only have missed the confirmation.
    ///
    /// # Errors
    /// As for [`Finish::end`] and [`Finish::confirm`].
    fn finish(&mut self, waits: bool) -> Result<(), Self::Error> {
        self.end(waits)?;
        self.confirm(waits)
    }
}

impl<T: Finish + ?Sized> Finish for &mut T {
    fn end(&mut self, waits: bool) -> Result<(), Self::Error> {
        T::end(self, waits)
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        T::confirm(self, waits)
    }
}

/// A connected link: carries bytes in order in both directions, and counts them.
pub struct Link<T> {
    io: T,
    remote: Remote,
    /// Bytes that may be sent while the other end does not read, without a deadlock.
    ahead: usize,
    sent: u64,
    received: u64,
}

impl<T: Read + Write> Link<T> {
    /// Wraps a connected transport. `ahead` is the number of bytes that the transport certainly accepts while the
    /// other end does not read; 0 is always correct.
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

    /// The transport, to change its settings.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Ends the link and returns its transport.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// The same link with another `remote`, once the role at the other end is known.
    pub fn with_remote(self, remote: Remote) -> Self {
        Link { remote, ..self }
    }

    /// The role at the other end.
    pub fn remote(&self) -> Remote {
        self.remote
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends all of `bytes`. The transport may buffer them until [`Link::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.sent += bytes.len() as u64;
        let remote = self.remote;
        self.io
            .write_all(bytes)
            .map_err(|e| failure(remote, e.kind()))
    }

    /// Flushes the transport.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        let remote = self.remote;
        self.io.flush().map_err(|e| failure(remote, e.kind()))
    }

    /// Receives `bytes.len()` bytes; waits for all of them.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.received += bytes.len() as u64;
        let remote = self.remote;
        self.io.read_exact(bytes).map_err(|e| match e {
            ReadExactError::UnexpectedEof => LinkError::Closed(remote),
            ReadExactError::Other(e) => failure(remote, e.kind()),
        })
    }

    /// Opens masked values: sends this party's shares, receives the peer's, and replaces the shares by the sums.
    /// All segments form one message in each direction, packed at their widths without headers.
    ///
    /// The directions alternate in blocks, so that no transport deadlocks, however little it buffers. If the link
    /// was created with `ahead` 0, P0 sends a block and then reads one, and P1 reads a block and then sends one.
    pub fn open<W: Word>(
        &mut self,
        role: Role,
        segments: &mut [Segment<'_, W>],
    ) -> Result<(), LinkError> {
        let _section = profile::section(Section::Link);
        let mut outgoing = Cursor::default();
        let mut incoming = Cursor::default();
        let (mut sent, mut received) = (0, 0);
        let mut incoming_bytes = [0; BLOCK];
        let mut outgoing_bytes = [0; BLOCK];
        loop {
            // Send up to `ahead` bytes more than were received. P0 always sends the first block.
            loop {
                let first = role == Role::P0 && sent <= received;
                if !first && sent >= received + self.ahead {
                    break;
                }
                let Some(at) = outgoing.next(segments, Direction::Out) else {
                    break;
                };
                let len = segments[at.segment].pack(at, &mut outgoing_bytes);
                self.send(&outgoing_bytes[..len])?;
                sent += len;
            }
            self.flush()?;
            let Some(at) = incoming.next(segments, Direction::In) else {
                break;
            };
            let len = segments[at.segment].wire_len(at);
            self.receive(&mut incoming_bytes[..len])?;
            received += len;
            // Answer the block before the sum overwrites this party's share. P1 needs this if `ahead` is 0.
            while sent < received {
                let Some(at) = outgoing.next(segments, Direction::Out) else {
                    break;
                };
                let len = segments[at.segment].pack(at, &mut outgoing_bytes);
                self.send(&outgoing_bytes[..len])?;
                sent += len;
            }
            segments[at.segment].combine(at, &incoming_bytes);
        }
        // The peer has sent everything; send the rest.
        while let Some(at) = outgoing.next(segments, Direction::Out) {
            let len = segments[at.segment].pack(at, &mut outgoing_bytes);
            self.send(&outgoing_bytes[..len])?;
        }
        self.flush()
    }
}

impl<T: Read + Write + Finish> Link<T> {
    /// Ends the session; see [`Finish::end`].
    pub fn end(&mut self, waits: bool) -> Result<(), LinkError> {
        let remote = self.remote;
        self.io.end(waits).map_err(|e| failure(remote, e.kind()))
    }

    /// Confirms the end of the session; see [`Finish::confirm`].
    pub fn confirm(&mut self, waits: bool) -> Result<(), LinkError> {
        let remote = self.remote;
        self.io
            .confirm(waits)
            .map_err(|e| failure(remote, e.kind()))
    }

    /// Ends the session and confirms it; see [`Finish::finish`].
    pub fn finish(&mut self, waits: bool) -> Result<(), LinkError> {
        self.end(waits)?;
        self.confirm(waits)
    }
}

/// Maps an error of the transport to a [`LinkError`].
fn failure(remote: Remote, kind: ErrorKind) -> LinkError {
    match kind {
        ErrorKind::BrokenPipe
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected => LinkError::Closed(remote),
        ErrorKind::TimedOut => LinkError::Silent(remote),
        ErrorKind::InvalidData => LinkError::Tampered(remote),
        kind => LinkError::Failed(remote, kind),
    }
}

/// Size in bytes of the blocks that an opening alternates.
const BLOCK: usize = 1024;

/// Who sends a segment: both parties, this one, or the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Both,
    Out,
    In,
}

/// One tensor of an opening: words that are added in a ring, or bit planes that are combined by exclusive or.
pub struct Segment<'a, W> {
    words: &'a mut [Masked<W>],
    bits: u32,
    planes: &'a mut [Masked<u8>],
    values: u64,
    direction: Direction,
}

impl<'a, W: Word> Segment<'a, W> {
    /// A tensor of elements of Z_2^bits.
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

    /// Bit planes that hold `values` masked bits.
    pub fn planes(planes: &'a mut [Masked<u8>], values: u64) -> Self {
        Segment {
            words: &mut [],
            bits: W::BITS,
            planes,
            values,
            direction: Direction::Both,
        }
    }

    /// Values that one party owns in plaintext, so that the peer's shares and masks are zero. Only the owner sends;
    /// `mine` says whether this party is the owner. The other party's `words` must be zero.
    pub fn owned(words: &'a mut [Masked<W>], bits: u32, mine: bool) -> Self {
        Segment {
            direction: if mine { Direction::Out } else { Direction::In },
            ..Segment::words(words, bits)
        }
    }

    /// Shares of values that only one party learns; `learns` says whether this party does. The other party sends
    /// its shares and keeps them. The shares of the party that learns are replaced by the values.
    pub fn revealed(words: &'a mut [Share<W>], bits: u32, learns: bool) -> Self {
        let words = Masked::wrap_slice_mut(Share::peel_slice_mut(words));
        Segment::owned(words, bits, !learns)
    }

    /// Number of values that are opened, to both parties or to one.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Number of bytes that this party sends.
    pub fn sent_len(&self) -> u64 {
        if self.sends() { self.len() as u64 } else { 0 }
    }

    /// Packed length in bytes.
    fn len(&self) -> usize {
        packed_len(self.words.len(), self.bits) + self.planes.len()
    }

    fn sends(&self) -> bool {
        self.direction != Direction::In
    }

    /// Elements (words, or bytes of planes) in a block. A multiple of [`LANES`] words is a whole number of bytes at
    /// any width.
    fn step(&self) -> usize {
        if self.words.is_empty() {
            BLOCK
        } else {
            (BLOCK * 8 / self.bits as usize / LANES).max(1) * LANES
        }
    }

    /// Elements in the segment: words, or bytes of planes.
    fn elements(&self) -> usize {
        self.words.len().max(self.planes.len())
    }

    /// Elements of the block at `at`.
    fn range(&self, at: BlockPosition) -> core::ops::Range<usize> {
        at.first..(at.first + self.step()).min(self.elements())
    }

    /// Packed length of the block at `at`, in bytes.
    fn wire_len(&self, at: BlockPosition) -> usize {
        let count = self.range(at).len();
        if self.words.is_empty() {
            count
        } else {
            packed_len(count, self.bits)
        }
    }

    /// Packs the block at `at` into `bytes`; returns its length.
    fn pack(&self, at: BlockPosition, bytes: &mut [u8]) -> usize {
        let _section = profile::section(Section::Packing);
        let range = self.range(at);
        if self.words.is_empty() {
            bytes[..range.len()].copy_from_slice(Masked::peel_slice(&self.planes[range]));
        } else {
            pack(self.bits, Masked::peel_slice(&self.words[range]), bytes);
        }
        self.wire_len(at)
    }

    /// Combines the peer's packed block, at the start of `bytes`, with the block at `at`: adds words, or xors planes.
    fn combine(&mut self, at: BlockPosition, bytes: &[u8]) {
        let _section = profile::section(Section::Packing);
        let range = self.range(at);
        if self.words.is_empty() {
            let planes = Masked::peel_slice_mut(&mut self.planes[range]);
            for (plane, peer) in planes.iter_mut().zip(bytes) {
                *plane ^= peer;
            }
        } else {
            let mut values = [W::ZERO; LANES];
            let words = Masked::peel_slice_mut(&mut self.words[range]);
            let group = packed_len(LANES, self.bits);
            for (number, words) in words.chunks_mut(LANES).enumerate() {
                unpack(
                    self.bits,
                    &bytes[number * group..],
                    &mut values[..words.len()],
                );
                for (word, &peer) in words.iter_mut().zip(&values) {
                    *word = word.plus(peer).low(self.bits);
                }
            }
        }
    }
}

/// Position of a block within an opening: its segment, and its first element there.
#[derive(Clone, Copy, Default)]
struct BlockPosition {
    segment: usize,
    first: usize,
}

/// Iterates over the blocks of one direction: first those of segments that both parties send, then the others. So
/// both directions stay at the same block while sums overwrite shares.
#[derive(Default)]
struct Cursor {
    position: BlockPosition,
    one_way: bool,
}

impl Cursor {
    /// The position of the next block in `direction`.
    fn next<W: Word>(
        &mut self,
        segments: &[Segment<'_, W>],
        direction: Direction,
    ) -> Option<BlockPosition> {
        loop {
            let wanted = if self.one_way {
                direction
            } else {
                Direction::Both
            };
            while let Some(segment) = segments.get(self.position.segment) {
                if segment.direction == wanted && self.position.first < segment.elements() {
                    let position = self.position;
                    self.position.first += segment.step();
                    return Some(position);
                }
                self.position = BlockPosition {
                    segment: self.position.segment + 1,
                    first: 0,
                };
            }
            if self.one_way {
                return None;
            }
            self.one_way = true;
            self.position = BlockPosition::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::harness::duplex;

    extern crate std;
    use std::thread;

    /// Both parties open the same three segments; checks that they get the same values, and returns these.
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
    fn openings_add_words_xor_planes_and_copy_owned_values() {
        for capacity in [1, 5, 64, 4096] {
            let (words, planes, owned) = exchange(capacity);
            assert_eq!(words, [3, 2, 0x8_0007]);
            assert_eq!(planes, [0xFF, 0]);
            assert_eq!(owned, [5, 6]);
        }
    }

    #[test]
    fn words_are_packed_without_gaps() {
        let [one, other] = duplex(4096);
        let mut link = Link::new(one, Remote::Peer, 4096);
        let mut words = [0x1_2345u32, 0xF_FFFF, 1];
        let words = Masked::wrap_slice_mut(&mut words);
        thread::scope(|scope| {
            let p0 = scope.spawn(move || link.open(Role::P0, &mut [Segment::words(words, 20)]));
            let mut wire = [0; 8];
            let mut other = Link::new(other, Remote::Peer, 4096);
            other.receive(&mut wire).unwrap();
            // 20 bits each, least significant bit first, zeros up to a whole byte.
            assert_eq!(wire, [0x45, 0x23, 0xF1, 0xFF, 0xFF, 0x01, 0x00, 0x00]);
            other.send(&[0; 8]).unwrap();
            other.flush().unwrap();
            p0.join().unwrap().unwrap();
        });
    }
}
