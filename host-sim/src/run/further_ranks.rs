//! How the further ranks of a party, as threads of its process, meet those of the other roles.

use ringlet_core::{
    Role,
    net::{Link, Remote},
    session::{
        Rank,
        handshake::{Actor, HandshakeError, Hello, Mismatch},
    },
};

use super::{
    actors::Helper,
    dealer_source::DealerSource,
    lone_party::{LoneParty, Place},
    meeting::{FurtherRanksOf, RankReception},
    party_ranks::{FurtherRanks, RankNeeds},
};
use crate::{
    error::Failure,
    links::{
        capture::Capture,
        connect::{UNBOUNDED, broken},
        rank_end::RankEnd,
        secure::SecureEnd,
        tcp::TcpEnd,
    },
};

/// The dealer or the assistant that each further rank of a party reaches, with its address; none if it reaches neither.
pub(super) type HelperOfFurther<'a> = Option<(Helper, &'a str)>;

impl LoneParty<'_> {
    /// The dealer at this address, for further ranks: P1's alone reach it.
    pub(super) fn dealer_of_further<'a>(&self, address: &'a str) -> HelperOfFurther<'a> {
        (self.role == Role::P1).then_some((Helper::Dealer, address))
    }

    /// Connects this party's further ranks, so that there are `count`: each with the same rank of the peer, and with that
    /// of the `helper`. The party that waits for the other says when it does, over the link to the `peer`.
    pub(super) fn meet_further<'s>(
        &'s self,
        (place, helper): (&Place<'_>, HelperOfFurther<'_>),
        peer: &mut Capture<SecureEnd>,
        (hello, count): (&Hello, u16),
        further: &mut FurtherRanks<'s>,
    ) -> Result<(), Failure> {
        if count == 1 {
            return Ok(());
        }
        let mut ready = Link::new(peer, Remote::Peer, UNBOUNDED);
        let hellos = (1..count).filter_map(|index| Rank::new(index, count));
        let hellos = hellos.map(|rank| hello.clone().with_rank(rank));
        let peers = match place {
            Place::Listen(listener) => {
                let of = FurtherRanksOf {
                    roles: &[self.role.other()],
                    count,
                    indices: 1..count,
                };
                let place = (listener, &self.endpoint);
                let reception = RankReception::open(place, hello, of, TcpEnd::free)?;
                ready.send(&count.to_le_bytes())?;
                ready.flush()?;
                reception.all()?
            }
            Place::Connect(_) => {
                let mut theirs = [0; 2];
                ready.receive(&mut theirs)?;
                if u16::from_le_bytes(theirs) != count {
                    return Err(HandshakeError::from(Mismatch::Foreign).into());
                }
                let hellos = hellos.clone();
                let reached = hellos.map(|hello| Ok(self.reach_peer(place, &hello, None)?.end));
                reached.collect::<Result<_, Failure>>()?
            }
        };
        for (peer, hello) in peers.into_iter().zip(hellos) {
            let ends = self.rank_ends(peer, helper, &hello)?;
            for end in [Some(&ends.0), ends.1.as_ref()].into_iter().flatten() {
                further.closer.add(end)?;
            }
            further.needs.push(self.rank_needs(ends));
        }
        Ok(())
    }

    /// The links of a further rank, given that to the `peer`: it reaches the `helper` with this `hello`.
    pub(super) fn rank_ends(
        &self,
        peer: SecureEnd,
        helper: HelperOfFurther<'_>,
        hello: &Hello,
    ) -> Result<(SecureEnd, Option<SecureEnd>), Failure> {
        let reach = |(helper, address): (Helper, &str)| {
            let to = match helper {
                Helper::Dealer => (Actor::Dealer, "--dealer"),
                Helper::Assistant => (Actor::Assistant, "--assistant"),
            };
            let reached = self
                .endpoint
                .reach(address, to, hello, helper.remote(), TcpEnd::free)?;
            Ok::<_, Failure>(reached.end)
        };
        let helper = helper.map(reach).transpose()?;
        for end in [Some(&peer), helper.as_ref()].into_iter().flatten() {
            end.tcp().set_patience(self.idle).map_err(broken)?;
        }
        Ok((peer, helper))
    }

    /// What a further rank needs, given its links to the peer and to the dealer or the assistant, if it has one.
    pub(super) fn rank_needs(
        &self,
        (peer, helper): (SecureEnd, Option<SecureEnd>),
    ) -> RankNeeds<'_> {
        RankNeeds {
            peer: RankEnd::Secure(peer),
            helper: helper.map(|end| DealerSource::Link(RankEnd::Secure(end))),
            positions: None,
            data: Box::new(self.data()),
        }
    }
}
