//! The check of contributions before a training: their values have to be those that samples and labels can have. Both parties
//! learn how many bounds each contribution breaks, P1 tells the dealer which break any, and nobody learns anything else.
//!
//! The values of a contribution are those of its pixels, between what black and white become; those of its label, 0 or 1; and the
//! sum of its label, 1.

use crate::{
    cost::Cost,
    gate::{At, bounds::Bounds, range::COUNT_BITS},
    network::Network,
    num::{arena::words, ring::Ring},
    prg::{
        Key,
        contributed::{Part, mask},
    },
    session::Session,
};

use super::stream_ids;

/// The check of a session's contributions.
#[derive(Clone, Copy)]
pub(crate) struct ContributionCheck<'a> {
    session: &'a Session,
    network: &'a Network,
}

/// A value of a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The pixel of this index.
    Pixel(usize),
    /// The label at this class.
    Label(usize),
    /// The sum of the label.
    Sum,
}

impl<'a> ContributionCheck<'a> {
    pub fn new(session: &'a Session, network: &'a Network) -> Self {
        ContributionCheck { session, network }
    }

    /// The contributions that are checked together: the first and how many.
    pub fn blocks(self) -> impl Iterator<Item = (u32, usize)> {
        let (count, size) = (self.session.samples[0], self.session.micro_batch.max(1));
        (0..count)
            .step_by(size as usize)
            .map(move |first| (first, size.min(count - first) as usize))
    }

    /// Values of a contribution.
    pub fn len(self) -> usize {
        self.network.stages[0].linear.input_len() + self.network.classes + 1
    }

    /// The value of an index below [`ContributionCheck::len`].
    pub fn value(self, index: usize) -> Value {
        let (pixels, classes) = (
            self.network.stages[0].linear.input_len(),
            self.network.classes,
        );
        match index {
            index if index < pixels => Value::Pixel(index),
            index if index < pixels + classes => Value::Label(index - pixels),
            _ => Value::Sum,
        }
    }

    /// What a value lies between.
    pub fn bounds<R: Ring>(self, value: Value) -> [R; 2] {
        match value {
            Value::Pixel(index) => {
                let channel = index % self.network.input[2];
                let fraction = self.session.format.fraction - self.network.stages[0].headroom[0];
                let normalisation = &self.session.normalisation;
                let ends = [0, 255].map(|pixel| normalisation.units::<R>(channel, pixel, fraction));
                let [black, white] = ends;
                // A negative deviation turns them round.
                match white.minus(black).right(R::BITS - 1) == R::ZERO {
                    true => [black, white],
                    false => [white, black],
                }
            }
            Value::Label(_) => [R::ZERO, R::ONE],
            Value::Sum => [R::ONE, R::ONE],
        }
    }

    /// Writes one party's part of the masks of a contribution's values to `out`, by the contribution's key at that party.
    pub fn masks<R: Ring>(self, key: &[u8; Key::LEN], out: &mut [R]) {
        let (pixels, rest) = out.split_at_mut(self.network.stages[0].linear.input_len());
        let (label, sum) = rest.split_at_mut(self.network.classes);
        mask(key, Part::Pixels, 0, pixels);
        mask(key, Part::Label, 0, label);
        sum[0] = label.iter().fold(R::ZERO, |sum, &mask| sum.plus(mask));
    }

    /// Address of the check of the contributions from `first` on.
    pub fn at(self, first: u32) -> At {
        stream_ids::contribution_check(2 * u64::from(first))
    }

    /// Cost of the check of all contributions.
    pub fn cost<R: Ring>(self) -> Cost {
        let gate = Bounds::new::<R>();
        let counts = |rows| Cost::opening(rows, COUNT_BITS) + Cost::rounds(1);
        self.blocks()
            .map(|(_, rows)| gate.cost(rows, self.len()) + counts(rows))
            .sum()
    }

    /// 64-bit words that a party needs, or the dealer.
    pub fn words<R: Ring>(self) -> usize {
        let rows = self.session.micro_batch.min(self.session.samples[0]) as usize;
        let (len, ring) = (self.len(), size_of::<R>());
        words(2 * rows * len, ring)
            + words(len, ring)
            + words(rows, size_of::<u32>())
            + words(Bounds::new::<R>().scratch_len(rows, len), 1)
    }

    /// Bytes that say which contributions break a bound: bit i % 8 of byte i / 8 stands for contribution i.
    pub fn broken_len(self) -> usize {
        self.session.samples[0].div_ceil(8) as usize
    }
}
