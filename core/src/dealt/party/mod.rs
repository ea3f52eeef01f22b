//! A computing party: its shares, and the steps of training that it takes with its peer.

mod backward;
mod classifier;
mod forward;
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
    dealt::{
        audit::{self, Audit},
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
    session::{RunError, Session},
    share::{Public, Share},
};

/// A party's buffers for one stage.
struct StageMemory<'a, R> {
    /// The weights, divided by the stage's divisor, then the biases: the upper words of shares of the
    /// master weights. From its opening to the update a weight stands here as it is held, for P0 its
    /// share again.
    weights: &'a mut [R],
    /// The bytes of those shares below, parameter by parameter.
    fine: &'a mut [u8],
    /// Shares at scale 2f in Z_2^L: momentum times the last velocity, plus this iteration's gradient.
    velocity: &'a mut [Share<R>],
    /// The weights as they are opened again, if they are.
    weights_again: &'a mut [R],
    /// Shares of what enters the stage, then its opening as it is held.
    operand: &'a mut [R],
    sign: HiddenSign<'a, R>,
    /// Of the max pooling's comparisons.
    pool_sign: HiddenSign<'a, R>,
    /// What a polynomial keeps opened for its way back.
    kept: &'a mut [Public<u64>],
}

/// A computing party's state, whatever its task.
struct Party<'a, R: Ring> {
    role: Role,
    session: &'a Session,
    network: &'a Network,
    gates: GateSet,
    stages: Vec<StageMemory<'a, R>, MAX_STAGES>,
    /// The gradient, and where the next one is made; they change places.
    front: &'a mut [R],
    back: &'a mut [R],
    swapped: bool,
    scratch: &'a mut [u64],
    samples: &'a mut [u32],
    opened_data: &'a mut [Public<R>],
    audit: Audit<'a, R>,
}

impl<'a, R: Ring> Party<'a, R> {
    /// Sets up a party whose weights are zero.
    ///
    /// `memory` holds at least [`Plan::arena_words`], `opened_data` at least
    /// [`Plan::opened_data_words`].
    #[inline(never)]
    fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
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
                fine: arena.take(lengths.fine),
                velocity: Share::wrap_slice_mut(arena.take(lengths.velocity)),
                weights_again: arena.take(lengths.weights_again),
                operand: arena.take(lengths.operand),
                sign: HiddenSign {
                    opened: Public::wrap_slice_mut(arena.take(lengths.sign)),
                    shares: Share::wrap_slice_mut(arena.take(lengths.hide)),
                },
                pool_sign: HiddenSign {
                    opened: Public::wrap_slice_mut(arena.take(lengths.pool_sign)),
                    shares: Share::wrap_slice_mut(arena.take(lengths.pool_hide)),
                },
                kept: Public::wrap_slice_mut(arena.take(lengths.kept)),
            });
        }
        let lengths = Lengths::new::<R>(session, gates, network, rows, role);
        Ok(Party {
            role,
            session,
            network,
            gates,
            stages,
            front: arena.take(lengths.gradients[0]),
            back: arena.take(lengths.gradients[1]),
            swapped: false,
            scratch: arena.take(lengths.scratch),
            samples: arena.take(lengths.samples),
            audit: Audit::take(&mut arena, audit::Lengths::new::<R>(session, network)),
            opened_data: Public::wrap_slice_mut(opened_data),
        })
    }

    /// Draws this party's part of the initial weights.
    #[inline(never)]
    fn draw_weights(&mut self, secret: &Key) {
        let prg = Prg::new(secret.clone());
        let format = self.session.format;
        for (index, memory) in self.stages.iter_mut().enumerate() {
            weight_init::draw(
                &prg,
                self.network,
                index,
                format.master(),
                |weight, value| {
                    memory.set_share(format, weight, R::Wide::from_u128(value as u128));
                },
            );
        }
    }

    /// See [`Trainer::parameters`].
    fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<R::Wide>> + '_ {
        let (memory, format) = (&self.stages[stage], self.session.format);
        (0..memory.weights.len()).map(move |index| Share::wrap(memory.share(format, index)))
    }

    /// Gradients begin in the longer of the two buffers or in the shorter one, always in the same: they
    /// are as long as the gradients that land in them.
    fn begin_with_the_same_buffer(&mut self) {
        if self.swapped {
            self.swap();
        }
    }

    /// The gradient that has been made takes the place of the one that it was made from.
    fn swap(&mut self) {
        core::mem::swap(&mut self.front, &mut self.back);
        self.swapped = !self.swapped;
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// This party's share of a master weight or bias.
    fn share(&self, format: Format, index: usize) -> R::Wide {
        let bytes = format.fine() as usize / 8;
        let mut low = [0; 8];
        low[..bytes].copy_from_slice(&self.fine[index * bytes..][..bytes]);
        let high: R::Wide = self.weights[index].cast();
        high.left(format.fine())
            .plus(R::Wide::from_u64(u64::from_le_bytes(low)))
    }

    fn set_share(&mut self, format: Format, index: usize, value: R::Wide) {
        let bytes = format.fine() as usize / 8;
        let low = value.to_u64().to_le_bytes();
        self.fine[index * bytes..][..bytes].copy_from_slice(&low[..bytes]);
        self.weights[index] = value.right(format.fine()).cast();
    }

    /// What a share's lower bytes add to the free step down of the whole share to its upper word: P1's
    /// share is negative, so what it drops counts upwards.
    fn carry(&self, role: Role, format: Format, index: usize) -> R {
        let bytes = format.fine() as usize / 8;
        let low = &self.fine[index * bytes..][..bytes];
        let any = low.iter().fold(0, |any, &byte| any | u64::from(byte));
        // 1 if any bit is set, without a branch on it.
        let carry = (any + 0xFF) >> 8;
        R::from_u64(match role {
            Role::P0 => 0,
            Role::P1 => carry,
        })
    }
}

impl<R: Ring> Drop for Party<'_, R> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            memory.weights.zeroize();
            memory.fine.zeroize();
            memory.weights_again.zeroize();
            memory.velocity.zeroize();
            memory.operand.zeroize();
            memory.sign.shares.zeroize();
            memory.pool_sign.shares.zeroize();
        }
        self.front.zeroize();
        self.back.zeroize();
        self.scratch.zeroize();
        self.audit.wipe();
    }
}
