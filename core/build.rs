//! Sets `thumb2` for targets with Thumb-2 instructions, of which stable compilers do not tell the code, and `neon` for
//! little-endian targets of 64-bit Arm that all have NEON.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(thumb2)");
    let target = env::var("TARGET").unwrap_or_default();
    if ["thumbv7", "thumbv8m.main"]
        .iter()
        .any(|prefix| target.starts_with(prefix))
    {
        println!("cargo:rustc-cfg=thumb2");
    }
    println!("cargo:rustc-check-cfg=cfg(neon)");
    let says = |key: &str, word: &str| {
        env::var(key).is_ok_and(|words| words.split(',').any(|other| other == word))
    };
    if says("CARGO_CFG_TARGET_ARCH", "aarch64")
        && says("CARGO_CFG_TARGET_ENDIAN", "little")
        && says("CARGO_CFG_TARGET_FEATURE", "neon")
    {
        println!("cargo:rustc-cfg=neon");
    }
}
