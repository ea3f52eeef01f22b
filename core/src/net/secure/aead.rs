//! Ciphers that seal the frames of a secure link.

use core::{marker::PhantomData, ops::Deref};

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
use clatter::{
    bytearray::SensitiveByteArray,
    error::{CipherError, CipherResult},
    traits::{Cipher, CryptoComponent},
};

/// Length of a frame's tag, in bytes.
pub const TAG_LEN: usize = 16;

/// Bytes that were opened are not those that were sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// An authenticated cipher with a 32-byte key, as Noise uses it: the nonce is a counter.
pub trait Aead {
    /// The cipher's name in a Noise protocol name.
    const NAME: &'static str;

    /// The cipher under `key`.
    fn new(key: &[u8; 32]) -> Self;

    /// Encrypts `bytes` in place and returns the tag over them and over `associated`. No nonce may be used twice.
    fn seal(&self, nonce: u64, associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN];

    /// Decrypts `bytes` in place. Fails if they, the tag, the nonce or `associated` are not those of the seal; `bytes`
    /// are then worthless.
    fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged>;
}

/// ChaCha20-Poly1305 (RFC 8439).
pub struct ChaChaPoly(ChaCha20Poly1305);

/// Noise's nonce for ChaCha20-Poly1305: four zero bytes, then the counter, little-endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Aead for ChaChaPoly {
    const NAME: &'static str = "ChaChaPoly";

    fn new(key: &[u8; 32]) -> Self {
        ChaChaPoly(ChaCha20Poly1305::new(key.into()))
    }

    #[inline(never)]
    fn seal(&self, counter: u64, associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        // The cipher refuses only messages of 256 GiB and more. A tag of zeros would not open.
        let sealed = self
            .0
            .encrypt_in_place_detached(&nonce(counter).into(), associated, bytes);
        sealed.map_or([0; TAG_LEN], Into::into)
    }

    #[inline(never)]
    fn open(
        &self,
        counter: u64,
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        let nonce = nonce(counter).into();
        self.0
            .decrypt_in_place_detached(&nonce, associated, bytes, tag.into())
            .map_err(|_| Forged)
    }
}

/// The cipher `A` as the handshake takes it.
pub(super) struct HandshakeCipher<A>(PhantomData<A>);

impl<A> Clone for HandshakeCipher<A> {
    fn clone(&self) -> Self {
        HandshakeCipher(PhantomData)
    }
}

impl<A: Aead> CryptoComponent for HandshakeCipher<A> {
    fn name() -> &'static str {
        A::NAME
    }
}

impl<A: Aead> Cipher for HandshakeCipher<A> {
    type Key = SensitiveByteArray<[u8; 32]>;

    fn tag_len() -> usize {
        TAG_LEN
    }

    fn encrypt(
        key: &Self::Key,
        nonce: u64,
        associated: &[u8],
        plain: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        let bytes = out.get_mut(..plain.len()).ok_or(CipherError::Encrypt)?;
        bytes.copy_from_slice(plain);
        Self::encrypt_in_place(key, nonce, associated, out, plain.len()).map(drop)
    }

    fn encrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        associated: &[u8],
        bytes: &mut [u8],
        len: usize,
    ) -> CipherResult<usize> {
        let (bytes, rest) = bytes
            .split_at_mut_checked(len)
            .ok_or(CipherError::Encrypt)?;
        let tag = rest.first_chunk_mut().ok_or(CipherError::Encrypt)?;
        *tag = A::new(key.deref()).seal(nonce, associated, bytes);
        Ok(len + TAG_LEN)
    }

    fn decrypt(
        key: &Self::Key,
        nonce: u64,
        associated: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        let (bytes, tag) = sealed.split_last_chunk().ok_or(CipherError::Decrypt)?;
        let out = out.get_mut(..bytes.len()).ok_or(CipherError::Decrypt)?;
        out.copy_from_slice(bytes);
        A::new(key.deref())
            .open(nonce, associated, out, tag)
            .map_err(|Forged| CipherError::Decrypt)
    }

    fn decrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        associated: &[u8],
        bytes: &mut [u8],
        len: usize,
    ) -> CipherResult<usize> {
        let sealed = bytes.get_mut(..len).ok_or(CipherError::Decrypt)?;
        let (bytes, tag) = sealed.split_last_chunk_mut().ok_or(CipherError::Decrypt)?;
        A::new(key.deref())
            .open(nonce, associated, bytes, tag)
            .map_err(|Forged| CipherError::Decrypt)?;
        Ok(bytes.len())
    }
}
