//! The last line of a program that fails.

use crate::{console, error::Failure, resources};

/// What a shell reports of a program that ended by SIGPIPE: 128 and the signal's number.
const OUTPUT_CLOSED: u8 = 141;

/// Tells the user why the program ends. Returns its exit code.
pub fn report(failure: &Failure) -> u8 {
    if failure.is_output_closed() {
        return OUTPUT_CLOSED;
    }
    resources::end_alone();
    console::note(&format!("error: {failure}"));
    1
}
