#![no_main]
//! See `messages::check`.

use ringlet_fuzz::{allocation::Counting, messages};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| messages::check(input));
