#![no_main]
//! See `sample_image::check`.

use ringlet_fuzz::{allocation::Counting, sample_image};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| sample_image::check(input));
