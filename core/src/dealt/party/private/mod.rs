//! Private gradients (DP-SGD): a party draws its samples in secret, clips the gradient of each sample with its peer, and adds
//! noise to its share of their sum.

mod clipping;
mod noise;
mod sampling;

use bytemuck::TransparentWrapper;
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    dealt::{layout::PrivateLengths, sample_clip::SampleClip},
    network::{MAX_STAGES, Network},
    num::{arena::Arena, ring::Ring},
    prg::{Address, Key, Prg},
    session::Session,
    share::Share,
};

use super::Party;

/// Gate numbers of the streams of a party's own secret, beside those of the initial weights.
const SAMPLING: u32 = 1 << 16;
const NOISE: u32 = SAMPLING + 1;

/// What a party needs for private gradients.
pub(super) struct PrivateMemory<'a, R: Ring> {
    /// The streams of the party's own secret, for samples and noise. Each serves one iteration of one run.
    secret: Prg,
    /// How each stage's gradients are clipped.
    clips: Vec<SampleClip, MAX_STAGES>,
    /// How many of its own rows are samples that it has drawn. A secret.
    drawn: u32,
    /// Shares of the gradients of the micro-batch's samples by a stage's weights and biases, then their openings.
    gradients: &'a mut [R],
    /// Shares of the integers that the openings stand for.
    kept: &'a mut [Share<R>],
    /// Shares of the squared norms, then of the factors.
    sums: &'a mut [Share<u64>],
    /// Shares of the factors, in Z_2^L.
    factors: &'a mut [Share<R>],
}

impl<'a, R: Ring> PrivateMemory<'a, R> {
    /// Takes the memory of a session with private gradients; none of another one. `secret` is the party's own.
    pub fn take(
        arena: &mut Arena<'a>,
        session: &Session,
        network: &Network,
        rows: usize,
        secret: Option<&Key>,
    ) -> Option<Self> {
        session.privacy()?;
        let secret = Prg::new(secret?.clone());
        let lengths = PrivateLengths::new(session, network, rows);
        let clips = 0..network.stages.len();
        let clips = clips.filter_map(|stage| session.sample_clip(network, stage)?);
        Some(PrivateMemory {
            secret,
            clips: clips.take(MAX_STAGES).collect(),
            drawn: 0,
            gradients: arena.take(lengths.gradients),
            kept: Share::wrap_slice_mut(arena.take(lengths.gradients)),
            sums: Share::wrap_slice_mut(arena.take(lengths.rows)),
            factors: Share::wrap_slice_mut(arena.take(lengths.rows)),
        })
    }

    /// The stream of the party's own secret for an iteration.
    fn stream(gate: u32, iteration: u32, wire: usize) -> Address {
        Address {
            iteration,
            gate,
            wire: wire as u8,
        }
    }
}

impl<R: Ring> Party<'_, R> {
    /// Whether the gradients of single samples are clipped.
    pub(super) fn is_private(&self) -> bool {
        self.private.is_some()
    }
}

impl<R: Ring> Drop for PrivateMemory<'_, R> {
    fn drop(&mut self) {
        self.drawn.zeroize();
        self.gradients.zeroize();
        self.kept.zeroize();
        self.sums.zeroize();
        self.factors.zeroize();
    }
}
