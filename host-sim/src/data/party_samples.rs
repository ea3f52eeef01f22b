//! The samples of a party as the core reads them.

use ringlet_core::{
    data::{Data, DataError},
    prg::Key,
};

use super::{images::OwnImages, masked_samples::MaskedSamples};

/// The samples of a party.
pub enum PartySamples<'a> {
    /// Its own images.
    Own(OwnImages<'a>),
    /// Samples that their owners have masked for both parties.
    Masked(MaskedSamples<'a>),
}

impl Data for PartySamples<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        match self {
            PartySamples::Own(images) => images.pixels(sample, out),
            PartySamples::Masked(samples) => samples.pixels(sample, out),
        }
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        match self {
            PartySamples::Own(images) => images.label(sample),
            PartySamples::Masked(samples) => samples.label(sample),
        }
    }

    fn contribution(
        &mut self,
        sample: u32,
        key: &mut [u8; Key::LEN],
        out: &mut [u8],
    ) -> Result<(), DataError> {
        match self {
            PartySamples::Own(images) => images.contribution(sample, key, out),
            PartySamples::Masked(samples) => samples.contribution(sample, key, out),
        }
    }
}
