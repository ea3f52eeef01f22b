//! Checks of the range contract in a simulation, which sees the shares of both parties.

use std::sync::{Arc, Mutex};

use ringlet_core::{
    model::MAX_COST_ROWS,
    network::Network,
    num::Ring,
    session::Session,
    share::{Factor, Observer, Share, Values},
};

use super::{
    event::Event,
    losses::{DoneLosses, Losses},
    products::Products,
    sums::{self, Giver, Taker},
};
use crate::{config::args::OnRange, error::Failure};

/// Values of one cost row in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowRange {
    /// Values outside the range contract.
    pub outside: u64,
    /// The largest magnitude, as a fraction of the limit.
    pub largest: f64,
}

impl RowRange {
    /// Of sums in the ring of so many bits, whose contract is [-limit, limit).
    fn of<R: Ring>(sums: &[R], ring: u32, limit: u64) -> Self {
        let limit_word = R::from_u64(limit);
        let (mut outside, mut largest) = (0, R::ZERO);
        // A narrow count, so that it is summed as many lanes at a time as the values.
        for sums in sums.chunks(1 << 16) {
            let mut count = 0u32;
            for &sum in sums {
                let size = sums::size(sum, ring);
                count += u32::from(size >= limit_word);
                largest = largest.max(size);
            }
            outside += u64::from(count);
        }
        RowRange {
            outside,
            largest: largest.to_u64() as f64 / limit as f64,
        }
    }

    /// Adds those of other values.
    fn add(&mut self, other: RowRange) {
        self.outside += other.outside;
        self.largest = self.largest.max(other.largest);
    }
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
    losses: DoneLosses,
    before: Ranges,
    stops: bool,
}

impl Watch {
    /// A watch over what the observers fill. `on_range` says whether the party fails at the first iteration in which
    /// values left their range.
    pub fn new(ranges: Arc<Mutex<Ranges>>, on_range: Option<OnRange>) -> Self {
        Watch {
            ranges,
            losses: DoneLosses::default(),
            before: Ranges::default(),
            stops: on_range == Some(OnRange::Stop),
        }
    }

    /// Adds these losses to the events of iterations.
    pub fn with_losses(self, losses: DoneLosses) -> Self {
        Watch { losses, ..self }
    }

    /// Passes an event on. Before an iteration's event comes one that tells of its values outside, if there were any.
    pub fn pass(
        &mut self,
        mut event: Event,
        emit: &mut dyn FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Event::Iteration {
            iteration,
            ref mut loss,
            ..
        } = event
        {
            *loss = self.losses.next();
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

/// Observer of P1: gives its shares to the observer of P0.
pub struct Sending<R>(Option<Giver<R>>);

/// Observer of P0, which has less to do than P1: adds the shares of both parties and checks the sums.
pub struct Counting<'a, R> {
    other: Option<Taker<R>>,
    products: Products<'a, R>,
    losses: Option<Losses<'a>>,
    last: usize,
    ranges: Arc<Mutex<Ranges>>,
}

/// The observers of P0 and P1 in a session, and the counts that they fill. Without `on_range` they see nothing.
pub fn observers<'a, R: Ring>(
    on_range: Option<OnRange>,
    session: &'a Session,
    network: &'a Network,
) -> (Counting<'a, R>, Sending<R>, Arc<Mutex<Ranges>>) {
    let (giver, other) = on_range.map(|_| sums::pair()).unzip();
    let ranges = Arc::new(Mutex::new(Ranges::default()));
    let counting = Counting {
        other,
        products: Products::new(session, network),
        losses: None,
        last: network.stages.len() - 1,
        ranges: ranges.clone(),
    };
    (counting, Sending(giver), ranges)
}

impl<'a, R: Ring> Counting<'a, R> {
    /// The observers of the further ranks of P0 and of P1, if each has so many `ranks` in all. They fill the same counts.
    pub fn further_ranks(&self, ranks: u16) -> (Vec<Self>, Vec<Sending<R>>) {
        (1..ranks).map(|_| self.further_rank()).unzip()
    }

    fn further_rank(&self) -> (Self, Sending<R>) {
        let (giver, other) = self.other.as_ref().map(|_| sums::pair()).unzip();
        let counting = Counting {
            other,
            products: self.products.of_further_rank(),
            losses: None,
            last: self.last,
            ranges: self.ranges.clone(),
        };
        (counting, Sending(giver))
    }

    /// Adds up the losses of a training too. They come only if the observer sees something.
    pub fn with_losses(self, losses: Option<Losses<'a>>) -> Self {
        Counting { losses, ..self }
    }
}

impl<R: Ring> Observer<R> for Sending<R> {
    fn values(&mut self, _: usize, _: Values, _: [u32; 2], shares: &[Share<R>]) {
        if let Some(giver) = &self.0 {
            giver.give(shares);
        }
    }

    fn factor(&mut self, _: usize, _: Factor, shares: &[Share<R>]) {
        if let Some(giver) = &self.0 {
            giver.give(shares);
        }
    }
}

impl<R: Ring> Observer<R> for Counting<'_, R> {
    fn values(
        &mut self,
        stage: usize,
        values: Values,
        [ring, contract]: [u32; 2],
        shares: &[Share<R>],
    ) {
        let Some(other) = &self.other else {
            return;
        };
        let Some(sums) = other.take(shares) else {
            return;
        };
        let limit = 1u64 << (contract - 2);
        let mut range = RowRange::of(&sums, ring, limit);
        let doubtful = match values {
            Values::Outputs => self.products.outputs(stage),
            Values::Gradients => self.products.gradients(stage),
            Values::Velocities => self.products.velocities(stage, &sums, ring),
            // The outputs of the map, which have been checked.
            Values::Arguments => Vec::new(),
        };
        for (first, products) in doubtful {
            for (&sum, product) in sums[first..].iter().zip(products) {
                let is_seen = sums::size(sum, ring).to_u64() >= limit;
                range.add(RowRange {
                    outside: u64::from(!is_seen && self.products.goes_around(product)),
                    largest: product.abs() / 2f64.powi(R::BITS as i32 - 2),
                });
            }
        }
        if let (Values::Outputs, Some(losses)) = (values, &mut self.losses)
            && stage == self.last
        {
            losses.take(&sums, ring);
        }
        if values == Values::Outputs {
            let weights = self.products.weights(stage);
            range.add(RowRange {
                outside: u64::from(weights >= 1.0),
                largest: weights,
            });
        }
        other.give_back(sums);
        let (row, backward) = values.cost_row(stage);
        if let Ok(mut ranges) = self.ranges.lock() {
            ranges[row][usize::from(backward)].add(range);
        }
    }

    fn factor(&mut self, stage: usize, factor: Factor, shares: &[Share<R>]) {
        let Some(other) = &self.other else {
            return;
        };
        if let Some(sums) = other.take(shares) {
            self.products.factor(stage, factor, &sums);
            other.give_back(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlet_core::num::signed;

    use super::*;

    /// The definition: values of a ring as integers, against [-limit, limit).
    fn defined<R: Ring>(sums: &[R], ring: u32, limit: i128) -> RowRange {
        let mut range = RowRange::default();
        for &sum in sums {
            let value = signed(sum.low(ring), ring);
            range.add(RowRange {
                outside: u64::from(!(-limit..limit).contains(&value)),
                largest: value.max(-(value + 1)) as f64 / limit as f64,
            });
        }
        range
    }

    fn check<R: Ring>(ring: u32, contract: u32) {
        let limit = 1u64 << (contract - 2);
        // Around every edge, with bits above the ring, which do not count.
        let edges = [0, limit, limit << 1, limit << 2, 1 << (ring - 1)];
        let around = edges.map(|edge| [0u64, 1, 2].map(|by| [edge.wrapping_sub(by), edge + by]));
        let values: Vec<R> = around
            .as_flattened()
            .as_flattened()
            .iter()
            .flat_map(|&value| [value, value.wrapping_neg()])
            .map(|value| R::from_u64(value).plus(R::MAX.left(ring)))
            .collect();
        for value in &values {
            let value = std::slice::from_ref(value);
            let wanted = defined(value, ring, limit.into());
            assert_eq!(RowRange::of(value, ring, limit), wanted, "{value:?}");
        }
        let many: Vec<R> = values.iter().copied().cycle().take(200_000).collect();
        let wanted = defined(&many, ring, limit.into());
        assert_eq!(RowRange::of(&many, ring, limit), wanted);
        assert!(wanted.outside > 0);
    }

    #[test]
    fn values_outside_are_counted_to_the_unit() {
        for (ring, contract) in [(32, 32), (32, 28), (23, 23), (23, 20), (9, 9)] {
            check::<u32>(ring, contract);
            check::<u64>(ring, contract);
        }
        for (ring, contract) in [(64, 62), (63, 40), (47, 47)] {
            check::<u64>(ring, contract);
        }
    }
}
