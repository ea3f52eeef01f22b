//! Test harness: a dealer and two parties in one process, to test gates against their ideal functions.

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

/// One direction of a link, with a buffer of bounded size.
#[derive(Clone)]
struct Pipe {
    state: Arc<(Mutex<Held>, Condvar)>,
    capacity: usize,
}

/// Bytes in transit, and whether an end was dropped.
#[derive(Default)]
struct Held {
    bytes: VecDeque<u8>,
    closed: bool,
    /// All bytes that were sent, if they are recorded.
    sent: Option<Vec<u8>>,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Pipe {
            state: Arc::default(),
            capacity,
        }
    }

    /// Puts all bytes into the buffer, as soon as there is room for them.
    fn put(&self, mut bytes: &[u8]) {
        let (held, changed) = &*self.state;
        let mut held = held.lock().unwrap();
        while !bytes.is_empty() {
            while held.bytes.len() >= self.capacity && !held.closed {
                held = changed.wait(held).unwrap();
            }
            assert!(!held.closed, "the other end is gone");
            let was_empty = held.bytes.is_empty();
            let (now, later) = bytes.split_at(bytes.len().min(self.capacity - held.bytes.len()));
            held.bytes.extend(now);
            if let Some(sent) = &mut held.sent {
                sent.extend(now);
            }
            bytes = later;
            // The other end waits only while there is nothing.
            if was_empty {
                changed.notify_all();
            }
        }
    }

    /// Takes up to `most` bytes, and at least one unless the other end is gone.
    fn take(&self, most: usize) -> VecDeque<u8> {
        let (held, changed) = &*self.state;
        let mut held = held.lock().unwrap();
        while held.bytes.is_empty() && !held.closed {
            held = changed.wait(held).unwrap();
        }
        // The other end waits only while there is no room.
        if held.bytes.len() >= self.capacity {
            changed.notify_all();
        }
        let count = most.min(held.bytes.len());
        held.bytes.drain(..count).collect()
    }
}

/// One end of a link.
pub(crate) struct End {
    outgoing: Pipe,
    incoming: Pipe,
    /// Bytes that were written and not flushed yet.
    written: Vec<u8>,
    /// Bytes that have arrived and were not read yet.
    arrived: VecDeque<u8>,
    /// The most bytes of each of these.
    most: usize,
}

/// A record of what an end of a link sends.
pub(crate) struct Sent(Pipe);

impl End {
    /// An end of a link that holds `capacity` bytes each way. A part of them is at either end, which the other thread gets only
    /// once it is flushed or full: to wake threads for a few bytes each takes longer than most tests.
    fn new(outgoing: Pipe, incoming: Pipe, capacity: usize) -> Self {
        End {
            outgoing,
            incoming,
            written: Vec::new(),
            arrived: VecDeque::new(),
            most: capacity / 16,
        }
    }

    /// Starts to record what this end sends.
    pub(crate) fn record(&self) -> Sent {
        self.outgoing.state.0.lock().unwrap().sent = Some(Vec::new());
        Sent(self.outgoing.clone())
    }
}

impl Sent {
    /// What the end has sent.
    pub(crate) fn take(self) -> Vec<u8> {
        let mut held = self.0.state.0.lock().unwrap();
        held.sent.take().expect("a recording")
    }
}

impl ErrorType for End {
    type Error = Infallible;
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.written.extend(bytes);
        if self.written.len() >= self.most {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.outgoing.put(&self.written);
        self.written.clear();
        Ok(())
    }
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        if self.arrived.is_empty() {
            self.arrived = self.incoming.take(self.most.max(1));
        }
        Ok(std::io::Read::read(&mut self.arrived, bytes).expect("bytes in memory"))
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

/// Both ends of a link that buffers `capacity` bytes in each direction.
pub(crate) fn duplex(capacity: usize) -> [End; 2] {
    let pipe = || Pipe::new(capacity - 2 * (capacity / 16));
    let (to_second, to_first) = (pipe(), pipe());
    [
        End::new(to_second.clone(), to_first.clone(), capacity),
        End::new(to_first, to_second, capacity),
    ]
}

/// A dealer that records its corrections.
pub(crate) struct TestDealer {
    prgs: [Prg; 2],
    corrections: Vec<u8>,
}

impl Offline for TestDealer {
    fn prg(&self, role: Role) -> &Prg {
        &self.prgs[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.corrections.extend_from_slice(bytes);
        Ok(())
    }
}

/// A party that reads recorded corrections and measures its cost.
pub(crate) struct TestParty {
    role: Role,
    prg: Prg,
    link: Link<End>,
    corrections: VecDeque<u8>,
    measured: Cost,
}

impl Online for TestParty {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        self.measured.rounds += 1;
        self.measured.opened_values += segments.iter().map(Segment::values).sum::<u64>();
        self.measured.online_bytes += segments.iter().map(Segment::sent_len).sum::<u64>();
        self.link.open(self.role, segments)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        assert_eq!(self.role, Role::P1, "P0 has a key alone");
        self.measured.dealer_bytes += bytes.len() as u64;
        for byte in bytes {
            *byte = self
                .corrections
                .pop_front()
                .expect("a correction for each use");
        }
        Ok(())
    }
}

/// The key of a party and the dealer in a test session.
pub(crate) fn key(seed: u64, role: Role) -> Key {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = role.index() as u8 + 1;
    Key::new(bytes)
}

/// Runs the dealer, and then both parties. Returns each party's output and P1's measured cost. Checks that all
/// corrections are used and all bytes are counted.
pub(crate) fn run<T: Send>(
    seed: u64,
    capacity: usize,
    deal: impl Fn(&mut TestDealer) -> Result<(), LinkError>,
    party: impl Fn(&mut TestParty) -> Result<T, LinkError> + Sync,
) -> ([T; 2], Cost) {
    let mut dealer = TestDealer {
        prgs: Role::BOTH.map(|role| Prg::new(key(seed, role))),
        corrections: Vec::new(),
    };
    deal(&mut dealer).unwrap();
    let corrections: VecDeque<u8> = dealer.corrections.into();
    let dealt = corrections.len() as u64;
    let [mut p0, mut p1] = {
        let mut ends = duplex(capacity).into_iter();
        Role::BOTH.map(|role| TestParty {
            role,
            prg: Prg::new(key(seed, role)),
            link: Link::new(ends.next().unwrap(), Remote::Peer, capacity / 2),
            corrections: if role == Role::P1 {
                corrections.clone()
            } else {
                VecDeque::new()
            },
            measured: Cost::ZERO,
        })
    };
    let outputs = thread::scope(|scope| {
        let output0 = scope.spawn(|| party(&mut p0).unwrap());
        let output1 = party(&mut p1).unwrap();
        [output0.join().unwrap(), output1]
    });
    assert!(p1.corrections.is_empty(), "corrections left over");
    assert_eq!(p1.measured.dealer_bytes, dealt);
    assert_eq!(p0.measured.rounds, p1.measured.rounds);
    assert_eq!(p0.link.sent(), p0.measured.online_bytes);
    assert_eq!(p1.link.sent(), p1.measured.online_bytes);
    (outputs, p1.measured)
}

/// A seeded source of test values.
pub(crate) struct Values(Prg, u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Values(Prg::new(Key::new(bytes)), 0)
    }

    /// A uniform word.
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
