//! What a device makes of its own secret, its root: 32 bytes that are programmed apart from its firmware.
//!
//! A device's messages pass through other hands on their way to the dealer: the peer's, or those of a hub
//! between two devices. So the dealer seals a device's session key with a key that only the two hold.

use crate::prg::{Address, Key, Prg};

/// Streams of a root: one for each purpose.
const SESSION: u32 = 0;
const DEALER: u32 = 1;
const TAG: u32 = 2;

/// Bytes of a seal's tag.
pub const TAG_LEN: usize = 8;

/// Whether a root can have been drawn: memory that nobody has programmed is all ones or all zeros.
pub fn is_programmed(root: &Key) -> bool {
    let [ones, zeros] = [u8::MAX, 0].map(|blank| root.reveal().iter().all(|&byte| byte == blank));
    !(ones | zeros)
}

/// The key at a place of a stream, of as many as there are nonces.
fn derive(key: &Key, gate: u32, nonce: u64) -> Key {
    let mut bytes = [0; Key::LEN];
    let address = Address {
        iteration: nonce as u32,
        gate,
        wire: 0,
    };
    // The upper half is the place in the stream: whole keys apart.
    Prg::new(key.clone()).fill(address, (nonce >> 32) * Key::LEN as u64, &mut bytes);
    Key::new(bytes)
}

/// A session's own secret, for the device's part of the first weights: from its root and what the host drew
/// for this session alone.
pub fn session_secret(root: &Key, nonce: u64) -> Key {
    derive(root, SESSION, nonce)
}

/// The key that a device of this root shares with its dealer, for good. It tells nothing of the root.
pub fn dealer_key(root: &Key) -> Key {
    derive(root, DEALER, 0)
}

/// A session key in its seal, or out of it again: it is added to a one-time pad from the key that device and
/// dealer share. No two keys may have the same nonce.
pub fn seal(shared: &Key, nonce: u64, key: &[u8; Key::LEN]) -> [u8; Key::LEN] {
    let pad = derive(shared, SESSION, nonce);
    core::array::from_fn(|byte| key[byte] ^ pad.reveal()[byte])
}

/// What only who holds the same shared key can say of a seal, so that another's is not taken for one's own.
pub fn tag(shared: &Key, nonce: u64) -> [u8; TAG_LEN] {
    let whole = derive(shared, TAG, nonce);
    core::array::from_fn(|byte| whole.reveal()[byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_nobody_has_programmed_is_told() {
        let mut bytes = [0xFF; 32];
        assert!(!is_programmed(&Key::new(bytes)));
        assert!(!is_programmed(&Key::new([0; 32])));
        bytes[31] = 0xFE;
        assert!(is_programmed(&Key::new(bytes)));
    }

    #[test]
    fn a_tag_is_of_one_key_and_one_nonce() {
        let shared = Key::new([3; 32]);
        assert_eq!(tag(&shared, 5), tag(&shared, 5));
        assert_ne!(tag(&shared, 5), tag(&shared, 6));
        assert_ne!(tag(&shared, 5), tag(&Key::new([4; 32]), 5));
        let pad = seal(&shared, 5, &[0; 32]);
        assert_ne!(pad[..TAG_LEN], tag(&shared, 5));
    }

    #[test]
    fn a_sealed_key_comes_out_again_and_only_with_the_key_and_nonce() {
        let (root, other) = (Key::new([3; 32]), Key::new([4; 32]));
        let shared = dealer_key(&root);
        let key = [9; 32];
        let sealed = seal(&shared, 7 << 33, &key);
        assert_ne!(sealed, key);
        assert_eq!(seal(&shared, 7 << 33, &sealed), key);
        assert_ne!(seal(&shared, 7 << 34, &sealed), key);
        assert_ne!(seal(&dealer_key(&other), 7 << 33, &sealed), key);
    }

    #[test]
    fn everything_that_comes_of_a_root_differs() {
        let root = Key::new([3; 32]);
        let made = [
            *session_secret(&root, 0).reveal(),
            *session_secret(&root, 1).reveal(),
            *session_secret(&root, 1 << 32).reveal(),
            *dealer_key(&root).reveal(),
            *root.reveal(),
        ];
        for (index, one) in made.iter().enumerate() {
            assert!(!made[..index].contains(one));
        }
    }
}
