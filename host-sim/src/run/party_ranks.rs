//! The further ranks of a party: what they need, what sees their values, and how their costs come together.

use ringlet_core::{
    Role,
    cost::{Cost, Traffic},
    data::Data,
    net::{Link, Remote},
    session::{RankLost, Ranks},
    share::{NoObserver, Observer},
};

use super::{
    dealer_source::DealerSource, dealt_positions::Positions, mpi_ranks::MpiRanks, ranks::Closer,
    role_ranks::RoleRanks,
};
use crate::{
    error::Failure,
    links::{any_end::AnyEnd, connect::UNBOUNDED, rank_end::RankEnd},
};

/// What a party has for its further ranks: threads of this process, or other processes.
pub struct FurtherRanks<'a> {
    /// What each thread needs.
    pub needs: Vec<RankNeeds<'a>>,
    /// Closes the links of all threads, the first rank's as well.
    pub closer: Closer,
    /// What joins the party's processes, if it has several.
    pub processes: Option<&'a mut MpiRanks>,
}

impl Default for FurtherRanks<'_> {
    fn default() -> Self {
        FurtherRanks {
            needs: Vec::new(),
            closer: Closer::of_party(),
            processes: None,
        }
    }
}

/// What a further rank of a party needs.
pub struct RankNeeds<'a> {
    /// The link to the same rank of the other party.
    pub peer: RankEnd,
    /// The link to the same rank of the assistant, or at P1 of the dealer, or what reads its corrections from a dealt file.
    pub helper: Option<DealerSource>,
    /// Where its iterations are in a dealt file, if the party has one.
    pub positions: Option<Positions>,
    /// The party's samples.
    pub data: Box<dyn Data + Send + 'a>,
}

/// A party's links to its peer and to its helper.
pub type PartyLinks<'a> = (Link<AnyEnd<'a>>, Link<AnyEnd<'a>>);

/// The links of a further rank over these ends; the helper is this `remote`.
pub fn links<'a>(
    peer: &'a mut RankEnd,
    (helper, remote): (Option<&'a mut DealerSource>, Remote),
) -> PartyLinks<'a> {
    let helper = helper.map_or_else(AnyEnd::unused, AnyEnd::new);
    (
        Link::new(AnyEnd::new(peer), Remote::Peer, UNBOUNDED),
        Link::new(helper, remote, UNBOUNDED),
    )
}

/// Ends the links of a further rank of the party `role`; the helper is this `remote`.
pub fn end_links(
    role: Role,
    peer: RankEnd,
    (helper, remote): (Option<DealerSource>, Remote),
) -> Result<(), Failure> {
    let mut helper = helper.map(|end| Link::new(end, remote, UNBOUNDED));
    if let Some(helper) = &mut helper {
        helper.end(false)?;
    }
    Link::new(peer, Remote::Peer, UNBOUNDED).finish(role == Role::P0)?;
    if let Some(helper) = &mut helper {
        // The helper succeeds only if this rank has. If it does not hear so, it fails alone.
        let _ = helper.confirm(false);
    }
    Ok(())
}

/// What sees the values of a party.
pub struct Observers<'a, R> {
    /// At its first rank.
    pub first: &'a mut dyn Observer<R>,
    /// At each further rank. Where there are too few, nobody sees them.
    pub further: Vec<RankObserver<'a, R>>,
}

/// What sees the values of a further rank.
pub type RankObserver<'a, R> = Box<dyn Observer<R> + Send + 'a>;

/// What a further rank needs, and what sees its values.
pub type ObservedRank<'n, 'a, R> = (RankNeeds<'n>, RankObserver<'a, R>);

/// Observers of further ranks.
pub fn boxed<'a, R>(observers: Vec<impl Observer<R> + Send + 'a>) -> Vec<RankObserver<'a, R>> {
    let observers = observers.into_iter();
    let boxed = observers.map(|observer| Box::new(observer) as RankObserver<'a, R>);
    boxed.collect()
}

impl<'a, R> Observers<'a, R> {
    /// One, at a party that has no further ranks or shows none of theirs.
    pub fn only(first: &'a mut dyn Observer<R>) -> Self {
        Observers {
            first,
            further: Vec::new(),
        }
    }

    /// The first rank's, and those of the further ranks with what else these need.
    pub fn with<'n>(
        self,
        needs: Vec<RankNeeds<'n>>,
    ) -> (&'a mut dyn Observer<R>, Vec<ObservedRank<'n, 'a, R>>) {
        let mut further = self.further.into_iter();
        let observed = needs.into_iter().map(|needs| {
            let observer = further.next();
            (needs, observer.unwrap_or_else(|| Box::new(NoObserver)))
        });
        (self.first, observed.collect())
    }
}

/// Adds up at the first rank what all ranks have sent in an iteration. Their times become the mean.
pub fn sum_traffic(ranks: &mut RoleRanks<'_>, traffic: &mut Traffic) -> Result<(), RankLost> {
    let count = ranks.rank().count();
    if count == 1 {
        return Ok(());
    }
    let costs = traffic.cost_rows.as_flattened_mut();
    let times = traffic.nanoseconds.as_flattened_mut();
    let numbers = |(cost, time): (&Cost, &u64)| {
        [
            cost.opened_values,
            cost.online_bytes,
            cost.dealer_bytes,
            cost.rounds,
            *time,
        ]
    };
    let mut sums: Vec<[u64; 5]> = costs.iter().zip(&*times).map(numbers).collect();
    ranks.sum(sums.as_flattened_mut())?;
    for ((cost, mean), sums) in costs.iter_mut().zip(times).zip(sums) {
        let [opened_values, online_bytes, dealer_bytes, rounds, time] = sums;
        *cost = Cost {
            opened_values,
            online_bytes,
            dealer_bytes,
            rounds,
        };
        *mean = time / u64::from(count);
    }
    Ok(())
}
