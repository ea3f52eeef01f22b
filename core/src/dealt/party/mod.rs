//! A computing party: its shares, and its part in the forward pass, the backward pass and the update.

mod backward;
#[cfg(feature = "contributions")]
mod check;
mod classifier;
#[cfg(feature = "extended-training")]
mod clip;
#[cfg(feature = "contributions")]
mod contributed;
mod dropout;
mod forward;
mod loss;
#[cfg(feature = "extended-training")]
mod nesterov;
#[cfg(feature = "private-training")]
mod private;
mod ranks;
#[cfg(feature = "extended-training")]
mod revealed_loss;
mod skip;
mod state;
mod steps;
mod trainer;
mod update;

pub use classifier::Classifier;
pub use trainer::Trainer;

use bytemuck::TransparentWrapper;
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    Role,
    audit::{Audit, Lengths as AuditLengths},
    dealt::{
        audit::DealtTensors,
        gate_set::GateSet,
        layout::{Lengths, StageLengths},
        plan::Plan,
    },
    gate::relu::HiddenSign,
    network::{MAX_STAGES, Network, weight_init},
    num::{
        arena::{Arena, ArenaTooSmall},
        fixed_point::Format,
        ring::{Ring, Word},
    },
    prg::{Key, Prg},
    session::{Progress, RunError, Session},
    share::{Public, Share},
};

/// A party's buffers for one stage.
struct StageMemory<'a, R> {
    /// The weights, divided by the stage's divisor, then the biases: the upper words of this party's shares of the
    /// master weights. From their opening to the update, the weights as this party holds them (see [`Held`]).
    ///
    /// [`Held`]: crate::share::Held
    weights: &'a mut [R],
    /// The lower bytes of those shares, parameter by parameter.
    low_bytes: &'a mut [u8],
    /// Shares in Z_2^L at scale 2f: momentum times the last velocity, plus this iteration's gradient.
    velocity: &'a mut [Share<R>],
    /// With Nesterov's momentum, shares of the last velocity in Z_2^[`Format::wide`].
    #[cfg(feature = "extended-training")]
    last_velocity: &'a mut [u8],
    /// The velocities while the gradient is summed apart; empty if it is not clipped.
    #[cfg(feature = "extended-training")]
    held: &'a mut [Share<R>],
    /// The weights as this party holds their second opening, for the gradient by the input; empty with reuse.
    reopened_weights: &'a mut [R],
    /// Shares of the stage's input, then its opening as this party holds it.
    operand: &'a mut [R],
    /// Shares of the stage's input that are added later; in the backward pass, shares of the gradient by it, at the scale of the
    /// gradient by the output of the stage before.
    skip: &'a mut [Share<R>],
    /// Hidden signs of the ReLU's inputs.
    sign: HiddenSign<'a, R>,
    /// Hidden signs of the max pooling's differences.
    pool_sign: HiddenSign<'a, R>,
    /// Openings that a polynomial keeps for the backward pass.
    kept: &'a mut [Public<u64>],
}

/// A computing party's state, for training and for inference.
struct Party<'a, R: Ring> {
    role: Role,
    session: &'a Session,
    network: &'a Network,
    /// The next iteration.
    progress: Progress,
    /// The first iteration under these keys.
    start: u32,
    gates: GateSet,
    stages: Vec<StageMemory<'a, R>, MAX_STAGES>,
    /// The logits or the last gradient; the two buffers swap roles from step to step.
    current: &'a mut [R],
    /// The buffer that a step writes to before it swaps them.
    next: &'a mut [R],
    /// Whether the buffers are swapped, compared to the start.
    swapped: bool,
    scratch: &'a mut [u64],
    /// The micro-batch's samples.
    samples: &'a mut [u32],
    /// Shares of the labels of the micro-batch's samples, if they are contributions.
    #[cfg(feature = "contributions")]
    labels: &'a mut [R],
    /// Openings of the peer's samples, kept from the first whole epoch on.
    opened_data: &'a mut [Public<R>],
    audit: Audit<'a, R>,
    /// What private gradients take, if they are.
    #[cfg(feature = "private-training")]
    private: Option<private::PrivateMemory<'a, R>>,
    /// This party's share of the sum of the epoch's losses so far, if they are revealed.
    #[cfg(feature = "extended-training")]
    loss: u64,
    /// The loss that was revealed last.
    #[cfg(feature = "extended-training")]
    revealed_loss: Option<crate::session::EpochLoss>,
}

impl<'a, R: Ring> Party<'a, R> {
    /// Sets up a party whose weights are zero. A training with private gradients takes the party's own secret.
    ///
    /// `memory` has at least [`Plan::arena_words`] words and `opened_data` at least [`Plan::opened_data_words`]; fails
    /// with [`RunError::Arena`] or [`RunError::OpenedData`] if one is too small.
    #[inline(never)]
    fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        #[cfg(feature = "private-training")] secret: Option<&Key>,
        memory: &'a mut [u64],
        opened_data: &'a mut [R],
    ) -> Result<Self, RunError> {
        let plan = Plan::new(session, network);
        let gates = GateSet::new(session, network);
        let rows = session.micro_batch as usize;
        let needed = plan.opened_data_words(role);
        if opened_data.len() < needed {
            return Err(RunError::OpenedData(ArenaTooSmall {
                needed,
                given: opened_data.len(),
            }));
        }
        let mut arena = Arena::new(memory, plan.arena_words::<R>(role))?;
        let mut stages = Vec::new();
        for index in 0..network.stages.len() {
            let lengths =
                StageLengths::new::<R>(session, gates, &network.stages, index, rows, role);
            let _ = stages.push(StageMemory {
                weights: arena.take(lengths.weights),
                low_bytes: arena.take(lengths.low_bytes),
                velocity: Share::wrap_slice_mut(arena.take(lengths.velocity)),
                #[cfg(feature = "extended-training")]
                last_velocity: arena.take(lengths.last_velocity),
                #[cfg(feature = "extended-training")]
                held: Share::wrap_slice_mut(arena.take(lengths.held)),
                reopened_weights: arena.take(lengths.reopened_weights),
                operand: arena.take(lengths.operand),
                skip: Share::wrap_slice_mut(arena.take(lengths.skip)),
                sign: HiddenSign {
                    opened: Public::wrap_slice_mut(arena.take(lengths.sign)),
                    shares: Share::wrap_slice_mut(arena.take(lengths.sign_masks)),
                },
                pool_sign: HiddenSign {
                    opened: Public::wrap_slice_mut(arena.take(lengths.pool_sign)),
                    shares: Share::wrap_slice_mut(arena.take(lengths.pool_sign_masks)),
                },
                kept: Public::wrap_slice_mut(arena.take(lengths.kept)),
            });
        }
        let lengths = Lengths::new::<R>(session, gates, network, rows, role);
        Ok(Party {
            role,
            session,
            network,
            progress: Progress::Next(0),
            start: 0,
            gates,
            stages,
            current: arena.take(lengths.gradients[0]),
            next: arena.take(lengths.gradients[1]),
            swapped: false,
            scratch: arena.take(lengths.scratch),
            samples: arena.take(rows),
            #[cfg(feature = "contributions")]
            labels: arena.take(lengths.labels),
            audit: Audit::take(
                &mut arena,
                AuditLengths::new::<R, DealtTensors>(session, network),
            ),
            opened_data: Public::wrap_slice_mut(opened_data),
            #[cfg(feature = "private-training")]
            private: private::PrivateMemory::take(&mut arena, session, network, rows, secret),
            #[cfg(feature = "extended-training")]
            loss: 0,
            #[cfg(feature = "extended-training")]
            revealed_loss: None,
        })
    }

    /// Draws this party's share of the initial weights from its own secret.
    #[inline(never)]
    fn draw_weights(&mut self, secret: &Key) {
        let prg = Prg::new(secret.clone());
        let format = self.session.format;
        for (index, memory) in self.stages.iter_mut().enumerate() {
            weight_init::draw_weights(
                &prg,
                self.network,
                index,
                format.master(),
                self.session.training.initial_weights,
                |weight, value| {
                    memory.set_master_share(format, weight, R::Wide::from_u128(value as u128));
                },
            );
        }
    }

    /// See [`Classifier::load_parameters`] and [`Trainer::load_parameters`].
    fn load_parameters(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = R::Wide>,
    ) -> Result<(), RunError> {
        // Only one party has a share, so its truncation would be biased. Rounding first makes it exact.
        let fine = self.session.format.fine();
        let half = R::Wide::ONE.left(fine).right(1);
        self.load_master(stage, values, |weight| match fine {
            0 => weight,
            _ => weight.plus(half).right(fine).left(fine),
        })
    }

    /// Loads this party's shares of the parameters of a stage, after `adapt` has changed those of the weights.
    fn load_master(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = R::Wide>,
        adapt: impl Fn(R::Wide) -> R::Wide,
    ) -> Result<(), RunError> {
        let format = self.session.format;
        let stages = self.network.stages.iter().zip(&mut self.stages);
        let Some((stage, memory)) = stages.into_iter().nth(stage) else {
            let given = values.into_iter().count();
            return Err(RunError::Parameters { needed: 0, given });
        };
        let (needed, weights) = (stage.parameters(), stage.linear.weight_len());
        let mut given = 0;
        for value in values {
            if given == needed {
                let given = given + 1;
                return Err(RunError::Parameters { needed, given });
            }
            let value = match given < weights {
                true => adapt(value),
                false => value,
            };
            memory.set_master_share(format, given, value);
            given += 1;
        }
        match given == needed {
            true => Ok(()),
            false => Err(RunError::Parameters { needed, given }),
        }
    }

    /// See [`Trainer::parameters`].
    fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<R::Wide>> + '_ {
        let (memory, format) = (&self.stages[stage], self.session.format);
        (0..memory.weights.len()).map(move |index| Share::wrap(memory.master_share(format, index)))
    }

    /// Swaps the buffers back to the start. Each has the length of the gradients that it holds, so every micro-batch
    /// must start in the same one.
    fn reset_buffers(&mut self) {
        if self.swapped {
            self.swap_buffers();
        }
    }

    /// Makes the next buffer, with the gradient that a step has written, the current one.
    fn swap_buffers(&mut self) {
        core::mem::swap(&mut self.current, &mut self.next);
        self.swapped = !self.swapped;
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// This party's share of a master weight or bias, in Z_2^[`Format::wide`] at [`Format::master`] fraction bits.
    fn master_share(&self, format: Format, index: usize) -> R::Wide {
        let bytes = format.fine() as usize / 8;
        let low = &self.low_bytes[index * bytes..][..bytes];
        let high = self.weights[index].cast();
        // Byte by byte, because small processors have no shifts of 64 bits.
        low.iter().rev().fold(high, |share: R::Wide, &byte| {
            share.left(8).plus(R::Wide::from_u64(byte.into()))
        })
    }

    /// Stores this party's share of a master weight or bias.
    fn set_master_share(&mut self, format: Format, index: usize, value: R::Wide) {
        let bytes = format.fine() as usize / 8;
        let mut rest = value;
        for byte in &mut self.low_bytes[index * bytes..][..bytes] {
            *byte = rest.to_u64() as u8;
            rest = rest.right(8);
        }
        self.weights[index] = rest.cast();
    }

    /// The truncation of P1's whole share minus its upper word, 0 or 1, which depends on the share's lower bytes. P1
    /// rounds the negative of its share down, so its share goes up unless the lower bytes are 0. P0 rounds its share down,
    /// to the upper word.
    fn carry(&self, format: Format, index: usize) -> R {
        let bytes = format.fine() as usize / 8;
        let low = &self.low_bytes[index * bytes..][..bytes];
        let any = low.iter().fold(0, |any, &byte| any | u64::from(byte));
        // 1 if any bit is set, without a branch on it.
        R::from_u64((any + 0xFF) >> 8)
    }
}

impl<R: Ring> Drop for Party<'_, R> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            memory.weights.zeroize();
            memory.low_bytes.zeroize();
            memory.reopened_weights.zeroize();
            memory.velocity.zeroize();
            #[cfg(feature = "extended-training")]
            {
                memory.last_velocity.zeroize();
                memory.held.zeroize();
            }
            memory.operand.zeroize();
            memory.skip.zeroize();
            memory.sign.shares.zeroize();
            memory.pool_sign.shares.zeroize();
        }
        #[cfg(feature = "contributions")]
        self.labels.zeroize();
        self.current.zeroize();
        self.next.zeroize();
        self.scratch.zeroize();
        self.audit.wipe();
        #[cfg(feature = "extended-training")]
        self.loss.zeroize();
    }
}
