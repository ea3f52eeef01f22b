#![no_main]
//! See `frames::check`.

use ringlet_fuzz::{allocation::Counting, frames};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frames::check(input));
