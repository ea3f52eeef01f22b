//! Every input of the fuzzing corpus through the checks of the fuzz targets.

use std::{fs, path::Path};

#[path = "fuzz/src/lib.rs"]
mod checks;

#[global_allocator]
static ALLOCATOR: checks::allocation::Counting = checks::allocation::Counting;

/// Calls `check` with every input of a target's corpus; there are some.
fn every(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Named before it runs, for when it fails.
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn frames() {
    every("frames", checks::frames::check);
}

#[test]
fn muxes() {
    every("mux", checks::mux::check);
}

#[test]
fn messages() {
    every("messages", checks::messages::check);
}

#[test]
fn sample_images() {
    every("sample_image", checks::sample_image::check);
}

#[test]
#[should_panic(expected = "the core has allocated")]
fn an_allocation_is_noticed() {
    checks::allocation::none_in(|| std::hint::black_box(vec![0u8; 9]));
}
