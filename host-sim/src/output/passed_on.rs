//! What a gateway has passed on for a device.

use super::amounts::bytes;
use crate::{console, data::hexadecimal, error::Failure, run::gateway::PassedOn};

/// Prints the names of the uploads, and tells what they were.
pub fn print(passed_on: &PassedOn) -> Result<(), Failure> {
    for id in &passed_on.uploads {
        console::line(&hexadecimal::digits(&id.0))?;
    }
    let before = match passed_on.repeated {
        0 => String::new(),
        before => format!(", {before} of them before"),
    };
    let stack = match passed_on.stack {
        0 => String::new(),
        stack => format!(" It took {} of stack.", bytes(stack.into())),
    };
    console::note(&format!(
        "the device has contributed {} samples, in {} uploads{before}; {} bytes were sent.{stack} The names of the uploads can \
         withdraw them: give them to the device's owner alone",
        passed_on.samples,
        passed_on.uploads.len(),
        passed_on.bytes,
    ));
    Ok(())
}
