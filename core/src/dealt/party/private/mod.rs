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
    session::{RunError, Session},
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
    /// The first iteration for which nothing was drawn yet.
    next: u32,
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
            next: 0,
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
    /// Begins an iteration of private gradients. Fails if it was done before under the same secret: its noise would serve twice.
    pub(super) fn begin_private(&mut self, iteration: u32) -> Result<(), RunError> {
        let Some(private) = &mut self.private else {
            return Ok(());
        };
        if iteration < private.next {
            return Err(RunError::Spent);
        }
        private.next = iteration.saturating_add(1);
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::{
        Role,
        dealt::Plan,
        session::{NOISE_FRACTION, Privacy, RATE_FRACTION},
        tests::{networks, session},
    };

    /// A session whose iterations draw 4 of 10 samples on average, in rows for 9 of P0's 40 and 30 of P1's 60.
    fn private() -> Session {
        let (input, layers) = networks().remove(0);
        let mut session = session::<u32>(input, &layers, 40);
        session.samples = [40, 60];
        session.training.privacy = Some(Privacy {
            clip: 1 << RATE_FRACTION,
            noise: 1 << NOISE_FRACTION,
            rows: [9, 30],
        });
        session.micro_batch = session.batch_rows();
        session
    }

    /// Calls `with` with what a party has for private gradients.
    fn with_memory<T>(
        session: &Session,
        role: Role,
        with: impl FnOnce(&mut Party<'_, u32>) -> T,
    ) -> T {
        let network = crate::dealt::check::<u32>(session).unwrap();
        let mut memory = vec![0; Plan::new(session, &network).arena_words::<u32>(role)];
        let secret = Key::new([role.index() as u8 + 1; Key::LEN]);
        let party = Party::new(session, &network, role, Some(&secret), &mut memory, &mut []);
        with(&mut party.unwrap())
    }

    #[test]
    fn no_iteration_draws_from_a_secret_twice() {
        with_memory(&private(), Role::P0, |party| {
            assert_eq!(party.begin_private(3), Ok(()));
            assert_eq!(party.begin_private(3), Err(RunError::Spent));
            assert_eq!(party.begin_private(2), Err(RunError::Spent));
            assert_eq!(party.begin_private(4), Ok(()));
        });
    }

    #[test]
    fn each_sample_is_drawn_as_often_as_it_should_be() {
        let session = private();
        for role in Role::BOTH {
            let own = session.samples[role.index()];
            let first = [0, session.samples[0]][role.index()];
            let rows = session.drawn_rows(role).unwrap().len();
            let mut counts = vec![0u32; own as usize];
            let iterations = 400;
            with_memory(&session, role, |party| {
                let private = party.private.as_mut().unwrap();
                for iteration in 0..iterations {
                    let mut whole = vec![u32::MAX; own as usize];
                    private.draw(&session, role, iteration, 0, &mut whole);
                    let drawn = private.drawn as usize;
                    let (taken, rest) = whole.split_at(drawn);
                    assert!(taken.is_sorted() && rest.iter().all(|&row| row == u32::MAX));
                    for &sample in taken {
                        counts[(sample - first) as usize] += 1;
                    }
                    // Parts of the rows take the same samples.
                    let mut parts = vec![u32::MAX; rows];
                    for (part, rows) in parts.chunks_mut(4).enumerate() {
                        private.draw(&session, role, iteration, 4 * part as u32, rows);
                    }
                    assert_eq!(parts, whole[..rows]);
                }
            });
            let deviation = libm::sqrt(0.4 * 0.6 * f64::from(iterations));
            for count in counts {
                let off = (f64::from(count) - 0.4 * f64::from(iterations)) / deviation;
                assert!(off.abs() < 5.0, "{count}");
            }
        }
    }

    #[test]
    fn rows_beyond_those_drawn_do_not_count() {
        let own = 5..12;
        let weightless: Vec<u64> = (0..20)
            .map(|row| PrivateMemory::<u32>::is_weightless(3, &own, row))
            .collect();
        let mut want = vec![0; 20];
        want[8..12].fill(1);
        assert_eq!(weightless, want);
        // More than there are rows.
        let none = |row| PrivateMemory::<u32>::is_weightless(30, &own, row);
        assert!((0..20).all(|row| none(row) == 0));
        assert_eq!(PrivateMemory::<u32>::is_weightless(0, &own, 5), 1);
    }
}
