//! The contributions of a session as its roles read them: masked values, which become shares by the keys of their masks.

use crate::{
    cost::Cost, gate::contributed::Contributed, network::Network, num::ring::Ring, session::Session,
};

/// The contributions of a session. Each has the values of its sample, then those of its one-hot label.
#[derive(Clone, Copy)]
pub(crate) struct ContributedSamples<'a> {
    session: &'a Session,
    network: &'a Network,
}

impl<'a> ContributedSamples<'a> {
    pub fn new(session: &'a Session, network: &'a Network) -> Self {
        ContributedSamples { session, network }
    }

    /// Fraction bits of the values of a sample.
    pub fn fraction(self) -> u32 {
        self.session.format.fraction - self.network.stages[0].headroom[0]
    }

    /// Bits of a masked value.
    pub fn bits(self) -> u32 {
        let channels = self.network.input[2];
        self.session
            .normalisation
            .masked_bits(channels, self.fraction())
    }

    /// Values of a sample, and of its label.
    pub fn lens(self) -> [usize; 2] {
        let sample = self.network.stages[0].linear.input_len();
        [sample, self.network.classes]
    }

    /// Bytes of a contribution.
    pub fn bytes(self) -> usize {
        self.lens().iter().sum::<usize>() * (self.bits() / 8) as usize
    }

    /// Reads the values of a contribution from its bytes.
    pub fn read<R: Ring>(self, bytes: &[u8], values: &mut [R]) {
        let bytes = bytes.chunks_exact((self.bits() / 8) as usize);
        for (value, bytes) in values.iter_mut().zip(bytes) {
            let bytes = bytes.iter().rev();
            *value = bytes.fold(R::ZERO, |value, &byte| {
                value.left(8).plus(R::from_u64(byte.into()))
            });
        }
    }

    /// The gate that turns the values into shares.
    pub fn gate<R: Ring>(self) -> Contributed {
        Contributed::new::<R>(self.bits())
    }

    /// Cost of the shares of so many contributions.
    pub fn cost<R: Ring>(self, rows: usize) -> Cost {
        let gate = self.gate::<R>();
        let [sample, label] = self.lens();
        gate.cost(rows, sample) + gate.cost(rows, label)
    }
}
