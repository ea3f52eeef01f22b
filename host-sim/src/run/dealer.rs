//! The dealer's role, from its link to P1 to its end.

use std::time::Duration;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    dealt::{Dealer, DealerContext, Plan},
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{RunError, Session, handshake::send_key},
};

use super::{
    dispatch::{InRing, in_ring},
    meeting::Parties,
};
use crate::{
    error::Failure,
    links::connect::{UNBOUNDED, broken},
    resources::filled,
};

/// Deals a whole session to P1 in ring `R`. Returns the link.
pub fn run_dealer<R: Ring, T: Read + Write>(
    session: &Session,
    keys: [Key; 2],
    link: Link<T>,
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
    for iteration in 0..session.iterations() {
        dealer.iterate(&mut cx, iteration)?;
        progress(iteration, cx.sent());
    }
    Ok(cx.into_link())
}

/// Deals a whole session to P1 in its ring. `progress` gets the iteration and the bytes sent so far. Returns the link.
pub fn deal<T: Read + Write>(
    session: &Session,
    keys: [Key; 2],
    link: Link<T>,
    progress: impl FnMut(u32, u64),
) -> Result<Link<T>, Failure> {
    struct Deal<'a, T, F> {
        session: &'a Session,
        keys: [Key; 2],
        link: Link<T>,
        progress: F,
    }

    impl<T: Read + Write, F: FnMut(u32, u64)> InRing for Deal<'_, T, F> {
        type Output = Link<T>;

        fn run<R: Ring>(self) -> Result<Link<T>, Failure> {
            run_dealer::<R, T>(self.session, self.keys, self.link, self.progress)
        }
    }

    let deal = Deal {
        session,
        keys,
        link,
        progress,
    };
    in_ring(session, deal)
}

/// Serves two parties that have come: sends the keys, deals the whole session, and ends it with both. A party may be silent,
/// or take nothing, for as long as `idle`.
pub fn serve(
    parties: Parties,
    keys: [Key; 2],
    idle: Duration,
    progress: impl FnMut(u32, u64),
) -> Result<(), Failure> {
    let Parties { hellos, mut ends } = parties;
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let [p0, p1] = &mut ends;
    let mut to_p0 = Link::new(p0, Remote::Party(Role::P0), UNBOUNDED);
    let mut to_p1 = Link::new(p1, Remote::Party(Role::P1), UNBOUNDED);
    send_key(&mut to_p0, &keys[0], 0)?;
    send_key(&mut to_p1, &keys[1], 0)?;
    let mut to_p1 = deal(&hellos[0].session, keys, to_p1, progress)?;
    to_p1.finish(true)?;
    Ok(to_p0.finish(true)?)
}

/// Bytes of corrections that the dealer sends to P1 in a whole session.
pub fn corrections(session: &Session, network: &Network) -> Result<u64, Failure> {
    struct Corrections<'a>(Plan<'a>);

    impl InRing for Corrections<'_> {
        type Output = u64;

        fn run<R: Ring>(self) -> Result<u64, Failure> {
            Ok(self.0.corrections::<R>())
        }
    }

    in_ring(session, Corrections(Plan::new(session, network)))
}
