//! Puts the target's memory map where the linker looks for it.

use std::{env, fs, path::PathBuf};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let map = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("arm") => "mps2-an386.x",
        Ok("riscv32") => "virt.x",
        _ => return,
    };
    fs::copy(map, out.join("memory.x")).expect("a directory that can be written");
    println!("cargo:rustc-link-search={}", out.display());
    if map == "virt.x" {
        // riscv-rt does not include it.
        println!("cargo:rustc-link-arg=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-changed={map}");
}
