//! Fresh values: each session of a device gets one that no other session had, so that no key of a session serves twice.

mod counter;
#[cfg(all(feature = "emulated", target_os = "none"))]
mod counter_file;
mod random;

pub use counter::{Counter, SLOT_LEN, Storage, StorageError};
#[cfg(all(feature = "emulated", target_os = "none"))]
pub use counter_file::CounterFiles;
pub use random::Random;
use ringlet_core::{device::NotFresh, prg::device_key::FRESH_LEN};

/// A source of fresh values.
pub trait Fresh {
    /// A value that this source has never given and will never give again, also after a reset. It need not be secret.
    fn fresh(&mut self) -> Result<[u8; FRESH_LEN], NotFresh>;

    /// The number of values that the source has given since it was set up, if it counts them.
    fn given(&self) -> Option<u64>;
}

/// Firmware without a source: it runs no session.
pub struct NoSource;

impl Fresh for NoSource {
    fn fresh(&mut self) -> Result<[u8; FRESH_LEN], NotFresh> {
        Err(NotFresh::NoSource)
    }

    fn given(&self) -> Option<u64> {
        None
    }
}

/// The first source if it works, else the second.
pub struct Either<A, B>(pub A, pub B);

impl<A: Fresh, B: Fresh> Fresh for Either<A, B> {
    fn fresh(&mut self) -> Result<[u8; FRESH_LEN], NotFresh> {
        self.0.fresh().or_else(|_| self.1.fresh())
    }

    /// The number of values of the second source, if the first gave none.
    fn given(&self) -> Option<u64> {
        self.0.given().or_else(|| self.1.given())
    }
}
