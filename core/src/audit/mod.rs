//! Audits of the range contract: every [`Session::audit`] iterations the parties learn how many values are outside of
//! it, for each cost row, and nothing else. A protocol says what its audited tensors are; the rest is the same for all.

mod party;

pub(crate) use party::{Audit, Counting, Lengths};

use core::marker::PhantomData;

use crate::{
    cost::{Cost, LANES},
    gate::{
        At, Contract, Offline,
        range::{COUNT_BITS, Range, pieces},
    },
    model::cost_rows::map_row,
    net::link::LinkError,
    network::{Network, Stage},
    num::ring::Ring,
    session::{Session, Task},
    share::Values,
};

/// What a protocol audits.
pub(crate) trait AuditedTensors: Sized {
    /// A tensor of a stage; none if the stage does not have it. It may also give tensors of the backward pass in
    /// inference, which are left out then.
    fn tensor<R: Ring>(
        audits: Audits<'_, Self>,
        stage: usize,
        values: Values,
    ) -> Option<AuditedTensor>;
}

/// A tensor that a protocol audits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuditedTensor {
    /// The contract that its values have to keep.
    pub contract: Contract,
    /// Bits of the ring of its shares: at least the contract's.
    pub ring: u32,
    /// Rows, and values of a row.
    pub shape: [usize; 2],
    /// Address of its audit.
    pub at: At,
}

/// The audits of one micro-batch, or of a whole iteration if it has no rows.
pub(crate) struct Audits<'a, T> {
    pub session: &'a Session,
    pub network: &'a Network,
    pub iteration: u32,
    /// Its first row in the batch.
    pub first: u32,
    /// Number of samples.
    pub rows: usize,
    tensors: PhantomData<T>,
}

impl<T> Clone for Audits<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Audits<'_, T> {}

/// An audited tensor of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audited {
    stage: usize,
    values: Values,
    tensor: AuditedTensor,
    /// The most values that one run of the gate counts.
    piece_len: usize,
}

impl<'a, T: AuditedTensors> Audits<'a, T> {
    /// The audits of a micro-batch of `rows` rows that begins at row `first` of the batch of an iteration.
    pub fn of_rows(
        (session, network): (&'a Session, &'a Network),
        iteration: u32,
        first: u32,
        rows: usize,
    ) -> Self {
        Audits {
            session,
            network,
            iteration,
            first,
            rows,
            tensors: PhantomData,
        }
    }

    /// The audits of a micro-batch of `rows` rows, the first of iteration 0.
    pub fn new(session: &'a Session, network: &'a Network, rows: usize) -> Self {
        Self::of_rows((session, network), 0, 0, rows)
    }

    /// The audits of a whole iteration.
    pub fn of_iteration(session: &'a Session, network: &'a Network, iteration: u32) -> Self {
        Self::of_rows((session, network), iteration, 0, 0)
    }

    /// An audited tensor of a stage; none if the stage does not have it. Inference has no backward pass.
    #[inline(never)]
    pub fn tensor<R: Ring>(self, stage: usize, values: Values) -> Option<Audited> {
        if self.session.task != Task::Train && values.cost_row(stage).1 {
            return None;
        }
        Some(Audited {
            stage,
            values,
            tensor: T::tensor::<R>(self, stage, values)?,
            piece_len: piece_len(self.session, self.network),
        })
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
        let gate = audited.gate::<R>();
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
    fn counts_cost<R: Ring>(self) -> Cost {
        let counts = 0..4 * self.network.stages.len();
        let opened = counts.filter(|&count| self.is_counted::<R>(count)).count();
        Cost::opening(opened, COUNT_BITS) + Cost::rounds(1)
    }

    /// The cost row that the opening of the counts counts for, and whether backward.
    fn counts_row(self) -> (usize, bool) {
        (map_row(0), self.session.task == Task::Train)
    }

    /// Calls `visit` for each gate that an audit adds to an iteration over `len` samples: with its name, its cost row,
    /// whether it is backward, and its cost. One round opens the counts of all cost rows.
    pub fn gates<R: Ring>(
        session: &Session,
        network: &Network,
        len: u32,
        mut visit: impl FnMut(&'static str, (usize, bool), Cost),
    ) {
        let size = session.micro_batch;
        let mut counted = |rows: u32, stage, values, times: u32| {
            let audits = Audits::<T>::new(session, network, rows as usize);
            if let Some(audited) = audits.tensor::<R>(stage, values) {
                let cost = audited.cost::<R>() * u64::from(times);
                visit("audit", audited.cost_row(), cost);
            }
        };
        for stage in 0..network.stages.len() {
            for (rows, times) in [(size, len / size), (len % size, 1)] {
                for values in [Values::Outputs, Values::Arguments, Values::Gradients] {
                    if rows > 0 {
                        counted(rows, stage, values, times);
                    }
                }
            }
            counted(0, stage, Values::Velocities, 1);
        }
        let audits = Audits::<T>::new(session, network, 0);
        visit("counts", audits.counts_row(), audits.counts_cost::<R>());
    }
}

impl Audited {
    /// The cost row that its values count for, and whether backward.
    fn cost_row(self) -> (usize, bool) {
        self.values.cost_row(self.stage)
    }

    /// The contract that its values have to keep.
    pub fn contract(self) -> Contract {
        self.tensor.contract
    }

    /// The gate that counts its values.
    fn gate<R: Ring>(self) -> Range {
        Range::new::<R>(self.tensor.contract)
    }

    /// Cost of its audit.
    fn cost<R: Ring>(self) -> Cost {
        let gate = self.gate::<R>();
        let parts = self.parts();
        parts.map(|(_, _, [rows, len])| gate.cost(rows, len)).sum()
    }

    /// The runs of the gate that count the tensor: for each its address, its values' range, and their rows and columns.
    /// A micro-batch's values take one run. Velocities, which may be many more, take as many as fit the same buffers.
    fn parts(self) -> impl Iterator<Item = (At, core::ops::Range<usize>, [usize; 2])> {
        let AuditedTensor { at, shape, .. } = self.tensor;
        let [rows, len] = shape;
        let (whole, in_pieces) = match self.values {
            Values::Velocities => (None, len),
            _ => (Some((at, 0..rows * len, shape)), 0),
        };
        let pieces = pieces(at, in_pieces, self.piece_len).map(|(at, piece)| {
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
