//! Checks of the range contract in a simulation, which sees the shares of both parties.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use ringlet_core::{
    model::MAX_COST_ROWS,
    num::{Ring, signed},
    share::{Observer, Share},
};

use super::event::Event;
use crate::error::Failure;

/// Values of one cost row in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowRange {
    /// Values outside the range contract.
    pub outside: u64,
    /// The largest magnitude, as a fraction of the limit.
    pub largest: f64,
}

/// The values of each cost row, forward and backward.
pub type Ranges = [[RowRange; 2]; MAX_COST_ROWS];

/// Values outside by cost row, forward and backward, since `before`; none if there are none.
fn outside_since(before: &Ranges, now: &Ranges) -> Option<Vec<[u32; 2]>> {
    let rows = before.iter().zip(now);
    let counts: Vec<[u32; 2]> = rows
        .map(|(before, now)| {
            [0, 1].map(|pass: usize| {
                let more = now[pass].outside - before[pass].outside;
                u32::try_from(more).unwrap_or(u32::MAX)
            })
        })
        .collect();
    let any = counts.iter().flatten().any(|&count| count > 0);
    any.then_some(counts)
}

/// Tells of the iterations in which values left their range, at the party whose observer counts them.
pub struct Watch {
    ranges: Arc<Mutex<Ranges>>,
    before: Ranges,
    stops: bool,
}

impl Watch {
    /// A watch over what the observers fill. If it `stops`, the party fails at the first such iteration.
    pub fn new(ranges: Arc<Mutex<Ranges>>, stops: bool) -> Self {
        Watch {
            ranges,
            before: Ranges::default(),
            stops,
        }
    }

    /// Passes an event on. Before an iteration's event comes one that tells of its values outside, if there were any.
    pub fn pass(
        &mut self,
        event: Event,
        emit: &mut dyn FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Event::Iteration { iteration, .. } = event {
            let now = *self.ranges.lock().map_err(|_| unwatched())?;
            if let Some(counts) = outside_since(&self.before, &now) {
                emit(Event::OutsideRange { iteration, counts })?;
                if self.stops {
                    // Nothing of this party comes after it, above all no checkpoint.
                    return Err(Failure::new("values left the range contract", ""));
                }
            }
            self.before = now;
        }
        emit(event)
    }
}

/// What the observers filled, after the run.
pub fn taken(ranges: &Mutex<Ranges>) -> Result<Ranges, Failure> {
    ranges.lock().map(|ranges| *ranges).map_err(|_| unwatched())
}

fn unwatched() -> Failure {
    Failure::new("the range check was interrupted", "report this")
}

/// Observer of P0: sends its shares to the observer of P1.
pub struct Sending<R>(Sender<Vec<R>>);

/// Observer of P1: adds the shares of both parties and checks the sums.
pub struct Counting<R> {
    other: Receiver<Vec<R>>,
    ranges: Arc<Mutex<Ranges>>,
}

/// The observers of P0 and P1, and the counts that they fill.
pub fn observers<R: Ring>() -> (Sending<R>, Counting<R>, Arc<Mutex<Ranges>>) {
    let (sender, other) = channel();
    let ranges = Arc::new(Mutex::new(Ranges::default()));
    let counting = Counting {
        other,
        ranges: ranges.clone(),
    };
    (Sending(sender), counting, ranges)
}

impl<R: Ring> Observer<R> for Sending<R> {
    fn narrow(&mut self, _: usize, _: bool, _: u32, shares: &[Share<R>]) {
        let shares = shares.iter().map(|share| share.reveal()).collect();
        // The other thread has ended only if the run has failed already.
        let _ = self.0.send(shares);
    }
}

impl<R: Ring> Observer<R> for Counting<R> {
    fn narrow(&mut self, row: usize, backward: bool, bits: u32, shares: &[Share<R>]) {
        let Ok(other) = self.other.recv() else {
            return;
        };
        let limit = 1i64 << (bits - 2);
        let (mut outside, mut largest) = (0, 0);
        for (share, other) in shares.iter().zip(other) {
            let value = signed(share.reveal().plus(other).low(bits), bits) as i64;
            // The contract is [-limit, limit).
            let magnitude = if value < 0 { -(value + 1) } else { value };
            outside += u64::from(magnitude >= limit);
            largest = largest.max(magnitude);
        }
        if let Ok(mut ranges) = self.ranges.lock() {
            let range = &mut ranges[row][usize::from(backward)];
            range.outside += outside;
            range.largest = range.largest.max(largest as f64 / limit as f64);
        }
    }
}
