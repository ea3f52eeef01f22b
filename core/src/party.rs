//! A computing party: its shares, and the steps of training that it takes with its peer.

mod backward;
mod forward;
mod update;

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    Role,
    arena::{Arena, ArenaTooSmall},
    buffers::{Lengths, StageLengths},
    data::{Data, DataError},
    desk::Desk,
    gate::relu::HiddenSign,
    gates::Gates,
    link::LinkError,
    network::{Activation, MAX_STAGES, Network, Stage},
    place::{self, Tensors},
    plan::Plan,
    prg::{Key, Prg},
    ring::{Ring, Word},
    session::{Batch, Session, SessionError},
    sharing::{Public, Share},
};

/// Why a party stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The session's parameters do not fit together.
    Session(SessionError),
    /// The caller gave too little memory.
    Arena(ArenaTooSmall),
    /// The caller gave too little room to keep the other party's opened samples, in words of the ring.
    OpenedData(ArenaTooSmall),
    /// A link failed.
    Link(LinkError),
    /// This party's own data is at fault.
    Data(DataError),
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RunError::Session(error) => error.fmt(f),
            RunError::Arena(error) => error.fmt(f),
            RunError::OpenedData(error) => write!(
                f,
                "the other party's samples need room for {} words and were given {}",
                error.needed, error.given
            ),
            RunError::Link(error) => error.fmt(f),
            RunError::Data(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RunError {}

impl From<SessionError> for RunError {
    fn from(error: SessionError) -> Self {
        RunError::Session(error)
    }
}

impl From<ArenaTooSmall> for RunError {
    fn from(error: ArenaTooSmall) -> Self {
        RunError::Arena(error)
    }
}

impl From<LinkError> for RunError {
    fn from(error: LinkError) -> Self {
        RunError::Link(error)
    }
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        RunError::Data(error)
    }
}

/// Looks on at narrow values, where the range contract |x| < 2^(bits-2) must hold. A lone party sees
/// only uniform shares; a simulation that holds both can check.
pub trait Watch<R> {
    /// Shares in Z_2^bits at a line of the plan.
    fn narrow(&mut self, line: usize, backward: bool, bits: u32, shares: &[Share<R>]);
}

/// Looks away.
pub struct Unwatched;

impl<R> Watch<R> for Unwatched {
    fn narrow(&mut self, _: usize, _: bool, _: u32, _: &[Share<R>]) {}
}

/// A party's buffers for one stage.
struct StageMemory<'a, R> {
    /// Shares of the weights, divided by the stage's divisor, then of the biases, at the master weights'
    /// scale: low words, then high words.
    master: &'a mut [Share<R>],
    /// Shares at scale 2f in Z_2^L: momentum times the last velocity, plus this iteration's gradient.
    velocity: &'a mut [Share<R>],
    /// The opened weights.
    weights: &'a mut [Public<R>],
    /// The weights as they are opened again, if they are.
    weights_again: &'a mut [Public<R>],
    /// Shares of what enters the stage, then its opening.
    operand: &'a mut [R],
    sign: HiddenSign<'a, R>,
    /// What a polynomial keeps opened for its way back.
    kept: &'a mut [Public<u64>],
}

/// One computing party of a session.
pub struct Party<'a, R: Ring> {
    role: Role,
    session: &'a Session,
    network: &'a Network,
    gates: Gates,
    stages: Vec<StageMemory<'a, R>, MAX_STAGES>,
    front: &'a mut [R],
    back: &'a mut [R],
    scratch: &'a mut [u64],
    samples: &'a mut [u32],
    opened_data: &'a mut [Public<R>],
}

impl<'a, R: Ring> Party<'a, R> {
    /// Sets up a party with its part of the first weights, drawn from its own `secret`, which no one
    /// else may know: the sum of both parts is what training starts from.
    ///
    /// `memory` holds at least [`Plan::arena_words`], `opened_data` at least
    /// [`Plan::opened_data_words`].
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        secret: &Key,
        memory: &'a mut [u64],
        opened_data: &'a mut [R],
    ) -> Result<Self, RunError> {
        let plan = Plan::new(session, network);
        let gates = Gates::new(session, network);
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
        for stage in &network.stages {
            let lengths = StageLengths::new(session, gates, stage, rows, role);
            let _ = stages.push(StageMemory {
                master: Share::wrap_slice_mut(arena.take(lengths.master)),
                velocity: Share::wrap_slice_mut(arena.take(lengths.velocity)),
                weights: Public::wrap_slice_mut(arena.take(lengths.weights)),
                weights_again: Public::wrap_slice_mut(arena.take(lengths.weights_again)),
                operand: arena.take(lengths.operand),
                sign: HiddenSign {
                    opened: Public::wrap_slice_mut(arena.take(lengths.sign)),
                    shares: Share::wrap_slice_mut(arena.take(lengths.hide)),
                },
                kept: Public::wrap_slice_mut(arena.take(lengths.kept)),
            });
        }
        let lengths = Lengths::new::<R>(gates, network, rows);
        let mut party = Party {
            role,
            session,
            network,
            gates,
            stages,
            front: arena.take(lengths.gradient),
            back: arena.take(lengths.gradient),
            scratch: arena.take(lengths.scratch),
            samples: arena.take(lengths.samples),
            opened_data: Public::wrap_slice_mut(opened_data),
        };
        party.draw_weights(secret);
        Ok(party)
    }

    /// Which party this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Uniform weights whose sum over both parties has variance 2 / fan-in (He et al., 2015); biases
    /// start at zero.
    ///
    /// Averaging a pool window shrinks the variance, by its area if neighbours had nothing in common, so
    /// there the standard deviation is larger by the window's side. Before a polynomial only by the
    /// root of it, and not at all if another one follows: values past their intervals grow with each.
    fn draw_weights(&mut self, secret: &Key) {
        let prg = Prg::new(secret.clone());
        let fraction = self.session.format.master();
        for (index, (stage, memory)) in self.network.stages.iter().zip(&mut self.stages).enumerate()
        {
            // Two uniform parts on (-b, b) have variance 2 b^2 / 3 together: b = sqrt(3 / fan-in).
            let square = (3u128 << (2 * fraction)) / stage.linear.fan_in() as u128;
            let divisor = u128::from(stage.divisor);
            let later = &self.network.stages[index + 1..];
            let gain = match (is_polynomial(stage), later.iter().any(is_polynomial)) {
                (false, _) => divisor,
                (true, false) => divisor.isqrt(),
                (true, true) => 1,
            };
            let bound = (square * gain).isqrt() / divisor;
            let address = place::first_weights(index);
            for weight in 0..stage.linear.weight_len() {
                let mut draw = [0u64];
                prg.fill(address, weight as u64, &mut draw);
                let value = (i128::from(draw[0] as i64) * bound as i128) >> 63;
                memory.set_master(weight, R::Wide::from_u128(value as u128));
                draw.zeroize();
            }
        }
    }

    /// Trains on the samples of one iteration.
    pub fn iterate<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        iteration: u32,
        data: &mut impl Data,
        watch: &mut impl Watch<R>,
    ) -> Result<Batch, RunError> {
        let batch = self.session.batch(iteration);
        for (first, rows) in batch.micro_batches(self.session.micro_batch) {
            let rows = rows as usize;
            self.session
                .batch_samples(batch, first, &mut self.samples[..rows]);
            let micro = Micro { batch, first, rows };
            self.load(micro, data)?;
            self.open_weights_and_data(desk, micro)?;
            self.forward(desk, micro, watch)?;
            self.subtract_labels(micro, data)?;
            self.backward(desk, micro, watch)?;
        }
        self.update(desk, batch, watch)?;
        Ok(batch)
    }

    /// This party's shares of a stage's parameters, weights divided by [`Stage::divisor`] and then
    /// biases, at scale 3f in Z_2^2L.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    pub fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<R::Wide>> + '_ {
        let memory = &self.stages[stage];
        (0..memory.master.len() / 2).map(|index| Share::wrap(memory.master(index)))
    }
}

fn is_polynomial(stage: &Stage) -> bool {
    matches!(stage.activation, Some(Activation::Polynomial(_)))
}

/// The samples that are worked on at a time.
#[derive(Clone, Copy)]
struct Micro {
    batch: Batch,
    /// Row of the batch that comes first.
    first: u32,
    rows: usize,
}

impl Micro {
    /// The masks of the micro-batch's tensors.
    fn tensors<'s>(
        self,
        session: &'s Session,
        network: &'s Network,
        samples: &'s [u32],
    ) -> Tensors<'s> {
        Tensors {
            session,
            network,
            samples: &samples[..self.rows],
            iteration: self.batch.iteration,
            first: self.first,
        }
    }
}

/// A master weight out of its two words.
fn master_word<R: Ring>(master: &[Share<R>], index: usize) -> R::Wide {
    let words = Share::peel_slice(master);
    let (low, high) = words.split_at(words.len() / 2);
    let high: R::Wide = high[index].cast();
    low[index].cast::<R::Wide>().plus(high.left(R::BITS))
}

impl<R: Ring> StageMemory<'_, R> {
    fn master(&self, index: usize) -> R::Wide {
        master_word(self.master, index)
    }

    fn set_master(&mut self, index: usize, value: R::Wide) {
        let words = Share::peel_slice_mut(self.master);
        let (low, high) = words.split_at_mut(words.len() / 2);
        low[index] = value.cast();
        high[index] = value.right(R::BITS).cast();
    }
}

impl<R: Ring> Drop for Party<'_, R> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            memory.master.zeroize();
            memory.velocity.zeroize();
            memory.operand.zeroize();
            memory.sign.shares.zeroize();
        }
        self.front.zeroize();
        self.back.zeroize();
        self.scratch.zeroize();
    }
}
