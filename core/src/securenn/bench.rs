//! The three roles in threads of one process, for the gates' tests.

extern crate std;

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread, vec,
    vec::Vec,
};

use super::{Assisting, Computing, Scratch};
use crate::{
    Role,
    link::LinkError,
    prg::{Key, Prg},
};

/// One end of a line between two roles, and the bytes that were sent and received over it.
struct End {
    to: Sender<Vec<u8>>,
    from: Receiver<Vec<u8>>,
    waiting: Vec<u8>,
    sent: u64,
    heard: Vec<u8>,
}

fn line() -> [End; 2] {
    let (here, there) = (channel(), channel());
    let end = |to, from| End {
        to,
        from,
        waiting: Vec::new(),
        sent: 0,
        heard: Vec::new(),
    };
    [end(here.0, there.1), end(there.0, here.1)]
}

impl End {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.sent += bytes.len() as u64;
        self.to.send(bytes.to_vec()).expect("the other role");
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        while self.waiting.len() < bytes.len() {
            self.waiting
                .extend(self.from.recv().expect("the other role"));
        }
        let rest = self.waiting.split_off(bytes.len());
        bytes.copy_from_slice(&self.waiting);
        self.heard.append(&mut self.waiting);
        self.waiting = rest;
        Ok(())
    }
}

/// A computing party.
pub struct Party {
    role: Role,
    pair: Prg,
    shared: Prg,
    peer: End,
    helper: End,
}

impl Computing for Party {
    fn role(&self) -> Role {
        self.role
    }

    fn pair(&self) -> &Prg {
        &self.pair
    }

    fn assistant(&self) -> &Prg {
        &self.shared
    }

    fn exchange(&mut self, own: &[u8], other: &mut [u8]) -> Result<(), LinkError> {
        self.peer.send(own)?;
        self.peer.receive(other)
    }

    fn tell_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.helper.send(bytes)
    }

    fn hear_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.helper.receive(bytes)
    }
}

/// The assistant.
pub struct Assistant {
    own: Prg,
    shared: [Prg; 2],
    parties: [End; 2],
}

impl Assisting for Assistant {
    fn own(&self) -> &Prg {
        &self.own
    }

    fn prg(&self, role: Role) -> &Prg {
        &self.shared[role.index()]
    }

    fn tell(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError> {
        self.parties[role.index()].send(bytes)
    }

    fn hear(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.parties[role.index()].receive(bytes)
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
        Prg::new(Key::new(bytes))
    };
    let [first, second] = line();
    let [helper0, assistant0] = line();
    let [helper1, assistant1] = line();
    let party = &party;
    thread::scope(|scope| {
        let sides = [(Role::P0, first, helper0), (Role::P1, second, helper1)];
        let parties = sides.map(|(role, peer, helper)| {
            let mut cx = Party {
                role,
                pair: key(1),
                shared: key(2 + role.index() as u8),
                peer,
                helper,
            };
            scope.spawn(move || {
                let made = party(&mut cx).expect("links that hold");
                (made, cx.peer.sent + cx.helper.sent)
            })
        });
        let mut cx = Assistant {
            own: key(9),
            shared: [key(2), key(3)],
            parties: [assistant0, assistant1],
        };
        let answer = assist(&mut cx).expect("links that hold");
        let [first, second] = parties.map(|party| party.join().expect("a party"));
        let bytes = first.1 + second.1 + cx.parties[0].sent + cx.parties[1].sent;
        Ran {
            made: [first.0, second.0],
            answer,
            bytes,
            heard: cx.parties.map(|end| end.heard),
        }
    })
}
