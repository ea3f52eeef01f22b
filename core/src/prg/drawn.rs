//! Test aid: the streams of which a thread draws words, be they masks or not.

extern crate std;

use std::{cell::RefCell, collections::HashSet, thread_local};

use super::Address;

thread_local! {
    static DRAWN: RefCell<Option<HashSet<Address>>> = const { RefCell::new(None) };
}

/// Starts to record the streams of which this thread draws.
pub(crate) fn start() {
    DRAWN.set(Some(HashSet::new()));
}

/// Stops recording; returns the streams.
pub(crate) fn stop() -> HashSet<Address> {
    DRAWN.take().expect("recording was started")
}

/// Records that this thread draws from a stream.
pub(super) fn draw(address: Address) {
    DRAWN.with_borrow_mut(|drawn| {
        if let Some(drawn) = drawn {
            drawn.insert(address);
        }
    });
}
