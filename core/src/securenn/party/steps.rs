//! A party's part in the steps of a stage.

use embedded_io::{Read, Write};

use crate::{network::walk::Steps, securenn::context::PartyContext, session::RunError};

use super::{Micro, Party};

/// A party at work on a micro-batch.
pub(super) struct PartySteps<'w, 'a, P, A> {
    pub party: &'w mut Party<'a>,
    pub cx: &'w mut PartyContext<P, A>,
    pub micro: Micro,
}

impl<P: Read + Write, A: Read + Write> Steps<RunError> for PartySteps<'_, '_, P, A> {
    fn map(&mut self, stage: usize) -> Result<(), RunError> {
        if stage > 0 {
            self.party.enter(self.micro, stage);
        }
        self.party.map(self.cx, self.micro, stage)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool(self.cx, self.micro, stage)
    }

    fn activation(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.relu(self.cx, self.micro, stage)
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.bias_gradient(self.micro, stage);
        if let Some(pool) = self.party.network.stages[stage].pooled_product() {
            self.party.spread(self.micro.rows, pool);
        }
        self.party.weight_gradient(self.cx, self.micro, stage)
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.input_gradient(self.cx, self.micro, stage)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.relu_back(self.cx, self.micro, stage)
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool_back(self.cx, self.micro, stage)
    }
}
