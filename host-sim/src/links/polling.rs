//! Receives from another thread: looks for a short while before it sleeps.

use std::{
    sync::mpsc::{Receiver, RecvError, TryRecvError},
    thread,
    time::{Duration, Instant},
};

/// How long a thread looks before it sleeps.
const LOOK: Duration = Duration::from_micros(100);
/// What it costs to wake a thread that sleeps: in a short round about as much as all that the round computes.
const WAKE: Duration = Duration::from_micros(30);

/// What looking has saved or cost so far compared with sleep, in nanoseconds.
///
/// Where the other thread answers soon, looking saves time. Where other programs take the processor, or the answer takes long, it
/// costs more than it saves. Then the thread looks seldom.
#[derive(Default)]
pub struct Polling(i64);

impl Polling {
    /// The most that is kept: what a few futile looks cost.
    const MOST: i64 = 8 * nanos(LOOK);
    /// What a sleep adds, so that looking is tried again.
    const SLEEP: i64 = nanos(WAKE) / 16;

    /// Waits for the next value. While the thread looks it gives way to others that have something to do.
    ///
    /// # Errors
    ///
    /// Fails once the sender is gone and all values are taken.
    pub fn receive<T>(&mut self, values: &Receiver<T>) -> Result<T, RecvError> {
        if self.0 < 0 {
            self.0 += Polling::SLEEP;
            return values.recv();
        }
        let begun = Instant::now();
        loop {
            let found = values.try_recv();
            let taken = begun.elapsed();
            let lost = taken > LOOK;
            if lost {
                // Nothing came, or others ran for long.
                self.0 -= nanos(taken);
            }
            match found {
                Ok(value) => {
                    self.0 = (self.0 + nanos(WAKE)).min(Polling::MOST);
                    return Ok(value);
                }
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) if lost => return values.recv(),
                Err(TryRecvError::Empty) => thread::yield_now(),
            }
        }
    }
}

const fn nanos(time: Duration) -> i64 {
    time.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_futile_look_is_followed_by_many_sleeps() {
        let (sender, values) = channel();
        let mut polling = Polling::default();
        while polling.0 >= 0 {
            thread::scope(|scope| {
                let sender = &sender;
                scope.spawn(move || {
                    thread::sleep(20 * LOOK);
                    sender.send(0).expect("a receiver");
                });
                assert_eq!(polling.receive(&values), Ok(0));
            });
        }
        let debt = -polling.0;
        let mut sleeps = 0;
        while polling.0 < 0 {
            sender.send(1).expect("a receiver");
            assert_eq!(polling.receive(&values), Ok(1));
            sleeps += 1;
        }
        assert_eq!(sleeps, (debt + Polling::SLEEP - 1) / Polling::SLEEP);
    }

    #[test]
    fn what_looks_gain_is_limited_and_a_sender_that_is_gone_is_an_error() {
        let (sender, values) = channel();
        let mut polling = Polling::default();
        for value in 0..1000 {
            sender.send(value).expect("a receiver");
            assert_eq!(polling.receive(&values), Ok(value));
        }
        assert!(polling.0 <= Polling::MOST);
        drop(sender);
        assert_eq!(polling.receive(&values), Err(RecvError));
    }
}
