//! A computing party of SecureNN's protocols: its shares, and its part in the forward pass, the backward pass and the
//! update.
//!
//! Values have f fraction bits in Z_2^64. Master weights have 2f, as gradients by weights do, and are truncated before
//! they are multiplied. Each party truncates its own share (see [`super::scale`]).

mod backward;
mod classifier;
mod forward;
mod loss;
mod ranks;
mod state;
mod steps;
mod trainer;

pub use classifier::Classifier;
pub use trainer::Trainer;

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    Role,
    audit::{Audit, Lengths as AuditLengths},
    net::link::LinkError,
    network::{MAX_STAGES, Network, weight_init},
    num::arena::Arena,
    prg::{Key, Prg},
    session::{Progress, RunError, Session},
    share::{Share, Values, observer::Observer},
};

use super::{
    audit::{Audits, SecureNnTensors},
    context::PartyContext,
    gates::BLOCK,
    layout::{Lengths, StageLengths, party_words},
    scale::{Rate, truncate_within_ring},
    stream_ids::{self, Use},
};

/// A party's buffers for one stage; shares, one word each.
struct StageMemory<'a> {
    /// The weights, divided by the stage's divisor, then the biases, at 2f fraction bits.
    master: &'a mut [u64],
    /// Momentum times the last velocity, plus this iteration's gradient, at 2f fraction bits.
    velocity: &'a mut [u64],
    /// The stage's input, before unrolling.
    operand: &'a mut [u64],
    /// The ReLU's derivative: shares of 0 or 1.
    derivative: &'a mut [u64],
    /// The position of each maximum in its window.
    max_position: &'a mut [u64],
}

/// A computing party's state, for training and for inference.
struct Party<'a> {
    role: Role,
    session: &'a Session,
    network: &'a Network,
    /// The next iteration.
    progress: Progress,
    stages: Vec<StageMemory<'a>, MAX_STAGES>,
    /// The values or gradients that the last step made; the two buffers swap roles from step to step.
    current: &'a mut [u64],
    /// The buffer that a step writes to before it swaps them.
    next: &'a mut [u64],
    /// Patches of an unrolled convolution's input.
    patches: &'a mut [u64],
    /// The right operand of a product.
    right: &'a mut [u64],
    /// A gradient by weights, or the truncated weights of an input gradient.
    gradient: &'a mut [u64],
    scratch: &'a mut [u64],
    samples: &'a mut [u32],
    audit: Audit<'a, u64>,
}

/// A micro-batch of an iteration.
#[derive(Clone, Copy)]
struct MicroBatch {
    iteration: u32,
    /// Its first row in the batch.
    first: u32,
    /// Its number in the run.
    step: u32,
    /// Number of samples.
    rows: usize,
}

impl<'a> Party<'a> {
    /// Sets up a party whose shares of the weights are zero. `memory` has at least [`party_words`] words; fails with
    /// [`RunError::Arena`] if it is too small.
    fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        let mut arena = Arena::new(memory, party_words(session, network))?;
        let rows = session.micro_batch as usize;
        let mut stages = Vec::new();
        for index in 0..network.stages.len() {
            let lengths = StageLengths::new(&network.stages, index, rows);
            let _ = stages.push(StageMemory {
                master: arena.take(lengths.parameters),
                velocity: arena.take(lengths.parameters),
                operand: arena.take(lengths.operand),
                derivative: arena.take(lengths.derivative),
                max_position: arena.take(lengths.max_position),
            });
        }
        let lengths = Lengths::new(session, network, rows);
        Ok(Party {
            role,
            session,
            network,
            progress: Progress::Next(0),
            stages,
            current: arena.take(lengths.values),
            next: arena.take(lengths.values),
            patches: arena.take(lengths.patches),
            right: arena.take(lengths.right),
            gradient: arena.take(lengths.gradient),
            scratch: arena.take(lengths.scratch),
            samples: arena.take(lengths.samples),
            audit: Audit::take(
                &mut arena,
                AuditLengths::new::<u64, SecureNnTensors>(session, network),
            ),
        })
    }

    /// Draws this party's share of the initial weights from its own secret.
    fn draw_weights(&mut self, secret: &Key) {
        let (prg, [_, fraction]) = (Prg::new(secret.clone()), self.session.master());
        for (index, memory) in self.stages.iter_mut().enumerate() {
            let initial = self.session.training.initial_weights;
            let set = |weight, value| memory.master[weight] = value as u64;
            weight_init::draw_weights(&prg, self.network, index, fraction, initial, set);
        }
    }

    /// See [`Classifier::load_parameters`].
    fn load_parameters(&mut self, stage: usize, values: impl IntoIterator<Item = u64>) {
        for (share, value) in self.stages[stage].master.iter_mut().zip(values) {
            *share = value;
        }
    }

    /// See [`Trainer::parameters`].
    fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<u64>> + '_ {
        self.stages[stage]
            .master
            .iter()
            .map(|&share| Share::wrap(share))
    }

    /// Makes the shares of the weights uniform, with a common stream of both parties. Otherwise truncation fails for
    /// small weights whose shares are small too.
    fn blind_weights(&mut self, pair: &Prg) {
        for (index, memory) in self.stages.iter_mut().enumerate() {
            let address = stream_ids::at(0, index, Use::WeightBlinding).wire(0);
            for (block, shares) in memory.master.chunks_mut(BLOCK).enumerate() {
                let mut blind = [0; BLOCK];
                pair.fill(address, (block * BLOCK) as u64, &mut blind);
                for (share, blind) in shares.iter_mut().zip(blind) {
                    *share = match self.role {
                        Role::P0 => share.wrapping_add(blind),
                        Role::P1 => share.wrapping_sub(blind),
                    };
                }
            }
        }
    }

    /// The audits of a micro-batch.
    fn audits(&self, micro: MicroBatch) -> Audits<'a> {
        let parameters = (self.session, self.network);
        Audits::of_rows(parameters, micro.iteration, micro.first, micro.rows)
    }

    /// Updates the weights and biases of every stage, at the end of an iteration. Only an audit sends something.
    fn update<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        iteration: u32,
        observer: &mut impl Observer<u64>,
    ) -> Result<(), LinkError> {
        let audits = Audits::of_iteration(self.session, self.network, iteration);
        let stages = self.network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            let velocity = Share::wrap_slice(&*memory.velocity);
            let audited = audits.tensor::<u64>(index, Values::Velocities);
            self.audit
                .observe_and_count(cx, observer, audited, velocity)?;
            let [weights, biases] =
                Rate::steps([self.session.learning_rate, self.session.batch], stage);
            for (parameter, (master, &velocity)) in memory
                .master
                .iter_mut()
                .zip(memory.velocity.iter())
                .enumerate()
            {
                let is_weight = parameter < stage.linear.weight_len();
                let rate = if is_weight { weights } else { biases };
                let step = rate.map_or(0, |rate| rate.apply(self.role, velocity));
                *master = master.wrapping_sub(step);
            }
        }
        Ok(())
    }

    /// Opens the counts of an audited iteration.
    fn open_counts<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
    ) -> Result<(), LinkError> {
        let audits = Audits::new(self.session, self.network, 0);
        self.audit.open(cx, audits)
    }

    /// See [`Trainer::reveal`].
    fn reveal<P: Read + Write, A: Read + Write>(
        &self,
        cx: &mut PartyContext<P, A>,
        mut sink: impl FnMut(usize, u64),
    ) -> Result<(), LinkError> {
        let Some(receiver) = self.session.receiver else {
            return Ok(());
        };
        for (stage, memory) in self.stages.iter().enumerate() {
            for &share in memory.master.iter() {
                let mut bytes = share.to_le_bytes();
                if receiver == self.role {
                    cx.peer().receive(&mut bytes)?;
                    sink(stage, share.wrapping_add(u64::from_le_bytes(bytes)));
                } else {
                    cx.peer().send(&bytes)?;
                }
            }
        }
        cx.flush()
    }

    /// Truncates this party's shares of products from 2f to f fraction bits.
    fn truncate(role: Role, session: &Session, values: &mut [u64]) {
        for value in values {
            *value = truncate_within_ring(role, *value, session.format.fraction);
        }
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            memory.master.zeroize();
            memory.velocity.zeroize();
            memory.operand.zeroize();
            memory.derivative.zeroize();
            memory.max_position.zeroize();
        }
        for buffer in [
            &mut self.current,
            &mut self.next,
            &mut self.patches,
            &mut self.right,
            &mut self.gradient,
            &mut self.scratch,
        ] {
            buffer.zeroize();
        }
        self.audit.wipe();
    }
}
