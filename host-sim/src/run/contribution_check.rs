//! The check of contributions before a training, at a party and at the dealer. Those that break a bound are left out: another
//! contribution of the list takes the place of each, at all roles the same.

use embedded_io::{Read, Write};
use ringlet_core::{
    data::Data,
    dealt::{Dealer, DealerContext, PartyContext, Plan, Trainer},
    network::Network,
    num::Ring,
    session::{RunError, Session},
};

use super::{event::Event, role_ranks::RoleRanks};
use crate::{
    data::{contribution_file::ContributionFile, masked_samples::MaskKeys},
    error::Failure,
    resources::filled,
};

/// Buffers of the check.
fn buffers<R: Ring>(session: &Session, network: &Network) -> Result<(Vec<u64>, Vec<u8>), Failure> {
    let plan = Plan::new(session, network);
    let memory = filled(0, plan.check_words::<R>(), "the check of contributions")?;
    let broken = filled(0, plan.broken_len(), "the check of contributions")?;
    Ok((memory, broken))
}

/// Checks the contributions in the file of a party. Returns what is told of them, at the first rank.
pub fn at_party<R: Ring, P: Read + Write, D: Read + Write>(
    (party, cx): (&mut Trainer<'_, R>, &mut PartyContext<P, D>),
    (session, network): (&Session, &Network),
    ranks: &mut RoleRanks<'_>,
    mut data: &mut dyn Data,
    file: &ContributionFile,
) -> Result<Event, Failure> {
    let (mut memory, mut broken) = buffers::<R>(session, network)?;
    let mut found = Vec::new();
    let places = (&mut memory[..], &mut broken[..]);
    let find = |sample, bounds| found.push((sample, bounds));
    party.check_contributions(cx, ranks, &mut data, places, find)?;
    // What the check has sent belongs to no iteration.
    cx.take_traffic();
    file.leave_out(&broken)?;
    let named = found.into_iter().map(|(sample, bounds)| {
        let name = file.name(sample).map_err(RunError::from)?;
        Ok((name, bounds))
    });
    Ok(Event::Checked {
        contributions: file.count,
        left_out: named.collect::<Result<_, Failure>>()?,
    })
}

/// Deals the check of the contributions in the dealer's file.
pub fn at_dealer<R: Ring, T: Read + Write>(
    (dealer, cx): (&mut Dealer<'_, R>, &mut DealerContext<T>),
    (session, network): (&Session, &Network),
    ranks: &mut RoleRanks<'_>,
    file: &ContributionFile,
) -> Result<(), Failure> {
    let (mut memory, mut broken) = buffers::<R>(session, network)?;
    let places = (&mut memory[..], &mut broken[..]);
    dealer.check_contributions(cx, ranks, &mut MaskKeys(file), places)?;
    file.leave_out(&broken)
}
