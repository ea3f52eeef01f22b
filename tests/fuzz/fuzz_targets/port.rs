#![no_main]
//! See `port::check`.

use ringlet_fuzz::{allocation::Counting, port};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| port::check(input));
