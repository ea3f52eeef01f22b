//! Watches that no stream position serves two values: in tests, on the thread that asked for it.

extern crate std;

use std::{cell::RefCell, collections::HashSet, thread_local};

use crate::prg::Address;

/// Stream positions in use: an address and the index of a word.
pub(crate) type Used = HashSet<(Address, u64)>;

thread_local! {
    static USED: RefCell<Option<Used>> = const { RefCell::new(None) };
}

/// Starts watching this thread.
pub(crate) fn start() {
    USED.set(Some(Used::new()));
}

/// Stops watching; returns what was used.
pub(crate) fn stop() -> Used {
    USED.take().expect("the watch was started")
}

/// Notes that the words at `first..first + len` of a stream serve values of their own.
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
