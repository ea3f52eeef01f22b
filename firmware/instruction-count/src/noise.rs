//! Samples of discrete Gaussian noise, to count and to compare those of processors.

use core::num::NonZeroU32;

use ringlet_core::{
    prg::{Address, Key, Prg, discrete_gaussian::DiscreteGaussian},
    profile::{Section, section},
};

use crate::scripted::{Failure, Ring};

/// Most samples.
const MOST: usize = 2048;

/// Draws `count` samples, with a call of `begin` just before. Returns the FNV-1a digest of them.
pub fn digest(count: u32, begin: impl FnOnce()) -> Result<u32, Failure> {
    let prg = Prg::new(Key::new(core::array::from_fn(|at| 5 * at as u8 + 2)));
    let width = NonZeroU32::new(1 << 16).ok_or("the width")?;
    let noise = DiscreteGaussian::<Ring>::new(width).map_err(|_| "the width")?;
    let address = Address {
        iteration: 1,
        gate: 2,
        wire: 3,
    };
    let mut space = [0; MOST];
    let samples = space.get_mut(..count as usize).ok_or("too many samples")?;
    begin();
    noise.fill(&prg, address, 0, samples);
    let _section = section(Section::Program);
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    let digest = |digest: u32, byte: u8| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    Ok(bytes.fold(0x811C_9DC5, digest))
}
