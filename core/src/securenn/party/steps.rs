//! A party's part in each step of a stage, in the order of [`walk`](crate::network::walk).

use embedded_io::{Read, Write};

use crate::{
    network::walk::Steps, securenn::context::PartyContext, session::RunError,
    share::observer::Observer,
};

use super::{MicroBatch, Party};

/// A party while it works on a micro-batch.
pub(super) struct PartySteps<'w, 'a, P, A, O> {
    pub party: &'w mut Party<'a>,
    pub cx: &'w mut PartyContext<P, A>,
    pub micro: MicroBatch,
    pub observer: &'w mut O,
}

impl<P: Read + Write, A: Read + Write, O: Observer<u64>> Steps<RunError>
    for PartySteps<'_, '_, P, A, O>
{
    fn map(&mut self, stage: usize) -> Result<(), RunError> {
        if stage > 0 {
            self.party.load_operand(self.micro, stage, self.observer);
        }
        self.party.map(self.cx, self.micro, stage, self.observer)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool(self.cx, self.micro, stage)
    }

    fn activation(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.relu(self.cx, self.micro, stage)
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.bias_gradient(self.micro, stage, self.observer);
        if let Some(pool) = self.party.network.stages[stage].pooled_product() {
            self.party.avg_pool_backward(self.micro.rows, pool);
        }
        self.party.weight_gradient(self.cx, self.micro, stage)
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        self.party
            .input_gradient(self.cx, self.micro, stage, self.observer)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.relu_backward(self.cx, self.micro, stage)
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool_backward(self.cx, self.micro, stage)
    }
}
