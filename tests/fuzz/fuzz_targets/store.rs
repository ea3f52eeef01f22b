#![no_main]
//! See `store::check`.

use ringlet_fuzz::{allocation::Counting, store};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| store::check(input));
