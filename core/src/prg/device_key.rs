//! Keys derived from a device's root secret: 32 bytes in its flash, programmed apart from the firmware.
//!
//! Messages between a device and its dealer pass through the peer, or through the hub between two devices. So
//! the dealer encrypts ("seals") a device's session key with a key that only the device and the dealer hold.

use core::convert::Infallible;

use crate::prg::{Address, Key, Prg};

/// Gate numbers of the derivation streams, one per purpose. The root and the device key are different keys,
/// so both may use `SESSION`.
const SESSION: u32 = 0;
const DEALER: u32 = 1;
const TAG: u32 = 2;

/// Length of a seal's tag, in bytes.
pub const TAG_LEN: usize = 8;

/// Whether a root has been programmed: blank memory is all ones or all zeros.
pub fn is_programmed(root: &Key) -> bool {
    let [ones, zeros] = [u8::MAX, 0].map(|blank| root.reveal().iter().all(|&byte| byte == blank));
    !(ones | zeros)
}

/// Derives the 32-byte key number `nonce` from `key`, for the purpose `gate`.
fn derive(key: &Key, gate: u32, nonce: u64) -> Key {
    let address = Address {
        iteration: nonce as u32,
        gate,
        wire: 0,
    };
    // The nonce's low half selects the stream; its high half is the offset in the stream, in whole keys.
    let first = (nonce >> 32) * Key::LEN as u64;
    let Ok(derived) = Key::filled(|bytes| {
        Prg::new(key.clone()).fill(address, first, bytes);
        Ok::<_, Infallible>(())
    });
    derived
}

/// The secret of one session, from which a device draws its part of the initial weights. `nonce` is drawn by
/// the host for this session.
pub fn session_secret(root: &Key, nonce: u64) -> Key {
    derive(root, SESSION, nonce)
}

/// The device key, which a device with this root shares with its dealer permanently. It does not reveal the root.
pub fn dealer_key(root: &Key) -> Key {
    derive(root, DEALER, 0)
}

/// Decrypts a session key that [`seal`] has encrypted.
pub fn unseal(shared: &Key, nonce: u64, sealed: &[u8; Key::LEN]) -> Key {
    let mut key = derive(shared, SESSION, nonce);
    for (byte, sealed) in key.0.iter_mut().zip(sealed) {
        *byte ^= sealed;
    }
    key
}

/// Encrypts a session key: exclusive or with a one-time pad derived from the device key `shared` and `nonce`. Use each
/// nonce for one session key only.
pub fn seal(shared: &Key, nonce: u64, key: &[u8; Key::LEN]) -> [u8; Key::LEN] {
    let pad = derive(shared, SESSION, nonce);
    core::array::from_fn(|byte| key[byte] ^ pad.reveal()[byte])
}

/// A tag of the seal with this nonce. Only holders of the device key `shared` can compute it, so a device
/// recognises a seal that was derived for it. It does not authenticate the sealed key.
pub fn tag(shared: &Key, nonce: u64) -> [u8; TAG_LEN] {
    let whole = derive(shared, TAG, nonce);
    core::array::from_fn(|byte| whole.reveal()[byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_root_is_not_programmed() {
        let mut bytes = [0xFF; 32];
        assert!(!is_programmed(&Key::new(bytes)));
        assert!(!is_programmed(&Key::new([0; 32])));
        bytes[31] = 0xFE;
        assert!(is_programmed(&Key::new(bytes)));
    }

    #[test]
    fn a_tag_depends_on_key_and_nonce() {
        let shared = Key::new([3; 32]);
        assert_eq!(tag(&shared, 5), tag(&shared, 5));
        assert_ne!(tag(&shared, 5), tag(&shared, 6));
        assert_ne!(tag(&shared, 5), tag(&Key::new([4; 32]), 5));
        let pad = seal(&shared, 5, &[0; 32]);
        assert_ne!(pad[..TAG_LEN], tag(&shared, 5));
    }

    #[test]
    fn only_the_same_key_and_nonce_unseal_a_key() {
        let (root, other) = (Key::new([3; 32]), Key::new([4; 32]));
        let shared = dealer_key(&root);
        let key = [9; 32];
        let sealed = seal(&shared, 7 << 33, &key);
        assert_ne!(sealed, key);
        assert_eq!(*unseal(&shared, 7 << 33, &sealed).reveal(), key);
        assert_ne!(*unseal(&shared, 7 << 34, &sealed).reveal(), key);
        assert_ne!(*unseal(&dealer_key(&other), 7 << 33, &sealed).reveal(), key);
    }

    #[test]
    fn all_secrets_derived_from_a_root_differ() {
        let root = Key::new([3; 32]);
        let derived = [
            *session_secret(&root, 0).reveal(),
            *session_secret(&root, 1).reveal(),
            *session_secret(&root, 1 << 32).reveal(),
            *dealer_key(&root).reveal(),
            *root.reveal(),
        ];
        for (index, one) in derived.iter().enumerate() {
            assert!(!derived[..index].contains(one));
        }
    }
}
