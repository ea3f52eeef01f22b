//! Secure links over TCP.

use std::io;

use embedded_io::{ErrorType, Read, Write};
use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ringlet_core::net::{
    Finish,
    secure::{Aead, Forged, Keys, SecureError, SecureTransport, Suite, TAG_LEN},
};

use super::{tcp::TcpEnd, wait_time::WaitTime};

/// AES-256-GCM (NIST SP 800-38D), by the processor's own instructions where it has them.
pub struct AesGcm(LessSafeKey);

/// ChaCha20-Poly1305 (RFC 8439), vectorised.
pub struct ChaChaPoly(LessSafeKey);

fn key(algorithm: &'static Algorithm, key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(algorithm, key).expect("both ciphers have keys of 32 bytes");
    LessSafeKey::new(key)
}

/// Four zero bytes, then the counter.
fn nonce(counter: [u8; 8]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(nonce)
}

fn seal(key: &LessSafeKey, nonce: Nonce, associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), bytes);
    // The ciphers refuse only messages of tens of gigabytes. A tag of zeros would not open.
    tag.ok()
        .and_then(|tag| tag.as_ref().try_into().ok())
        .unwrap_or([0; TAG_LEN])
}

fn open(
    key: &LessSafeKey,
    nonce: Nonce,
    associated: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Forged> {
    let opened =
        key.open_in_place_separate_tag(nonce, Aad::from(associated), (*tag).into(), bytes, 0..);
    opened.map(drop).map_err(|_| Forged)
}

impl Aead for AesGcm {
    const NAME: &'static str = "AESGCM";

    fn new(bytes: &[u8; 32]) -> Self {
        AesGcm(key(&AES_256_GCM, bytes))
    }

    fn seal(&self, counter: u64, associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        seal(&self.0, nonce(counter.to_be_bytes()), associated, bytes)
    }

    fn open(
        &self,
        counter: u64,
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        open(
            &self.0,
            nonce(counter.to_be_bytes()),
            associated,
            bytes,
            tag,
        )
    }
}

impl Aead for ChaChaPoly {
    const NAME: &'static str = "ChaChaPoly";

    fn new(bytes: &[u8; 32]) -> Self {
        ChaChaPoly(key(&CHACHA20_POLY1305, bytes))
    }

    fn seal(&self, counter: u64, associated: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        seal(&self.0, nonce(counter.to_le_bytes()), associated, bytes)
    }

    fn open(
        &self,
        counter: u64,
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        open(
            &self.0,
            nonce(counter.to_le_bytes()),
            associated,
            bytes,
            tag,
        )
    }
}

type Transport<A> = Box<SecureTransport<TcpEnd, A, Box<[u8]>>>;

/// One end of a secure link over TCP.
pub enum SecureEnd {
    /// With another host.
    Host(Transport<AesGcm>),
    /// With a device, through whatever the device is connected to.
    Device(Transport<ChaChaPoly>),
}

fn transport<A: Aead>(end: TcpEnd, suite: Suite, keys: &Keys) -> Transport<A> {
    let buffer = || vec![0; suite.buffer_len()].into_boxed_slice();
    Box::new(SecureTransport::new(end, keys, buffer(), buffer()))
}

impl SecureEnd {
    /// Seals what goes over `end` after its handshake.
    pub fn new(end: TcpEnd, suite: Suite, keys: &Keys) -> Self {
        match suite {
            Suite::Host => SecureEnd::Host(transport(end, suite, keys)),
            Suite::Device => SecureEnd::Device(transport(end, suite, keys)),
        }
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpEnd {
        match self {
            SecureEnd::Host(transport) => transport.inner(),
            SecureEnd::Device(transport) => transport.inner(),
        }
    }

    /// Bytes sent and received on the connection since the handshake.
    pub fn wire_bytes(&self) -> [u64; 2] {
        match self {
            SecureEnd::Host(transport) => transport.wire_bytes(),
            SecureEnd::Device(transport) => transport.wire_bytes(),
        }
    }

    /// The time that this end spends waiting.
    pub fn wait_time(&self) -> WaitTime {
        self.tcp().wait_time()
    }
}

impl ErrorType for SecureEnd {
    type Error = SecureError<io::Error>;
}

impl Read for SecureEnd {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        match self {
            SecureEnd::Host(transport) => transport.read(bytes),
            SecureEnd::Device(transport) => transport.read(bytes),
        }
    }
}

impl Write for SecureEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        match self {
            SecureEnd::Host(transport) => transport.write(bytes),
            SecureEnd::Device(transport) => transport.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        match self {
            SecureEnd::Host(transport) => transport.flush(),
            SecureEnd::Device(transport) => transport.flush(),
        }
    }
}

impl Finish for SecureEnd {
    fn end(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            SecureEnd::Host(transport) => transport.end(waits),
            SecureEnd::Device(transport) => transport.end(waits),
        }
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            SecureEnd::Host(transport) => transport.confirm(waits),
            SecureEnd::Device(transport) => transport.confirm(waits),
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlet_core::net::secure;

    use super::*;

    #[test]
    fn both_implementations_of_chacha_seal_alike() {
        let bytes = [3; 100];
        let (mut one, mut other) = (bytes, bytes);
        let here = ChaChaPoly::new(&[7; 32]);
        let tag = here.seal(1 << 40, b"head", &mut one);
        let core = secure::ChaChaPoly::new(&[7; 32]);
        assert_eq!(core.seal(1 << 40, b"head", &mut other), tag);
        assert_eq!(one, other);
        assert_eq!(here.open(1 << 40, b"head", &mut one, &tag), Ok(()));
        assert_eq!(one, bytes);
        assert_eq!(here.open(1, b"head", &mut other, &tag), Err(Forged));
    }

    #[test]
    fn aes_gcm_gives_the_published_tag() {
        // Test case 13 of McGrew and Viega, "The Galois/Counter Mode of Operation": no text under a key of zeros.
        let tag = AesGcm::new(&[0; 32]).seal(0, &[], &mut []);
        let want = 0x530f_8afb_c745_36b9_a963_b4f1_c4cb_738b_u128;
        assert_eq!(u128::from_be_bytes(tag), want);
    }
}
