//! Multiplexers on lines with small buffers that lose, repeat, damage and delay bytes.

use core::cell::RefCell;

use embedded_io::ErrorType;

use super::{
    super::frame::{Head, MAX_FRAME, encode},
    *,
};
use crate::{
    gate::harness::Values,
    net::link::{Link, Remote, Segment},
    share::Masked,
};
use bytemuck::TransparentWrapper;

mod faults;

extern crate std;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
    vec,
    vec::Vec,
};

/// Probabilities of a line's faults per byte, in units of 2^-16.
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

/// One end of a line that buffers `capacity` bytes in each direction.
struct End {
    outgoing: Pipe,
    incoming: Pipe,
    capacity: usize,
    faults: Faults,
    chance: Values,
    /// All bytes that were sent.
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

    fn wait(&mut self) {
        thread::sleep(Duration::from_micros(50));
    }
}

const TIMEOUTS: Timeouts = Timeouts {
    resend: 40,
    silence: 20_000,
};

fn new_mux(end: End, timeouts: Timeouts) -> Mux<End, Real> {
    Mux::new(end, Real(Instant::now()), timeouts)
}

/// Both parties open `count` values over one channel while another channel carries bytes. Returns the bytes that
/// each sent on the line.
fn exchange(capacity: usize, faults: Faults, count: usize, seed: u64) -> [Vec<u8>; 2] {
    let mut values = Values::new(seed + 77);
    let secrets: Vec<i64> = (0..count)
        .map(|_| i64::from(values.word::<u32>() as u16))
        .collect();
    let shares = values.share::<u32>(&secrets, 20);
    let done = AtomicU32::new(0);
    let party = |role: crate::Role, end: End, mut share: Vec<u32>| {
        let mut mux = new_mux(end, TIMEOUTS);
        match role {
            crate::Role::P0 => mux.start(0x5A5A).unwrap(),
            crate::Role::P1 => mux.accept().unwrap(),
        }
        let mux = RefCell::new(mux);
        let mut other = Link::new(Channel::new(&mux, 1), Remote::Dealer, 0);
        let mut link = Link::new(Channel::new(&mux, 0), Remote::Peer, 0);
        // The second channel carries more bytes than the other end buffers, before it reads them.
        let mut outcome = vec![role.index() as u8; 700];
        if role == crate::Role::P0 {
            other.send(&outcome).unwrap();
            other.flush().unwrap();
        }
        let words = Masked::wrap_slice_mut(&mut share);
        link.open(role, &mut [Segment::words(words, 20)]).unwrap();
        if role == crate::Role::P1 {
            other.receive(&mut outcome).unwrap();
            assert!(outcome.iter().all(|&byte| byte == 0));
        }
        let mut mux = mux.into_inner();
        mux.finish().unwrap();
        // The ends of a session confirm its end to each other, so none leaves while the other may still send.
        done.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        while done.load(Ordering::Relaxed) < 2 && start.elapsed() < Duration::from_secs(30) {
            if mux.pump().is_err() {
                break;
            }
        }
        (share, mux.line.sent)
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
fn lines_with_small_buffers_do_not_deadlock() {
    for capacity in [64, 7, 1] {
        exchange(capacity, NONE, 3000, 1);
    }
}

#[test]
fn a_missing_end_gives_a_timeout() {
    let [one, _gone] = line(1 << 16, NONE, 3);
    let impatient = Timeouts {
        resend: 5,
        silence: 40,
    };
    assert_eq!(new_mux(one, impatient).start(3), Err(MuxError::Silent));
}

/// Runs `host` in a session that the device forgets at once; returns the host's outcome.
fn outcome_after_a_reset(
    seed: u64,
    host: impl FnOnce(&mut Mux<End, Real>) -> Outcome + Send,
) -> Outcome {
    let [one, two] = line(1 << 16, NONE, seed);
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            let mut mux = new_mux(one, TIMEOUTS);
            mux.start(8).unwrap();
            host(&mut mux)
        });
        let mut device = new_mux(two, TIMEOUTS);
        device.accept().unwrap();
        let Mux { line, .. } = device;
        let mut after_reset = new_mux(line, TIMEOUTS);
        while !host.is_finished() {
            let _ = after_reset.pump();
        }
        host.join().unwrap()
    })
}

type Outcome = Result<usize, MuxError>;

#[test]
fn a_reset_of_one_end_is_an_error_at_the_other() {
    // The device has forgotten the session and does not answer.
    let outcome = outcome_after_a_reset(4, |mux| {
        mux.write(0, &[1; 500]).unwrap();
        mux.read(0, &mut [0])
    });
    assert_eq!(outcome, Err(MuxError::Reset));
    // A host that sent nothing and only waits gets the error too.
    let outcome = outcome_after_a_reset(8, |mux| mux.read(0, &mut [0]));
    assert_eq!(outcome, Err(MuxError::Reset));
    // A device in a session gets an error when the host starts another.
    let [one, two] = line(1 << 16, NONE, 5);
    let outcome = thread::scope(|scope| {
        let device = scope.spawn(|| {
            let mut mux = new_mux(two, TIMEOUTS);
            mux.accept().unwrap();
            let outcome = mux.read(0, &mut [0]);
            mux.accept().unwrap();
            outcome
        });
        let mut host = new_mux(one, TIMEOUTS);
        host.start(8).unwrap();
        host.start(9).unwrap();
        device.join().unwrap()
    });
    assert_eq!(outcome, Err(MuxError::Reset));
}

#[test]
fn poll_reports_a_reset_while_no_frame_is_unacknowledged() {
    let outcome = outcome_after_a_reset(11, |mux| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            mux.poll()?;
        }
        Ok(0)
    });
    assert_eq!(outcome, Err(MuxError::Reset));
}

#[test]
fn a_blocked_line_gives_a_timeout() {
    let [one, two] = line(64, NONE, 12);
    let timeouts = Timeouts {
        resend: 15,
        silence: 200,
    };
    let mut mux = new_mux(one, timeouts);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = new_mux(two, TIMEOUTS);
            other.accept().unwrap();
            // Then reads nothing, and keeps the line open.
            thread::sleep(Duration::from_millis(1500));
        });
        mux.start(6).unwrap();
        mux.write(0, &[1; 2000])
    });
    assert_eq!(outcome, Err(MuxError::Silent));
}

#[test]
fn late_frames_of_a_finished_session_are_ignored() {
    let [mut one, two] = line(1 << 16, NONE, 9);
    one.write_all(&frames(&[(Kind::Start, 1)])).unwrap();
    let mut mux = new_mux(two, TIMEOUTS);
    mux.accept().unwrap();
    mux.finish().unwrap();
    one.write_all(&frames(&[(Kind::Ack, 1), (Kind::Start, 2)]))
        .unwrap();
    mux.accept().unwrap();
    let answers = [(Kind::Started, 1), (Kind::Started, 2)];
    assert_eq!(mux.line.sent, frames(&answers));
    // Frames of a session that did not finish are answered: it is unknown.
    one.write_all(&frames(&[(Kind::Ack, 2), (Kind::Ack, 1)]))
        .unwrap();
    mux.reset(0);
    mux.step().unwrap();
    let all = [&answers[..], &[(Kind::UnknownSession, 2)]].concat();
    assert_eq!(mux.line.sent, frames(&all));
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
fn accept_takes_the_last_of_several_sessions() {
    let [mut one, two] = line(1 << 16, NONE, 6);
    // The other end started two sessions while nobody listened, and repeats the second start.
    let bytes = frames(&[(Kind::Start, 1), (Kind::Start, 2), (Kind::Start, 2)]);
    one.write_all(&bytes).unwrap();
    let mut mux = new_mux(two, TIMEOUTS);
    assert_eq!(mux.accept(), Ok(()));
    assert_eq!(mux.session(), 2);
}

#[test]
fn frames_with_session_zero_are_ignored() {
    let [mut one, two] = line(1 << 16, NONE, 7);
    let kinds = [Kind::UnknownSession, Kind::Data, Kind::Start, Kind::Started];
    one.write_all(&frames(&kinds.map(|kind| (kind, 0))))
        .unwrap();
    one.write_all(&frames(&[(Kind::Start, 3)])).unwrap();
    let mut mux = new_mux(two, TIMEOUTS);
    assert_eq!(mux.accept(), Ok(()));
    assert_eq!(mux.session(), 3);
    // The only answer is the one to the start.
    assert_eq!(mux.line.sent, frames(&[(Kind::Started, 3)]));
}

/// Calls `turn` of both multiplexers.
fn poll_both(muxes: &mut [Mux<End, Real>; 2]) {
    for mux in muxes {
        mux.poll().unwrap();
    }
}

/// Two multiplexers in one session, driven by one thread.
fn connected(seed: u64) -> [Mux<End, Real>; 2] {
    let [one, two] = line(4096, NONE, seed);
    thread::scope(|scope| {
        let accepted = scope.spawn(|| {
            let mut mux = new_mux(two, TIMEOUTS);
            mux.accept().unwrap();
            mux
        });
        let mut started = new_mux(one, TIMEOUTS);
        started.start(21).unwrap();
        [started, accepted.join().unwrap()]
    })
}

#[test]
fn one_thread_drives_two_multiplexers_without_loss() {
    let faulty = Faults {
        lost: 40,
        repeated: 40,
        changed: 40,
        delayed: 40,
    };
    for (seed, faults) in [NONE, faulty].into_iter().enumerate() {
        let mut muxes = connected(seed as u64 + 30);
        for mux in &mut muxes {
            mux.line.faults = faults;
        }
        // Channel 0 is read after channel 1 has finished. All directions carry different bytes.
        let byte = |channel: usize, end: usize, at: usize| (at * 7 + channel * 3 + end) as u8;
        let (mut written, mut read) = ([[0; 2]; 2], [[0; 2]; 2]);
        let totals = [2000, 3000];
        while read != [[totals[0]; 2], [totals[1]; 2]] {
            poll_both(&mut muxes);
            for (channel, end) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mux = &mut muxes[end];
                let at = &mut written[channel][end];
                let count = mux.writable(channel).min(totals[channel] - *at);
                let bytes: Vec<u8> = (*at..*at + count)
                    .map(|at| byte(channel, end, at))
                    .collect();
                // A write of up to `room` bytes is accepted whole.
                assert_eq!(mux.write(channel, &bytes), Ok(count));
                mux.push_pending(channel).unwrap();
                *at += count;
                if channel == 0 && read[1] != [totals[1]; 2] {
                    continue;
                }
                let mut bytes = vec![0; mux.readable(channel)];
                let count = mux.read(channel, &mut bytes).unwrap();
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
fn poll_does_not_wait() {
    let [mut one, gone] = connected(40);
    drop(gone);
    one.set_silence(60);
    let start = Instant::now();
    let mut outcome = Ok(false);
    // While no frame is unacknowledged, the other end may be silent.
    while start.elapsed() < Duration::from_millis(90) {
        assert_eq!(one.poll(), Ok(false));
    }
    assert_eq!(one.writable(2), MAX_PAYLOAD);
    one.write(2, &[1; 20]).unwrap();
    assert_eq!(one.writable(2), MAX_PAYLOAD - 20);
    one.push_pending(2).unwrap();
    // With an unacknowledged frame, silence is an error. The line is full, so no frame can be repeated.
    one.line.capacity = one.line.outgoing.lock().unwrap().len();
    assert_eq!(one.writable(0), 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) && outcome.is_ok() {
        outcome = one.poll();
    }
    assert_eq!(outcome, Err(MuxError::Silent));
    assert_eq!(one.failure(), Some(MuxError::Silent));
    assert_eq!(one.readable(2), 0);
}
