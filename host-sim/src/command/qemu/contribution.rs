//! A board in QEMU that contributes to a collection.

use std::path::Path;

use ringlet_core::device::Record;

use super::{QemuArgs, WAIT};
use crate::{
    board::firmware::{self, Purpose},
    config::{
        args::DataArgs,
        task_file::{Contributors, TaskFile},
        task_samples,
    },
    console,
    data::flash_image::{flash_image, task_image},
    error::Failure,
    output::passed_on,
    run::{gateway::pass_on, secrets::Secrets},
};

/// Digits that the board contributes.
const USUAL: u32 = 4;

/// Starts a board with digits and a task in its flash, and passes on what it contributes.
pub fn run(args: &QemuArgs, task: &Path) -> Result<(), Failure> {
    let board = args.board;
    let task = TaskFile::read(task)?;
    if task.terms.contributors != Contributors::Anybody {
        return Err(Failure::new(
            "the task names its owners, and a board in QEMU has a new key each time",
            "make a task with --open",
        ));
    }
    let digits = task_samples::load(&DataArgs::default(), &task)?;
    let count = args.count.unwrap_or(USUAL) as usize;
    if count > digits.len() {
        return Err(Failure::new(
            format!("there are {} digits", digits.len()),
            "correct --count",
        ));
    }
    board.check_emulator()?;
    let firmware = firmware::chosen(args.firmware.as_deref(), board, Purpose::Contribution)?;
    let mut flash = flash_image(&digits.slice(0..count))?;
    flash.extend(task_image(&task.image(None)?));
    let record = Record::of_contributor(Secrets::System.device_root()?);
    let (_emulated, address) = board.start_with_flash(&firmware, &flash, &record)?;
    let [program, machine] = board.emulator;
    console::note(&format!(
        "{}: {} ({program} -M {machine}), with {count} digits; this process is its gateway",
        board.name, board.about
    ));
    passed_on::print(&pass_on(&address, &task, WAIT)?)
}
