//! Frames of a serial line.
//!
//! ```text
//! head: session (2 bytes) · kind, 4 bits, and channel, 4 bits (1) · sequence (2)
//! payload: 0 to 240 bytes
//! CRC-32 (IEEE) of head and payload (4)
//! ```
//!
//! Numbers are little-endian. Consistent overhead byte stuffing (COBS; Cheshire and Baker, 1999) encodes the
//! frame without zero bytes, and a zero byte ends it. So a decoder resynchronises at the next zero after lost or
//! damaged bytes.

use crate::num::crc::crc32;

/// The largest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 240;

const HEAD: usize = 5;
const CRC_LEN: usize = 4;
const MAX_BODY: usize = HEAD + MAX_PAYLOAD + CRC_LEN;

/// The largest encoded frame, in bytes: COBS adds one byte to up to 254, and a zero ends the frame.
pub const MAX_FRAME: usize = 1 + MAX_BODY + 1;

/// The purpose of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// Carries bytes of a channel. The sequence number is the place of the first one in the channel's stream.
    Data,
    /// Acknowledges all bytes of the channel before this sequence number. The payload has a pair of bytes for each range
    /// that arrived after it: the length of the gap, and the length of the range.
    Ack,
    /// As [`Kind::Ack`], and asks to send the bytes from this sequence number on again.
    Resend,
    /// Starts a new session.
    Start,
    /// Confirms [`Kind::Start`].
    Started,
    /// Answers a frame of a session that this end does not know because it was reset.
    UnknownSession,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Data,
        Kind::Ack,
        Kind::Resend,
        Kind::Start,
        Kind::Started,
        Kind::UnknownSession,
    ];
}

/// Header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// Session number, drawn at random by the end that starts the session; never 0.
    pub session: u16,
    /// The frame's purpose.
    pub kind: Kind,
    /// Channel number, 0 to 15.
    pub channel: u8,
    /// Sequence number in the channel, modulo 2^16.
    pub sequence: u16,
}

/// CRC-32 of `bytes`, little-endian.
fn crc(bytes: &[u8]) -> [u8; CRC_LEN] {
    crc32([bytes]).to_le_bytes()
}

/// Encodes a frame into `out`; returns its length in bytes. Drops payload bytes after [`MAX_PAYLOAD`].
pub fn encode(head: Head, payload: &[u8], out: &mut [u8; MAX_FRAME]) -> usize {
    let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
    let mut body = [0; MAX_BODY];
    let [low, high] = head.session.to_le_bytes();
    let kind = (head.kind as u8) << 4 | head.channel & 15;
    let [first, second] = head.sequence.to_le_bytes();
    body[..HEAD].copy_from_slice(&[low, high, kind, first, second]);
    let end = HEAD + payload.len();
    body[HEAD..end].copy_from_slice(payload);
    let crc = crc(&body[..end]);
    body[end..end + CRC_LEN].copy_from_slice(&crc);
    let len = cobs::encode(&body[..end + CRC_LEN], out);
    out[len] = 0;
    len + 1
}

/// Decodes frames from a stream of bytes, with a buffer for one frame.
pub struct Decoder {
    bytes: [u8; MAX_FRAME],
    len: usize,
    damaged: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            bytes: [0; MAX_FRAME],
            len: 0,
            damaged: 0,
        }
    }
}

impl Decoder {
    /// The number of runs of bytes between two zeros that were no frame, modulo 2^32.
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    /// Takes the next byte. Returns the frame if the byte ends a valid one. Silently drops other bytes between two
    /// zeros, and counts them: the sender repeats what is not acknowledged.
    pub fn push(&mut self, byte: u8) -> Option<(Head, &[u8])> {
        if byte != 0 {
            // A full buffer marks an overlong frame; drop further bytes.
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
            return None;
        }
        let len = core::mem::take(&mut self.len);
        if len == 0 {
            return None;
        }
        self.damaged = self.damaged.wrapping_add(1);
        if len == MAX_FRAME {
            return None;
        }
        let len = cobs::decode_in_place(&mut self.bytes[..len]).ok()?;
        let body = self.bytes.get(..len)?;
        let (content, received) = body.split_last_chunk::<CRC_LEN>()?;
        if crc(content) != *received {
            return None;
        }
        let (&[low, high, kind, first, second], payload) = content.split_first_chunk::<HEAD>()?;
        let head = Head {
            session: u16::from_le_bytes([low, high]),
            kind: *Kind::ALL.get(usize::from(kind >> 4))?,
            channel: kind & 15,
            sequence: u16::from_le_bytes([first, second]),
        };
        self.damaged = self.damaged.wrapping_sub(1);
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
    fn a_frame_has_the_documented_bytes() {
        // COBS replaces the two zeros of the body. The CRC of 34 12 12 00 01 AA 00 is C0540719.
        let bytes = frame(HEAD, &[0xAA, 0]);
        let want = [
            4, 0x34, 0x12, 0x12, 3, 1, 0xAA, 5, 0x19, 0x07, 0x54, 0xC0, 0,
        ];
        assert_eq!(bytes, want);
        // The published check value of CRC-32 (IEEE 802.3).
        assert_eq!(crc(b"123456789"), 0xCBF4_3926u32.to_le_bytes());
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
        fn every_frame_decodes_to_itself(
            session: u16, kind in 0usize..6, channel in 0u8..16, sequence: u16,
            payload in prop::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD),
            noise in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let head = Head { session, kind: Kind::ALL[kind], channel, sequence };
            let mut decoder = Decoder::default();
            // Noise is no valid frame, and the decoder resynchronises at a zero.
            let mut bytes = noise;
            bytes.push(0);
            prop_assert_eq!(frames(&mut decoder, &bytes), []);
            let bytes = frame(head, &payload);
            prop_assert!(!bytes[..bytes.len() - 1].contains(&0));
            prop_assert_eq!(frames(&mut decoder, &bytes), [(head, payload)]);
        }

        #[test]
        fn a_damaged_frame_is_dropped(at in 0usize..30, change in 1u8..=255) {
            let bytes = frame(HEAD, b"twenty bytes of these");
            let mut damaged = bytes.clone();
            let at = at % bytes.len();
            damaged[at] ^= change;
            let mut decoder = Decoder::default();
            prop_assert_eq!(frames(&mut decoder, &damaged), []);
            // The damage may hide the next frame's start, but not the second frame after it.
            frames(&mut decoder, &bytes);
            prop_assert_eq!(frames(&mut decoder, &bytes).len(), 1);
        }
    }
}
