//! A computing party with a dealt file in place of a dealer, in a process of its own.

use std::{path::Path, sync::PoisonError};

use ringlet_core::net::{Link, Remote};

use super::{
    checkpoints::Keeper,
    dealer_source::DealerSource,
    dealt_positions::{self, Offer, Positions},
    lone_party::{LoneParty, Place},
    party_ranks::FurtherRanks,
    ranks::offer,
    reporter::Reporter,
};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, wait_time::WaitTime},
};

impl LoneParty<'_> {
    /// Attempts the run with the party's file in `dir`: meets the peer, with as many ranks as both offer, and runs to the end.
    pub(super) fn attempt_with_file(
        &self,
        (place, dir): (&Place<'_>, &Path),
        most: u16,
        mut keeper: Option<&mut Keeper>,
        reporter: &mut dyn Reporter,
    ) -> Result<(), Failure> {
        let (session, role, goes_on) = (self.session, self.role, keeper.is_some());
        // The file is checked before the party meets anyone.
        let file = dealt_positions::open(dir, role, session, goes_on)?;
        let hello = self.hello(&keeper).with_dealt_file(file.identity);
        let hello = hello.with_rank(offer(self.threads, most));
        let own = Offer {
            begun: file.begun,
            ranks: hello.rank.count(),
        };
        let mut peer = self.meet(place, &hello, None)?;
        let first = self.agree(&mut keeper, &hello, &peer)?;
        let wait_times = [peer.end.inner().wait_time(), WaitTime::default()];
        self.set_idle(&peer.end)?;
        let agreed = {
            let end = AnyEnd::new(&mut peer.end);
            own.agree(&mut Link::new(end, Remote::Peer, UNBOUNDED))?
        };
        let mut further = FurtherRanks::default();
        further.closer.add(peer.end.inner())?;
        let wanted = (&hello, agreed.ranks);
        self.meet_further((place, None), &mut peer.end, wanted, &mut further)?;
        let places = [first, agreed.begun];
        let mut positions = Positions::take(&file, session, places, &self.images, goes_on)?;
        for needs in &mut further.needs {
            let mut positions = positions.further();
            needs.helper = Some(DealerSource::File(positions.reader(&file, role)));
            needs.positions = Some(positions);
        }
        let mut source = positions.reader(&file, role);
        let links = (
            Link::new(AnyEnd::new(&mut peer.end), Remote::Peer, UNBOUNDED),
            Link::new(AnyEnd::new(&mut source), Remote::Dealer, UNBOUNDED),
        );
        let mut setup = self.setup(file.key.clone())?;
        setup.durable = keeper.map(|keeper| (keeper, first));
        setup.positions = Some(positions);
        setup.further = further;
        let fault = file.fault();
        let made = self.compute(links, setup, wait_times, reporter);
        let made = made.map_err(|failure| {
            let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
            fault.unwrap_or(failure)
        })?;
        self.end(made, (peer.end, source), Remote::Dealer, reporter)
    }
}
