use embedded_io::{Read, Write};

use super::*;
use crate::{
    Role,
    gate::harness::{End as Pipe, duplex},
    net::link::{Finish, Link, LinkError, Remote},
    prg::Key,
};

extern crate std;
use std::{thread, vec, vec::Vec};

const FRAME: usize = 33;

type Secure<T> = SecureTransport<T, ChaChaPoly, [u8; FRAME]>;
type End = Secure<Pipe>;

fn identity(byte: u8) -> Identity {
    Identity::new(Key::new([byte; 32]))
}

fn secure<T: Read + Write>(
    io: T,
    initiator: bool,
    [own, remote]: [u8; 2],
    prologue: &str,
) -> Result<(Secure<T>, [u8; 32]), LinkError> {
    let mut link = Link::new(io, Remote::Peer, 0);
    let shake = if initiator {
        connect::<ChaChaPoly, _>
    } else {
        accept::<ChaChaPoly, _>
    };
    let ephemeral = Key::new([100 + own; 32]);
    let (own, remote) = (identity(own), identity(remote).public());
    let keys = shake(&mut link, &own, remote, Prologue::new(prologue), ephemeral)?;
    let hash = keys.hash;
    let io = SecureTransport::new(link.into_inner(), &keys, [0; FRAME], [0; FRAME]);
    Ok((io, hash))
}

fn ends() -> [End; 2] {
    let [one, other] = duplex(1 << 12);
    thread::scope(|scope| {
        let one = scope.spawn(|| secure(one, true, [1, 2], "test").expect("a handshake"));
        let (other, hash) = secure(other, false, [2, 1], "test").expect("a handshake");
        let (one, other_hash) = one.join().expect("no panic");
        assert_eq!(hash, other_hash);
        [one, other]
    })
}

/// A transport that hands out `incoming` and keeps what is written.
struct Script {
    incoming: Vec<u8>,
    next: usize,
    written: Vec<u8>,
}

impl embedded_io::ErrorType for Script {
    type Error = core::convert::Infallible;
}

impl Read for Script {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let count = bytes.len().min(self.incoming.len() - self.next);
        bytes[..count].copy_from_slice(&self.incoming[self.next..][..count]);
        self.next += count;
        Ok(count)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn script(incoming: &[u8]) -> Secure<Script> {
    let io = Script {
        incoming: incoming.to_vec(),
        next: 0,
        written: Vec::new(),
    };
    let keys = Keys {
        send: [8; 32],
        receive: [8; 32],
        first_frames: [0; 2],
        hash: [0; 32],
    };
    SecureTransport::new(io, &keys, [0; FRAME], [0; FRAME])
}

/// The frames of a short session as one end sends them: two messages, the end and its confirmation.
fn session_frames() -> Vec<Vec<u8>> {
    // Both directions have the same keys here, so the session reads an end that looks like its own.
    let mut end = script(&[]);
    end.write_all(&[7; 40]).expect("room");
    end.flush().expect("room");
    end.write_all(&[9; 3]).expect("room");
    end.flush().expect("room");
    // Nobody answers: the end of 43 bytes sent and none received is its last frame.
    assert_eq!(end.finish(false), Err(SecureError::Truncated));
    let mut written = end.inner().written.clone();
    let mut confirmation = [2];
    let tag = ChaChaPoly::new(&[8; 32]).seal(4, &[], &mut confirmation);
    written.extend([1, 0, confirmation[0]]);
    written.extend(tag);
    let mut frames = Vec::new();
    let mut bytes = written.as_slice();
    while let [low, high, ..] = bytes {
        let len = usize::from(u16::from_le_bytes([*low, *high])) + 2 + TAG_LEN;
        frames.push(bytes[..len].to_vec());
        bytes = &bytes[len..];
    }
    frames
}

/// Receives a session of [`session_frames`] to its confirmed end.
fn receive(bytes: &[u8]) -> Result<(), ()> {
    let mut end = script(bytes);
    let mut received = [0; 43];
    end.read_exact(&mut received).map_err(drop)?;
    assert_eq!(
        received,
        core::array::from_fn(|at| if at < 40 { 7 } else { 9 })
    );
    end.finish(true).map_err(drop)
}

#[test]
fn a_session_arrives_whole_and_its_end_is_confirmed() {
    assert_eq!(receive(&session_frames().concat()), Ok(()));
    let [mut one, mut other] = ends();
    thread::scope(|scope| {
        scope.spawn(move || {
            one.write_all(&[5; 100]).expect("room");
            one.flush().expect("room");
            let mut answer = [0; 3];
            one.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer, [1, 2, 3]);
            one.finish(true).expect("the same counts");
        });
        let mut bytes = [0; 100];
        other.read_exact(&mut bytes).expect("a message");
        assert_eq!(bytes, [5; 100]);
        other.write_all(&[1, 2, 3]).expect("room");
        other.finish(false).expect("the same counts");
    });
}

#[test]
fn frames_have_the_predicted_number_of_bytes() {
    for messages in [
        &[1usize][..],
        &[31, 1],
        &[32],
        &[32, 32],
        &[31, 33, 64, 100],
        &[5, 27, 32, 3],
    ] {
        let mut end = script(&[]);
        for &len in messages {
            end.write_all(&vec![3; len]).expect("room");
            end.flush().expect("room");
            // A flush without bytes sends nothing.
            end.flush().expect("room");
        }
        let bytes = messages.iter().sum::<usize>() as u64;
        let count = messages.len() as u64;
        // The script answers nothing, so the end that this one sends is its last frame.
        assert!(end.finish(false).is_err());
        let want = bytes + frame_bytes(bytes, count, FRAME, false);
        assert_eq!(end.inner().written.len() as u64, want, "{messages:?}");
        assert_eq!(end.wire_bytes()[0], want);
    }
}

#[test]
fn every_change_of_every_frame_is_an_error() {
    let frames = session_frames();
    let whole = frames.concat();
    assert_eq!(frames.len(), 5);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(receive(&changed), Err(()), "byte {at}, bit {bit}");
        }
        assert_eq!(receive(&whole[..at]), Err(()), "cut at byte {at}");
        let mut dropped = whole.clone();
        dropped.remove(at);
        assert_eq!(receive(&dropped), Err(()), "without byte {at}");
    }
    for at in 0..frames.len() {
        let mut left_out = frames.clone();
        left_out.remove(at);
        assert_eq!(receive(&left_out.concat()), Err(()), "without frame {at}");
        for to in 0..frames.len() {
            let mut repeated = frames.clone();
            repeated.insert(to, frames[at].clone());
            // Nothing is read after the last frame, so what follows it changes nothing.
            let want = if [at, to] == [4, 4] { Ok(()) } else { Err(()) };
            assert_eq!(receive(&repeated.concat()), want, "{at} again before {to}");
            if at != to {
                let mut swapped = frames.clone();
                swapped.swap(at, to);
                assert_eq!(receive(&swapped.concat()), Err(()), "{at} and {to} swapped");
            }
        }
    }
}

#[test]
fn what_an_end_sends_does_not_open_when_it_is_reflected() {
    let [one, other] = duplex(1 << 10);
    let mut mine = thread::scope(|scope| {
        let one = scope.spawn(|| secure(one, true, [1, 2], "test").expect("a handshake"));
        let mut other = Link::new(other, Remote::Peer, 0);
        let prologue = Prologue::new("test");
        let remote = identity(1).public();
        accept::<ChaChaPoly, _>(
            &mut other,
            &identity(2),
            remote,
            prologue,
            Key::new([9; 32]),
        )
        .expect("a handshake");
        let (mut mine, _) = one.join().expect("no panic");
        mine.write_all(b"hello").expect("room");
        mine.flush().expect("room");
        let mut frame = [0; 2 + 6 + TAG_LEN];
        other.receive(&mut frame).expect("a frame");
        other.send(&frame).expect("room");
        other.flush().expect("room");
        mine
    });
    assert_eq!(mine.read(&mut [0; 5]), Err(SecureError::Tampered));
    // A transport that has failed stays so.
    assert_eq!(mine.write(b"x"), Err(SecureError::Over));
    assert_eq!(mine.read(&mut [0; 5]), Err(SecureError::Over));
}

#[test]
fn a_session_that_one_end_does_not_read_to_its_end_is_an_error() {
    let mut bytes = session_frames().concat();
    let mut end = script(&bytes);
    end.read_exact(&mut [0; 20]).expect("a message");
    assert_eq!(end.finish(true), Err(SecureError::Unconfirmed));
    // The end without its confirmation: the end that waits does not succeed, the other does.
    let confirmation = session_frames().pop().expect("a frame");
    bytes.truncate(bytes.len() - confirmation.len());
    for (waits, outcome) in [(true, Err(SecureError::Truncated)), (false, Ok(()))] {
        let mut end = script(&bytes);
        end.read_exact(&mut [0; 43]).expect("a session");
        assert_eq!(end.finish(waits), outcome);
    }
}

#[test]
fn the_end_that_waits_answers_only_what_it_has_heard() {
    let mut waits = script(&[]);
    assert_eq!(waits.finish(true), Err(SecureError::Truncated));
    assert_eq!(waits.inner().written, []);
    // Nobody confirms what has not ended.
    let mut end = script(&[]);
    assert_eq!(end.confirm(false), Err(SecureError::Over));
}

#[test]
fn strangers_and_other_sessions_are_refused() {
    let cases = [
        ([1, 2], [2, 1], ["a", "a"], true),
        ([3, 2], [2, 1], ["a", "a"], false),
        ([1, 3], [2, 1], ["a", "a"], false),
        ([1, 2], [2, 3], ["a", "a"], false),
        ([1, 2], [2, 1], ["a", "b"], false),
    ];
    for (one, other, [first, second], good) in cases {
        let [a, b] = duplex(1 << 10);
        thread::scope(|scope| {
            let one = scope.spawn(move || secure(a, true, one, first).map(drop));
            let accepted = secure(b, false, other, second).map(drop);
            let connected = one.join().expect("no panic");
            match good {
                true => assert_eq!((connected, accepted), (Ok(()), Ok(()))),
                false => {
                    assert_eq!(accepted, Err(LinkError::Unauthentic(Remote::Peer)));
                    assert_eq!(connected, Err(LinkError::Closed(Remote::Peer)));
                }
            }
        });
    }
}

#[test]
fn a_recorded_handshake_is_not_accepted_again() {
    let accept_from = |incoming: &[u8], ephemeral| {
        let script = Script {
            incoming: incoming.to_vec(),
            next: 0,
            written: Vec::new(),
        };
        let mut link = Link::new(script, Remote::Peer, 0);
        let (own, remote) = (identity(2), identity(1).public());
        let (prologue, ephemeral) = (Prologue::new("test"), Key::new([ephemeral; 32]));
        let keys = accept::<ChaChaPoly, _>(&mut link, &own, remote, prologue, ephemeral);
        (keys.map(drop), link.into_inner().written)
    };
    let connect_to = |incoming: Vec<u8>| {
        let script = Script {
            incoming,
            next: 0,
            written: Vec::new(),
        };
        let mut link = Link::new(script, Remote::Peer, 0);
        let (own, remote) = (identity(1), identity(2).public());
        let (prologue, ephemeral) = (Prologue::new("test"), Key::new([101; 32]));
        let keys = connect::<ChaChaPoly, _>(&mut link, &own, remote, prologue, ephemeral);
        (keys.map(drop), link.into_inner().written)
    };
    let (_, first) = connect_to(Vec::new());
    let (_, answer) = accept_from(&first, 7);
    let (connected, said) = connect_to(answer);
    assert_eq!(
        (connected, said.len() as u64),
        (Ok(()), handshake_bytes(true))
    );
    assert_eq!(accept_from(&said, 7).0, Ok(()));
    // The end that accepts has another ephemeral key the next time.
    let refused = Err(LinkError::Unauthentic(Remote::Peer));
    assert_eq!(accept_from(&said, 8).0, refused);
    assert_eq!(
        accept_from(&said[..said.len() - 1], 7).0,
        Err(LinkError::Closed(Remote::Peer))
    );
}

#[test]
fn openings_run_over_a_secure_link_with_blocks_of_any_size() {
    use crate::{net::link::Segment, share::Masked};
    use bytemuck::TransparentWrapper;
    for ahead in [0, 1 << 11] {
        let [one, other] = ends();
        let open = |io, role, value: u32| {
            let mut link = Link::new(io, Remote::Peer, ahead);
            let mut words = vec![value; 600];
            let mut segment = [Segment::words(Masked::wrap_slice_mut(&mut words), 20)];
            link.open(role, &mut segment).expect("a link");
            link.finish(role == Role::P0).expect("an end");
            words
        };
        thread::scope(|scope| {
            let p0 = scope.spawn(move || open(one, Role::P0, 5));
            assert_eq!(open(other, Role::P1, 6), [11; 600]);
            assert_eq!(p0.join().expect("no panic"), [11; 600]);
        });
    }
}
