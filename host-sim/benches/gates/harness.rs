//! Roles as threads, and their memory.

use std::thread;

use embedded_io::{Read, Write};
use ringlet::{
    links::{
        memory::{MemoryEnd, bounded, duplex},
        traffic_shaper::TrafficShape,
    },
    measure::clock::Clock,
    run::nobody::Nobody,
};
use ringlet_core::{
    Role,
    dealt::PartyContext,
    gate::Offline,
    net::{Link, LinkError, Remote},
    prg::{Key, Prg},
    securenn::{self, AssistantContext, gates::Scratch},
};

pub use super::shares::Gate;
use super::shares::add;

/// Bytes that a link in memory takes while nobody reads: any number.
const AHEAD: usize = usize::MAX / 2;

fn key(number: u8) -> Key {
    Key::new([number; Key::LEN])
}

/// A dealer's keys, and its link to P1.
pub struct Dealer {
    prgs: [Prg; 2],
    link: Link<MemoryEnd>,
}

impl Offline for Dealer {
    fn prg(&self, role: Role) -> &Prg {
        &self.prgs[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.link.send(bytes)
    }
}

/// A party of the protocols with a dealer.
pub type Party = PartyContext<MemoryEnd, MemoryEnd>;

/// Runs a dealer and two parties of a gate to their end.
pub fn deal(
    gate: Gate,
    deal: impl FnOnce(&mut Dealer) -> Result<(), LinkError> + Send,
    party: impl Fn(&mut Party) -> Result<(), LinkError> + Sync,
) {
    let party = &party;
    let [first, second] = duplex(TrafficShape::default());
    let ends = [(); 2].map(|()| bounded(TrafficShape::default()));
    let [[_, unused], [to_p1, dealer]] = ends;
    thread::scope(|scope| {
        for (role, peer, dealer) in [(Role::P0, first, unused), (Role::P1, second, dealer)] {
            scope.spawn(move || {
                let peer = Link::new(peer, Remote::Peer, AHEAD);
                let dealer = Link::new(dealer, Remote::Dealer, 0);
                let clock = Clock::start();
                let mut cx = PartyContext::new(role, key(1 + role.index() as u8), peer, dealer);
                party(&mut cx).expect("links that hold");
                let (peer, _) = cx.into_links();
                add(gate, clock.seconds(), peer.sent());
            });
        }
        let clock = Clock::start();
        let mut dealer = Dealer {
            prgs: [1, 2].map(|number| Prg::new(key(number))),
            link: Link::new(to_p1, Remote::Party(Role::P1), 0),
        };
        deal(&mut dealer).expect("links that hold");
        dealer.link.flush().expect("links that hold");
        add(gate, clock.seconds(), dealer.link.sent());
    });
}

/// A party of SecureNN, over links of any kind.
pub type Computer<T> = securenn::PartyContext<T, T>;
/// The assistant.
pub type Assistant<T> = AssistantContext<T, T>;

fn computer<T: Read + Write>(role: Role, peer: T, assistant: T) -> Computer<T> {
    let keys = [key(3), key(4 + role.index() as u8)];
    let peer = Link::new(peer, Remote::Peer, AHEAD);
    securenn::PartyContext::new(role, keys, peer, Link::new(assistant, Remote::Assistant, 0))
}

fn assistant<T: Read + Write>(ends: [T; 2]) -> Assistant<T> {
    let [first, second] = ends;
    let first = Link::new(first, Remote::Party(Role::P0), 0);
    let second = Link::new(second, Remote::Party(Role::P1), 0);
    AssistantContext::new(key(6), [key(4), key(5)], first, second)
}

/// Runs two parties and the assistant of a gate to their end.
pub fn assist(
    gate: Gate,
    party: impl Fn(&mut Computer<MemoryEnd>) -> Result<(), LinkError> + Sync,
    help: impl FnOnce(&mut Assistant<MemoryEnd>) -> Result<(), LinkError>,
) {
    let party = &party;
    let [first, second] = duplex(TrafficShape::default());
    let [[here0, there0], [here1, there1]] = [(); 2].map(|()| duplex(TrafficShape::default()));
    thread::scope(|scope| {
        for (role, peer, helper) in [(Role::P0, first, here0), (Role::P1, second, here1)] {
            scope.spawn(move || {
                let clock = Clock::start();
                let mut cx = computer(role, peer, helper);
                party(&mut cx).expect("links that hold");
                cx.flush().expect("links that hold");
                add(gate, clock.seconds(), cx.sent());
            });
        }
        let clock = Clock::start();
        let mut cx = assistant([there0, there1]);
        help(&mut cx).expect("links that hold");
        cx.flush().expect("links that hold");
        add(gate, clock.seconds(), cx.sent());
    });
}

/// A party of SecureNN with links to nobody.
pub fn lonely_computer(role: Role) -> Computer<Nobody> {
    computer(role, Nobody::default(), Nobody::default())
}

/// The assistant with links to nobody.
pub fn lonely_assistant() -> Assistant<Nobody> {
    assistant([Nobody::default(), Nobody::default()])
}

/// A role's memory for gates of SecureNN on `len` elements of `bits` bits; the assistant needs no bits.
pub fn with_scratch<O>(len: usize, bits: usize, run: impl FnOnce(&mut Scratch<'_>) -> O) -> O {
    let mut field = vec![0; len * bits];
    let mut words: [Vec<u64>; 6] = std::array::from_fn(|_| vec![0; len]);
    run(&mut Scratch {
        bits: &mut field,
        words: words.each_mut().map(|words| &mut words[..]),
    })
}
