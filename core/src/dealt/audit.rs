//! Audits of the range contract: every so many iterations the parties learn how many values left it, cost row by cost row, and nothing else.

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
        At, Offline, Online,
        range::{COUNT_BITS, Range, pieces},
    },
    model::cost_rows::{activation_row, map_row},
    net::link::{LinkError, Segment},
    network::{Activation, Network, Stage},
    num::{
        arena::Arena,
        ring::{Ring, Word},
    },
    session::Session,
    share::{Masked, Share, observer::Observer},
};

/// What of a stage is audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the map makes, stepped down.
    Product,
    /// The same in the ring in which a polynomial takes it.
    Polynomial,
    /// The gradient by the stage's input, stepped down.
    InputGradient,
    /// The velocities.
    Velocity,
}

impl Kind {
    pub const ALL: [Kind; 4] = [
        Kind::Product,
        Kind::Polynomial,
        Kind::InputGradient,
        Kind::Velocity,
    ];
}

const _: () = assert!(Kind::ALL.len() as u32 == stream_ids::AUDITED_TENSORS);

/// Where a micro-batch's audits stand.
#[derive(Clone, Copy)]
pub(crate) struct Audits<'a> {
    pub session: &'a Session,
    pub network: &'a Network,
    pub iteration: u32,
    /// Row of the batch that comes first, and number of rows.
    pub first: u32,
    pub rows: usize,
}

/// A tensor of narrow values whose range is audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audited {
    stage: usize,
    kind: Kind,
    /// Ring of its shares, in bits.
    bits: u32,
    /// Rows and values of a row.
    shape: [usize; 2],
    at: At,
    /// The most values that are counted in one go.
    room: usize,
}

impl<'a> Audits<'a> {
    /// The audits of a first micro-batch of `rows` rows.
    pub fn new(session: &'a Session, network: &'a Network, rows: usize) -> Self {
        Audits {
            session,
            network,
            iteration: 0,
            first: 0,
            rows,
        }
    }

    /// The audits of the narrow values of a micro-batch with these tensors.
    pub fn of(tensors: &Tensors<'a>) -> Self {
        Audits {
            session: tensors.session,
            network: tensors.network,
            iteration: tensors.iteration,
            first: tensors.first,
            rows: tensors.samples.len(),
        }
    }

    /// A stage's tensor; none if the stage has no such values. Velocities of weights that are multiplied as they are
    /// stay in the full ring.
    #[inline(never)]
    pub fn tensor(self, stage: usize, kind: Kind) -> Option<Audited> {
        let Audits {
            session,
            network,
            rows,
            ..
        } = self;
        let format = session.format;
        let narrow = format.narrow();
        let here = &network.stages[stage];
        let (bits, shape) = match kind {
            Kind::Product => (narrow, [rows, here.linear.output_len()]),
            Kind::Polynomial => {
                let Some(Activation::Polynomial(polynomial, _)) = here.activation else {
                    return None;
                };
                let drop = session.gradient_drop(network, stage);
                let gate = GateSet::new(session, network).polynomial(polynomial, drop);
                (gate.from, [rows, here.leaving_len()])
            }
            Kind::InputGradient => {
                let drop = session.gradient_drop(network, stage.checked_sub(1)?);
                (narrow - drop, [rows, here.linear.input_len()])
            }
            Kind::Velocity if format.is_direct() => return None,
            Kind::Velocity => (narrow, [1, here.parameters()]),
        };
        Some(Audited {
            stage,
            kind,
            bits,
            shape,
            at: stream_ids::audit(self.iteration, stage, kind as u32, self.first),
            room: room(session, network),
        })
    }

    /// Sends the corrections for counting a stage's tensor, if it has it and the iteration is audited.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        stage: usize,
        kind: Kind,
    ) -> Result<(), LinkError> {
        if !self.session.is_audited(self.iteration) {
            return Ok(());
        }
        let Some(audited) = self.tensor(stage, kind) else {
            return Ok(());
        };
        let gate = Range::new::<R>(audited.bits);
        for (at, _, [rows, len]) in audited.parts() {
            gate.deal::<R, D>(cx, at, rows, len)?;
        }
        Ok(())
    }

    /// Whether anything is counted at a place: those of a cost row forward and backward follow each other, cost row after
    /// cost row.
    #[inline(never)]
    fn has(self, place: usize) -> bool {
        let (cost_row, backward) = (place / 2, place % 2 == 1);
        Kind::ALL.iter().any(|&kind| {
            let audited = self.tensor(cost_row / 2, kind);
            audited.is_some_and(|audited| audited.cost_row() == (cost_row, backward))
        })
    }

    /// Cost of opening the counts.
    pub fn counts_cost(self) -> Cost {
        let places = 0..4 * self.network.stages.len();
        let audited = places.filter(|&place| self.has(place)).count();
        Cost::opening(audited, COUNT_BITS) + Cost::rounds(1)
    }

    /// Cost of counting a stage's tensor, if it has it.
    pub fn cost<R: Ring>(self, stage: usize, kind: Kind) -> Option<(Audited, Cost)> {
        let audited = self.tensor(stage, kind)?;
        let gate = Range::new::<R>(audited.bits);
        let parts = audited.parts();
        let cost = parts.map(|(_, _, [rows, len])| gate.cost(rows, len)).sum();
        Some((audited, cost))
    }
}

impl Audited {
    /// The cost row that it is booked under, and whether it belongs to the way back.
    pub fn cost_row(self) -> (usize, bool) {
        match self.kind {
            Kind::Product => (map_row(self.stage), false),
            Kind::Polynomial => (activation_row(self.stage), false),
            Kind::InputGradient | Kind::Velocity => (map_row(self.stage), true),
        }
    }

    /// What is counted in one go: where it stands, its values and their shape. A micro-batch's values go together;
    /// velocities, of which there may be many more, in pieces that fit the same room.
    fn parts(self) -> impl Iterator<Item = (At, core::ops::Range<usize>, [usize; 2])> {
        let Audited { at, room, .. } = self;
        let [rows, len] = self.shape;
        let (whole, in_pieces) = match self.kind {
            Kind::Velocity => (None, len),
            _ => (Some((at, 0..rows * len, self.shape)), 0),
        };
        let pieces = pieces(at, in_pieces, room).map(|(at, piece)| {
            let shape = [1, piece.len()];
            (at, piece, shape)
        });
        whole.into_iter().chain(pieces)
    }
}

/// The most values that are audited in one go: those of the largest tensor of a micro-batch, in whole groups.
fn room(session: &Session, network: &Network) -> usize {
    let most = |stage: &Stage| stage.linear.output_len().max(stage.linear.input_len());
    let most = network.stages.iter().map(most).max().unwrap_or(0);
    (session.micro_batch as usize * most).next_multiple_of(LANES)
}

/// Lengths of a party's buffers for audits, in elements: none where there is no audit.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lengths {
    /// Lines of the plan.
    counts: usize,
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
        let tensors = stages.flat_map(|stage| Kind::ALL.map(|kind| audits.tensor(stage, kind)));
        let scratch = tensors.flatten().map(|audited| {
            let gate = Range::new::<R>(audited.bits);
            let parts = audited.parts();
            let lens = parts.map(|(_, _, [rows, len])| gate.scratch_len(rows, len));
            lens.max().unwrap_or(0)
        });
        Lengths {
            counts: 2 * network.stages.len(),
            values: room(session, network),
            scratch: scratch.max().unwrap_or(0),
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        words(self.counts, size_of::<[u32; 2]>())
            + words(self.values, size_of::<R>())
            + words(self.scratch, 1)
    }
}

/// A party's audit of an iteration.
pub(crate) struct Audit<'a, R> {
    /// Whether this iteration is audited.
    due: bool,
    /// Whether the counts have been opened.
    known: bool,
    /// For each cost row, forward and backward: shares of the counts, then the counts.
    counts: &'a mut [[u32; 2]],
    values: &'a mut [R],
    scratch: &'a mut [u8],
}

impl<'a, R: Ring> Audit<'a, R> {
    pub fn take(arena: &mut Arena<'a>, lengths: Lengths) -> Self {
        Audit {
            due: false,
            known: false,
            counts: arena.take(lengths.counts),
            values: arena.take(lengths.values),
            scratch: arena.take(lengths.scratch),
        }
    }

    /// Begins an iteration, which is audited if `due`.
    pub fn begin(&mut self, due: bool) {
        self.due = due;
        self.known = false;
        self.counts.fill([0; 2]);
    }

    /// Shows a tensor to the watch, and counts it if the iteration is audited.
    #[inline(never)]
    pub fn look<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        observer: &mut impl Observer<R>,
        audited: Option<Audited>,
        shares: &[Share<R>],
    ) -> Result<(), LinkError> {
        let Some(audited) = audited else {
            return Ok(());
        };
        let (cost_row, backward) = audited.cost_row();
        observer.narrow(cost_row, backward, audited.bits, shares);
        if !self.due {
            return Ok(());
        }
        cx.set_cost_row(cost_row, backward);
        let gate = Range::new::<R>(audited.bits);
        for (at, piece, shape) in audited.parts() {
            let shares = &shares[piece];
            let share = gate.run(cx, at, shape, shares, self.values, self.scratch)?;
            let count = &mut self.counts[cost_row][usize::from(backward)];
            *count = count.plus(share.reveal());
        }
        Ok(())
    }

    /// Opens the counts, if the iteration is audited.
    #[inline(never)]
    pub fn open<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        audits: Audits<'_>,
    ) -> Result<(), LinkError> {
        if !self.due {
            return Ok(());
        }
        cx.set_cost_row(map_row(0), true);
        // What nothing was added to would be sent as it is: those in between move up and back again.
        let counts = self.counts.as_flattened_mut();
        let mut audited = 0;
        for place in 0..counts.len() {
            if audits.has(place) {
                counts.swap(audited, place);
                audited += 1;
            }
        }
        // Both parties are to know the sums, and shares of a known sum say no more than it does.
        let shares = Masked::wrap_slice_mut(&mut counts[..audited]);
        cx.open(&mut [Segment::words(shares, COUNT_BITS)])?;
        for place in (0..counts.len()).rev() {
            if audits.has(place) {
                audited -= 1;
                counts.swap(audited, place);
            }
        }
        self.known = true;
        Ok(())
    }

    /// The counts of the last iteration, if it was audited to its end.
    pub fn counts(&self) -> Option<&[[u32; 2]]> {
        self.known.then_some(&*self.counts)
    }

    /// Wipes what depends on shares.
    pub fn wipe(&mut self) {
        use zeroize::Zeroize;
        self.values.zeroize();
        self.scratch.zeroize();
    }
}
