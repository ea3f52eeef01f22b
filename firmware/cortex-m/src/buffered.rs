//! A UART whose interrupt receives: bytes wait in a queue until the party reads them.

use core::cell::RefCell;

use cortex_m::interrupt::{Mutex, free};
use heapless::Deque;
use ringlet_device::serial::Uart;

/// Bytes that the queue holds.
const CAPACITY: usize = 1024;

/// Received bytes on their way from the interrupt to the reader.
pub struct ReceiveQueue(Mutex<RefCell<Deque<u8, CAPACITY>>>);

impl ReceiveQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        ReceiveQueue(Mutex::new(RefCell::new(Deque::new())))
    }

    /// Moves the byte that the UART has received, if there is one, to the queue; for the interrupt handler. A full
    /// queue drops the byte, and the sender repeats its frame.
    pub fn receive_from(&self, uart: &mut impl Uart) {
        if let Some(byte) = uart.receive() {
            free(|cs| {
                let _ = self.0.borrow(cs).borrow_mut().push_back(byte);
            });
        }
    }

    fn is_empty(&self) -> bool {
        free(|cs| self.0.borrow(cs).borrow().is_empty())
    }

    fn pop(&self) -> Option<u8> {
        free(|cs| self.0.borrow(cs).borrow_mut().pop_front())
    }
}

impl Default for ReceiveQueue {
    fn default() -> Self {
        ReceiveQueue::new()
    }
}

/// A UART that sends by polling, and whose received bytes its interrupt moves to a queue.
pub struct Buffered<U> {
    uart: U,
    queue: &'static ReceiveQueue,
}

impl<U: Uart> Buffered<U> {
    /// The UART with the queue that its interrupt fills.
    pub fn new(uart: U, queue: &'static ReceiveQueue) -> Self {
        Buffered { uart, queue }
    }
}

impl<U: Uart> Uart for Buffered<U> {
    fn has_received(&mut self) -> bool {
        !self.queue.is_empty()
    }

    fn receive(&mut self) -> Option<u8> {
        self.queue.pop()
    }

    fn can_send(&mut self) -> bool {
        self.uart.can_send()
    }

    fn send(&mut self, byte: u8) {
        self.uart.send(byte);
    }
}
