//! The classes that the ranks of a party find in an inference, batch after batch, and how they come together.

use std::time::Instant;

use ringlet_core::{
    Role,
    cost::Traffic,
    session::{Batch, Ranks, RunError, Session},
};

use super::{event::Event, party::Emit, role_ranks::RoleRanks};
use crate::{error::Failure, resources::filled};

/// Numbers of images, as their owner counts them, and their classes.
pub type Classes = Vec<(u32, u8)>;

/// Classifies batch after batch by `step`, and reports each.
pub fn every_batch(
    session: &Session,
    emit: Emit<'_>,
    mut step: impl FnMut(u32, &mut Classes) -> Result<(Batch, Traffic, Option<Vec<[u32; 2]>>), RunError>,
) -> Result<Classes, Failure> {
    let mut classes = Classes::new();
    for iteration in 0..session.iterations() {
        let start = Instant::now();
        let (batch, traffic, audit) = step(iteration, &mut classes)?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(traffic),
            audit,
            loss: None,
            epoch_loss: None,
        })?;
    }
    Ok(classes)
}

/// Gathers at the first rank the classes that all ranks have found: of each image of the session at their owner, of none
/// at the other party.
pub fn gathered(
    session: &Session,
    role: Role,
    ranks: &mut RoleRanks<'_>,
    own: Classes,
) -> Result<Classes, Failure> {
    if ranks.rank().count() == 1 {
        return Ok(own);
    }
    // The class and 1, so that what no rank has found is 0.
    let mut sums = filled(0u32, session.samples[role.index()] as usize, "the classes")?;
    for (sample, class) in own {
        if let Some(sum) = sums.get_mut(sample as usize) {
            *sum = u32::from(class) + 1;
        }
    }
    ranks.sum(&mut sums).map_err(RunError::from)?;
    if !ranks.rank().is_first() || role != session.samples_owner() {
        return Ok(Classes::new());
    }
    let class = |(sample, sum): (usize, u32)| {
        let class = sum.checked_sub(1)?;
        Some((sample as u32, u8::try_from(class).ok()?))
    };
    let found: Classes = sums.into_iter().enumerate().filter_map(class).collect();
    let wanted: u32 = (0..session.iterations())
        .map(|iteration| session.batch(iteration).len)
        .sum();
    match found.len() == wanted as usize {
        true => Ok(found),
        false => Err(Failure::new(
            "the ranks have not found one class for each image",
            "report this",
        )),
    }
}
