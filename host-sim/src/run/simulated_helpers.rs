//! The dealer and the assistant of a simulation.

use ringlet_core::{
    Role,
    net::{Link, Remote},
    num::Ring,
    prg::Key,
    session::{Session, handshake::receive_hello},
};

use super::{actors::Helper, dealer::run_dealer, handshakes::meet_parties, securenn};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, memory::MemoryEnd, rank_end::RankEnd},
};

/// Runs the dealer, with an end of a link to P0 and of those to P1's ranks.
pub fn serve_dealer<R: Ring>(
    keys: [Key; 2],
    to_p0: MemoryEnd,
    to_p1: Vec<MemoryEnd>,
    first: u32,
) -> Result<(), Failure> {
    let (links, further) = links_to(Role::P1, to_p0, to_p1)?;
    let (session, [to_p0, to_p1]) = meet(Helper::Dealer, links, &keys)?;
    let outcome = run_dealer::<R>(&session, keys, (to_p1, further), first, &mut |_, _| {});
    drop(to_p0);
    outcome
}

/// Runs the assistant, which has one rank.
pub fn serve_assistant(
    keys: (Key, [Key; 2]),
    to_p0: MemoryEnd,
    to_p1: Vec<MemoryEnd>,
    start: u32,
) -> Result<(), Failure> {
    let (links, _) = links_to(Role::P0, to_p0, to_p1)?;
    let (session, [first, second]) = meet(Helper::Assistant, links, &keys.1)?;
    let second = second.with_remote(Remote::Party(Role::P1));
    securenn::run_assistant(&session, keys, (first, second), start, &mut |_, _| {})
}

/// Links between threads.
type MemoryLinks = [Link<AnyEnd<'static>>; 2];

/// The links to both parties, whose failures are those of this `role`, and the ends of those to P1's further ranks.
fn links_to(
    role: Role,
    to_p0: MemoryEnd,
    to_p1: Vec<MemoryEnd>,
) -> Result<(MemoryLinks, Vec<RankEnd>), Failure> {
    let mut to_p1 = to_p1.into_iter();
    let first = to_p1.next();
    let first = first.ok_or_else(|| Failure::new("a party has no link", ""))?;
    let links = [to_p0, first].map(|end| {
        let end = AnyEnd::new(end);
        Link::new(end, Remote::Party(role), UNBOUNDED)
    });
    Ok((links, to_p1.map(RankEnd::Memory).collect()))
}

/// Completes the handshakes of the dealer or the assistant.
fn meet(
    helper: Helper,
    mut links: MemoryLinks,
    keys: &[Key; 2],
) -> Result<(Session, MemoryLinks), Failure> {
    let [first, second] = &mut links;
    let heard = [receive_hello(first)?, receive_hello(second)?];
    meet_parties(helper, links, heard, keys)
}
