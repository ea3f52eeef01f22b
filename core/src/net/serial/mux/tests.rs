//! Ports on lines that hold few bytes and lose, repeat, damage and delay them.

use core::cell::RefCell;

use embedded_io::ErrorType;

use super::*;
use crate::{
    gate::harness::Values,
    net::link::{Link, Remote, Segment},
    share::Masked,
};
use bytemuck::TransparentWrapper;

extern crate std;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
    vec,
    vec::Vec,
};

/// What a line does to its bytes, in chances of one in 2^16.
#[derive(Clone, Copy)]
struct Faults {
    lost: u64,
    repeated: u64,
    changed: u64,
    delayed: u64,
}

const NONE: Faults = Faults {
    lost: 0,
    repeated: 0,
    changed: 0,
    delayed: 0,
};

type Pipe = Arc<Mutex<VecDeque<(Instant, u8)>>>;

/// One end of a line that holds `capacity` bytes each way.
struct End {
    outgoing: Pipe,
    incoming: Pipe,
    capacity: usize,
    faults: Faults,
    chance: Values,
    /// Everything that was sent.
    sent: Vec<u8>,
}

fn line(capacity: usize, faults: Faults, seed: u64) -> [End; 2] {
    let pipes: [Pipe; 2] = Default::default();
    [0, 1].map(|end| End {
        outgoing: pipes[end].clone(),
        incoming: pipes[1 - end].clone(),
        capacity,
        faults,
        chance: Values::new(2 * seed + end as u64),
        sent: Vec::new(),
    })
}

impl ErrorType for End {
    type Error = Infallible;
}

impl ReadReady for End {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let incoming = self.incoming.lock().unwrap();
        Ok(incoming
            .front()
            .is_some_and(|(at, _)| *at <= Instant::now()))
    }
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut incoming = self.incoming.lock().unwrap();
        let now = Instant::now();
        let mut count = 0;
        while count < bytes.len() && incoming.front().is_some_and(|(at, _)| *at <= now) {
            bytes[count] = incoming.pop_front().unwrap().1;
            count += 1;
        }
        Ok(count)
    }
}

impl WriteReady for End {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.outgoing.lock().unwrap().len() < self.capacity)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut outgoing = self.outgoing.lock().unwrap();
        let mut count = 0;
        while count < bytes.len() && outgoing.len() < self.capacity {
            let mut byte = bytes[count];
            count += 1;
            self.sent.push(byte);
            let mut happens = |chance: u64| self.chance.word::<u64>() >> 48 < chance;
            if happens(self.faults.changed) {
                byte ^= 0x10;
            }
            let late = happens(self.faults.delayed);
            let at = Instant::now() + Duration::from_millis(if late { 7 } else { 0 });
            let copies = match (happens(self.faults.lost), happens(self.faults.repeated)) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            };
            for _ in 0..copies {
                outgoing.push_back((at, byte));
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Real(Instant);

impl Clock for Real {
    fn milliseconds(&mut self) -> u32 {
        self.0.elapsed().as_millis() as u32
    }

    fn idle(&mut self) {
        thread::sleep(Duration::from_micros(50));
    }
}

const PATIENCE: Patience = Patience {
    resend: 15,
    silence: 5000,
};

fn port(end: End, patience: Patience) -> Mux<End, Real> {
    Mux::new(end, Real(Instant::now()), patience)
}

/// Both parties open `count` values over one channel, while the others carry bytes to and fro;
/// returns the bytes that each sent on the line.
fn exchange(capacity: usize, faults: Faults, count: usize, seed: u64) -> [Vec<u8>; 2] {
    let mut values = Values::new(seed + 77);
    let secrets: Vec<i64> = (0..count)
        .map(|_| i64::from(values.word::<u32>() as u16))
        .collect();
    let shares = values.share::<u32>(&secrets, 20);
    let party = |role: crate::Role, end: End, mut share: Vec<u32>| {
        let mut port = port(end, PATIENCE);
        match role {
            crate::Role::P0 => port.start(0x5A5A).unwrap(),
            crate::Role::P1 => port.accept().unwrap(),
        }
        let port = RefCell::new(port);
        let mut other = Link::new(Channel::new(&port, 1), Remote::Dealer, 0);
        let mut link = Link::new(Channel::new(&port, 0), Remote::Peer, 0);
        // More than the other end keeps goes on the second channel before it is read.
        let mut told = vec![role.index() as u8; 700];
        if role == crate::Role::P0 {
            other.send(&told).unwrap();
            other.flush().unwrap();
        }
        let words = Masked::wrap_slice_mut(&mut share);
        link.open(role, &mut [Segment::words(words, 20)]).unwrap();
        if role == crate::Role::P1 {
            other.receive(&mut told).unwrap();
            assert!(told.iter().all(|&byte| byte == 0));
        }
        port.borrow_mut().finish().unwrap();
        (share, port.into_inner().line.sent)
    };
    let [one, two] = line(capacity, faults, seed);
    let [first, second] = shares;
    let ((opened, sent), (same, also)) = thread::scope(|scope| {
        let p0 = scope.spawn(|| party(crate::Role::P0, one, first));
        let p1 = party(crate::Role::P1, two, second);
        (p0.join().unwrap(), p1)
    });
    assert_eq!(opened, same);
    for (opened, secret) in opened.iter().zip(secrets) {
        assert_eq!(i64::from(*opened), secret);
    }
    [sent, also]
}

#[test]
fn lines_that_hold_few_bytes_never_stall() {
    for capacity in [64, 7, 1] {
        exchange(capacity, NONE, 3000, 1);
    }
}

#[test]
fn whatever_the_line_does_the_bytes_arrive() {
    for (seed, faults) in [
        Faults { lost: 60, ..NONE },
        Faults {
            repeated: 60,
            ..NONE
        },
        Faults {
            changed: 60,
            ..NONE
        },
        Faults {
            delayed: 60,
            ..NONE
        },
        Faults {
            lost: 40,
            repeated: 40,
            changed: 40,
            delayed: 40,
        },
    ]
    .into_iter()
    .enumerate()
    {
        for capacity in [4096, 64] {
            exchange(capacity, faults, 2000, seed as u64);
        }
    }
}

#[test]
fn what_is_sent_again_is_identical() {
    let faults = Faults { lost: 100, ..NONE };
    for sent in exchange(4096, faults, 2000, 9) {
        let mut decoder = Decoder::default();
        let mut seen: Vec<(Head, Vec<u8>)> = Vec::new();
        let mut again = 0;
        for byte in sent {
            let Some((head, payload)) = decoder.push(byte) else {
                continue;
            };
            if head.kind != Kind::Data {
                continue;
            }
            match seen.iter().find(|(other, _)| *other == head) {
                Some((_, first)) => {
                    assert_eq!(first, payload);
                    again += 1;
                }
                None => seen.push((head, payload.to_vec())),
            }
        }
        assert!(again > 0 && seen.len() > 10);
    }
}

#[test]
fn an_end_that_is_gone_is_told_in_time() {
    let [one, _gone] = line(1 << 16, NONE, 3);
    let impatient = Patience {
        resend: 5,
        silence: 40,
    };
    assert_eq!(port(one, impatient).start(3), Err(MuxError::Silent));
}

/// What a host is told that does so much in a session which the device forgets as soon as it has begun.
fn told_after_a_reset(seed: u64, host: impl FnOnce(&mut Mux<End, Real>) -> Told + Send) -> Told {
    let [one, two] = line(1 << 16, NONE, seed);
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            let mut port = port(one, PATIENCE);
            port.start(8).unwrap();
            host(&mut port)
        });
        let mut device = port(two, PATIENCE);
        device.accept().unwrap();
        let Mux { line, .. } = device;
        let mut again = port(line, PATIENCE);
        while !host.is_finished() {
            let _ = again.pump();
        }
        host.join().unwrap()
    })
}

type Told = Result<usize, MuxError>;

#[test]
fn an_end_that_was_reset_says_so() {
    // The answer never comes: the device has forgotten the session.
    let told = told_after_a_reset(4, |port| {
        port.write(0, &[1; 500]).unwrap();
        port.read(0, &mut [0])
    });
    assert_eq!(told, Err(MuxError::Reset));
    // Nor does it to one that has said nothing and only waits.
    let told = told_after_a_reset(8, |port| port.read(0, &mut [0]));
    assert_eq!(told, Err(MuxError::Reset));
    // And a device in the middle of a session hears of a new one.
    let [one, two] = line(1 << 16, NONE, 5);
    let told = thread::scope(|scope| {
        let device = scope.spawn(|| {
            let mut port = port(two, PATIENCE);
            port.accept().unwrap();
            let told = port.read(0, &mut [0]);
            port.accept().unwrap();
            told
        });
        let mut host = port(one, PATIENCE);
        host.start(8).unwrap();
        host.start(9).unwrap();
        device.join().unwrap()
    });
    assert_eq!(told, Err(MuxError::Reset));
}

#[test]
fn one_that_drives_several_ports_hears_of_a_reset_while_it_asks_for_nothing() {
    let told = told_after_a_reset(11, |port| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            port.turn()?;
        }
        Ok(0)
    });
    assert_eq!(told, Err(MuxError::Reset));
}

#[test]
fn a_line_that_takes_nothing_any_more_ends_the_session() {
    let [one, two] = line(64, NONE, 12);
    let patience = Patience {
        resend: 15,
        silence: 200,
    };
    let mut port = port(one, patience);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = self::port(two, PATIENCE);
            other.accept().unwrap();
            // And then takes nothing, nor lets go of the line.
            thread::sleep(Duration::from_millis(1500));
        });
        port.start(6).unwrap();
        port.write(0, &[1; 2000])
    });
    assert_eq!(told, Err(MuxError::Silent));
}

#[test]
fn late_words_of_a_session_that_was_finished_mean_nothing() {
    let [mut one, two] = line(1 << 16, NONE, 9);
    one.write_all(&frames(&[(Kind::Start, 1)])).unwrap();
    let mut port = port(two, PATIENCE);
    port.accept().unwrap();
    port.finish().unwrap();
    one.write_all(&frames(&[(Kind::Ack, 1), (Kind::Start, 2)]))
        .unwrap();
    port.accept().unwrap();
    let answers = [(Kind::Started, 1), (Kind::Started, 2)];
    assert_eq!(port.line.sent, frames(&answers));
    // Those of one that was not finished hear that it is not known here.
    one.write_all(&frames(&[(Kind::Ack, 2), (Kind::Ack, 1)]))
        .unwrap();
    port.reset(0);
    port.step().unwrap();
    let all = [&answers[..], &[(Kind::Unknown, 2)]].concat();
    assert_eq!(port.line.sent, frames(&all));
}

/// Frames of these kinds and sessions, one after another.
fn frames(heads: &[(Kind, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(kind, session) in heads {
        let head = Head {
            session,
            kind,
            channel: 0,
            sequence: 0,
        };
        let mut out = [0; MAX_FRAME];
        let len = encode(head, &[], &mut out);
        bytes.extend_from_slice(&out[..len]);
    }
    bytes
}

#[test]
fn a_session_given_up_before_it_was_accepted_is_no_failure() {
    let [mut one, two] = line(1 << 16, NONE, 6);
    // The other end was started twice while nobody listened, and asks again for the second.
    let bytes = frames(&[(Kind::Start, 1), (Kind::Start, 2), (Kind::Start, 2)]);
    one.write_all(&bytes).unwrap();
    let mut port = port(two, PATIENCE);
    assert_eq!(port.accept(), Ok(()));
    assert_eq!(port.session(), 2);
}

#[test]
fn frames_of_no_session_are_passed_over() {
    let [mut one, two] = line(1 << 16, NONE, 7);
    let kinds = [Kind::Unknown, Kind::Data, Kind::Start, Kind::Started];
    one.write_all(&frames(&kinds.map(|kind| (kind, 0))))
        .unwrap();
    one.write_all(&frames(&[(Kind::Start, 3)])).unwrap();
    let mut port = port(two, PATIENCE);
    assert_eq!(port.accept(), Ok(()));
    assert_eq!(port.session(), 3);
    // Nothing but the answer to the start.
    assert_eq!(port.line.sent, frames(&[(Kind::Started, 3)]));
}

/// Drives both ports once.
fn turn_both(ports: &mut [Mux<End, Real>; 2]) {
    for port in ports {
        port.turn().unwrap();
    }
}

/// Two ports in one session, driven by one thread.
fn joined(seed: u64) -> [Mux<End, Real>; 2] {
    let [one, two] = line(4096, NONE, seed);
    thread::scope(|scope| {
        let accepted = scope.spawn(|| {
            let mut port = port(two, PATIENCE);
            port.accept().unwrap();
            port
        });
        let mut started = port(one, PATIENCE);
        started.start(21).unwrap();
        [started, accepted.join().unwrap()]
    })
}

#[test]
fn one_thread_drives_two_ports_and_loses_nothing() {
    let faulty = Faults {
        lost: 40,
        repeated: 40,
        changed: 40,
        delayed: 40,
    };
    for (seed, faults) in [NONE, faulty].into_iter().enumerate() {
        let mut ports = joined(seed as u64 + 30);
        for port in &mut ports {
            port.line.faults = faults;
        }
        // Nobody reads channel 0 until channel 1 is through; both carry different bytes each way.
        let byte = |channel: usize, end: usize, at: usize| (at * 7 + channel * 3 + end) as u8;
        let (mut written, mut read) = ([[0; 2]; 2], [[0; 2]; 2]);
        let totals = [2000, 3000];
        while read != [[totals[0]; 2], [totals[1]; 2]] {
            turn_both(&mut ports);
            for (channel, end) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let port = &mut ports[end];
                let at = &mut written[channel][end];
                let count = port.room(channel).min(totals[channel] - *at);
                let bytes: Vec<u8> = (*at..*at + count)
                    .map(|at| byte(channel, end, at))
                    .collect();
                // As much as there is room for is taken as a whole.
                assert_eq!(port.write(channel, &bytes), Ok(count));
                port.push_pending(channel).unwrap();
                *at += count;
                if channel == 0 && read[1] != [totals[1]; 2] {
                    continue;
                }
                let mut bytes = vec![0; port.waiting(channel)];
                let count = port.read(channel, &mut bytes).unwrap();
                assert_eq!(count, bytes.len());
                for value in bytes {
                    assert_eq!(value, byte(channel, 1 - end, read[channel][end]));
                    read[channel][end] += 1;
                }
            }
        }
    }
}

#[test]
fn turning_a_port_waits_for_nothing() {
    let [mut one, gone] = joined(40);
    drop(gone);
    one.set_silence(60);
    let start = Instant::now();
    let mut outcome = Ok(false);
    // With nothing asked of it, the other end may be silent.
    while start.elapsed() < Duration::from_millis(90) {
        assert_eq!(one.turn(), Ok(false));
    }
    assert_eq!(one.room(2), MAX_PAYLOAD);
    one.write(2, &[1; 20]).unwrap();
    assert_eq!(one.room(2), MAX_PAYLOAD - 20);
    one.push_pending(2).unwrap();
    // Once something is, it may not. The line is full, so nothing can be sent again.
    one.line.capacity = one.line.outgoing.lock().unwrap().len();
    assert_eq!(one.room(0), 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) && outcome.is_ok() {
        outcome = one.turn();
    }
    assert_eq!(outcome, Err(MuxError::Silent));
    assert_eq!(one.failure(), Some(MuxError::Silent));
    assert_eq!(one.waiting(2), 0);
}
