//! Test harness: runs the three roles in threads of one process.

extern crate std;

use std::{convert::Infallible, thread, vec, vec::Vec};

use embedded_io::{ErrorType, Read, Write};

use super::{
    context::{AssistantContext, PartyContext},
    gates::Scratch,
};
use crate::{
    Role,
    gate::harness::{End, duplex},
    net::link::{Link, LinkError, Remote},
    prg::Key,
};

/// What the links between the roles buffer.
#[derive(Clone, Copy)]
pub struct Buffers {
    /// Bytes that a link holds each way.
    pub capacity: usize,
    /// Bytes that may be sent before the other end reads.
    pub ahead: usize,
}

impl Buffers {
    /// So large ones that no role waits until another reads, with which tests are fast.
    pub const LARGE: Buffers = Buffers {
        capacity: 1 << 24,
        ahead: 1 << 15,
    };
    /// So small ones that a deadlock between roles shows up.
    pub const SMALL: Buffers = Buffers {
        capacity: 64,
        ahead: 0,
    };
}

/// A computing party's context.
pub type Party = PartyContext<End, End>;
/// The assistant's context.
pub type Assistant = AssistantContext<RecordingEnd, RecordingEnd>;

/// The end of a link that records the bytes that it receives.
pub struct RecordingEnd {
    end: End,
    bytes: Vec<u8>,
}

impl ErrorType for RecordingEnd {
    type Error = Infallible;
}

impl Read for RecordingEnd {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let count = self.end.read(bytes)?;
        self.bytes.extend(&bytes[..count]);
        Ok(count)
    }
}

impl Write for RecordingEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.end.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.end.flush()
    }
}

/// Runs with scratch memory for `len` elements of `bits` bits.
pub fn with_scratch<O>(len: usize, bits: u32, run: impl FnOnce(&mut Scratch<'_>) -> O) -> O {
    let mut field = vec![0; len * bits as usize];
    let mut words: [Vec<u64>; 6] = core::array::from_fn(|_| vec![0; len]);
    run(&mut Scratch {
        bits: &mut field,
        words: words.each_mut().map(|words| &mut words[..]),
    })
}

/// The result of a run of all three roles.
pub struct RunResult<O, A> {
    /// The output of each computing party.
    pub outputs: [O; 2],
    /// The assistant's output.
    pub answer: A,
    /// Bytes that all roles sent.
    pub bytes: u64,
    /// The bytes that the assistant received from each computing party.
    pub received: [Vec<u8>; 2],
}

/// Runs all three roles with keys derived from `seed`.
pub fn run<O: Send, A>(
    seed: u64,
    party: impl Fn(&mut Party) -> Result<O, LinkError> + Sync,
    assist: impl FnOnce(&mut Assistant) -> Result<A, LinkError>,
) -> RunResult<O, A> {
    run_over(Buffers::LARGE, seed, party, assist)
}

/// As [`run`], over links with `buffers`.
pub fn run_over<O: Send, A>(
    Buffers { capacity, ahead }: Buffers,
    seed: u64,
    party: impl Fn(&mut Party) -> Result<O, LinkError> + Sync,
    assist: impl FnOnce(&mut Assistant) -> Result<A, LinkError>,
) -> RunResult<O, A> {
    let key = |number: u8| {
        let mut bytes = [number; Key::LEN];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Key::new(bytes)
    };
    let [first, second] = duplex(capacity);
    let [to_assistant0, assistant0] = duplex(capacity);
    let [to_assistant1, assistant1] = duplex(capacity);
    let party = &party;
    thread::scope(|scope| {
        let sides = [
            (Role::P0, first, to_assistant0),
            (Role::P1, second, to_assistant1),
        ];
        let parties = sides.map(|(role, peer, to_assistant)| {
            let keys = [key(1), key(2 + role.index() as u8)];
            let peer = Link::new(peer, Remote::Peer, ahead);
            let to_assistant = Link::new(to_assistant, Remote::Assistant, ahead);
            let mut cx = PartyContext::new(role, keys, peer, to_assistant);
            scope.spawn(move || {
                let output = party(&mut cx).expect("links that hold");
                cx.flush().expect("links that hold");
                (output, cx.sent())
            })
        });
        let [first, second] = [assistant0, assistant1].map(|end| RecordingEnd {
            end,
            bytes: Vec::new(),
        });
        let links = [(Role::P0, first), (Role::P1, second)];
        let [first, second] = links.map(|(role, end)| Link::new(end, Remote::Party(role), ahead));
        let mut cx = AssistantContext::new(key(9), [key(2), key(3)], first, second);
        let answer = assist(&mut cx).expect("links that hold");
        cx.flush().expect("links that hold");
        let sent = cx.sent();
        let parties = parties.map(|party| party.join().expect("a party"));
        let bytes = sent + parties.iter().map(|(_, sent)| sent).sum::<u64>();
        let (first, second) = cx.into_links();
        RunResult {
            outputs: parties.map(|(output, _)| output),
            answer,
            bytes,
            received: [first, second].map(|link| link.into_inner().bytes),
        }
    })
}
