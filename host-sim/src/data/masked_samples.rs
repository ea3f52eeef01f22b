//! What a training reads of a file of contributions: a party the masked samples with its keys, the dealer all keys.

use ringlet_core::{
    data::{ContributionKeys, Data, DataError},
    prg::Key,
    session::handshake::Actor,
};

use super::contribution_file::ContributionFile;

/// The contributions as a party reads them.
pub struct MaskedSamples<'a>(pub &'a ContributionFile);

impl Data for MaskedSamples<'_> {
    fn pixels(&mut self, sample: u32, _: &mut [u8]) -> Result<(), DataError> {
        Err(DataError::Missing(sample))
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Err(DataError::Missing(sample))
    }

    fn contribution(
        &mut self,
        sample: u32,
        key: &mut [u8; Key::LEN],
        out: &mut [u8],
    ) -> Result<(), DataError> {
        let mut fits = false;
        self.0.entry(sample, |entry| {
            let (of_key, masked) = entry.split_at(Key::LEN);
            fits = self.0.holder != Actor::Dealer && masked.len() == out.len();
            if fits {
                key.copy_from_slice(of_key);
                out.copy_from_slice(masked);
            }
        })?;
        match fits {
            true => Ok(()),
            false => Err(DataError::Missing(sample)),
        }
    }
}

/// The keys as the dealer reads them.
pub struct MaskKeys<'a>(pub &'a ContributionFile);

impl ContributionKeys for MaskKeys<'_> {
    fn keys(&mut self, sample: u32, [p0, p1]: [&mut [u8; Key::LEN]; 2]) -> Result<(), DataError> {
        let mut fits = false;
        self.0.entry(sample, |entry| {
            if entry.len() == 2 * Key::LEN {
                p0.copy_from_slice(&entry[..Key::LEN]);
                p1.copy_from_slice(&entry[Key::LEN..]);
                fits = true;
            }
        })?;
        match fits {
            true => Ok(()),
            false => Err(DataError::Missing(sample)),
        }
    }
}
