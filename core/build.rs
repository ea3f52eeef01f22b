//! Sets `thumb2` for targets with Thumb-2 instructions. Stable compilers do not tell the code of them.

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
}
