//! Noise: each party adds a sample of the discrete Gaussian to its share of each sum. It takes no bytes, and no party knows that of the
//! other.

use bytemuck::TransparentWrapper;
use zeroize::Zeroizing;

use crate::{
    cost::LANES, num::ring::Ring, prg::discrete_gaussian::DiscreteGaussian, session::SessionError,
    share::Share,
};

use super::{NOISE, PrivateMemory};

impl<R: Ring> PrivateMemory<'_, R> {
    /// Adds this party's noise to its shares of a stage's clipped sums, if there is noise.
    #[inline(never)]
    pub(in crate::dealt::party) fn add_noise(
        &self,
        iteration: u32,
        stage: usize,
        sums: &mut [Share<R>],
    ) -> Result<(), SessionError> {
        let Some(clip) = self.clips.get(stage) else {
            return Ok(());
        };
        let Some(width) = clip.noise else {
            return Ok(());
        };
        let noise = DiscreteGaussian::<R>::new(width);
        let noise = noise.map_err(|_| SessionError::PrivateWidths)?;
        let stream = Self::stream(NOISE, iteration, stage);
        let mut samples = Zeroizing::new([R::ZERO; LANES]);
        let mut next = 0;
        for sums in Share::peel_slice_mut(sums).chunks_mut(LANES) {
            let samples = &mut samples[..sums.len()];
            next = noise.fill(&self.secret, stream, next, samples);
            for (sum, &sample) in sums.iter_mut().zip(&*samples) {
                *sum = sum.plus(sample.left(clip.raised));
            }
        }
        Ok(())
    }
}
