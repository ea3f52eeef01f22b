//! An allocator that counts, to show that the core does not allocate.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting allocations by thread. A binary that calls [`none_in`] must make
/// this its global allocator.
pub struct Counting;

// SAFETY: everything is handed to the system's allocator as it is; counting does not allocate, since the
// counter of a thread is initialised in place and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above, and all memory comes from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Allocations of this thread so far.
fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Runs `work`, and panics if it allocated.
pub fn none_in<T>(work: impl FnOnce() -> T) -> T {
    let probe = count();
    std::hint::black_box(Box::new(0u8));
    let before = count();
    assert_ne!(probe, before, "the global allocator does not count");
    let result = work();
    assert_eq!(count(), before, "the core has allocated");
    result
}
