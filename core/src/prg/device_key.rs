//! Keys derived from a device's root secret: 32 bytes in its flash, programmed apart from the firmware.
//!
//! A device draws nothing else. For each session it has a fresh value: 16 bytes that no other session of the device
//! had or will have, which need not be secret. Secrets of the session derive from the root, the fresh value and their purpose.

use core::convert::Infallible;

use crate::prg::{Address, Key, Prg};

/// Length of a fresh value, in bytes.
pub const FRESH_LEN: usize = 16;

/// Gate numbers of the derivation streams, one per purpose.
const WEIGHTS: u32 = 0;
const IDENTITY: u32 = 1;
const DEALER_HANDSHAKE: u32 = 2;
const PEER_HANDSHAKE: u32 = 3;
const STATE: u32 = 4;
#[cfg(feature = "contributions")]
const UPLOAD: u32 = 5;
#[cfg(feature = "signatures")]
const OWNER: u32 = 6;

/// Whether a root has been programmed: blank memory is all ones or all zeros.
pub fn is_programmed(root: &Key) -> bool {
    let [ones, zeros] = [u8::MAX, 0].map(|blank| root.reveal().iter().all(|&byte| byte == blank));
    !(ones | zeros)
}

/// Derives the 32-byte key number `number` from `key`, for the purpose `gate`.
fn derive(key: &Key, gate: u32, number: u64) -> Key {
    let address = Address {
        iteration: number as u32,
        gate,
        wire: 0,
    };
    // The number's low half selects the stream; its high half is the offset in the stream, in whole keys.
    let first = (number >> 32) * Key::LEN as u64;
    let Ok(derived) = Key::filled(|bytes| {
        Prg::new(key.clone()).fill(address, first, bytes);
        Ok::<_, Infallible>(())
    });
    derived
}

/// Derives the key of one session for the purpose `gate`: half of the fresh value first, then the other.
#[inline(never)]
fn derive_fresh(root: &Key, gate: u32, fresh: &[u8; FRESH_LEN]) -> Key {
    let fresh = u128::from_le_bytes(*fresh);
    derive(
        &derive(root, gate, fresh as u64),
        gate,
        (fresh >> 64) as u64,
    )
}

/// The secret half of the device's identity, which stays the same in all sessions.
pub fn identity_secret(root: &Key) -> Key {
    derive(root, IDENTITY, 0)
}

/// The secret of one session, from which a device draws its part of the initial weights.
pub fn session_secret(root: &Key, fresh: &[u8; FRESH_LEN]) -> Key {
    derive_fresh(root, WEIGHTS, fresh)
}

/// The secret of one session's handshake with the dealer: its ephemeral key.
pub fn dealer_ephemeral(root: &Key, fresh: &[u8; FRESH_LEN]) -> Key {
    derive_fresh(root, DEALER_HANDSHAKE, fresh)
}

/// The secret of one session's handshake with the other party: its ephemeral key.
pub fn peer_ephemeral(root: &Key, fresh: &[u8; FRESH_LEN]) -> Key {
    derive_fresh(root, PEER_HANDSHAKE, fresh)
}

/// The key that seals a device's state before an iteration, for its host to keep. `fresh` is the fresh value of the session
/// that seals it.
pub fn state_key(root: &Key, fresh: &[u8; FRESH_LEN], iteration: u32) -> Key {
    derive(&derive_fresh(root, STATE, fresh), STATE, iteration.into())
}

/// The secret of one upload of the device's samples, of which `digest` is a hash. Another upload has another digest, so no secret
/// serves two.
#[cfg(feature = "contributions")]
pub fn upload_secret(root: &Key, digest: &[u8; 2 * FRESH_LEN]) -> Key {
    let mut halves = [[0; FRESH_LEN]; 2];
    halves.as_flattened_mut().copy_from_slice(digest);
    let [front, back] = halves;
    derive_fresh(&derive_fresh(root, UPLOAD, &front), UPLOAD, &back)
}

/// The secret half of the key by which the device signs its uploads, the same for all tasks.
#[cfg(feature = "signatures")]
pub fn owner_secret(root: &Key) -> Key {
    derive(root, OWNER, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    #[test]
    fn a_blank_root_is_not_programmed() {
        let mut bytes = [0xFF; 32];
        assert!(!is_programmed(&Key::new(bytes)));
        assert!(!is_programmed(&Key::new([0; 32])));
        bytes[31] = 0xFE;
        assert!(is_programmed(&Key::new(bytes)));
    }

    #[test]
    fn all_secrets_derived_from_roots_and_fresh_values_differ() {
        let mut derived = Vec::new();
        for root in [3, 4].map(|byte| Key::new([byte; 32])) {
            derived.extend([*root.reveal(), *identity_secret(&root).reveal()]);
            // Each part of the fresh value counts.
            for byte in [0, 4, 8, 12, 15] {
                let mut fresh = [0; FRESH_LEN];
                fresh[byte] = 1;
                for purpose in [session_secret, dealer_ephemeral, peer_ephemeral] {
                    derived.push(*purpose(&root, &fresh).reveal());
                }
                for iteration in [0, 1, 256] {
                    derived.push(*state_key(&root, &fresh, iteration).reveal());
                }
            }
        }
        #[cfg(feature = "contributions")]
        for root in [3, 4].map(|byte| Key::new([byte; 32])) {
            #[cfg(feature = "signatures")]
            derived.push(*owner_secret(&root).reveal());
            // Each part of the digest counts.
            for byte in [0, 7, 8, 15, 16, 23, 24, 31] {
                let mut digest = [0; 32];
                digest[byte] = 1;
                derived.push(*upload_secret(&root, &digest).reveal());
            }
        }
        for (index, one) in derived.iter().enumerate() {
            assert!(!derived[..index].contains(one));
        }
    }

    #[test]
    fn the_same_fresh_value_gives_the_same_secret() {
        let root = Key::new([3; 32]);
        let secret = || *session_secret(&root, &[7; FRESH_LEN]).reveal();
        assert_eq!(secret(), secret());
    }
}
