//! The check of contributions before a training: their values have to be those that samples and labels can have. Both parties
//! learn how many bounds each contribution breaks, P1 tells the dealer which break any, and nobody learns anything else.
//!
//! The values of a contribution are those of its pixels, between what black and white become; those of its label, 0 or 1; and the
//! sum of its label, 1.

use crate::{
    cost::{Cost, LANES},
    gate::{At, bounds::Bounds, range::COUNT_BITS},
    network::Network,
    num::{
        arena::words,
        ring::{Ring, Word},
    },
    prg::{
        Key,
        contributed::{Part, mask},
    },
    session::Session,
};

use super::{contributed_samples::ContributedSamples, stream_ids};

/// The check of a session's contributions.
#[derive(Clone, Copy)]
pub(crate) struct ContributionCheck<'a> {
    session: &'a Session,
    network: &'a Network,
    samples: ContributedSamples<'a>,
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
        ContributionCheck {
            session,
            network,
            samples: ContributedSamples::new(session, network),
        }
    }

    /// The contributions that are checked together: the first and how many.
    pub fn blocks(self) -> impl Iterator<Item = (u32, usize)> {
        let (count, size) = (self.session.samples[0], self.session.micro_batch.max(1));
        (0..count)
            .step_by(size as usize)
            .map(move |first| (first, size.min(count - first) as usize))
    }

    /// Values of a contribution that are checked.
    pub fn len(self) -> usize {
        self.samples.lens().iter().sum::<usize>() + 1
    }

    /// The value of an index below [`ContributionCheck::len`].
    pub fn value(self, index: usize) -> Value {
        let [pixels, classes] = self.samples.lens();
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
                let fraction = self.samples.fraction();
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

    /// Reads the values of a contribution from its bytes, and adds the label's sum.
    pub fn read<R: Ring>(self, bytes: &[u8], out: &mut [R]) {
        let (values, sum) = out.split_at_mut(self.len() - 1);
        self.samples.read(bytes, values);
        sum[0] = self.sum_of_label(values);
    }

    /// Writes one party's part of the masks of a contribution's values to `out`, by the contribution's key at that party. Their low
    /// bits count, as many as the values have.
    pub fn masks<R: Ring>(self, key: &[u8; Key::LEN], out: &mut [R]) {
        let (values, sum) = out.split_at_mut(self.len() - 1);
        let (pixels, label) = values.split_at_mut(self.samples.lens()[0]);
        for (part, out) in [(Part::Pixels, pixels), (Part::Label, label)] {
            for (piece, out) in out.chunks_mut(LANES).enumerate() {
                let mut masks = [0; LANES];
                let masks = &mut masks[..out.len()];
                mask(key, part, (piece * LANES) as u64, masks);
                for (out, mask) in out.iter_mut().zip(masks) {
                    *out = mask.cast();
                }
            }
        }
        sum[0] = self.sum_of_label(values);
    }

    /// The sum of the values of a label.
    fn sum_of_label<R: Ring>(self, values: &[R]) -> R {
        let label = values[self.samples.lens()[0]..].iter();
        label.fold(R::ZERO, |sum, &value| sum.plus(value))
    }

    /// Bytes of a contribution.
    pub fn bytes(self) -> usize {
        self.samples.bytes()
    }

    /// The gate that counts the bounds which are broken.
    pub fn gate<R: Ring>(self) -> Bounds {
        Bounds::new::<R>(self.samples.bits())
    }

    /// Address of the check of the contributions from `first` on.
    pub fn at(self, first: u32) -> At {
        stream_ids::contribution_check(2 * u64::from(first))
    }

    /// Cost of the check of all contributions.
    pub fn cost<R: Ring>(self) -> Cost {
        let gate = self.gate::<R>();
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
            + words(self.bytes(), 1)
            + words(rows, size_of::<u32>())
            + words(self.gate::<R>().scratch_len(rows, len), 1)
    }

    /// Bytes that say which contributions break a bound: bit i % 8 of byte i / 8 stands for contribution i.
    pub fn broken_len(self) -> usize {
        self.session.samples[0].div_ceil(8) as usize
    }
}
