//! Who looks on while a party computes.

use crate::share::Share;

/// Looks on at narrow values, where the range contract |x| < 2^(bits-2) must hold. A lone party sees
/// only uniform shares; a simulation that holds both can check, and an audit counts without looking (see
/// [`Trainer::audited`]).
///
/// [`Trainer::audited`]: crate::dealt::Trainer::audited
pub trait Observer<R> {
    /// Shares in Z_2^bits at a cost row.
    fn narrow(&mut self, cost_row: usize, backward: bool, bits: u32, shares: &[Share<R>]);
}

/// Looks away.
pub struct NoObserver;

impl<R> Observer<R> for NoObserver {
    fn narrow(&mut self, _: usize, _: bool, _: u32, _: &[Share<R>]) {}
}
