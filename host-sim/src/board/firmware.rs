//! Firmware of boards: where it is in a checkout, and how to build it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::boards::Board;
use crate::{console, error::Failure};

/// The folder `firmware/` of the checkout around this program, or around the current directory.
pub fn folder() -> Option<PathBuf> {
    let places = [env::current_exe(), env::current_dir()];
    let places = places.iter().flatten();
    places
        .flat_map(|place| place.ancestors())
        .map(|ancestor| ancestor.join("firmware"))
        .find(|folder| folder.join("device").join("Cargo.toml").is_file())
}

/// What firmware does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It runs a party.
    Party,
    /// It contributes to collections.
    Contribution,
}

/// The firmware in the file that is given, or the board's firmware for a purpose in a checkout.
pub fn chosen(given: Option<&Path>, board: &Board, purpose: Purpose) -> Result<PathBuf, Failure> {
    match given {
        Some(file) if file.is_file() => Ok(file.to_owned()),
        Some(file) => Err(Failure::new(
            format!("there is no file {}", file.display()),
            "correct --firmware",
        )),
        None => ready(board, purpose),
    }
}

/// The board's firmware in a checkout. Builds it if it is missing.
fn ready(board: &Board, purpose: Purpose) -> Result<PathBuf, Failure> {
    let folder = folder().ok_or_else(|| {
        Failure::new(
            "there is no checkout of Ringlet around this program or directory",
            "change to one, or give --firmware",
        )
    })?;
    let firmware = match purpose {
        Purpose::Party => board.firmware(&folder),
        Purpose::Contribution => board.contributing_firmware(&folder),
    };
    if !firmware.is_file() {
        build(board, purpose, &folder)?;
    }
    if firmware.is_file() {
        Ok(firmware)
    } else {
        Err(Failure::new(
            format!("cargo did not leave {}", firmware.display()),
            "build the firmware by hand, and give --firmware",
        ))
    }
}

/// Builds the board's firmware in `folder`. Cargo's messages are shown.
fn build(board: &Board, purpose: Purpose, folder: &Path) -> Result<(), Failure> {
    let package = board.package();
    console::note(&format!(
        "the firmware for {} is not built yet: building firmware/boards/{package}",
        board.name
    ));
    let home = folder.join("boards").join(package);
    let mut target_dir = folder.join("target");
    let mut target = board.target;
    let mut features = Vec::new();
    if let Some((variant, triple)) = board.target.split_once('/') {
        target_dir.push(variant);
        target = triple;
        // A variant has the name of its feature.
        features.extend(["--features", variant]);
    }
    let program = format!("ringlet-{package}-contribute");
    if purpose == Purpose::Contribution {
        features.extend(["--features", "contribute", "--bin", &program]);
    }
    if !has_target(target, &home) {
        let mut add = Command::new("rustup");
        add.args(["target", "add", target]).current_dir(&home);
        let remedy = format!("install Rust's target {target}");
        succeed(add, "rustup", &remedy)?;
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--target-dir"]);
    cargo.arg(target_dir).args(features).current_dir(&home);
    succeed(cargo, "cargo", "see its messages above")
}

/// Whether the compiler has the libraries of the target. If rustc cannot run, the build will say so.
fn has_target(target: &str, home: &Path) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    match rustc.current_dir(home).output() {
        Ok(output) => Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir(),
        Err(_) => true,
    }
}

/// Runs a command that must succeed.
fn succeed(mut command: Command, name: &str, remedy: &str) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{name} failed ({status})"), remedy)),
        Err(error) => Err(Failure::new(
            format!("{name} cannot be started: {error}"),
            "install Rust from https://rustup.rs, or give --firmware",
        )),
    }
}
