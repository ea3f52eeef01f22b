//! An input as what travels on a line: pieces of any bytes, and frames whose sums are right, which bytes
//! picked at random would never be.

use ringlet_core::net::serial::frame::{Head, Kind, MAX_FRAME, encode};

const KINDS: [Kind; 6] = [
    Kind::Data,
    Kind::Ack,
    Kind::Resend,
    Kind::Start,
    Kind::Started,
    Kind::UnknownSession,
];

/// Bytes of a frame's description in an input: kind, channel, session, sequence.
const DESCRIPTION: usize = 4;

/// The pieces of `input`. Each is a mark, a length and as many bytes as there are, up to that length.
/// By the mark's lowest bits the bytes are the piece itself, or a frame's description and payload; or
/// such a frame with one byte changed.
pub fn pieces(input: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = input;
    while let [mark, len, after @ ..] = rest {
        let (bytes, next) = after.split_at(usize::from(*len).min(after.len()));
        rest = next;
        pieces.push(piece(*mark, bytes));
    }
    pieces
}

fn piece(mark: u8, bytes: &[u8]) -> Vec<u8> {
    let Some((description, payload)) = bytes.split_first_chunk::<DESCRIPTION>() else {
        return bytes.to_vec();
    };
    if mark & 1 == 0 {
        return bytes.to_vec();
    }
    let [kind, channel, session, sequence] = *description;
    let head = Head {
        kind: KINDS[usize::from(kind) % KINDS.len()],
        channel: channel & 15,
        // Few sessions, so that they meet again; and sequences on both sides of the first.
        session: (session % 4).into(),
        sequence: i16::from(sequence as i8) as u16,
    };
    let mut out = [0; MAX_FRAME];
    let len = encode(head, payload, &mut out);
    if mark & 2 != 0 {
        let at = usize::from(mark >> 2) % len;
        out[at] ^= 1 + (mark >> 4);
    }
    out[..len].to_vec()
}
