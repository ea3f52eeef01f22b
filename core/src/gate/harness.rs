//! A dealer and two parties on one machine, for holding gates against their ideal functions.

extern crate std;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Condvar, Mutex},
    thread,
    vec::Vec,
};

use embedded_io::{ErrorType, Read, Write};

use crate::{
    Role,
    cost::Cost,
    net::link::{Link, LinkError, Remote, Segment},
    num::ring::Word,
    prg::{Key, Prg},
};

use super::{Offline, Online};

/// One direction of a link that holds a bounded number of bytes.
#[derive(Clone)]
struct Pipe {
    state: Arc<(Mutex<Held>, Condvar)>,
    capacity: usize,
}

/// Bytes under way, and whether an end is gone.
#[derive(Default)]
struct Held {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Pipe {
            state: Arc::default(),
            capacity,
        }
    }
}

/// One end of a link.
pub(crate) struct End {
    outgoing: Pipe,
    incoming: Pipe,
}

impl ErrorType for End {
    type Error = Infallible;
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let (held, changed) = &*self.outgoing.state;
        let mut held = held.lock().unwrap();
        while held.bytes.len() >= self.outgoing.capacity && !held.closed {
            held = changed.wait(held).unwrap();
        }
        assert!(!held.closed, "the other end is gone");
        let count = bytes.len().min(self.outgoing.capacity - held.bytes.len());
        held.bytes.extend(&bytes[..count]);
        changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let (held, changed) = &*self.incoming.state;
        let mut held = held.lock().unwrap();
        while held.bytes.is_empty() && !held.closed {
            held = changed.wait(held).unwrap();
        }
        let count = bytes.len().min(held.bytes.len());
        for (byte, value) in bytes.iter_mut().zip(held.bytes.drain(..count)) {
            *byte = value;
        }
        changed.notify_all();
        Ok(count)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for pipe in [&self.outgoing, &self.incoming] {
            pipe.state.0.lock().unwrap().closed = true;
            pipe.state.1.notify_all();
        }
    }
}

/// Two ends of a link that holds `capacity` bytes each way.
pub(crate) fn duplex(capacity: usize) -> [End; 2] {
    let (there, back) = (Pipe::new(capacity), Pipe::new(capacity));
    [
        End {
            outgoing: there.clone(),
            incoming: back.clone(),
        },
        End {
            outgoing: back,
            incoming: there,
        },
    ]
}

pub(crate) struct BenchDealer {
    prgs: [Prg; 2],
    corrections: Vec<u8>,
}

impl Offline for BenchDealer {
    fn prg(&self, role: Role) -> &Prg {
        &self.prgs[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.corrections.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) struct BenchParty {
    role: Role,
    prg: Prg,
    link: Link<End>,
    corrections: VecDeque<u8>,
    opened: Cost,
}

impl Online for BenchParty {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        self.opened.rounds += 1;
        self.opened.opened_values += segments.iter().map(Segment::values).sum::<u64>();
        self.opened.online_bytes += segments.iter().map(Segment::sent_len).sum::<u64>();
        self.link.open(self.role, segments)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        assert_eq!(self.role, Role::P1, "P0 has a key alone");
        self.opened.dealer_bytes += bytes.len() as u64;
        for byte in bytes {
            *byte = self
                .corrections
                .pop_front()
                .expect("a correction for each use");
        }
        Ok(())
    }
}

/// Keys of a test session.
pub(crate) fn key(seed: u64, role: Role) -> Key {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = role.index() as u8 + 1;
    Key::new(bytes)
}

/// Runs the dealer, then both parties against each other; returns what each made and the cost that
/// was measured, and asserts that every correction was used and every byte counted.
pub(crate) fn run<T: Send>(
    seed: u64,
    capacity: usize,
    deal: impl Fn(&mut BenchDealer) -> Result<(), LinkError>,
    party: impl Fn(&mut BenchParty) -> Result<T, LinkError> + Sync,
) -> ([T; 2], Cost) {
    let mut dealer = BenchDealer {
        prgs: Role::BOTH.map(|role| Prg::new(key(seed, role))),
        corrections: Vec::new(),
    };
    deal(&mut dealer).unwrap();
    let corrections: VecDeque<u8> = dealer.corrections.into();
    let dealt = corrections.len() as u64;
    let [mut first, mut second] = {
        let mut ends = duplex(capacity).into_iter();
        Role::BOTH.map(|role| BenchParty {
            role,
            prg: Prg::new(key(seed, role)),
            link: Link::new(ends.next().unwrap(), Remote::Peer, capacity / 2),
            corrections: if role == Role::P1 {
                corrections.clone()
            } else {
                VecDeque::new()
            },
            opened: Cost::ZERO,
        })
    };
    let made = thread::scope(|scope| {
        let one = scope.spawn(|| party(&mut first).unwrap());
        let two = party(&mut second).unwrap();
        [one.join().unwrap(), two]
    });
    assert!(second.corrections.is_empty(), "corrections left over");
    assert_eq!(second.opened.dealer_bytes, dealt);
    assert_eq!(first.opened.rounds, second.opened.rounds);
    assert_eq!(first.link.sent(), first.opened.online_bytes);
    assert_eq!(second.link.sent(), second.opened.online_bytes);
    (made, second.opened)
}

/// A seeded source of test values.
pub(crate) struct Values(Prg, u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Values(Prg::new(Key::new(bytes)), 0)
    }

    pub(crate) fn word<W: Word>(&mut self) -> W {
        let mut word = [0u128];
        let address = crate::prg::Address {
            iteration: 0,
            gate: 0,
            wire: 0,
        };
        self.0.fill(address, self.1, &mut word);
        self.1 += 1;
        W::from_u128(word[0])
    }

    /// Additive shares of `values` in Z_2^bits.
    pub(crate) fn share<W: Word>(&mut self, values: &[i64], bits: u32) -> [Vec<W>; 2] {
        let first: Vec<W> = values.iter().map(|_| self.word::<W>().low(bits)).collect();
        let second = values
            .iter()
            .zip(&first)
            .map(|(&value, &share)| W::from_i64(value).minus(share).low(bits))
            .collect();
        [first, second]
    }
}
