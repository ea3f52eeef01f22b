//! The plan of a session, computed before a byte is sent: opened values, online bytes, rounds and dealer bytes for each
//! cost row, and the memory of each role.

mod corrections;
mod inference;
mod ranges;
mod sent;

pub use ranges::Ranged;
pub use sent::Sent;

use heapless::Vec;

#[cfg(feature = "contributions")]
use crate::dealt::{
    contributed_samples::ContributedSamples, contribution_check::ContributionCheck,
};
use crate::{
    Role,
    audit::Lengths as AuditLengths,
    cost::Cost,
    dealt::{
        audit::{Audits, DealtTensors},
        gate_set::GateSet,
        layout::{
            Lengths, StageLengths, dealer_scratch, reopened_weights_len, state_len, summed_len,
        },
    },
    gate::bilinear::Bilinear,
    model::cost_rows::{MAX_COST_ROWS, activation_row, map_row},
    network::{Activation, Name, Network, Stage},
    num::{arena::words, ring::Ring},
    prg::Key,
    session::{Batch, Session, Task, cost_row_names},
};

/// The costs of one cost row in one iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// Name of the cost row, as [`cost_row_names`] gives it.
    pub name: Name,
    /// Cost of the forward pass.
    pub forward: Cost,
    /// Cost of the backward pass and the update.
    pub backward: Cost,
}

/// Cost of one gate in one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateCost {
    /// Index of its cost row.
    pub cost_row: usize,
    /// Name of the gate or of the opening.
    pub gate: &'static str,
    /// Whether it belongs to the backward pass or the update.
    pub backward: bool,
    /// Its cost.
    pub cost: Cost,
}

/// The plan of a session.
pub struct Plan<'a> {
    session: &'a Session,
    network: &'a Network,
    gates: GateSet,
}

impl<'a> Plan<'a> {
    /// The plan of a session and its network, as [`check`](crate::dealt::check) returns it.
    pub fn new(session: &'a Session, network: &'a Network) -> Self {
        Plan {
            session,
            network,
            gates: GateSet::new(session, network),
        }
    }

    /// Bytes that the dealer sends to P0 in a session: its key.
    pub const DEALER_BYTES_P0: u64 = Key::LEN as u64;

    /// Bytes of P1's key, which the dealer sends once in a session, before the corrections.
    pub const KEY_BYTES_P1: u64 = Key::LEN as u64;

    /// Bytes of a training party's state, as [`Trainer::write_state`](crate::dealt::Trainer::write_state) gives it.
    pub fn state_len(&self) -> usize {
        state_len(self.session, self.network.parameters())
    }

    /// The cost of revealing the loss after an iteration: zero unless it ends an epoch whose loss is revealed.
    pub fn loss_of(&self, iteration: u32) -> Cost {
        match self.session.reveals_loss_after(iteration) {
            true => Cost::opening(1, self.gates.softmax.loss_bits) + Cost::rounds(1),
            false => Cost::ZERO,
        }
    }

    /// Cost of the check of contributions before a training on them, without what P1 tells the dealer.
    #[cfg(feature = "contributions")]
    pub fn check<R: Ring>(&self) -> Cost {
        ContributionCheck::new(self.session, self.network).cost::<R>()
    }

    /// 64-bit words that a party, or the dealer, needs for the check of contributions.
    #[cfg(feature = "contributions")]
    pub fn check_words<R: Ring>(&self) -> usize {
        ContributionCheck::new(self.session, self.network).words::<R>()
    }

    /// Bytes that say which contributions break a bound.
    #[cfg(feature = "contributions")]
    pub fn broken_len(&self) -> usize {
        ContributionCheck::new(self.session, self.network).broken_len()
    }

    /// Bytes that the owner of `rows` samples sends to open them once, if samples keep their masks.
    pub fn data_bytes(&self, rows: u32) -> u64 {
        let values = rows as usize * self.network.stages[0].linear.input_len();
        Cost::opening(values, self.session.format.ring).online_bytes
    }

    /// Whether samples keep their masks and are opened in an iteration of a run that begins at iteration `start`: 0, or
    /// that of the state that the parties took back. [`Plan::data`] gives the cost.
    ///
    /// They are opened up to the end of the first epoch that the run works through from its first iteration on. So a
    /// run that begins within an epoch opens the rest of it and the whole of the next one.
    pub fn opens_samples(&self, start: u32, iteration: u32) -> bool {
        self.session.opens_samples(start, iteration)
    }

    /// Bytes that `role` sends to open its samples in a training run that begins at iteration `start`, if samples keep
    /// their masks.
    pub fn run_data_bytes(&self, role: Role, start: u32) -> u64 {
        let session = self.session;
        let shuffle = session.shuffle();
        let opening = (start..session.iterations()).take_while(|&i| self.opens_samples(start, i));
        let bytes = opening.map(|iteration| {
            let Batch {
                epoch, first, len, ..
            } = session.batch(iteration);
            let samples = (first..first + len).map(|position| shuffle.sample(epoch, position));
            let own = samples.filter(|&sample| session.owner(sample) == role);
            self.data_bytes(own.count() as u32)
        });
        bytes.sum()
    }

    /// Calls `visit` for each gate of a training iteration over `len` samples, without audits and without the opening
    /// of samples that keep their masks. Gates with the same name in one cost row add up.
    pub fn gates<R: Ring>(&self, len: u32, mut visit: impl FnMut(GateCost)) {
        let size = self.session.micro_batch;
        for (index, stage) in self.network.stages.iter().enumerate() {
            self.iteration_gates::<R>(stage, index, len, &mut visit);
            for (rows, times) in [(size, len / size), (len % size, 1)] {
                if rows > 0 {
                    let mut visit = |gate: GateCost| {
                        visit(GateCost {
                            cost: gate.cost * u64::from(times),
                            ..gate
                        });
                    };
                    self.map_gates(stage, index, rows as usize, &mut visit);
                    self.activation_gates::<R>(stage, index, rows as usize, &mut visit);
                }
            }
        }
    }

    /// Calls `visit` for each gate that an audit adds to an iteration over `len` samples. One round opens the counts of
    /// all cost rows; it counts for the first one.
    pub fn audit_gates<R: Ring>(&self, len: u32, mut visit: impl FnMut(GateCost)) {
        let (session, network) = (self.session, self.network);
        Audits::gates::<R>(session, network, len, |gate, (cost_row, backward), cost| {
            visit(GateCost {
                cost_row,
                gate,
                backward,
                cost,
            });
        });
    }

    /// The cost that an audit adds to an iteration over `len` samples.
    pub fn audit<R: Ring>(&self, len: u32) -> Cost {
        let mut sum = Cost::ZERO;
        self.audit_gates::<R>(len, |gate| sum += gate.cost);
        sum
    }

    /// The cost of the audit of an iteration over `len` samples; zero if it is not audited.
    fn audit_of<R: Ring>(&self, iteration: u32, len: u32) -> Cost {
        match self.session.is_audited(iteration) {
            true => self.audit::<R>(len),
            false => Cost::ZERO,
        }
    }

    /// The cost that an audit adds to each cost row of an iteration over `len` samples.
    pub fn audit_cost_rows<R: Ring>(&self, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
        self.sum_cost_rows(|visit| self.audit_gates::<R>(len, visit))
    }

    /// The cost rows of a training iteration over `len` samples; see [`Plan::gates`] for what they leave out.
    pub fn cost_rows<R: Ring>(&self, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
        self.sum_cost_rows(|visit| self.gates::<R>(len, visit))
    }

    /// Sums the costs of gates for each cost row. `gates` calls its argument for each gate.
    fn sum_cost_rows(
        &self,
        gates: impl FnOnce(&mut dyn FnMut(GateCost)),
    ) -> Vec<CostRow, MAX_COST_ROWS> {
        let mut cost_rows: Vec<CostRow, MAX_COST_ROWS> = Vec::new();
        for name in cost_row_names(self.session, self.network) {
            let _ = cost_rows.push(CostRow {
                name,
                forward: Cost::ZERO,
                backward: Cost::ZERO,
            });
        }
        gates(&mut |gate| {
            let cost_row: &mut CostRow = &mut cost_rows[gate.cost_row];
            if gate.backward {
                cost_row.backward += gate.cost;
            } else {
                cost_row.forward += gate.cost;
            }
        });
        cost_rows
    }

    /// Visits the gates that a stage's map runs once in an iteration: the opening of its weights, and their update. One
    /// round opens the weights of all stages, another one all velocities; both count for the first cost row.
    fn iteration_gates<R: Ring>(
        &self,
        stage: &Stage,
        index: usize,
        len: u32,
        visit: &mut impl FnMut(GateCost),
    ) {
        let ring = self.session.format.ring;
        let triples = self.session.protocol.triples();
        let cost_row = map_row(index);
        let rounds = Cost::rounds(u64::from(index == 0));
        visit(GateCost {
            cost_row,
            gate: "weights",
            backward: false,
            cost: Cost::opening(stage.linear.weight_len(), ring) + rounds,
        });
        #[cfg(feature = "contributions")]
        if index == 0 && self.session.contributions.is_some() {
            let samples = ContributedSamples::new(self.session, self.network);
            visit(GateCost {
                cost_row,
                gate: "contributions",
                backward: false,
                cost: samples.cost::<R>(len as usize),
            });
        }
        if index == 0 && !self.session.keeps_data() {
            // The round that opens the weights also opens the first micro-batch.
            let later = len.div_ceil(self.session.micro_batch).saturating_sub(1);
            let values = len as usize * stage.operand_len();
            visit(GateCost {
                cost_row,
                gate: "operand",
                backward: false,
                cost: Cost::opening(values, ring) + Cost::rounds(later.into()),
            });
        }
        if index > 0 && !triples.reuse() {
            visit(GateCost {
                cost_row,
                gate: "weights again",
                backward: true,
                cost: Cost::opening(stage.linear.weight_len(), ring),
            });
        }
        visit(GateCost {
            cost_row,
            gate: "weight gradient",
            backward: true,
            cost: Cost::dealt(1, summed_len(self.session, stage), ring),
        });
        if self.session.format.is_direct() {
            return;
        }
        if self.session.clips() {
            visit(GateCost {
                cost_row,
                gate: "clip",
                backward: true,
                cost: self.gates.clip::<R>().cost(2, stage.parameters()),
            });
        }
        let velocity = self.gates.velocity().cost(1, stage.parameters());
        visit(GateCost {
            cost_row,
            gate: "velocity",
            backward: true,
            cost: Cost {
                rounds: 0,
                ..velocity
            } + rounds,
        });
    }

    /// Visits the gates that a stage's map runs for a micro-batch of `rows` samples.
    fn map_gates(
        &self,
        stage: &Stage,
        index: usize,
        rows: usize,
        visit: &mut impl FnMut(GateCost),
    ) {
        let ring = self.session.format.ring;
        let reuse = self.session.protocol.triples().reuse();
        let (linear, rows_each) = stage.product();
        let gate = Bilinear(linear);
        let operand = Cost::opening(rows * stage.operand_len(), ring);
        let gradient = Cost::opening(rows * stage.product_len(), ring) + Cost::rounds(1);
        #[cfg(feature = "private-training")]
        let samples = rows;
        let rows = rows * rows_each;
        let mut map = |gate, backward, cost| {
            visit(GateCost {
                cost_row: map_row(index),
                gate,
                backward,
                cost,
            });
        };
        if index > 0 {
            map("operand", false, operand + Cost::rounds(1));
        }
        map("product", false, gate.forward_cost(ring, rows));
        map("gradient", true, gradient);
        #[cfg(feature = "private-training")]
        if let Some(Some(clip)) = self.session.sample_clip(self.network, index) {
            clip.gates(samples, stage, ring, |gate, cost| map(gate, true, cost));
        }
        if !reuse {
            map("operand again", true, operand);
            if index > 0 {
                map("gradient again", true, gradient);
            }
        }
        if index > 0 {
            map("input gradient", true, gate.input_gradient_cost(ring, rows));
        }
    }

    /// Visits the gates after a stage's map for a micro-batch of `rows` samples: max pooling and activation, or
    /// softmax.
    fn activation_gates<R: Ring>(
        &self,
        stage: &Stage,
        index: usize,
        rows: usize,
        visit: &mut impl FnMut(GateCost),
    ) {
        let out = stage.leaving_len();
        let mut activation = |gate, backward, cost| {
            visit(GateCost {
                cost_row: activation_row(index),
                gate,
                backward,
                cost,
            });
        };
        if index + 1 == self.network.stages.len() {
            activation("softmax", false, self.gates.softmax.cost(rows));
            return;
        }
        let drop = self.session.gradient_drop(self.network, index);
        if let Some(windows) = stage.max_pool {
            let pool = self.gates.max_pool::<R>(windows, drop);
            activation("max pool", false, pool.forward_cost(rows));
            activation("max pool", true, pool.backward_cost(rows));
        }
        match stage.activation {
            Some(Activation::Relu) => {
                activation("relu", false, self.gates.relu::<R>().cost(rows, out));
                activation("select", true, self.gates.select(drop).cost(rows, out));
            }
            Some(Activation::Polynomial(polynomial, _)) => {
                let gate = self.gates.polynomial(polynomial, drop);
                activation("polynomial", false, gate.forward_cost(rows, out));
                activation("polynomial", true, gate.backward_cost(rows, out));
            }
            None => {
                activation("widen", false, self.gates.widen().cost(rows, out));
                let backward = self.gates.widen_backward(drop).cost(rows, out);
                activation("widen", true, backward);
            }
        }
    }

    /// The sum of [`Plan::cost_rows`].
    pub fn iteration<R: Ring>(&self, len: u32) -> Cost {
        let cost_rows = self.cost_rows::<R>(len);
        cost_rows
            .iter()
            .map(|cost_row| cost_row.forward + cost_row.backward)
            .sum()
    }

    /// The cost that the opening of samples adds to an iteration in which [`Plan::opens_samples`]. The iteration has `len` samples, of which the party owns `rows`.
    pub fn data<R: Ring>(&self, len: u32, rows: u32) -> Cost {
        if !self.session.keeps_data() {
            return Cost::ZERO;
        }
        // The round that opens the weights also opens the first micro-batch.
        let later = len.div_ceil(self.session.micro_batch).saturating_sub(1);
        Cost {
            opened_values: u64::from(len) * self.network.stages[0].linear.input_len() as u64,
            online_bytes: self.data_bytes(rows),
            dealer_bytes: 0,
            rounds: u64::from(later),
        }
    }

    /// 64-bit words of a party's arena.
    pub fn arena_words<R: Ring>(&self, role: Role) -> usize {
        let rows = self.session.micro_batch as usize;
        let stages = &self.network.stages;
        let stage_words = |index| {
            StageLengths::new::<R>(self.session, self.gates, stages, index, rows, role).words::<R>()
        };
        (0..stages.len()).map(stage_words).sum::<usize>()
            + Lengths::new::<R>(self.session, self.gates, self.network, rows, role).words::<R>()
            + AuditLengths::new::<R, DealtTensors>(self.session, self.network).words::<R>()
    }

    /// Ring words that a party needs to store the openings of the peer's samples; `usize::MAX` if they are more than a
    /// `usize` counts.
    pub fn opened_data_words(&self, role: Role) -> usize {
        let keeps = self.session.keeps_data();
        if !keeps || self.session.task != Task::Train {
            return 0;
        }
        let samples = self.session.samples[role.other().index()] as usize;
        samples.saturating_mul(self.network.stages[0].linear.input_len())
    }

    /// 64-bit words of the dealer's arena.
    pub fn dealer_arena_words<R: Ring>(&self) -> usize {
        let rows = self.session.micro_batch as usize;
        let ring = size_of::<R>();
        let stage_words = |stage: &Stage| {
            2 * words(stage.linear.weight_len(), ring)
                + words(summed_len(self.session, stage), ring)
                + 2 * words(reopened_weights_len(self.session, stage), ring)
        };
        self.network.stages.iter().map(stage_words).sum::<usize>()
            + 2 * self.gates.softmax.table_len()
            + dealer_scratch::<R>(self.session, self.network, rows)
            + words(rows, size_of::<u32>())
    }
}
