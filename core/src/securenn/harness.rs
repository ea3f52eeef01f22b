//! The three roles in threads of one process, for the gates' tests.

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

/// Bytes that a link holds each way, so that roles that wait for one another would be found.
const CAPACITY: usize = 64;

/// A computing party.
pub type Party = PartyContext<End, End>;
/// The assistant.
pub type Assistant = AssistantContext<Heard, Heard>;

/// The end of a link that keeps what it has received.
pub struct Heard {
    end: End,
    bytes: Vec<u8>,
}

impl ErrorType for Heard {
    type Error = Infallible;
}

impl Read for Heard {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let count = self.end.read(bytes)?;
        self.bytes.extend(&bytes[..count]);
        Ok(count)
    }
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.end.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.end.flush()
    }
}

/// Memory of a role, for `len` elements of `bits` bits.
pub fn with_scratch<O>(len: usize, bits: u32, run: impl FnOnce(&mut Scratch<'_>) -> O) -> O {
    let mut field = vec![0; len * bits as usize];
    let mut words: [Vec<u64>; 6] = core::array::from_fn(|_| vec![0; len]);
    run(&mut Scratch {
        bits: &mut field,
        words: words.each_mut().map(|words| &mut words[..]),
    })
}

/// What a run of all three roles leaves: what both parties made, what the assistant made, the bytes that all have
/// sent, and what the assistant has heard from each party.
pub struct Ran<O, A> {
    pub made: [O; 2],
    pub answer: A,
    pub bytes: u64,
    pub heard: [Vec<u8>; 2],
}

/// Runs all three roles, with keys made of a seed.
pub fn run<O: Send, A>(
    seed: u64,
    party: impl Fn(&mut Party) -> Result<O, LinkError> + Sync,
    assist: impl FnOnce(&mut Assistant) -> Result<A, LinkError>,
) -> Ran<O, A> {
    let key = |number: u8| {
        let mut bytes = [number; Key::LEN];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Key::new(bytes)
    };
    let [first, second] = duplex(CAPACITY);
    let [helper0, assistant0] = duplex(CAPACITY);
    let [helper1, assistant1] = duplex(CAPACITY);
    let party = &party;
    thread::scope(|scope| {
        let sides = [(Role::P0, first, helper0), (Role::P1, second, helper1)];
        let parties = sides.map(|(role, peer, helper)| {
            let keys = [key(1), key(2 + role.index() as u8)];
            let peer = Link::new(peer, Remote::Peer, 0);
            let helper = Link::new(helper, Remote::Assistant, 0);
            let mut cx = PartyContext::new(role, keys, peer, helper);
            scope.spawn(move || {
                let made = party(&mut cx).expect("links that hold");
                cx.flush().expect("links that hold");
                (made, cx.sent())
            })
        });
        let [first, second] = [assistant0, assistant1].map(|end| Heard {
            end,
            bytes: Vec::new(),
        });
        let links = [(Role::P0, first), (Role::P1, second)];
        let [first, second] = links.map(|(role, end)| Link::new(end, Remote::Party(role), 0));
        let mut cx = AssistantContext::new(key(9), [key(2), key(3)], first, second);
        let answer = assist(&mut cx).expect("links that hold");
        cx.flush().expect("links that hold");
        let sent = cx.sent();
        let parties = parties.map(|party| party.join().expect("a party"));
        let bytes = sent + parties.iter().map(|(_, sent)| sent).sum::<u64>();
        let (first, second) = cx.into_links();
        Ran {
            made: parties.map(|(made, _)| made),
            answer,
            bytes,
            heard: [first, second].map(|link| link.into_inner().bytes),
        }
    })
}
