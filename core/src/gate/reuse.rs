//! Test aid: checks that no word of a stream is used for two values. It works per thread.

extern crate std;

use std::{cell::RefCell, collections::HashSet, thread_local};

use crate::prg::Address;

/// Used stream words: address and index.
pub(crate) type Used = HashSet<(Address, u64)>;

thread_local! {
    static USED: RefCell<Option<Used>> = const { RefCell::new(None) };
}

/// Starts to record the uses of this thread.
pub(crate) fn start() {
    USED.set(Some(Used::new()));
}

/// Stops recording; returns the used words.
pub(crate) fn stop() -> Used {
    USED.take().expect("recording was started")
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
