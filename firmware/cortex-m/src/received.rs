//! Bytes between a receiver's interrupt and whoever waits for them.

use core::cell::RefCell;

use cortex_m::interrupt::{Mutex, free};
use heapless::Deque;

/// Bytes that may wait.
const ROOM: usize = 1024;

/// A queue that an interrupt fills.
pub struct Received(Mutex<RefCell<Deque<u8, ROOM>>>);

impl Received {
    /// An empty queue.
    pub const fn new() -> Self {
        Received(Mutex::new(RefCell::new(Deque::new())))
    }

    /// Adds a byte. One too many is lost, and its frame comes again.
    pub fn put(&self, byte: u8) {
        free(|cs| {
            let _ = self.0.borrow(cs).borrow_mut().push_back(byte);
        });
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        free(|cs| self.0.borrow(cs).borrow().is_empty())
    }

    /// Takes out what waits, as far as there is room for it. Returns the count.
    pub fn take(&self, bytes: &mut [u8]) -> usize {
        free(|cs| {
            let mut queue = self.0.borrow(cs).borrow_mut();
            let mut count = 0;
            for byte in bytes {
                let Some(next) = queue.pop_front() else {
                    break;
                };
                *byte = next;
                count += 1;
            }
            count
        })
    }
}

impl Default for Received {
    fn default() -> Self {
        Received::new()
    }
}
