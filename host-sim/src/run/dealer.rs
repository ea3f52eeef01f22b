//! The dealer's role, from its link to P1 to its end.

use embedded_io::{Read, Write};
use ringlet_core::{
    dealt::{Dealer, DealerContext, Plan},
    net::Link,
    network::Network,
    num::Ring,
    prg::Key,
    session::{RunError, Session},
};

use super::dispatch::{InRing, in_ring};
use crate::{error::Failure, resources::filled};

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
