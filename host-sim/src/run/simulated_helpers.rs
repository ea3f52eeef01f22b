//! The dealer and the assistant of a simulation.

use ringlet_core::{
    Role,
    net::{Link, Remote},
    num::Ring,
    prg::Key,
    session::{Session, handshake::receive_hello},
};

use super::{
    actors::Helper, assistant::Assisting, dealer::run_dealer, handshakes::meet_parties,
    ranks::Closer,
};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, memory::MemoryEnd, rank_end::RankEnd},
};

/// Runs the dealer, with the ends of its links to P0, which has one, and to P1's ranks.
pub fn serve_dealer<R: Ring>(
    keys: [Key; 2],
    ends: [Vec<MemoryEnd>; 2],
    first: u32,
) -> Result<(), Failure> {
    let (links, [_, further]) = links_to(Role::P1, ends)?;
    let (session, [to_p0, to_p1]) = meet(Helper::Dealer, links, &keys)?;
    let outcome = run_dealer::<R>(&session, keys, (to_p1, further), first, &mut |_, _| {});
    drop(to_p0);
    outcome
}

/// Runs the assistant, with the ends of its links to the ranks of both parties.
pub fn serve_assistant(
    (own, shared): (Key, [Key; 2]),
    ends: [Vec<MemoryEnd>; 2],
    first: u32,
) -> Result<(), Failure> {
    let (links, [of_p0, of_p1]) = links_to(Role::P0, ends)?;
    let (session, [to_p0, to_p1]) = meet(Helper::Assistant, links, &shared)?;
    let to_p1 = to_p1.with_remote(Remote::Party(Role::P1));
    let further = of_p0.into_iter().zip(of_p1).map(|(p0, p1)| [p0, p1]);
    let assisting = Assisting {
        session: &session,
        own,
        shared,
        first,
    };
    let further = (further.collect(), &Closer::of_party());
    assisting.run([to_p0, to_p1], further, &mut |_, _| {})
}

/// Links between threads.
type MemoryLinks = [Link<AnyEnd<'static>>; 2];

/// The links to both parties, whose failures are those of this `role`, and the ends of those to their further ranks.
fn links_to(
    role: Role,
    ends: [Vec<MemoryEnd>; 2],
) -> Result<(MemoryLinks, [Vec<RankEnd>; 2]), Failure> {
    let [mut to_p0, mut to_p1] = ends.map(Vec::into_iter);
    let (Some(p0), Some(p1)) = (to_p0.next(), to_p1.next()) else {
        return Err(Failure::new("a party has no link", ""));
    };
    let links = [p0, p1].map(|end| {
        let end = AnyEnd::new(end);
        Link::new(end, Remote::Party(role), UNBOUNDED)
    });
    let further = [to_p0, to_p1].map(|ends| ends.map(RankEnd::Memory).collect());
    Ok((links, further))
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
