//! Checks of the range contract in a simulation, which sees the shares of both parties.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use ringlet_core::{
    model::MAX_COST_ROWS,
    network::Network,
    num::{Ring, signed},
    session::Session,
    share::{Factor, Observer, Share, Values},
};

use super::{event::Event, products::Products};
use crate::{config::args::OnRange, error::Failure};

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
    /// A watch over what the observers fill. `on_range` says whether the party fails at the first iteration in which
    /// values left their range.
    pub fn new(ranges: Arc<Mutex<Ranges>>, on_range: Option<OnRange>) -> Self {
        Watch {
            ranges,
            before: Ranges::default(),
            stops: on_range == Some(OnRange::Stop),
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
pub struct Sending<R>(Option<Sender<Vec<R>>>);

/// Observer of P1: adds the shares of both parties and checks the sums.
pub struct Counting<'a, R> {
    other: Option<Receiver<Vec<R>>>,
    products: Products<'a>,
    ranges: Arc<Mutex<Ranges>>,
}

/// The observers of P0 and P1 in a session, and the counts that they fill. Without `on_range` they see nothing.
pub fn observers<'a, R: Ring>(
    on_range: Option<OnRange>,
    session: &'a Session,
    network: &'a Network,
) -> (Sending<R>, Counting<'a, R>, Arc<Mutex<Ranges>>) {
    let (sender, other) = on_range.map(|_| channel()).unzip();
    let ranges = Arc::new(Mutex::new(Ranges::default()));
    let counting = Counting {
        other,
        products: Products::new(session, network),
        ranges: ranges.clone(),
    };
    (Sending(sender), counting, ranges)
}

impl<R: Ring> Sending<R> {
    fn send(&self, shares: &[Share<R>]) {
        if let Some(sender) = &self.0 {
            let shares = shares.iter().map(|share| share.reveal()).collect();
            // The other thread has ended only if the run has failed already.
            let _ = sender.send(shares);
        }
    }
}

impl<R: Ring> Observer<R> for Sending<R> {
    fn values(&mut self, _: usize, _: Values, _: [u32; 2], shares: &[Share<R>]) {
        self.send(shares);
    }

    fn factor(&mut self, _: usize, _: Factor, shares: &[Share<R>]) {
        self.send(shares);
    }
}

impl<R: Ring> Counting<'_, R> {
    /// The values that both parties share, as signed integers; none without a watch, or if P0 has ended.
    fn add(&self, ring: u32, shares: &[Share<R>]) -> Option<Vec<i64>> {
        let mut other = self.other.as_ref()?.recv().ok()?;
        if other.is_empty() {
            other = vec![R::ZERO; shares.len()];
        }
        let own = shares.iter().map(|share| share.reveal());
        let own = own.chain(std::iter::repeat(R::ZERO));
        let sums = other.into_iter().zip(own);
        let signed = sums.map(|(other, own)| signed(own.plus(other).low(ring), ring) as i64);
        Some(signed.collect())
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
        let Some(sums) = self.add(ring, shares) else {
            return;
        };
        let limit = 1i64 << (contract - 2);
        // The contract is [-limit, limit).
        let sizes: Vec<i64> = sums
            .iter()
            .map(|&x| if x < 0 { -(x + 1) } else { x })
            .collect();
        let mut range = RowRange {
            outside: sizes.iter().filter(|&&size| size >= limit).count() as u64,
            largest: sizes.iter().copied().max().unwrap_or(0) as f64 / limit as f64,
        };
        let doubtful = match values {
            Values::Outputs => self.products.outputs(stage),
            Values::Gradients => self.products.gradients(stage),
            Values::Velocities => {
                let raised = 2f64.powi(R::BITS as i32 - ring as i32);
                let velocities = sums.iter().map(|&velocity| velocity as f64 * raised);
                self.products.velocities(stage, velocities)
            }
            // The outputs of the map, which have been checked.
            Values::Arguments => Vec::new(),
        };
        for (first, products) in doubtful {
            for (size, product) in sizes[first..].iter().zip(products) {
                let part = product.abs() / 2f64.powi(R::BITS as i32 - 2);
                range.outside += u64::from(*size < limit && self.products.goes_around(product));
                range.largest = range.largest.max(part);
            }
        }
        if values == Values::Outputs {
            let weights = self.products.weights(stage);
            range.outside += u64::from(weights >= 1.0);
            range.largest = range.largest.max(weights);
        }
        let (row, backward) = values.cost_row(stage);
        if let Ok(mut ranges) = self.ranges.lock() {
            let sum = &mut ranges[row][usize::from(backward)];
            sum.outside += range.outside;
            sum.largest = sum.largest.max(range.largest);
        }
    }

    fn factor(&mut self, stage: usize, factor: Factor, shares: &[Share<R>]) {
        if let Some(sums) = self.add(R::BITS, shares) {
            let values = sums.into_iter().map(|value| value as f64);
            self.products.factor(stage, factor, values);
        }
    }
}
