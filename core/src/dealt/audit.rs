//! Audits of the range contract: every [`Session::audit`] iterations the parties learn how many values are outside of
//! it, for each cost row, and nothing else.

use embedded_io::{Read, Write};

use bytemuck::TransparentWrapper;

use crate::{
    cost::{Cost, LANES},
    dealt::{
        gate_set::GateSet,
        layout::words,
        party_context::PartyContext,
        stream_ids::{self, Tensors},
    },
    gate::{
        At, Contract, Offline, Online,
        range::{COUNT_BITS, Range, pieces},
    },
    model::cost_rows::map_row,
    net::link::{LinkError, Segment},
    network::{Activation, Network, Stage},
    num::{
        arena::Arena,
        ring::{Ring, Word},
    },
    session::{Session, Task},
    share::{Masked, Share, Values, observer::Observer},
};

const _: () = assert!(Values::ALL.len() as u32 == stream_ids::AUDITED_TENSORS);

/// The audits of one micro-batch, or of a whole iteration if it has no rows.
#[derive(Clone, Copy)]
pub(crate) struct Audits<'a> {
    pub session: &'a Session,
    pub network: &'a Network,
    pub iteration: u32,
    /// Its first row in the batch.
    pub first: u32,
    /// Number of samples.
    pub rows: usize,
}

/// An audited tensor of narrow values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audited {
    stage: usize,
    values: Values,
    contract: Contract,
    /// Bits of the ring of its shares: the contract's, or that of the map's output before a polynomial.
    ring: u32,
    /// Rows, and values of a row.
    shape: [usize; 2],
    at: At,
    /// The most values that one run of the gate counts.
    piece_len: usize,
}

impl<'a> Audits<'a> {
    /// The audits of a micro-batch of `rows` rows, the first of iteration 0.
    pub fn new(session: &'a Session, network: &'a Network, rows: usize) -> Self {
        Audits {
            session,
            network,
            iteration: 0,
            first: 0,
            rows,
        }
    }

    /// The audits of the micro-batch with these tensors.
    pub fn of(tensors: &Tensors<'a>) -> Self {
        Audits {
            session: tensors.session,
            network: tensors.network,
            iteration: tensors.iteration,
            first: tensors.first,
            rows: tensors.samples.len(),
        }
    }

    /// An audited tensor of a stage; none if the stage does not have it. In a direct format velocities are not narrow,
    /// so there is nothing to audit, and inference has no backward pass.
    #[inline(never)]
    pub fn tensor<R: Ring>(self, stage: usize, values: Values) -> Option<Audited> {
        let Audits {
            session,
            network,
            rows,
            ..
        } = self;
        if session.task == Task::Infer && values.cost_row(stage).1 {
            return None;
        }
        let gates = GateSet::new(session, network);
        let here = &network.stages[stage];
        let (contract, shape) = match values {
            Values::Outputs => {
                let is_last = stage + 1 == network.stages.len();
                let contract = gates.output_contract::<R>(here, is_last);
                (contract, [rows, here.linear.output_len()])
            }
            Values::Arguments => {
                let Some(Activation::Polynomial(polynomial, _)) = here.activation else {
                    return None;
                };
                let drop = session.gradient_drop(network, stage);
                let contract = gates.polynomial(polynomial, drop).contract();
                (contract, [rows, here.leaving_len()])
            }
            Values::Gradients => {
                let before = stage.checked_sub(1)?;
                let drop = session.gradient_drop(network, before);
                let contract = gates.gradient_contract(&network.stages[before], drop);
                (contract, [rows, here.linear.input_len()])
            }
            Values::Velocities if session.format.is_direct() => return None,
            Values::Velocities => (gates.velocity().contract(), [1, here.parameters()]),
        };
        let ring = match values {
            Values::Arguments => session.format.narrow(),
            _ => contract.bits,
        };
        Some(Audited {
            stage,
            values,
            ring,
            contract,
            shape,
            at: stream_ids::audit(self.iteration, stage, values as u32, self.first),
            piece_len: piece_len(session, network),
        })
    }

    /// The cost row of a stage's tensor, whether that is backward, and the tensor's contract.
    pub fn contract<R: Ring>(
        self,
        stage: usize,
        values: Values,
    ) -> Option<(usize, bool, Contract)> {
        let audited = self.tensor::<R>(stage, values)?;
        let (cost_row, backward) = audited.cost_row();
        Some((cost_row, backward, audited.contract))
    }

    /// Sends the corrections for the audit of a stage's tensor, if the stage has it and the iteration is audited.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        stage: usize,
        values: Values,
    ) -> Result<(), LinkError> {
        if !self.session.is_audited(self.iteration) {
            return Ok(());
        }
        let Some(audited) = self.tensor::<R>(stage, values) else {
            return Ok(());
        };
        let gate = Range::new::<R>(audited.contract);
        for (at, _, [rows, len]) in audited.parts() {
            gate.deal::<R, D>(cx, at, rows, len)?;
        }
        Ok(())
    }

    /// Whether a count has audited tensors. Count `2 * cost_row` is forward, the next one backward.
    #[inline(never)]
    fn is_counted<R: Ring>(self, count: usize) -> bool {
        let (cost_row, backward) = (count / 2, count % 2 == 1);
        Values::ALL.iter().any(|&values| {
            let audited = self.tensor::<R>(cost_row / 2, values);
            audited.is_some_and(|audited| audited.cost_row() == (cost_row, backward))
        })
    }

    /// Cost of opening the counts of an iteration.
    pub fn counts_cost<R: Ring>(self) -> Cost {
        let counts = 0..4 * self.network.stages.len();
        let opened = counts.filter(|&count| self.is_counted::<R>(count)).count();
        Cost::opening(opened, COUNT_BITS) + Cost::rounds(1)
    }

    /// An audited tensor of a stage and the cost of its audit; none if the stage does not have it.
    pub fn cost<R: Ring>(self, stage: usize, values: Values) -> Option<(Audited, Cost)> {
        let audited = self.tensor::<R>(stage, values)?;
        let gate = Range::new::<R>(audited.contract);
        let parts = audited.parts();
        let cost = parts.map(|(_, _, [rows, len])| gate.cost(rows, len)).sum();
        Some((audited, cost))
    }
}

impl Audited {
    /// The cost row that its values count for, and whether backward.
    pub fn cost_row(self) -> (usize, bool) {
        self.values.cost_row(self.stage)
    }

    /// The runs of the gate that count the tensor: for each its address, its values' range, and their rows and columns.
    /// A micro-batch's values take one run. Velocities, which may be many more, take as many as fit the same buffers.
    fn parts(self) -> impl Iterator<Item = (At, core::ops::Range<usize>, [usize; 2])> {
        let Audited { at, piece_len, .. } = self;
        let [rows, len] = self.shape;
        let (whole, in_pieces) = match self.values {
            Values::Velocities => (None, len),
            _ => (Some((at, 0..rows * len, self.shape)), 0),
        };
        let pieces = pieces(at, in_pieces, piece_len).map(|(at, piece)| {
            let shape = [1, piece.len()];
            (at, piece, shape)
        });
        whole.into_iter().chain(pieces)
    }
}

/// The most values that one run of the gate counts: the largest tensor of a micro-batch, rounded up to whole groups.
fn piece_len(session: &Session, network: &Network) -> usize {
    let most = |stage: &Stage| stage.linear.output_len().max(stage.linear.input_len());
    let most = network.stages.iter().map(most).max().unwrap_or(0);
    (session.micro_batch as usize * most).next_multiple_of(LANES)
}

/// Lengths of a party's buffers for audits, in elements; 0 in sessions without audits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lengths {
    /// Pairs of counts, one for each cost row.
    counts: usize,
    /// Ring words.
    values: usize,
    /// Bytes.
    scratch: usize,
}

impl Lengths {
    pub fn new<R: Ring>(session: &Session, network: &Network) -> Self {
        if !session.has_audits() {
            return Lengths::default();
        }
        let audits = Audits::new(session, network, session.micro_batch as usize);
        let stages = 0..network.stages.len();
        let tensors =
            stages.flat_map(|stage| Values::ALL.map(|values| audits.tensor::<R>(stage, values)));
        let scratch = tensors.flatten().map(|audited| {
            let gate = Range::new::<R>(audited.contract);
            let parts = audited.parts();
            let lens = parts.map(|(_, _, [rows, len])| gate.scratch_len(rows, len));
            lens.max().unwrap_or(0)
        });
        Lengths {
            counts: 2 * network.stages.len(),
            values: piece_len(session, network),
            scratch: scratch.max().unwrap_or(0),
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        words(self.counts, size_of::<[u32; 2]>())
            + words(self.values, size_of::<R>())
            + words(self.scratch, 1)
    }
}

/// A party's audit of the current iteration, and the counts of the last one.
pub(crate) struct Audit<'a, R> {
    /// Whether the current iteration is audited.
    due: bool,
    /// Whether the counts are open.
    known: bool,
    /// For each cost row, forward and backward: this party's shares of the counts; once open, the counts.
    counts: &'a mut [[u32; 2]],
    values: &'a mut [R],
    scratch: &'a mut [u8],
}

impl<'a, R: Ring> Audit<'a, R> {
    /// Takes the buffers from the arena.
    pub fn take(arena: &mut Arena<'a>, lengths: Lengths) -> Self {
        Audit {
            due: false,
            known: false,
            counts: arena.take(lengths.counts),
            values: arena.take(lengths.values),
            scratch: arena.take(lengths.scratch),
        }
    }

    /// Begins an iteration, which is audited if `due`, with all counts at 0.
    pub fn begin(&mut self, due: bool) {
        self.due = due;
        self.known = false;
        self.counts.fill([0; 2]);
    }

    /// Shows a tensor to the observer, and adds it to the counts if the iteration is audited.
    #[inline(never)]
    pub fn observe_and_count<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        observer: &mut impl Observer<R>,
        audited: Option<Audited>,
        shares: &[Share<R>],
    ) -> Result<(), LinkError> {
        let Some(audited) = audited else {
            return Ok(());
        };
        let rings = [audited.ring, audited.contract.bits];
        observer.values(audited.stage, audited.values, rings, shares);
        let (cost_row, backward) = audited.cost_row();
        if !self.due {
            return Ok(());
        }
        cx.set_cost_row(cost_row, backward);
        let gate = Range::new::<R>(audited.contract);
        for (at, piece, shape) in audited.parts() {
            let shares = &shares[piece];
            let share = gate.run(cx, at, shape, shares, self.values, self.scratch)?;
            let count = &mut self.counts[cost_row][usize::from(backward)];
            *count = count.plus(share.reveal());
        }
        Ok(())
    }

    /// Opens the counts in one round, if the iteration is audited.
    #[inline(never)]
    pub fn open<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        audits: Audits<'_>,
    ) -> Result<(), LinkError> {
        if !self.due {
            return Ok(());
        }
        cx.set_cost_row(map_row(0), audits.session.task == Task::Train);
        // Only counts with audited tensors are sent: they move to the front, and back after the opening.
        let counts = self.counts.as_flattened_mut();
        let mut opened = 0;
        for count in 0..counts.len() {
            if audits.is_counted::<R>(count) {
                counts.swap(opened, count);
                opened += 1;
            }
        }
        // Both parties may know the sums, and shares of a sum that both know reveal no more, so they need no mask.
        let shares = Masked::wrap_slice_mut(&mut counts[..opened]);
        cx.open(&mut [Segment::words(shares, COUNT_BITS)])?;
        for count in (0..counts.len()).rev() {
            if audits.is_counted::<R>(count) {
                opened -= 1;
                counts.swap(opened, count);
            }
        }
        self.known = true;
        Ok(())
    }

    /// The counts of the last iteration, if it was audited and is complete.
    pub fn counts(&self) -> Option<&[[u32; 2]]> {
        self.known.then_some(&*self.counts)
    }

    /// Wipes the buffers that hold shares of values.
    pub fn wipe(&mut self) {
        use zeroize::Zeroize;
        self.values.zeroize();
        self.scratch.zeroize();
    }
}
