//! What one end has sent on a channel and the other end has not acknowledged.
//!
//! A sequence number is the place of a frame's first byte in the channel's stream, modulo 2^16. So bytes that were
//! lost in a long frame may come again in several short ones. A line delivers frames in the order in which they
//! were sent. So a piece is lost once one that was sent after it has arrived.

use heapless::Vec;

use super::super::frame::MAX_PAYLOAD;

/// The most unacknowledged bytes of a channel.
const WINDOW: usize = 2 * MAX_PAYLOAD;

/// The payload of the shortest frame that a bad line makes of a longer one, in bytes.
pub(super) const MIN_PAYLOAD: usize = 16;

/// Size of the buffer; a power of two, so that places in the stream modulo 2^16 are places in it.
const BUFFER: usize = 512;

/// The most pieces in flight, and the most that are sent for the first time. The others are left for pieces that
/// are cut again.
const PIECES: usize = 16;
const NEW_PIECES: usize = 12;

/// A range of bytes that was sent in one frame. It begins where the piece before it ends.
#[derive(Clone, Copy)]
struct Piece {
    end: u16,
    /// When it was last sent: a count of the channel's frames, and in milliseconds.
    order: u16,
    sent_at: u16,
    /// Not 0 if it has to be sent again, in frames of at most so many bytes.
    again: u8,
    /// The other end holds it, but not all before it.
    held: bool,
    /// No earlier frame ended where it ends: an acknowledgement that ends there answers its last frame.
    certain: bool,
}

impl Piece {
    /// Marks the piece as lost: it comes again in frames of half its length, or less.
    fn halve(&mut self, len: usize) {
        self.again = (len / 2).clamp(MIN_PAYLOAD, MAX_PAYLOAD) as u8;
    }
}

/// What an acknowledgement says.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// The other end has bytes of which this end did not know.
    pub news: bool,
    /// Frames that were lost for certain.
    pub lost: u32,
    /// Milliseconds from a frame to its acknowledgement.
    pub round_trip: Option<u16>,
}

/// Unacknowledged bytes of a channel.
pub(super) struct Outgoing {
    bytes: [u8; BUFFER],
    /// Where the unacknowledged bytes begin, where those begin that were never sent, where those begin that do not fill a
    /// frame yet, and where they end.
    oldest: u16,
    unsent: u16,
    ready: u16,
    end: u16,
    pieces: Vec<Piece, PIECES>,
    /// Frames sent, modulo 2^16.
    order: u16,
}

impl Outgoing {
    pub fn new() -> Self {
        Outgoing {
            bytes: [0; BUFFER],
            oldest: 0,
            unsent: 0,
            ready: 0,
            end: 0,
            pieces: Vec::new(),
            order: 0,
        }
    }

    /// Number of bytes that are to be sent and not acknowledged.
    pub fn len(&self) -> usize {
        usize::from(self.ready.wrapping_sub(self.oldest))
    }

    /// Number of bytes that wait for more, at most [`MAX_PAYLOAD`].
    pub fn pending(&self) -> usize {
        usize::from(self.end.wrapping_sub(self.ready))
    }

    /// Number of bytes that the window has room for.
    pub fn room(&self) -> usize {
        WINDOW - usize::from(self.end.wrapping_sub(self.oldest))
    }

    /// Appends bytes to those that wait, until these fill a frame or the window. Returns the number of bytes taken.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = (bytes.len().min(self.room())).min(MAX_PAYLOAD - self.pending());
        for &byte in &bytes[..count] {
            self.bytes[usize::from(self.end) % BUFFER] = byte;
            self.end = self.end.wrapping_add(1);
        }
        count
    }

    /// Lets the bytes that wait be sent.
    pub fn release(&mut self) {
        self.ready = self.end;
    }

    /// The next frame to send, of at most `most` bytes: its sequence number and its payload's length. What was lost
    /// comes first. Copies the payload into `out`.
    pub fn next_frame(
        &mut self,
        most: usize,
        now: u32,
        out: &mut [u8; MAX_PAYLOAD],
    ) -> Option<(u16, usize)> {
        let index = self.pieces.iter().position(|piece| piece.again != 0);
        let index = match index {
            Some(index) => index,
            None => {
                let rest = self.ready.wrapping_sub(self.unsent);
                if rest == 0 || self.pieces.len() >= NEW_PIECES {
                    return None;
                }
                let end = self.unsent.wrapping_add(rest.min(most as u16));
                let _ = self.pieces.push(Piece {
                    end,
                    order: 0,
                    sent_at: 0,
                    again: 0,
                    held: false,
                    certain: true,
                });
                self.unsent = end;
                self.pieces.len() - 1
            }
        };
        let start = self.start(index);
        let full = self.pieces.is_full();
        let mut piece = self.pieces[index];
        let len = usize::from(piece.end.wrapping_sub(start));
        let mut first = len;
        if piece.again != 0 {
            first = len.min(piece.again.into()).min(most);
            piece.certain = first < len && !full;
        }
        if first < len {
            if full {
                first = len;
            } else {
                // The rest waits for its turn.
                let _ = self.pieces.insert(index, piece);
                piece.end = start.wrapping_add(first as u16);
            }
        }
        piece.again = 0;
        piece.order = self.order;
        piece.sent_at = now as u16;
        self.order = self.order.wrapping_add(1);
        self.pieces[index] = piece;
        for (at, slot) in out.iter_mut().enumerate().take(first) {
            *slot = self.bytes[(usize::from(start) + at) % BUFFER];
        }
        Some((start, first))
    }

    /// Where a piece begins.
    fn start(&self, index: usize) -> u16 {
        match index.checked_sub(1) {
            Some(before) => self.pieces[before].end,
            None => self.oldest,
        }
    }

    /// Takes an acknowledgement of all bytes before `next`, and of ranges after it: pairs of a gap's length and a
    /// range's. Ignores one that is out of range.
    pub fn acknowledge(&mut self, next: u16, ranges: &[u8], now: u32) -> Acknowledged {
        let mut outcome = Acknowledged::default();
        let count = next.wrapping_sub(self.oldest);
        if count > self.unsent.wrapping_sub(self.oldest) {
            return outcome;
        }
        let mut newest: Option<Piece> = None;
        let (mut low, mut high) = (0, count);
        let mut pairs = ranges.chunks_exact(2);
        loop {
            // A frame's arrival is told by the end of what it adds to a range.
            let mut answered = None;
            let mut start = 0;
            for piece in &mut self.pieces {
                let end = piece.end.wrapping_sub(self.oldest);
                if start >= low && end <= high && !piece.held {
                    piece.held = true;
                    piece.again = 0;
                    answered = Some(*piece);
                }
                start = end;
            }
            if let Some(piece) = answered
                && newest.is_none_or(|newest| later(piece.order, newest.order))
            {
                newest = Some(piece);
            }
            let Some(&[gap, len]) = pairs.next() else {
                break;
            };
            low = high + u16::from(gap);
            high = low + u16::from(len);
        }
        self.oldest = next;
        while self.pieces.first().is_some_and(|piece| piece.held) {
            self.pieces.remove(0);
        }
        outcome.news = count > 0;
        let Some(newest) = newest else {
            return outcome;
        };
        outcome.news = true;
        if newest.certain {
            outcome.round_trip = Some((now as u16).wrapping_sub(newest.sent_at));
        }
        let mut start = next;
        for piece in &mut self.pieces {
            if !piece.held && piece.again == 0 && later(newest.order, piece.order) {
                piece.halve(piece.end.wrapping_sub(start).into());
                outcome.lost += u32::from(newest.certain);
            }
            start = piece.end;
        }
        // Neighbours that the other end holds become one.
        let mut index = 1;
        while index < self.pieces.len() {
            if self.pieces[index - 1].held && self.pieces[index].held {
                self.pieces.remove(index - 1);
            } else {
                index += 1;
            }
        }
        outcome
    }

    /// Marks what the other end refused for lack of room: it comes again.
    pub fn send_all_again(&mut self) {
        for piece in self.pieces.iter_mut().filter(|piece| !piece.held) {
            piece.again = MAX_PAYLOAD as u8;
        }
    }

    /// The frame of this number among those that the other end does not hold, once more and cut to a few bytes: its
    /// acknowledgement tells what else was lost. The rest of it waits for that.
    pub fn probe(
        &mut self,
        number: usize,
        now: u32,
        out: &mut [u8; MAX_PAYLOAD],
    ) -> Option<(u16, usize)> {
        let mut missing = (self.pieces.iter_mut().enumerate()).filter(|(_, piece)| !piece.held);
        let (index, piece) = missing.nth(number)?;
        piece.again = MIN_PAYLOAD as u8;
        let frame = self.next_frame(MIN_PAYLOAD, now, out);
        if let Some(rest) = self.pieces.get_mut(index + 1) {
            rest.again = 0;
        }
        frame
    }
}

/// Whether a frame was sent after another.
fn later(order: u16, other: u16) -> bool {
    (order.wrapping_sub(other) as i16) > 0
}
