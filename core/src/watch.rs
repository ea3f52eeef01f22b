//! Who looks on while a party computes.

use crate::sharing::Share;

/// Looks on at narrow values, where the range contract |x| < 2^(bits-2) must hold. A lone party sees
/// only uniform shares; a simulation that holds both can check, and an audit counts without looking (see
/// [`Party::audited`]).
///
/// [`Party::audited`]: crate::party::Party::audited
pub trait Watch<R> {
    /// Shares in Z_2^bits at a line of the plan.
    fn narrow(&mut self, line: usize, backward: bool, bits: u32, shares: &[Share<R>]);
}

/// Looks away.
pub struct Unwatched;

impl<R> Watch<R> for Unwatched {
    fn narrow(&mut self, _: usize, _: bool, _: u32, _: &[Share<R>]) {}
}
