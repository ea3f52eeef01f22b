//! Test aid: checks that no word of a stream is used for two values. It works per thread.

extern crate std;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    thread_local,
};

use crate::{num::ring::Word, prg::Address};

/// Used stream words: address and index.
pub(crate) type Used = HashSet<(Address, u64)>;

/// Words that may serve again, with the values that they serve.
pub(crate) type Kept = HashMap<(Address, u64), u128>;

thread_local! {
    static USED: RefCell<Option<Used>> = const { RefCell::new(None) };
    /// The values of words that may serve again.
    static VALUES: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Starts to record the uses of this thread.
pub(crate) fn start() {
    USED.set(Some(Used::new()));
    VALUES.set(Some(HashMap::new()));
}

/// Stops recording; returns the used words, and the values of those that may serve again.
pub(crate) fn stop() -> (Used, Kept) {
    let used = USED.take().expect("recording was started");
    (used, VALUES.take().expect("recording was started"))
}

/// Records the use of the words from `first` on for `values`, which they may serve again.
///
/// # Panics
/// If a word served another value before.
pub(crate) fn use_for_same<W: Word>(address: Address, first: u64, values: &[W]) {
    VALUES.with_borrow_mut(|known| {
        let Some(known) = known else { return };
        for (index, value) in (first..).zip(values) {
            match known.insert((address, index), value.to_u128()) {
                None => use_once(address, index, 1),
                before => assert_eq!(before, Some(value.to_u128()), "word {index} of {address:?}"),
            }
        }
    });
}

/// Records the use of the words `first..first + len` of a stream.
///
/// # Panics
/// If a word was used before.
pub(crate) fn use_once(address: Address, first: u64, len: usize) {
    USED.with_borrow_mut(|used| {
        if let Some(used) = used {
            for index in first..first + len as u64 {
                let new = used.insert((address, index));
                assert!(new, "word {index} of {address:?} serves two values");
            }
        }
    });
}
