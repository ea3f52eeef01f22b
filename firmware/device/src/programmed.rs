//! What is programmed apart from the firmware: the samples' image and the board's own secret.

use core::slice;

use ringlet_core::prg::Key;

/// What a board was given beside its firmware.
pub struct Programmed {
    /// The samples' image, unchecked.
    pub image: &'static [u8],
    /// The board's secret.
    pub root: Key,
}

impl Programmed {
    /// Finds the image, at an address with so many bytes, and reads the secret.
    ///
    /// # Safety
    ///
    /// Both can be read, and nothing writes to them while the firmware runs.
    pub unsafe fn read(image: (*const u8, usize), secret: *const [u8; Key::LEN]) -> Self {
        Programmed {
            // SAFETY: as the caller promises.
            image: unsafe { slice::from_raw_parts(image.0, image.1) },
            // SAFETY: as the caller promises.
            root: Key::new(unsafe { secret.read_volatile() }),
        }
    }
}
