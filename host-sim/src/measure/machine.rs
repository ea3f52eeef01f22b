//! The machine that was measured.

use std::{fs, thread};

/// The name of the processor, as far as the system tells it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let unnamed = || format!("{} with {}", std::env::consts::ARCH, std::env::consts::OS);
    named.unwrap_or_else(unnamed)
}

/// The number of cores that a program may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
