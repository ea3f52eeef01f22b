//! The key of a set of streams.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 32-byte secret key, wiped when dropped. Do not add `Debug` or `defmt::Format`: keys must not be printed or
/// logged.
///
/// It is aligned as words are, which some processors read it as.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[repr(C, align(4))]
pub struct Key([u8; 32]);

impl Key {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes 32 uniformly random bytes. A session key must not serve a second session: masks would repeat.
    pub fn new(bytes: [u8; 32]) -> Self {
        Key(bytes)
    }

    /// A key that `fill` writes in place, so that no copy of it is left elsewhere. The bytes are 0 before.
    ///
    /// Fails as `fill` does.
    pub fn filled<E>(fill: impl FnOnce(&mut [u8; Key::LEN]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Key([0; Key::LEN]);
        fill(&mut key.0)?;
        Ok(key)
    }

    /// The key's bytes, to send to the role that shares the key, or to derive other keys.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}
