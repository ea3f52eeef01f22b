//! What is programmed into a board apart from its firmware: the samples' image and the device secret.

use core::slice;

use ringlet_core::prg::Key;

/// The samples and the secret of a board.
pub struct Programmed {
    /// The samples' image, unchecked.
    pub image: &'static [u8],
    /// The device's root secret.
    pub root: Key,
}

impl Programmed {
    /// Locates the image, given its address and its size in bytes, and reads the secret.
    ///
    /// # Safety
    ///
    /// Both lie in readable memory that nothing writes while the firmware runs.
    pub unsafe fn read(image: (*const u8, usize), secret: *const [u8; Key::LEN]) -> Self {
        Programmed {
            // SAFETY: as the caller promises.
            image: unsafe { slice::from_raw_parts(image.0, image.1) },
            // SAFETY: as the caller promises.
            root: Key::new(unsafe { secret.read_volatile() }),
        }
    }
}
