//! The dealer's role, from its link to P1 to its end.

use std::time::Duration;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    dealt::{Dealer, DealerContext, Plan},
    net::{Link, Remote},
    num::Ring,
    prg::Key,
    session::{RunError, Session, handshake::send_key},
};

use super::{
    dispatch::{InRing, in_ring},
    meeting::{Parties, finish_with_parties},
};
use crate::{
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{UNBOUNDED, broken},
    },
    resources::filled,
};

/// Deals a session to P1 in ring `R`, from the iteration `first` on. Returns the link.
pub fn run_dealer<R: Ring, T: Read + Write>(
    session: &Session,
    keys: [Key; 2],
    link: Link<T>,
    first: u32,
    mut progress: impl FnMut(u32, u64),
) -> Result<Link<T>, Failure> {
    let network = ringlet_core::dealt::check::<R>(session)?;
    let mut memory = filled(
        0,
        Plan::new(session, &network).dealer_arena_words::<R>(),
        "the masks",
    )?;
    let mut dealer = Dealer::<R>::new(session, &network, &mut memory).map_err(RunError::from)?;
    let mut cx = DealerContext::new(keys, link);
    if first > 0 {
        dealer.start_at(first)?;
    }
    for iteration in first..session.iterations() {
        dealer.iterate(&mut cx, iteration)?;
        progress(iteration, cx.sent());
    }
    Ok(cx.into_link())
}

/// Deals a session to P1 in its ring, from the iteration `first` on. `progress` gets the iteration and the bytes sent so far. Returns the link.
pub fn deal<T: Read + Write>(
    session: &Session,
    keys: [Key; 2],
    link: Link<T>,
    first: u32,
    progress: impl FnMut(u32, u64),
) -> Result<Link<T>, Failure> {
    struct Deal<'a, T, F> {
        session: &'a Session,
        keys: [Key; 2],
        link: Link<T>,
        first: u32,
        progress: F,
    }

    impl<T: Read + Write, F: FnMut(u32, u64)> InRing for Deal<'_, T, F> {
        type Output = Link<T>;

        fn run<R: Ring>(self) -> Result<Link<T>, Failure> {
            run_dealer::<R, T>(
                self.session,
                self.keys,
                self.link,
                self.first,
                self.progress,
            )
        }
    }

    let deal = Deal {
        session,
        keys,
        link,
        first,
        progress,
    };
    in_ring(session, deal)
}

/// Serves two parties that have come: sends the keys, deals from the checkpoint that they have in common, or from the beginning, and ends it with both. A party may be silent,
/// or take nothing, for as long as `idle`.
pub fn serve(
    parties: Parties,
    keys: [Key; 2],
    idle: Duration,
    progress: impl FnMut(u32, u64),
) -> Result<(), Failure> {
    let first = parties.first();
    let Parties { hellos, mut ends } = parties;
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let [p0, p1] = &mut ends;
    let mut to_p0 = Link::new(&mut *p0, Remote::Party(Role::P0), UNBOUNDED);
    let mut to_p1 = Link::new(AnyEnd::new(&mut *p1), Remote::Party(Role::P1), UNBOUNDED);
    send_key(&mut to_p0, &keys[0], first)?;
    send_key(&mut to_p1, &keys[1], first)?;
    drop(deal(&hellos[0].session, keys, to_p1, first, progress)?);
    finish_with_parties([p0, p1])
}

/// Bytes of corrections that the dealer sends to P1 in a whole session.
pub fn corrections(session: &Session) -> Result<u64, Failure> {
    corrections_from(session, 0)
}

/// Bytes of corrections that the dealer sends to P1 before an iteration of a session.
pub fn corrections_before(session: &Session, iteration: u32) -> Result<u64, Failure> {
    Ok(corrections(session)? - corrections_from(session, iteration)?)
}

fn corrections_from(session: &Session, first: u32) -> Result<u64, Failure> {
    struct Corrections<'a>(&'a Session, u32);

    impl InRing for Corrections<'_> {
        type Output = u64;

        fn run<R: Ring>(self) -> Result<u64, Failure> {
            let network = ringlet_core::dealt::check::<R>(self.0)?;
            Ok(Plan::new(self.0, &network).run_corrections::<R>(self.1))
        }
    }

    in_ring(session, Corrections(session, first))
}
