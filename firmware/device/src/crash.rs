//! Why the firmware started anew: a word that outlives a reset, for the next host to hear.

use core::sync::atomic::{AtomicU32, Ordering};

use ringlet_core::device::Crash;

/// Tells a crash from what memory holds after power has been switched on.
const MAGIC: u32 = 0x5249_4E00;

#[cfg_attr(target_os = "none", unsafe(link_section = ".uninit.CRASH"))]
static RECORD: AtomicU32 = AtomicU32::new(0);

/// Notes a crash, before the reset that ends it.
pub fn note(crash: Crash) {
    RECORD.store(MAGIC | crash as u32, Ordering::Relaxed);
}

/// The crash that was noted last, once.
pub fn take() -> Option<Crash> {
    let record = RECORD.load(Ordering::Relaxed);
    RECORD.store(0, Ordering::Relaxed);
    [Crash::Panic, Crash::Fault]
        .into_iter()
        .find(|&crash| record == MAGIC | crash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_once() {
        assert_eq!(take(), None);
        note(Crash::Fault);
        assert_eq!(take(), Some(Crash::Fault));
        assert_eq!(take(), None);
        RECORD.store(0xFFFF_FFFF, Ordering::Relaxed);
        assert_eq!(take(), None);
    }
}
