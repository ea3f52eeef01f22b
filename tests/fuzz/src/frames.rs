//! Any bytes into the decoder of frames.

use ringlet_core::net::serial::frame::{Decoder, Head, MAX_FRAME, MAX_PAYLOAD, encode};

use super::{allocation, script};

/// The input as it is, and as the pieces of a line.
pub fn check(input: &[u8]) {
    stream(input);
    stream(&script::pieces(input).concat());
}

/// What the decoder makes of a stream does not depend on where it started listening, is a frame that
/// can be sent and heard again, and takes no allocation.
fn stream(bytes: &[u8]) {
    allocation::none_in(|| {
        let mut whole = Decoder::default();
        // This one is told nothing of what came before the last zero.
        let mut fresh = Decoder::default();
        for &byte in bytes {
            let frame = whole.push(byte);
            assert_eq!(frame, fresh.push(byte));
            if let Some((head, payload)) = frame {
                again(head, payload);
            }
            if byte == 0 {
                fresh = Decoder::default();
            }
        }
        // One that starts listening anywhere hears all that begins after the next zero.
        for from in [1, bytes.len() / 3, bytes.len() / 2] {
            listen(bytes, from);
        }
    });
}

fn listen(bytes: &[u8], from: usize) {
    let (mut whole, mut late) = (Decoder::default(), Decoder::default());
    let mut in_step = false;
    for (at, &byte) in bytes.iter().enumerate() {
        let frame = whole.push(byte);
        if at >= from {
            let heard = late.push(byte);
            if in_step {
                assert_eq!(frame, heard);
            }
            in_step |= byte == 0;
        }
    }
}

fn again(head: Head, payload: &[u8]) {
    assert!(payload.len() <= MAX_PAYLOAD && head.channel < 16);
    let mut out = [0; MAX_FRAME];
    let len = encode(head, payload, &mut out);
    let (last, body) = out[..len].split_last().unwrap();
    assert!(*last == 0 && !body.contains(&0));
    let mut decoder = Decoder::default();
    for &byte in body {
        assert_eq!(decoder.push(byte), None);
    }
    assert_eq!(decoder.push(*last), Some((head, payload)));
}
