//! Roles in threads over recorded links. One role's key is the same in all runs; the keys and secrets that it does not
//! have differ from run to run.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use ringlet_core::{
    Role,
    gate::{Offline, Online},
    net::{Link, LinkError, Remote, Segment},
    num::Word,
    prg::{Address, Key, Prg},
    securenn::{AssistantContext, PartyContext},
};

use crate::affine::View;

/// Bytes that a link takes while the other end does not read: without end.
pub const AHEAD: usize = usize::MAX / 4;

/// One end of a link in memory. It sends when it is flushed, and records what it reads.
pub struct End {
    unsent: Vec<u8>,
    to_other: Sender<Vec<u8>>,
    from_other: Receiver<Vec<u8>>,
    arrived: VecDeque<u8>,
    read: Vec<u8>,
}

/// Both ends of a link.
pub fn duplex() -> [End; 2] {
    let ((to_b, from_a), (to_a, from_b)) = (channel(), channel());
    [(to_b, from_b), (to_a, from_a)].map(|(to_other, from_other)| End {
        unsent: Vec::new(),
        to_other,
        from_other,
        arrived: VecDeque::new(),
        read: Vec::new(),
    })
}

impl End {
    /// What was read since the last call.
    pub fn take_read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }
}

impl ErrorType for End {
    type Error = ErrorKind;
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.arrived.is_empty() {
            // Without the other end the link is at its end.
            self.arrived
                .extend(self.from_other.recv().unwrap_or_default());
        }
        let count = bytes.len().min(self.arrived.len());
        for (byte, arrived) in bytes.iter_mut().zip(self.arrived.drain(..count)) {
            *byte = arrived;
        }
        self.read.extend(&bytes[..count]);
        Ok(count)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.unsent.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = self.to_other.send(std::mem::take(&mut self.unsent));
        sent.map_err(|_| ErrorKind::BrokenPipe)
    }
}

/// A key or a secret of run `run`. Who is watched `knows` it if it stays the same in all runs.
pub fn key(number: u8, knows: bool, run: usize) -> Key {
    let mut bytes = [number; Key::LEN];
    let seed = if knows { 0 } else { run as u64 + 1 };
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Key::new(bytes)
}

/// Both parties' keys with the dealer in run `run`, while `watched` is watched.
pub fn dealt_keys(watched: Role, run: usize) -> [Key; 2] {
    Role::BOTH.map(|role| key(role.index() as u8 + 1, role == watched, run))
}

/// The dealer of a gate.
pub struct Dealing {
    prgs: [Prg; 2],
    corrections: Vec<u8>,
}

impl Offline for Dealing {
    fn prg(&self, role: Role) -> &Prg {
        &self.prgs[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.corrections.extend(bytes);
        Ok(())
    }
}

/// A party of a gate.
pub struct Party<'e> {
    role: Role,
    prg: Prg,
    link: Link<&'e mut End>,
    corrections: &'e [u8],
}

impl Online for Party<'_> {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        self.link.open(self.role, segments)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        let (next, rest) = self.corrections.split_at(bytes.len());
        bytes.copy_from_slice(next);
        self.corrections = rest;
        Ok(())
    }
}

/// Runs a gate of the dealt protocol on the inputs 0 or 1. Returns what `watched` receives in each run: from the other party, and at P1 then
/// the corrections.
pub fn dealt_gate(
    watched: Role,
    [runs, inputs]: [usize; 2],
    deal: &(impl Fn(&mut Dealing) -> Result<(), LinkError> + Sync),
    party: &(impl Fn(&mut Party<'_>, usize) -> Result<(), LinkError> + Sync),
) -> Vec<View> {
    let [end0, end1] = duplex();
    let act = |role: Role, mut end: End| {
        let each = |run| {
            let mut keys = dealt_keys(watched, run);
            let mut corrections = Vec::new();
            if role == Role::P1 {
                let prgs = keys.clone().map(Prg::new);
                let mut dealing = Dealing { prgs, corrections };
                deal(&mut dealing).expect("a dealer");
                corrections = dealing.corrections;
            }
            keys.rotate_left(role.index());
            let [own, _] = keys;
            let mut cx = Party {
                role,
                prg: Prg::new(own),
                link: Link::new(&mut end, Remote::Peer, AHEAD),
                corrections: &corrections,
            };
            party(&mut cx, inputs).expect("links that hold");
            assert!(cx.corrections.is_empty(), "corrections left over");
            let mut view = vec![end.take_read()];
            if role == Role::P1 {
                view.push(corrections);
            }
            view
        };
        (0..runs).map(each).collect::<Vec<View>>()
    };
    let views = thread::scope(|scope| {
        let first = scope.spawn(|| act(Role::P0, end0));
        let second = act(Role::P1, end1);
        [first.join().expect("P0"), second]
    });
    let [first, second] = views;
    match watched {
        Role::P0 => first,
        Role::P1 => second,
    }
}

/// A computing party of SecureNN.
pub type Computer<'e> = PartyContext<&'e mut End, &'e mut End>;
/// The assistant of SecureNN.
pub type Assistant<'e> = AssistantContext<&'e mut End, &'e mut End>;

/// A role of SecureNN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    Party(Role),
    Assistant,
}

impl Watched {
    pub const ALL: [Watched; 3] = [
        Watched::Party(Role::P0),
        Watched::Party(Role::P1),
        Watched::Assistant,
    ];
}

/// Runs a gate or a session of SecureNN on the inputs 0 or 1. Parties also get the secret of which each draws its
/// initial weights. Returns
/// what `watched` receives in each run: a party from the other one and from the assistant, the assistant from P0 and
/// from P1.
pub fn with_assistant(
    watched: Watched,
    [runs, inputs]: [usize; 2],
    party: &(impl Fn(&mut Computer<'_>, &Key, usize) -> Result<(), LinkError> + Sync),
    assist: &(impl Fn(&mut Assistant<'_>) -> Result<(), LinkError> + Sync),
) -> Vec<View> {
    let is_party = |role| watched == Watched::Party(role);
    let is_assistant = watched == Watched::Assistant;
    let pair = |run| key(3, !is_assistant, run);
    let shared = |role: Role, run| {
        let knows = is_party(role) || is_assistant;
        key(4 + role.index() as u8, knows, run)
    };
    let compute = |role: Role, mut peer: End, mut to_assistant: End| {
        let each = |run| {
            let mut cx = PartyContext::new(
                role,
                [pair(run), shared(role, run)],
                Link::new(&mut peer, Remote::Peer, AHEAD),
                Link::new(&mut to_assistant, Remote::Assistant, AHEAD),
            );
            let secret = key(6 + role.index() as u8, is_party(role), run);
            party(&mut cx, &secret, inputs).expect("links that hold");
            cx.flush().expect("links that hold");
            vec![peer.take_read(), to_assistant.take_read()]
        };
        (0..runs).map(each).collect::<Vec<View>>()
    };
    let help = |mut to_p0: End, mut to_p1: End| {
        let each = |run| {
            let mut cx = AssistantContext::new(
                key(8, is_assistant, run),
                Role::BOTH.map(|role| shared(role, run)),
                Link::new(&mut to_p0, Remote::Party(Role::P0), AHEAD),
                Link::new(&mut to_p1, Remote::Party(Role::P1), AHEAD),
            );
            assist(&mut cx).expect("links that hold");
            cx.flush().expect("links that hold");
            vec![to_p0.take_read(), to_p1.take_read()]
        };
        (0..runs).map(each).collect::<Vec<View>>()
    };
    let ([peer0, peer1], [helped0, helper0], [helped1, helper1]) = (duplex(), duplex(), duplex());
    let [first, second, assistant] = thread::scope(|scope| {
        let first = scope.spawn(|| compute(Role::P0, peer0, helped0));
        let second = scope.spawn(|| compute(Role::P1, peer1, helped1));
        let assistant = help(helper0, helper1);
        [
            first.join().expect("P0"),
            second.join().expect("P1"),
            assistant,
        ]
    });
    match watched {
        Watched::Party(Role::P0) => first,
        Watched::Party(Role::P1) => second,
        Watched::Assistant => assistant,
    }
}

/// Additive shares in Z_2^bits of the inputs 0 and 1, the same in every run. Inputs 0 are `values`; inputs 1 are the same
/// values in another order.
pub fn share<W: Word>(values: &[i64], bits: u32) -> [[Vec<W>; 2]; 2] {
    let mut first = vec![W::ZERO; values.len()];
    let address = Address {
        iteration: 0,
        gate: 0,
        wire: 0,
    };
    Prg::new(key(9, true, 0)).fill_bits(address, 0, bits, &mut first);
    [0, 1].map(|inputs| {
        let values = values.iter().cycle().skip(inputs);
        let pairs = values.zip(&first);
        let second = pairs.map(|(&value, &share)| W::from_i64(value).minus(share).low(bits));
        [first.clone(), second.collect()]
    })
}
