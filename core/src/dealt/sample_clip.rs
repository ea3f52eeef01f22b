//! How the gradient of one sample by a stage's weights and biases is clipped: scales, widths and gates.
//!
//! The product that gives the gradient loses low bits, so that q fraction bits are left in a narrow ring. All later steps take
//! the integers that this leaves. So the bound holds for them exactly, and rounding adds nothing to the sensitivity. q is as small as
//! rounding allows: the bound is at least [`STEPS`] times the root of the number of parameters, so the norm of what rounding
//! adds is at most 1/8 of it, and mostly a twentieth. The other bits are for the factors, whose products with the gradients are summed in
//! Z_2^L.
//!
//! The gradients by weights that average pooling or dropout has made larger by the stage's divisor lose the bits of the divisor too.

use core::num::NonZeroU32;

use crate::{
    cost::Cost,
    gate::{
        Contract,
        clip_factor::{ClipFactor, MOST_FRACTION},
        scaled_sum::ScaledSum,
        square_sum::SquareSum,
    },
    network::{Network, Stage},
    num::{division::quotient, square_root::square_root},
    prg::discrete_gaussian::{largest_width, smallest_width},
    session::{NOISE_FRACTION, Privacy, RATE_FRACTION, Session},
};

/// The least bound, in units of the root of the number of parameters.
const STEPS: u32 = 8;

/// Bits before the binary point of the gradient of a sample's loss by weights whose input has no headroom, with its sign. The range
/// contract is then |x| < 2^4.
const RANGE_BITS: u32 = Privacy::RANGE_BITS + 2;

/// Bits of the bound in last bits of a velocity, at least. More would take bits of the learning rate.
const STEP_BITS: i32 = 20;

/// The fewest fraction bits of a factor.
const LEAST_FACTOR_FRACTION: u32 = 4;

/// The clipping of a stage's gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleClip {
    /// Bits that the gradients by weights and by biases in Z_2^L drop.
    pub drops: [u32; 2],
    /// The squared norms.
    pub squares: SquareSum,
    /// The factors.
    pub factor: ClipFactor,
    /// Bits by which factors and noise are raised, so that a velocity has enough of them.
    pub raised: u32,
    /// Fraction bits of the clipped sum, as a mean over 2^(log2 of the batch size, rounded up) samples.
    pub fraction: i32,
    /// Width of each party's noise; none if there is none.
    pub noise: Option<NonZeroU32>,
}

impl SampleClip {
    /// The sum of the gradients times their factors.
    pub fn sum(&self) -> ScaledSum {
        ScaledSum { rows: self.squares }
    }

    /// Calls `visit` for each gate that clips the gradients of `rows` samples, with its cost.
    pub fn gates(
        &self,
        rows: usize,
        stage: &Stage,
        ring: u32,
        mut visit: impl FnMut(&'static str, Cost),
    ) {
        let len = stage.parameters();
        let products = Cost::dealt(rows, stage.linear.weight_len(), ring);
        visit("sample gradient", products);
        visit("square sum", self.squares.cost(rows, len));
        visit("clip factor", self.factor.cost(rows));
        visit("scaled sum", self.sum().cost(rows, len, ring));
    }
}

impl Session {
    /// How a stage's gradients are clipped, if single samples are protected; `Some(None)` if the numbers do not fit.
    pub(crate) fn sample_clip(
        &self,
        network: &Network,
        index: usize,
    ) -> Option<Option<SampleClip>> {
        let privacy = self.privacy()?;
        Some(self.clip_of(privacy, network, index))
    }

    /// log2 of the limits of the gradients of one sample by a stage's weights and by its biases, as products in Z_2^L; none if the gradients
    /// of single samples are not clipped. Beyond them clipping keeps its bound, but of another gradient.
    pub fn sample_gradient_limits(&self, network: &Network, index: usize) -> Option<[u32; 2]> {
        let clip = self.sample_clip(network, index)??;
        let bits = Contract {
            bits: clip.squares.from,
        }
        .limit()
        .trailing_zeros();
        Some(clip.drops.map(|drop| bits + drop))
    }

    fn clip_of(&self, privacy: Privacy, network: &Network, index: usize) -> Option<SampleClip> {
        let stage = &network.stages[index];
        let (ring, len) = (self.format.ring, stage.parameters());
        let divisor = stage.divisor_bits();
        let stages = network.stages.len();
        let product = 2 * self.format.fraction as i32 + self.gradient_exponent(network, index)
            - stage.headroom[0] as i32;
        let product = u32::try_from(product).ok()?;
        // The least fraction bits for which rounding is small.
        let least = u64::from(STEPS * STEPS) * len as u64;
        let (kept, bound) = (0..=product)
            .map(|kept| (kept, bound(privacy, stages, kept)))
            .find(|(_, bound)| u128::from(*bound).pow(2) >= least.into())?;
        let bound = u32::try_from(bound).ok()?;
        let drops = [product + divisor - kept, product - kept];
        // A larger input makes larger gradients.
        let from = kept + RANGE_BITS + stage.headroom[0];
        let from = ring.checked_sub(drops[0])?.min(from);
        let least = ring.max(ClipFactor::least_from(bound)?);
        let squares = SquareSum::new(from, len, least)?;
        // A velocity as large as the bound keeps the contract, as far as momentum lets it.
        let whole = (u32::BITS - bound.leading_zeros()) as i32 - kept as i32;
        let most = ring as i32 - 2 - whole - self.momentum_bits() as i32;
        let of_factor = u32::try_from(most - self.batch_bits() - kept as i32).ok()?;
        let of_factor = LEAST_FACTOR_FRACTION..=of_factor.min(MOST_FRACTION);
        of_factor.rev().find_map(|fraction| {
            let noise = match privacy.noise {
                0 => None,
                noise => Some(width(privacy.clip, noise, kept + fraction, ring)?),
            };
            let lowest = (kept + fraction) as i32 + self.batch_bits();
            let wanted = self.format.velocity_drop() as i32 + STEP_BITS - whole;
            let raised = u32::try_from(wanted.min(most) - lowest).unwrap_or(0);
            Some(SampleClip {
                drops,
                squares,
                factor: ClipFactor::new(squares.to, [ring, fraction], bound)?,
                raised,
                fraction: lowest + raised as i32,
                noise,
            })
        })
    }
}

/// The bound of each of so many layers, in units of this many fraction bits, rounded down.
fn bound(privacy: Privacy, stages: usize, fraction: u32) -> u64 {
    let square = u128::from(privacy.clip).pow(2) << (2 * fraction);
    square_root(quotient(square, (stages as u128) << (2 * RATE_FRACTION))) as u64
}

/// The width of noise with a deviation of at least this multiple of the bound over all layers, in units of so many fraction bits. None
/// if it leaves the ring, or if the noise is so coarse that the accountant does not hold: see the chapter on differential
/// privacy.
fn width(clip: u32, noise: u32, fraction: u32, ring: u32) -> Option<NonZeroU32> {
    let units = RATE_FRACTION + NOISE_FRACTION;
    let deviation = (u128::from(clip) * u128::from(noise)) << fraction;
    let deviation = (deviation >> units) + u128::from(deviation.trailing_zeros() < units);
    let deviation = u32::try_from(deviation).ok()?;
    let is_fine = u64::from(deviation) * u64::from(noise) >= 4 << NOISE_FRACTION;
    let width = smallest_width(deviation, NonZeroU32::MIN)?;
    (is_fine && width.get() <= largest_width(ring)).then_some(width)
}
