//! A line over a UART that moves one byte at a time. A board brings the registers.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

/// The registers of a UART.
pub trait Uart {
    /// Whether a received byte waits.
    fn has_received(&mut self) -> bool;

    /// Takes the received byte that waits, if there is one.
    fn receive(&mut self) -> Option<u8>;

    /// Whether the transmitter has room for a byte.
    fn can_send(&mut self) -> bool;

    /// Sends a byte. Only after [`can_send`](Uart::can_send) has said yes.
    fn send(&mut self, byte: u8);
}

/// The line over a UART. It never waits: it reads what has come, and writes what the transmitter has room for.
pub struct SerialLine<U>(U);

impl<U: Uart> SerialLine<U> {
    /// The line over a UART that has been started.
    pub fn new(uart: U) -> Self {
        SerialLine(uart)
    }
}

impl<U> ErrorType for SerialLine<U> {
    type Error = Infallible;
}

impl<U: Uart> ReadReady for SerialLine<U> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.has_received())
    }
}

impl<U: Uart> Read for SerialLine<U> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for byte in bytes {
            let Some(next) = self.0.receive() else {
                break;
            };
            *byte = next;
            count += 1;
        }
        Ok(count)
    }
}

impl<U: Uart> WriteReady for SerialLine<U> {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.can_send())
    }
}

impl<U: Uart> Write for SerialLine<U> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for &byte in bytes {
            if !self.0.can_send() {
                break;
            }
            self.0.send(byte);
            count += 1;
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UART that has received bytes, with room for some to be sent.
    struct Fake<'a> {
        received: &'a [u8],
        sent: [u8; 4],
        count: usize,
        room: usize,
    }

    impl Uart for Fake<'_> {
        fn has_received(&mut self) -> bool {
            !self.received.is_empty()
        }

        fn receive(&mut self) -> Option<u8> {
            let (&first, rest) = self.received.split_first()?;
            self.received = rest;
            Some(first)
        }

        fn can_send(&mut self) -> bool {
            self.room > 0
        }

        fn send(&mut self, byte: u8) {
            self.sent[self.count] = byte;
            self.count += 1;
            self.room -= 1;
        }
    }

    fn line(received: &[u8], room: usize) -> SerialLine<Fake<'_>> {
        SerialLine::new(Fake {
            received,
            sent: [0; 4],
            count: 0,
            room,
        })
    }

    #[test]
    fn reads_what_has_come() {
        let mut line = line(&[1, 2, 3], 0);
        let mut bytes = [0; 2];
        assert_eq!(line.read_ready(), Ok(true));
        assert_eq!((line.read(&mut bytes), bytes), (Ok(2), [1, 2]));
        assert_eq!((line.read(&mut bytes), bytes), (Ok(1), [3, 2]));
        assert_eq!(line.read_ready(), Ok(false));
        assert_eq!(line.read(&mut bytes), Ok(0));
    }

    #[test]
    fn writes_what_there_is_room_for() {
        let mut line = line(&[], 3);
        assert_eq!(line.write(&[1, 2]), Ok(2));
        assert_eq!(line.write_ready(), Ok(true));
        assert_eq!(line.write(&[3, 4]), Ok(1));
        assert_eq!(line.write_ready(), Ok(false));
        assert_eq!(line.write(&[4]), Ok(0));
        assert_eq!(line.0.sent, [1, 2, 3, 0]);
    }
}
