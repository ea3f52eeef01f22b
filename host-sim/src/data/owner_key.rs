//! Owners' signing keys (Ed25519) as text: public ones in a task, secret ones in files.
//!
//! The text is Bech32m, as that of identities. It begins with `ringletowner1` if it is public and with `ringletownersecret1` if
//! it is secret.

use std::{fs, path::Path};

use bech32::Hrp;
use ed25519_dalek::{SigningKey, VerifyingKey};
use ringlet_core::prg::{Key, device_key::owner_secret};
use zeroize::Zeroizing;

use super::{
    identity_file::{decode, encode},
    key_file::write_new_text,
};
use crate::error::Failure;

const PUBLIC: Hrp = Hrp::parse_unchecked("ringletowner");
const SECRET: Hrp = Hrp::parse_unchecked("ringletownersecret");

/// The text of a public key.
pub fn public_text(key: &VerifyingKey) -> String {
    encode(PUBLIC, key.as_bytes())
}

/// Reads the text of a public key. Fails with what is wrong with it.
pub fn parse_public(text: &str) -> Result<VerifyingKey, String> {
    let bytes = decode(PUBLIC, text)?;
    let key = VerifyingKey::from_bytes(&bytes).ok();
    // Anyone signs for a weak key.
    key.filter(|key| !key.is_weak())
        .ok_or_else(|| "it belongs to nobody".to_owned())
}

/// Makes a signing key of a secret, and writes it to a new file that no other user may read.
pub fn create(path: &Path, secret: &Key) -> Result<SigningKey, Failure> {
    let key = SigningKey::from_bytes(secret.reveal());
    let text = Zeroizing::new(encode(SECRET, key.as_bytes()) + "\n");
    write_new_text(path, &text)?;
    Ok(key)
}

/// The key by which the device with this root secret signs.
pub fn of_device(root: &Key) -> SigningKey {
    SigningKey::from_bytes(owner_secret(root).reveal())
}

/// Reads the signing key in a file that [`create`] has written.
pub fn read(path: &Path) -> Result<SigningKey, Failure> {
    let wrong = |why: String| {
        Failure::new(
            format!("{} holds no owner's key: {why}", path.display()),
            "make one with `ringlet task owner`",
        )
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let secret = decode(SECRET, text.trim()).map_err(wrong)?;
    Ok(SigningKey::from_bytes(&secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_as_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("owner.key");
        let made = create(&path, &Key::new([9; 32])).expect("a new file");
        assert!(create(&path, &Key::new([8; 32])).is_err());
        let key = read(&path).expect("a key");
        assert_eq!(key.verifying_key(), made.verifying_key());
        let text = public_text(&key.verifying_key());
        assert!(text.starts_with("ringletowner1"));
        assert_eq!(parse_public(&text), Ok(key.verifying_key()));
        assert!(parse_public(&text.replace("ringletowner1", "ringlet1")).is_err());
        let secret = fs::read_to_string(&path).expect("the file");
        assert!(parse_public(secret.trim()).is_err());
        // The neutral element of the curve.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(parse_public(&encode(PUBLIC, &weak)).is_err());
    }
}
