//! The clock by which a party's layers are measured.

use std::{sync::LazyLock, time::Instant};

/// Nanoseconds since the first call in this process. They never go back.
pub fn nanoseconds() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}
