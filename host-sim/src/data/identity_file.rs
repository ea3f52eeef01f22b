//! Identities as text: public ones for a roster, secret ones in files.
//!
//! The text is Bech32m (BIP 350), which finds any four wrong characters. It begins with `ringlet1` if it is public and
//! with `ringletsecret1` if it is secret.

use std::{fs, path::Path};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use ringlet_core::{
    net::secure::{Identity, PublicIdentity},
    prg::Key,
};
use zeroize::Zeroizing;

use super::key_file::write_new_text;
use crate::error::Failure;

const PUBLIC: Hrp = Hrp::parse_unchecked("ringlet");
const SECRET: Hrp = Hrp::parse_unchecked("ringletsecret");

/// The text of 32 bytes, which begins with `prefix`.
pub(super) fn encode(prefix: Hrp, bytes: &[u8; 32]) -> String {
    // 32 bytes are far below the longest text there is.
    bech32::encode::<Bech32m>(prefix, bytes).unwrap_or_default()
}

/// The 32 bytes of a text that begins with `prefix`. Fails with what is wrong with it.
pub(super) fn decode(prefix: Hrp, text: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let parsed = CheckedHrpstring::new::<Bech32m>(text).map_err(|error| error.to_string())?;
    if parsed.hrp() != prefix {
        return Err(format!("it does not begin with {prefix}1"));
    }
    let bytes = Zeroizing::new(parsed.byte_iter().collect::<Vec<u8>>());
    let bytes: &[u8; 32] = bytes[..].try_into().map_err(|_| "its length is wrong")?;
    Ok(Zeroizing::new(*bytes))
}

/// The text of a public identity.
pub fn public_text(identity: PublicIdentity) -> String {
    encode(PUBLIC, &identity.0)
}

/// Reads the text of a public identity. Fails with what is wrong with it.
pub fn parse_public(text: &str) -> Result<PublicIdentity, String> {
    let bytes = decode(PUBLIC, text)?;
    // No secret has this public identity, and anyone computes its links' keys.
    match bytes.iter().all(|&byte| byte == 0) {
        true => Err("it belongs to nobody".to_owned()),
        false => Ok(PublicIdentity(*bytes)),
    }
}

/// Draws an identity and writes it to a new file that no other user may read.
pub fn create(path: &Path, secret: Key) -> Result<Identity, Failure> {
    let identity = Identity::new(secret);
    let text = Zeroizing::new(encode(SECRET, identity.secret().reveal()) + "\n");
    write_new_text(path, &text)?;
    Ok(identity)
}

/// Reads the identity in a file that [`create`] has written.
pub fn read(path: &Path) -> Result<Identity, Failure> {
    let wrong = |why: String| {
        Failure::new(
            format!("{} holds no identity: {why}", path.display()),
            "make one with `ringlet init`",
        )
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let secret = decode(SECRET, text.trim()).map_err(wrong)?;
    Ok(Identity::new(Key::new(*secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_survive_as_text_and_typing_errors_are_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("p0.identity");
        let made = create(&path, Key::new([9; 32])).expect("a new file");
        assert!(create(&path, Key::new([8; 32])).is_err());
        let identity = read(&path).expect("an identity");
        assert_eq!(identity.public(), made.public());
        let text = public_text(identity.public());
        assert!(text.starts_with("ringlet1"));
        assert_eq!(parse_public(&text), Ok(identity.public()));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(parse_public(&wrong).is_err(), "{wrong}");
        }
        // A secret is no public identity, and the other way round.
        let secret = fs::read_to_string(&path).expect("the file");
        assert!(parse_public(secret.trim()).is_err());
        fs::write(&path, text).expect("the file");
        assert!(read(&path).is_err());
    }
}
