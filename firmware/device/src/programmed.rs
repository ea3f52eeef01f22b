//! What is programmed into a board apart from its firmware: the samples' image, and the record with the device's secret.

use core::slice;

use ringlet_core::device::MAX_RECORD_LEN;

/// The samples and the record of a board.
pub struct Programmed {
    /// The samples' image, unchecked.
    pub image: &'static [u8],
    /// The device's record, unchecked. Its secret stays in flash, except while a session's keys are derived from it.
    pub record: &'static [u8],
}

impl Programmed {
    /// Locates the image, given its address and its size in bytes, and the record, which takes up to
    /// [`MAX_RECORD_LEN`] bytes.
    ///
    /// # Safety
    ///
    /// Both lie in readable memory that nothing writes while the firmware runs.
    pub unsafe fn new(image: (*const u8, usize), record: *const u8) -> Self {
        Programmed {
            // SAFETY: as the caller promises.
            image: unsafe { slice::from_raw_parts(image.0, image.1) },
            // SAFETY: as the caller promises.
            record: unsafe { slice::from_raw_parts(record, MAX_RECORD_LEN) },
        }
    }
}
