//! The plan of inference and evaluation: the cost of each batch, and of the opening of the model in the first one.

use heapless::Vec;

use crate::{
    Role,
    cost::Cost,
    model::cost_rows::{MAX_COST_ROWS, activation_row, map_row},
    num::ring::Ring,
};

use super::{CostRow, GateCost, Plan};

impl Plan<'_> {
    /// The cost for `role` of the opening of a stage's weights, in the first batch of a session. Their owner alone sends
    /// them, or both parties if they share the model. They share the round of the first samples.
    pub fn stage_opening(&self, stage: usize, role: Role) -> Cost {
        let weights = self.network.stages[stage].linear.weight_len();
        let owner = self.session.model_owner();
        self.owned_opening(weights, owner.is_none_or(|owner| owner == role))
    }

    /// The cost for `role` of the opening of the whole model, in the first batch of a session.
    pub fn model_opening(&self, role: Role) -> Cost {
        let stages = 0..self.network.stages.len();
        stages.map(|stage| self.stage_opening(stage, role)).sum()
    }

    /// Calls `visit` for each gate of the classification of `len` samples, with its cost for `role`, without the
    /// opening of the model. Gates with the same name in one cost row add up.
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
            let argmax = self.gates.argmax();
            let answer = argmax.answer_cost(rows, role, self.session.samples_owner());
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

    /// The cost rows for `role` of the classification of `len` samples, without the opening of the model.
    pub fn inference<R: Ring>(&self, role: Role, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
        self.sum_cost_rows(|visit| self.inference_gates::<R>(role, len, visit))
    }

    /// Opening of `rows` samples. Only their owner sends them if samples keep their masks; else both parties do.
    fn samples_opening(&self, role: Role, rows: usize) -> Cost {
        let stage = &self.network.stages[0];
        if self.session.keeps_data() {
            let values = rows * stage.linear.input_len();
            self.owned_opening(values, self.session.samples_owner() == role)
        } else {
            Cost::opening(rows * stage.operand_len(), self.session.format.ring)
        }
    }

    /// Opening of values that only their owner sends.
    fn owned_opening(&self, values: usize, mine: bool) -> Cost {
        let cost = Cost::opening(values, self.session.format.ring);
        Cost {
            online_bytes: if mine { cost.online_bytes } else { 0 },
            ..cost
        }
    }
}
