//! Observer of intermediate shares, for range checks.

use crate::share::Share;

/// Observer of a party's shares of narrow values, for which the range contract |x| < 2^(bits-2) must hold.
///
/// One party's shares are uniform and say nothing. A simulation that runs both parties can add them up and
/// check the contract. An audit counts violations without opening values (see [`Trainer::audit_counts`]).
///
/// [`Trainer::audit_counts`]: crate::dealt::Trainer::audit_counts
pub trait Observer<R> {
    /// Receives shares in Z_2^bits of a cost row's values, in the forward or the backward pass.
    fn narrow(&mut self, cost_row: usize, backward: bool, bits: u32, shares: &[Share<R>]);
}

/// Observer that does nothing.
pub struct NoObserver;

impl<R> Observer<R> for NoObserver {
    fn narrow(&mut self, _: usize, _: bool, _: u32, _: &[Share<R>]) {}
}
