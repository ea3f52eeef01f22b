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

/// Weight of one lost frame, so that it can be halved a few times.
const LOSS: u32 = 16;

/// Bytes that a frame has besides its payload, by which the best length is chosen. Less than the true 11: a frame
/// may have met several faults and counts as one loss.
const OVERHEAD: u32 = 8;

/// Milliseconds by which the timer exceeds two round trips.
const MARGIN: u32 = 8;

/// Estimates of the line.
pub(super) struct Quality {
    pub counts: LineCounts,
    /// Sent bytes and lost frames of late, and the best length of a payload.
    bytes: u32,
    losses: u32,
    most: usize,
    /// Milliseconds from a frame to its acknowledgement, close to the least.
    round_trip: u16,
}

impl Quality {
    pub fn new() -> Self {
        Quality {
            counts: LineCounts::default(),
            bytes: MEMORY,
            losses: 0,
            most: MAX_PAYLOAD,
            round_trip: 64,
        }
    }

    /// The longest payload to send, in bytes: on a line that faults seldom, [`MAX_PAYLOAD`].
    pub fn most(&self) -> usize {
        self.most
    }

    /// Milliseconds after which a frame without acknowledgement is sent again, at most `resend`. It is `resend` on a line without
    /// faults, where only a busy end is late. It doubles with each repetition, `tries` of them.
    pub fn resend(&self, resend: u32, tries: u8) -> u32 {
        if self.losses == 0 {
            return resend;
        }
        ((2 * u32::from(self.round_trip) + MARGIN) << tries.min(8)).min(resend)
    }

    /// Counts a frame with data.
    pub fn sent(&mut self, len: usize) {
        self.counts.sent = self.counts.sent.wrapping_add(1);
        self.bytes += len as u32 + OVERHEAD;
        if self.bytes >= 2 * MEMORY {
            self.bytes /= 2;
            self.losses /= 2;
            self.choose();
        }
    }

    /// Counts lost frames.
    pub fn lost(&mut self, count: u32) {
        if count > 0 {
            self.counts.repeated = self.counts.repeated.wrapping_add(count);
            self.losses = (self.losses + LOSS * count).min(1 << 15);
            self.choose();
        }
    }

    /// Takes a measured round trip.
    pub fn measured(&mut self, milliseconds: u16) {
        let shorter = milliseconds < self.round_trip;
        // Most long ones are of a busy end.
        self.round_trip = if shorter {
            (self.round_trip + milliseconds) / 2
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
