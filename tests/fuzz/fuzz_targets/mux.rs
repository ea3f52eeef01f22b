#![no_main]
//! See `mux::check`.

use ringlet_fuzz::{allocation::Counting, mux};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| mux::check(input));
