//! One bilinear map with its pooling and its activation.

use heapless::String;

use crate::{
    kernel::{linear::Linear, pool::Pool, windows::Windows},
    num::polynomial::Polynomial,
};

use super::Dropout;

/// The name of a cost row: those of the layers that it covers, such as `conv1+pool`.
pub type Name = String<24>;

/// Proof that this build evaluates polynomials (feature `polynomials`). Without the feature the type has no value, so
/// the compiler drops the code behind [`Activation::Polynomial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polynomials {
    /// The feature is on.
    #[cfg(feature = "polynomials")]
    Present,
}

impl Polynomials {
    pub(super) const fn of_this_build() -> Option<Self> {
        #[cfg(feature = "polynomials")]
        return Some(Polynomials::Present);
        #[cfg(not(feature = "polynomials"))]
        return None;
    }
}

/// A stage's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// A polynomial, in builds that evaluate them.
    Polynomial(Polynomial, Polynomials),
}

/// One bilinear map with its pooling and its activation.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The map, with the average pooling of its output.
    pub linear: Linear,
    /// Whether a convolution runs as a matrix product of its patches (im2col), with average pooling after it.
    pub unrolled: bool,
    /// Average pooling of the stage's input.
    pub pooled_input: Option<Pool>,
    /// Dropout of the map's input.
    pub dropout: Option<Dropout>,
    /// The stage whose input is added to the map's output, before max pooling and activation. It has neither average pooling
    /// nor dropout of its input, and is not the first.
    pub skip: Option<u8>,
    /// Whether this stage or a later one has this one as its [`Stage::skip`].
    pub keeps_input: bool,
    /// Product of the areas of both average poolings and of [`Dropout::whole`], by which the parties divide the stage's weights.
    pub divisor: u32,
    /// Bits of headroom of the stage's input and of its output: see [`Headroom`](crate::session::Headroom).
    pub headroom: [u32; 2],
    /// Max pooling of the map's output.
    pub max_pool: Option<Windows>,
    /// The activation. The last stage has none.
    pub activation: Option<Activation>,
    /// Name of the map's cost row.
    pub name: Name,
    /// Name of the cost row of max pooling and activation.
    pub activation_name: Name,
}

impl Stage {
    /// Values of the stage's input, per sample, before average pooling.
    pub fn entering_len(&self) -> usize {
        match self.pooled_input {
            Some(pool) => pool.input_len(),
            None => self.linear.input_len(),
        }
    }

    /// Values of the stage's input that it keeps for a later addition, per sample.
    pub fn kept_len(&self) -> usize {
        match self.keeps_input {
            true => self.linear.input_len(),
            false => 0,
        }
    }

    /// Values of the stage's output, per sample, after average and max pooling.
    pub fn leaving_len(&self) -> usize {
        match self.max_pool {
            Some(windows) => windows.output_len(),
            None => self.linear.output_len(),
        }
    }

    /// The map that the bilinear gate runs, and its rows per sample: the whole map with one row, or for an unrolled
    /// convolution a dense map with one row per patch.
    pub fn product(&self) -> (Linear, usize) {
        match self.linear {
            Linear::Conv(conv) if self.unrolled => (Linear::Dense(conv.patch()), conv.patches()),
            linear => (linear, 1),
        }
    }

    /// Values of the gate's left operand, per sample: the input, or all patches of an unrolled convolution.
    pub fn operand_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.input_len() * rows
    }

    /// Values of the gate's output, per sample, before average pooling of an unrolled convolution.
    pub fn product_len(&self) -> usize {
        let (linear, rows) = self.product();
        linear.output_len() * rows
    }

    /// Average pooling of the gate's output, for an unrolled convolution that has it.
    pub fn pooled_product(&self) -> Option<Pool> {
        match self.linear {
            Linear::Conv(conv) if conv.pool > 1 && self.unrolled => {
                let [height, width] = conv.unpooled();
                Some(Pool {
                    shape: [height, width, conv.outputs],
                    window: conv.pool,
                })
            }
            _ => None,
        }
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.linear.weight_len() + self.linear.channels()
    }

    /// Bits by which the headroom of the output exceeds that of the input. The parties keep the stage's weights divided
    /// by 2 to this power, beside [`Stage::divisor`], and its biases by 2 to the headroom of the output.
    pub fn added_headroom(&self) -> i32 {
        let [input, output] = self.headroom;
        output as i32 - input as i32
    }

    /// Product of the areas of both average poolings.
    pub fn area(&self) -> u32 {
        self.divisor / self.dropout.map_or(1, Dropout::whole)
    }

    /// log2 of the divisor, rounded up.
    pub fn divisor_bits(&self) -> u32 {
        u32::BITS - self.divisor.saturating_sub(1).leading_zeros()
    }
}
