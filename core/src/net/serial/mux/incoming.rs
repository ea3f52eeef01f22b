//! What has arrived on a channel and was not read yet.

/// Size of a channel's receive buffer in bytes; a power of two, so that places in the stream modulo 2^16 are places
/// in it.
const BUFFER: usize = 512;

/// The most bytes of [`Incoming::held_ranges`].
pub(super) const RANGES: usize = 8;

/// Received bytes of a channel.
pub(super) struct Incoming {
    bytes: [u8; BUFFER],
    /// A bit for each byte that arrived before a byte that precedes it.
    early: [u32; BUFFER / 32],
    /// Where the unread bytes begin and end, and where the bytes that arrived early end.
    read: u16,
    expected: u16,
    furthest: u16,
    /// A frame arrived when the buffer had no room, and was dropped.
    pub refused: bool,
    /// A frame arrived that is not acknowledged.
    pub unanswered: bool,
}

impl Incoming {
    pub fn new() -> Self {
        Incoming {
            bytes: [0; BUFFER],
            early: [0; BUFFER / 32],
            read: 0,
            expected: 0,
            furthest: 0,
            refused: false,
            unanswered: false,
        }
    }

    /// Number of bytes that can be read.
    pub fn len(&self) -> usize {
        usize::from(self.expected.wrapping_sub(self.read))
    }

    /// Number of bytes that can arrive.
    pub fn room(&self) -> usize {
        BUFFER - self.len()
    }

    /// All bytes before this place have arrived.
    pub fn expected(&self) -> u16 {
        self.expected
    }

    /// Takes the payload of a frame that begins at place `sequence`, unless there is no room.
    pub fn take(&mut self, sequence: u16, payload: &[u8]) {
        let distance = sequence.wrapping_sub(self.expected) as i16;
        // Bytes before the expected one came before.
        let known = usize::from(distance.min(0).unsigned_abs());
        let Some(payload) = payload.get(known..).filter(|new| !new.is_empty()) else {
            self.unanswered = true;
            return;
        };
        let ahead = distance.max(0) as u16;
        if usize::from(ahead) + payload.len() > self.room() || (self.refused && ahead > 0) {
            self.refused = true;
            return;
        }
        self.unanswered = true;
        let start = self.expected.wrapping_add(ahead);
        let mut end = start;
        for &byte in payload {
            self.bytes[usize::from(end) % BUFFER] = byte;
            end = end.wrapping_add(1);
        }
        if ahead == 0 && self.furthest == self.expected {
            (self.expected, self.furthest) = (end, end);
            return;
        }
        let mut at = start;
        while at != end {
            self.flip(at, true);
            at = at.wrapping_add(1);
        }
        if (end.wrapping_sub(self.furthest) as i16) > 0 {
            self.furthest = end;
        }
        while self.is_early(self.expected) {
            self.flip(self.expected, false);
            self.expected = self.expected.wrapping_add(1);
        }
    }

    fn is_early(&self, at: u16) -> bool {
        let at = usize::from(at) % BUFFER;
        self.early[at / 32] >> (at % 32) & 1 == 1
    }

    fn flip(&mut self, at: u16, early: bool) {
        let at = usize::from(at) % BUFFER;
        let bit = 1 << (at % 32);
        match early {
            true => self.early[at / 32] |= bit,
            false => self.early[at / 32] &= !bit,
        }
    }

    /// The first ranges that arrived early, as pairs of the length of a gap and of the range after it. Returns their
    /// number of bytes.
    pub fn held_ranges(&self, out: &mut [u8; RANGES]) -> usize {
        let mut at = self.expected;
        let mut count = 0;
        while count < RANGES && at != self.furthest {
            let early = count % 2 == 1;
            let start = at;
            while at != self.furthest && self.is_early(at) == early {
                at = at.wrapping_add(1);
            }
            let len = at.wrapping_sub(start);
            if len > 255 && !early {
                break;
            }
            out[count] = len.min(255) as u8;
            count += 1;
            if len > 255 {
                break;
            }
        }
        count & !1
    }

    /// Reads as many bytes as there are room for and there are. Returns their number.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.len());
        for byte in &mut bytes[..count] {
            *byte = self.bytes[usize::from(self.read) % BUFFER];
            self.read = self.read.wrapping_add(1);
        }
        count
    }
}
