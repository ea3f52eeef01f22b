//! The report of a crash: one word of RAM that a reset leaves as it is. After the reset, the next host is told.

use core::sync::atomic::{AtomicU32, Ordering};

use ringlet_core::device::Crash;

/// Marks a report. RAM that has just been powered holds arbitrary values, and hardly ever this one.
const MAGIC: u32 = 0x5249_4E00;

#[cfg_attr(target_os = "none", unsafe(link_section = ".uninit.CRASH_REPORT"))]
static REPORT: AtomicU32 = AtomicU32::new(0);

/// Stores a report, before the firmware resets.
pub fn store(crash: Crash) {
    REPORT.store(MAGIC | crash as u32, Ordering::Relaxed);
}

/// Takes the report out: the crash that caused the last reset, if there was one.
pub fn take() -> Option<Crash> {
    let report = REPORT.load(Ordering::Relaxed);
    REPORT.store(0, Ordering::Relaxed);
    [Crash::Panic, Crash::Fault]
        .into_iter()
        .find(|&crash| report == MAGIC | crash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_reported_once() {
        assert_eq!(take(), None);
        store(Crash::Fault);
        assert_eq!(take(), Some(Crash::Fault));
        assert_eq!(take(), None);
        REPORT.store(0xFFFF_FFFF, Ordering::Relaxed);
        assert_eq!(take(), None);
    }
}
