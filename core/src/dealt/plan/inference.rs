//! What inference costs: one batch, and what opening the model adds to the first.

use heapless::Vec;

use crate::{
    Role,
    cost::Cost,
    model::cost_rows::{MAX_COST_ROWS, activation_row, map_row},
    num::ring::Ring,
};

use super::{CostRow, GateCost, Plan};
use crate::session::cost_row_names;

impl Plan<'_> {
    /// What the first batch of a session costs `role` beyond the others: the opening of a stage's weights, which their
    /// owner alone sends, in the round in which the first samples are opened.
    pub fn stage_opening(&self, stage: usize, role: Role) -> Cost {
        let weights = self.network.stages[stage].linear.weight_len();
        self.owned(weights, self.session.model_owner() == Some(role))
    }

    /// What the first batch of a session costs `role` beyond the others: the opening of the model.
    pub fn model_opening(&self, role: Role) -> Cost {
        let stages = 0..self.network.stages.len();
        stages.map(|stage| self.stage_opening(stage, role)).sum()
    }

    /// Visits every gate of the classification of `len` samples with its cost row and what it costs `role`, all but the
    /// opening of the model. Gates of equal name in a cost row add up.
    pub fn inference_gates<R: Ring>(&self, role: Role, len: u32, mut visit: impl FnMut(GateCost)) {
        let size = self.session.micro_batch;
        let last = self.network.stages.len() - 1;
        for (rows, times) in [(size, len / size), (len % size, 1)] {
            let mut visit = |gate: GateCost| {
                if !gate.backward {
                    visit(GateCost {
                        cost: gate.cost * u64::from(times),
                        ..gate
                    });
                }
            };
            let rows = rows as usize;
            if rows == 0 {
                continue;
            }
            visit(GateCost {
                cost_row: map_row(0),
                gate: "data",
                backward: false,
                cost: self.samples_opening(role, rows) + Cost::rounds(1),
            });
            for (index, stage) in self.network.stages.iter().enumerate() {
                self.map_gates(stage, index, rows, &mut visit);
                if index < last {
                    self.activation_gates::<R>(stage, index, rows, &mut visit);
                }
            }
            let argmax = self.gates.argmax::<R>();
            let answer = argmax.answer_cost(rows, role, self.session.asking());
            for (gate, cost) in [("argmax", argmax.cost(rows)), ("answer", answer)] {
                visit(GateCost {
                    cost_row: activation_row(last),
                    gate,
                    backward: false,
                    cost,
                });
            }
        }
    }

    /// What it costs `role` to classify `len` samples, layer by layer, all but the opening of the model.
    pub fn inference<R: Ring>(&self, role: Role, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
        let mut cost_rows: Vec<CostRow, MAX_COST_ROWS> = Vec::new();
        for name in cost_row_names(self.session, self.network) {
            let _ = cost_rows.push(CostRow {
                name,
                forward: Cost::ZERO,
                backward: Cost::ZERO,
            });
        }
        self.inference_gates::<R>(role, len, |gate| {
            cost_rows[gate.cost_row].forward += gate.cost
        });
        cost_rows
    }

    /// The opening of `rows` samples: by their owner alone where data keeps its masks, as any tensor where it does not.
    fn samples_opening(&self, role: Role, rows: usize) -> Cost {
        let stage = &self.network.stages[0];
        if self.session.protocol.triples().keep_data() {
            let values = rows * stage.linear.input_len();
            self.owned(values, self.session.asking() == role)
        } else {
            Cost::opening(rows * stage.operand_len(), self.session.format.ring)
        }
    }

    /// The opening of values that one party owns.
    fn owned(&self, values: usize, mine: bool) -> Cost {
        let cost = Cost::opening(values, self.session.format.ring);
        Cost {
            online_bytes: if mine { cost.online_bytes } else { 0 },
            ..cost
        }
    }
}
