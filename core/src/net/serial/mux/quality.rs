//! How well the line carries frames, and the length of frames and the timer that follow from it.

use super::super::frame::MAX_PAYLOAD;
use super::outgoing::MIN_PAYLOAD;

/// What the frames of a session have met, as seen from one end. Counters begin anew after 2^32 frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineCounts {
    /// Whole frames that arrived.
    pub arrived: u32,
    /// Frames that arrived damaged; an estimate, because a damaged end of a frame joins two.
    pub damaged: u32,
    /// Frames with data that were sent, the repeated ones too, but not those that only ask a late end.
    pub sent: u32,
    /// Frames with data that the other end is known to have missed, so that they were sent again.
    pub repeated: u32,
}

impl LineCounts {
    /// Frames that the line damaged in either direction, in thousandths of all that are counted; 0 without any.
    pub fn damaged_permille(&self) -> u32 {
        let sum = |a: u32, b: u32| u64::from(a) + u64::from(b);
        let bad = sum(self.damaged, self.repeated);
        let all = sum(self.arrived, self.damaged) + u64::from(self.sent);
        (bad * 1000).checked_div(all).unwrap_or(0).min(1000) as u32
    }
}

/// Bytes after which older losses count half.
const MEMORY: u32 = 8192;

/// Bytes that count as sent when a session begins: fewer, so that a bad line is soon known.
const FIRST: u32 = 1024;

/// Weight of one lost frame, so that it can be halved a few times.
const LOSS: u32 = 16;

/// Bytes that a frame has besides its payload, by which the best length is chosen. Less than the true 11: a frame
/// may have met several faults and counts as one loss.
const OVERHEAD: u32 = 8;

/// Milliseconds by which the timer exceeds two round trips.
const MARGIN: u32 = 8;

/// Repetitions after which the timer doubles with each further one: a frame or its answer may be lost several times in a
/// row.
const PATIENCE: u8 = 4;

/// A line damages frames if one of so many was.
const RECENT: u8 = 32;

/// Payloads of at most so many bytes are those of a line on which every other frame is lost.
const HEAVY: usize = 32;

/// Frames that are sent at once when none came in time, on such a line.
const PROBES: usize = 3;

/// Estimates of the line.
pub(super) struct Quality {
    counts: LineCounts,
    /// Damaged frames that the decoder counted before the session, and until the last frame that arrived.
    damaged: [u32; 2],
    /// Frames that arrive until the line counts as one that does not damage them.
    recent: u8,
    /// Bytes and lost frames of late, in both directions, and the best length of a payload.
    bytes: u32,
    losses: u32,
    most: usize,
    /// Milliseconds from a frame to its acknowledgement, close to the least.
    round_trip: u16,
}

impl Quality {
    /// Those of a new session, before which a decoder counted so many damaged frames.
    pub fn new(damaged: u32) -> Self {
        Quality {
            counts: LineCounts::default(),
            damaged: [damaged; 2],
            recent: 0,
            bytes: FIRST,
            losses: 0,
            most: MAX_PAYLOAD,
            round_trip: 64,
        }
    }

    /// What the session's frames have met, if the decoder counts so many damaged ones now.
    pub fn counts(&self, damaged: u32) -> LineCounts {
        LineCounts {
            damaged: damaged.wrapping_sub(self.damaged[0]),
            ..self.counts
        }
    }

    /// Counts a whole frame with a payload of `len` bytes. The decoder counts so many damaged ones now. What damages
    /// frames to this end damages those that it sends.
    pub fn arrived(&mut self, len: usize, damaged: u32) {
        self.counts.arrived = self.counts.arrived.wrapping_add(1);
        let new = damaged.wrapping_sub(self.damaged[1]);
        self.recent = match new {
            0 => self.recent.saturating_sub(1),
            _ => RECENT,
        };
        self.damaged[1] = damaged;
        self.estimate(len, new);
    }

    /// Whether frames to this end were damaged of late.
    pub fn damages(&self) -> bool {
        self.recent > 0
    }

    /// Frames to send when no acknowledgement came in time.
    pub fn probes(&self) -> usize {
        if self.most > HEAVY { 1 } else { PROBES }
    }

    /// The longest payload to send, in bytes: on a line that faults seldom, [`MAX_PAYLOAD`].
    pub fn most(&self) -> usize {
        self.most
    }

    /// Milliseconds after which a frame without acknowledgement is sent again, at most `resend`. It is `resend` on a line without
    /// faults, where only a busy end is late. It doubles with each of many repetitions, `tries` of them.
    pub fn resend(&self, resend: u32, tries: u8) -> u32 {
        if self.losses == 0 {
            return resend;
        }
        ((2 * u32::from(self.round_trip) + MARGIN) << tries.saturating_sub(PATIENCE).min(8))
            .min(resend)
    }

    /// Counts a frame with data.
    pub fn sent(&mut self, len: usize) {
        self.counts.sent = self.counts.sent.wrapping_add(1);
        self.estimate(len, 0);
    }

    /// Counts lost frames.
    pub fn lost(&mut self, count: u32) {
        self.counts.repeated = self.counts.repeated.wrapping_add(count);
        self.estimate(0, count);
    }

    /// Takes note of a frame with a payload of `len` bytes, and of lost frames.
    fn estimate(&mut self, len: usize, lost: u32) {
        self.bytes += len as u32 + OVERHEAD;
        self.losses = self
            .losses
            .saturating_add(LOSS.saturating_mul(lost))
            .min(1 << 15);
        if self.bytes >= 2 * MEMORY {
            self.bytes /= 2;
            self.losses /= 2;
        }
        if self.losses > 0 {
            self.choose();
        }
    }

    /// Takes a measured round trip.
    pub fn measured(&mut self, milliseconds: u16) {
        let shorter = milliseconds < self.round_trip;
        // Most long ones are of a busy end.
        self.round_trip = if shorter {
            self.round_trip - (self.round_trip - milliseconds) / 2
        } else {
            self.round_trip
                .saturating_add((milliseconds - self.round_trip).min(64) / 16)
        };
    }

    /// The best length is the square root of a frame's overhead over the faults per byte.
    fn choose(&mut self) {
        let fits = |len: usize| (len * len) as u32 * self.losses <= LOSS * OVERHEAD * self.bytes;
        let mut most = MAX_PAYLOAD;
        while most > MIN_PAYLOAD && !fits(most) {
            most -= 8;
        }
        self.most = most;
    }
}
