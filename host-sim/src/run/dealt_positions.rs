//! Which of its dealt iterations a run takes: those that neither party has begun.
//!
//! A dealt session has a position for each iteration of the session, and spare ones behind them. Each position serves once.
//! A run that goes back to a checkpoint takes the positions after the last one that a party has begun, so it leaves out
//! the samples of those that it has lost, and ends within the spare ones.

use embedded_io::{Read, Write};
use ringlet_core::{net::Link, session::Session};

use super::{
    dealer::corrections_before,
    dealt_files::{DealtFile, Mark},
};
use crate::{data::Images, error::Failure};

/// Says that all positions are spent: the mark of a run that does not go on after a break.
const ALL: u32 = u32::MAX;

/// The session with `spare` further iterations: what is dealt for it.
pub fn with_spare(session: &Session, spare: u32) -> Result<Session, Failure> {
    let too_many = || {
        Failure::new(
            format!("{spare} spare iterations are too many"),
            "give less with --spare",
        )
    };
    let limit = session.iterations().checked_add(spare);
    let limit = limit.ok_or_else(too_many)?;
    let epochs = limit.div_ceil(session.iterations_per_epoch());
    let epochs = epochs.max(session.epochs);
    let all = epochs.checked_mul(session.iterations_per_epoch());
    all.ok_or_else(too_many)?;
    Ok(Session {
        epochs,
        limit,
        ..session.clone()
    })
}

/// Learns from the peer how many positions it has begun. Returns the first that is free at both parties.
pub fn agree<T: Read + Write>(begun: u32, peer: &mut Link<T>) -> Result<u32, Failure> {
    peer.send(&begun.to_le_bytes())?;
    peer.flush()?;
    let mut theirs = [0; 4];
    peer.receive(&mut theirs)?;
    Ok(begun.max(u32::from_le_bytes(theirs)))
}

/// The positions of a run's iterations in a dealt file.
pub struct Positions {
    /// The session, with the spare iterations.
    pub session: Session,
    /// The iteration that the run begins with.
    first: u32,
    /// Its position.
    position: u32,
    /// Where positions are marked that are about to serve, unless all of them are marked.
    mark: Option<Mark>,
}

impl Positions {
    /// Takes the positions from `position` on for the iterations from `first` on, of a party with these images. If the
    /// run `goes_on` after a break, it marks positions one by one, and else all of them at once.
    ///
    /// Fails if there are not enough of them: before anything is marked or sent.
    pub fn take(
        file: &mut DealtFile,
        session: &Session,
        [first, position]: [u32; 2],
        images: &Images,
        goes_on: bool,
    ) -> Result<Self, Failure> {
        let dealt = with_spare(session, file.spare)?;
        let needed = session.iterations().saturating_sub(first);
        let left = dealt.iterations().saturating_sub(position);
        if left < needed {
            let short = needed - left;
            return Err(Failure::new(
                format!(
                    "the run needs {needed} more iterations and the dealt files have {left} left: {short} are missing"
                ),
                format!(
                    "deal new files for this session, for breaks with --spare {} or more, and give them to both parties",
                    short.max(file.spare)
                ),
            ));
        }
        // A run that is complete spends nothing, and may come after all positions are spent.
        let position = position.min(dealt.iterations());
        file.skip(corrections_before(&dealt, position)?);
        let mark = match goes_on {
            true => Some(file.consume(position, images.digest())?),
            false => {
                file.consume(ALL, images.digest())?;
                None
            }
        };
        Ok(Positions {
            session: dealt,
            first,
            position,
            mark,
        })
    }

    /// The position of an iteration.
    pub fn of(&self, iteration: u32) -> u32 {
        self.position + (iteration - self.first)
    }

    /// Marks the position of an iteration, before it begins.
    pub fn begin(&mut self, iteration: u32) -> Result<(), Failure> {
        let begun = self.of(iteration) + 1;
        match &mut self.mark {
            Some(mark) => mark.set(begun),
            None => Ok(()),
        }
    }
}
