//! The line over a HAL's buffered UART: one that implements `embedded-io-async`, as those of embassy do.

use core::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use embedded_io_async::{self as asynchronous, BufRead};

/// The line. The UART's interrupts receive into its buffer, and send out of it, all the time.
pub struct HalLine<U>(U);

impl<U: BufRead + asynchronous::Write> HalLine<U> {
    /// The line over a UART that has been started. Its receive buffer holds 1024 bytes at least.
    pub fn new(uart: U) -> Self {
        HalLine(uart)
    }
}

/// Polls a future once. None if it has to wait.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl<U: ErrorType> ErrorType for HalLine<U> {
    type Error = U::Error;
}

impl<U: BufRead> ReadReady for HalLine<U> {
    fn read_ready(&mut self) -> Result<bool, U::Error> {
        match poll_once(self.0.fill_buf()) {
            Some(Ok(bytes)) => Ok(!bytes.is_empty()),
            Some(Err(_)) => {
                // A framing error or an overrun loses bytes, and the sender repeats their frame. After an error
                // the UART of an RP2350 goes on receiving only when something is consumed.
                self.0.consume(0);
                Ok(false)
            }
            None => Ok(false),
        }
    }
}

impl<U: BufRead> Read for HalLine<U> {
    /// Reads what has come. It does not wait.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, U::Error> {
        let Some(Ok(received)) = poll_once(self.0.fill_buf()) else {
            self.0.consume(0);
            return Ok(0);
        };
        let count = received.len().min(bytes.len());
        bytes[..count].copy_from_slice(&received[..count]);
        self.0.consume(count);
        Ok(count)
    }
}

impl<U: asynchronous::Write> WriteReady for HalLine<U> {
    /// Always: a write waits for room at most as long as the line takes to send, and receiving goes on meanwhile.
    fn write_ready(&mut self) -> Result<bool, U::Error> {
        Ok(true)
    }
}

impl<U: asynchronous::Write> Write for HalLine<U> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, U::Error> {
        let mut writing = pin!(self.0.write(bytes));
        loop {
            if let Some(outcome) = poll_once(writing.as_mut()) {
                return outcome;
            }
        }
    }

    /// Does nothing: the UART sends what is in its buffer without being asked.
    fn flush(&mut self) -> Result<(), U::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;

    use embedded_io::ErrorKind;

    use super::*;

    /// A UART that loses bytes before it receives some, and takes every second write.
    #[derive(Default)]
    struct Fake {
        overrun: bool,
        received: &'static [u8],
        sent: [u8; 4],
        count: usize,
        busy: bool,
    }

    impl ErrorType for Fake {
        type Error = ErrorKind;
    }

    impl asynchronous::Read for Fake {
        async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
            Err(ErrorKind::Unsupported)
        }
    }

    impl BufRead for Fake {
        async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
            if self.overrun {
                return Err(ErrorKind::Other);
            }
            let waits = self.received.is_empty();
            poll_fn(|_| {
                if waits {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            Ok(self.received)
        }

        fn consume(&mut self, count: usize) {
            self.overrun = false;
            self.received = &self.received[count..];
        }
    }

    impl asynchronous::Write for Fake {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
            poll_fn(|_| {
                self.busy = !self.busy;
                if self.busy {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            self.sent[self.count] = bytes[0];
            self.count += 1;
            Ok(1)
        }

        async fn flush(&mut self) -> Result<(), ErrorKind> {
            Ok(())
        }
    }

    #[test]
    fn reads_what_has_come() {
        let mut line = HalLine::new(Fake {
            received: &[1, 2, 3],
            ..Fake::default()
        });
        let mut bytes = [0; 2];
        assert_eq!(line.read_ready(), Ok(true));
        assert_eq!((line.read(&mut bytes), bytes), (Ok(2), [1, 2]));
        assert_eq!((line.read(&mut bytes), bytes), (Ok(1), [3, 2]));
        assert_eq!(line.read_ready(), Ok(false));
        assert_eq!(line.read(&mut bytes), Ok(0));
    }

    #[test]
    fn goes_on_after_an_overrun() {
        let mut line = HalLine::new(Fake {
            overrun: true,
            received: &[1],
            ..Fake::default()
        });
        assert_eq!(line.read_ready(), Ok(false));
        assert_eq!(line.read_ready(), Ok(true));
    }

    #[test]
    fn a_write_waits_for_room() {
        let mut line = HalLine::new(Fake::default());
        assert_eq!(line.write_all(&[1, 2, 3]), Ok(()));
        assert_eq!(line.0.sent, [1, 2, 3, 0]);
    }
}
