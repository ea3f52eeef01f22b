//! The words of a role's state, as a checkpoint keeps them: little-endian, at their ring's width in whole bytes, one
//! after another.

use zeroize::Zeroize;

use crate::num::ring::Word;

use super::RunError;

/// The most bytes of a word.
const MAX_BYTES: usize = 16;

/// Writes the low `bits` bits of a word; `bits` is a multiple of 8.
pub(crate) fn write_word<W: Word, E>(
    bits: u32,
    word: W,
    write: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes: [u8; MAX_BYTES] = word.to_u128().to_le_bytes();
    let written = write(&bytes[..bits as usize / 8]);
    bytes.zeroize();
    written
}

/// Reads what [`write_word`] wrote.
pub(crate) fn read_word<W: Word, E>(
    bits: u32,
    read: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<W, E> {
    let mut bytes = [0; MAX_BYTES];
    let word = read(&mut bytes[..bits as usize / 8]).map(|()| u128::from_le_bytes(bytes));
    bytes.zeroize();
    word.map(W::from_u128)
}

/// Writes a state of `needed` bytes to `out` by `write`, which gets a sink for its bytes. Fails with
/// [`RunError::State`], and writes nothing, if `out` has another length.
pub(crate) fn to_slice(
    needed: usize,
    out: &mut [u8],
    write: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), RunError>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    check_len(needed, out.len())?;
    let mut at = 0;
    write(&mut |bytes| {
        out[at..][..bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
        Ok(())
    })
}

/// Reads a state of `needed` bytes from `state` by `read`, which gets a source of its bytes. Fails with
/// [`RunError::State`], and reads nothing, if `state` has another length.
pub(crate) fn from_slice(
    needed: usize,
    state: &[u8],
    read: impl FnOnce(&mut dyn FnMut(&mut [u8]) -> Result<(), RunError>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    check_len(needed, state.len())?;
    let mut at = 0;
    read(&mut |bytes| {
        bytes.copy_from_slice(&state[at..][..bytes.len()]);
        at += bytes.len();
        Ok(())
    })
}

fn check_len(needed: usize, given: usize) -> Result<(), RunError> {
    match needed == given {
        true => Ok(()),
        false => Err(RunError::State { needed, given }),
    }
}
