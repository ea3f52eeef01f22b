//! A counter's memory in the emulator's working directory, by semihosting: the files `counter-0` and `counter-1`.

use core::ffi::CStr;

use semihosting::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
};

use super::{SLOT_LEN, Storage, StorageError};

/// One file for each slot, so that a slot that is being written never takes the other with it.
pub struct CounterFiles;

const NAMES: [&CStr; 2] = [c"counter-0", c"counter-1"];

impl Storage for CounterFiles {
    /// A missing file is an erased slot.
    fn read(&mut self, slot: usize) -> Result<[u8; SLOT_LEN], StorageError> {
        let name = NAMES.get(slot).ok_or(StorageError)?;
        let mut bytes = [u8::MAX; SLOT_LEN];
        let mut file = match File::open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(bytes),
            Err(_) => return Err(StorageError),
        };
        // A file that was cut off leaves bytes of an erased slot at its end.
        let mut filled = 0;
        while filled < SLOT_LEN {
            match file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(_) => return Err(StorageError),
            }
        }
        Ok(bytes)
    }

    fn write(&mut self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), StorageError> {
        let name = NAMES.get(slot).ok_or(StorageError)?;
        let mut file = File::create(name).map_err(|_| StorageError)?;
        file.write_all(bytes).map_err(|_| StorageError)
    }
}
