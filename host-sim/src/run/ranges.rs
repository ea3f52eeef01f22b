//! The range contract, checked where both parties' shares can be seen: in a simulation.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use ringlet_core::{
    model::MAX_COST_ROWS,
    num::{Ring, signed},
    share::{Observer, Share},
};

/// What was met at one place of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Met {
    /// Values outside the range contract.
    pub outside: u64,
    /// The largest magnitude, as a part of what the contract allows.
    pub largest: f64,
}

/// Counts for each line of the plan, forward and backward.
pub type Ranges = [[Met; 2]; MAX_COST_ROWS];

/// Takes one party's shares to where they are added up.
pub struct Sending<R>(Sender<Vec<R>>);

/// Adds up both parties' shares and counts.
pub struct Counting<R> {
    other: Receiver<Vec<R>>,
    ranges: Arc<Mutex<Ranges>>,
}

/// The watches of P0 and P1, and the counts that they fill.
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
        // The other thread is gone only when the run has failed already.
        let _ = self.0.send(shares);
    }
}

impl<R: Ring> Observer<R> for Counting<R> {
    fn narrow(&mut self, line: usize, backward: bool, bits: u32, shares: &[Share<R>]) {
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
            let met = &mut ranges[line][usize::from(backward)];
            met.outside += outside;
            met.largest = met.largest.max(largest as f64 / limit as f64);
        }
    }
}
