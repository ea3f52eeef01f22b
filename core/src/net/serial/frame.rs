//! Frames: what travels on a serial line.
//!
//! ```text
//! head: session (2 bytes) · kind, 4 bits, and channel, 4 bits (1) · sequence (2)
//! payload: 0 to 240 bytes
//! CRC-32 (IEEE) of head and payload (4)
//! ```
//!
//! Numbers are little-endian. The whole is coded by consistent overhead byte stuffing (Cheshire and Baker,
//! 1999), so that no byte of it is zero, and a zero ends it: whatever was lost or damaged, the next zero
//! starts afresh.

use crate::num::crc::crc32;

/// The most bytes that a frame carries.
pub const MAX_PAYLOAD: usize = 240;

const HEAD: usize = 5;
const CHECK: usize = 4;
const MAX_BODY: usize = HEAD + MAX_PAYLOAD + CHECK;

/// The most bytes of a frame on the line: one more for the stuffing of up to 254, and the zero.
pub const MAX_FRAME: usize = 1 + MAX_BODY + 1;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// Bytes of a channel; the sequence counts the channel's frames.
    Data,
    /// All frames of the channel before this sequence have come.
    Ack,
    /// The same, and the frames from there on were not kept: send them again.
    Again,
    /// A new session begins, which all frames from now on bear.
    Start,
    /// The new session is known.
    Started,
    /// The session of what was received is not known here: this end has been reset since.
    Unknown,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Data,
        Kind::Ack,
        Kind::Again,
        Kind::Start,
        Kind::Started,
        Kind::Unknown,
    ];
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// The session, drawn at random by the end that starts it.
    pub session: u16,
    /// What the frame is for.
    pub kind: Kind,
    /// The channel, 0 to 15.
    pub channel: u8,
    /// Number of the frame in its channel, wrapping.
    pub sequence: u16,
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    crc32([bytes]).to_le_bytes()
}

/// Writes a frame, ready for the line; returns its length. What lies past [`MAX_PAYLOAD`] is left out.
pub fn encode(head: Head, payload: &[u8], out: &mut [u8; MAX_FRAME]) -> usize {
    let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
    let mut body = [0; MAX_BODY];
    let [low, high] = head.session.to_le_bytes();
    let kind = (head.kind as u8) << 4 | head.channel & 15;
    let [first, second] = head.sequence.to_le_bytes();
    body[..HEAD].copy_from_slice(&[low, high, kind, first, second]);
    let end = HEAD + payload.len();
    body[HEAD..end].copy_from_slice(payload);
    let check = check(&body[..end]);
    body[end..end + CHECK].copy_from_slice(&check);
    let len = cobs::encode(&body[..end + CHECK], out);
    out[len] = 0;
    len + 1
}

/// Finds frames in a stream of bytes, one byte at a time, in memory of one frame.
pub struct Decoder {
    bytes: [u8; MAX_FRAME],
    len: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            bytes: [0; MAX_FRAME],
            len: 0,
        }
    }
}

impl Decoder {
    /// Takes the next byte; returns a frame when it ends a whole one. Anything else between two zeros is
    /// dropped without a word: the sender will send it again.
    pub fn push(&mut self, byte: u8) -> Option<(Head, &[u8])> {
        if byte != 0 {
            // One too many stands for all that are too many.
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
            return None;
        }
        let len = core::mem::take(&mut self.len);
        if len == MAX_FRAME {
            return None;
        }
        let len = cobs::decode_in_place(&mut self.bytes[..len]).ok()?;
        let body = self.bytes.get(..len)?;
        let (content, sum) = body.split_last_chunk::<CHECK>()?;
        if check(content) != *sum {
            return None;
        }
        let (&[low, high, kind, first, second], payload) = content.split_first_chunk::<HEAD>()?;
        let head = Head {
            session: u16::from_le_bytes([low, high]),
            kind: *Kind::ALL.get(usize::from(kind >> 4))?,
            channel: kind & 15,
            sequence: u16::from_le_bytes([first, second]),
        };
        Some((head, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    extern crate std;
    use std::vec::Vec;

    fn frame(head: Head, payload: &[u8]) -> Vec<u8> {
        let mut out = [0xEE; MAX_FRAME];
        let len = encode(head, payload, &mut out);
        out[..len].to_vec()
    }

    fn frames(decoder: &mut Decoder, bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
        bytes
            .iter()
            .filter_map(|&byte| decoder.push(byte).map(|(head, p)| (head, p.to_vec())))
            .collect()
    }

    const HEAD: Head = Head {
        session: 0x1234,
        kind: Kind::Ack,
        channel: 2,
        sequence: 0x0100,
    };

    #[test]
    fn a_frame_is_these_bytes() {
        // The two zeros of the body are stuffed; the sum of 34 12 12 00 01 AA 00 is C0540719.
        let bytes = frame(HEAD, &[0xAA, 0]);
        let want = [
            4, 0x34, 0x12, 0x12, 3, 1, 0xAA, 5, 0x19, 0x07, 0x54, 0xC0, 0,
        ];
        assert_eq!(bytes, want);
        // The polynomial is that of IEEE 802.3: its check value.
        assert_eq!(check(b"123456789"), 0xCBF4_3926u32.to_le_bytes());
    }

    #[test]
    fn the_longest_frame_fits() {
        for fill in [0, 1, 0xFF] {
            let payload = [fill; MAX_PAYLOAD];
            let bytes = frame(HEAD, &payload);
            assert!(bytes.len() <= MAX_FRAME);
            let got = frames(&mut Decoder::default(), &bytes);
            assert_eq!(got, [(HEAD, payload.to_vec())]);
        }
    }

    proptest! {
        #[test]
        fn every_frame_comes_back(
            session: u16, kind in 0usize..6, channel in 0u8..16, sequence: u16,
            payload in prop::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD),
            noise in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let head = Head { session, kind: Kind::ALL[kind], channel, sequence };
            let mut decoder = Decoder::default();
            // Noise may make no frame, and a zero after it starts afresh.
            let mut bytes = noise;
            bytes.push(0);
            prop_assert_eq!(frames(&mut decoder, &bytes), []);
            let bytes = frame(head, &payload);
            prop_assert!(!bytes[..bytes.len() - 1].contains(&0));
            prop_assert_eq!(frames(&mut decoder, &bytes), [(head, payload)]);
        }

        #[test]
        fn a_damaged_frame_is_none(at in 0usize..30, change in 1u8..=255) {
            let bytes = frame(HEAD, b"twenty bytes of these");
            let mut damaged = bytes.clone();
            let at = at % bytes.len();
            damaged[at] ^= change;
            let mut decoder = Decoder::default();
            prop_assert_eq!(frames(&mut decoder, &damaged), []);
            // However it was damaged, the second frame after it is whole.
            frames(&mut decoder, &bytes);
            prop_assert_eq!(frames(&mut decoder, &bytes).len(), 1);
        }
    }
}
