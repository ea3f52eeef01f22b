//! The masks of contributions: streams of keys that their owners draw.

use core::convert::Infallible;

use super::{Address, Key, fill_once};

/// Gate numbers of the streams of a contribution's key.
const PIXELS: u32 = 0;
const LABEL: u32 = 1;

/// What of a contribution a mask hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The sample: as many words as the model's input has values.
    Pixels,
    /// The one-hot label: a word for each class.
    Label,
}

/// Writes the words `first`, `first + 1`, ... of one party's part of a mask to `out`. Their low bits count, as many as the masked
/// values have. `key` is the contribution's key of that party.
pub fn mask(key: &[u8; Key::LEN], part: Part, first: u64, out: &mut [u32]) {
    let gate = match part {
        Part::Pixels => PIXELS,
        Part::Label => LABEL,
    };
    let address = Address {
        iteration: 0,
        gate,
        wire: 0,
    };
    fill_once(&Key::new(*key), address, first, out);
}

/// The key of the contribution with this number in its upload, at the party whose seed it is.
pub fn key(seed: &Key, number: u16) -> Key {
    let address = Address {
        iteration: number.into(),
        gate: 0,
        wire: 0,
    };
    let Ok(key) = Key::filled(|bytes| {
        fill_once(seed, address, 0, bytes);
        Ok::<_, Infallible>(())
    });
    key
}
