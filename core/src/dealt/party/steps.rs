//! A party's part in each step of a stage, in the order of [`walk`](crate::network::walk).

use embedded_io::{Read, Write};

use crate::{
    dealt::{micro_batch::MicroBatch, party_context::PartyContext},
    network::walk::Steps,
    num::ring::Ring,
    session::RunError,
    share::observer::Observer,
};

use super::Party;

/// A party while it works on a micro-batch.
pub(super) struct PartySteps<'w, 'a, R: Ring, P, D, O> {
    pub party: &'w mut Party<'a, R>,
    pub cx: &'w mut PartyContext<P, D>,
    pub micro: MicroBatch,
    pub observer: &'w mut O,
}

impl<R: Ring, P: Read + Write, D: Read + Write, O: Observer<R>> Steps<RunError>
    for PartySteps<'_, '_, R, P, D, O>
{
    fn map(&mut self, stage: usize) -> Result<(), RunError> {
        if stage > 0 {
            self.party
                .open_operand(self.cx, self.micro, stage, self.observer)?;
        }
        self.party.map(self.cx, self.micro, stage, self.observer)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool(self.cx, self.micro, stage)
    }

    fn activation(&mut self, stage: usize) -> Result<(), RunError> {
        self.party
            .activation(self.cx, self.micro, stage, self.observer)
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.keep_skip_gradient(self.micro, stage);
        #[cfg(feature = "private-training")]
        if self.party.is_private() {
            return self
                .party
                .clip_samples(self.cx, self.micro, stage, self.observer);
        }
        self.party.bias_gradient(self.micro, stage);
        self.party
            .open_gradient(self.cx, self.micro, stage, self.observer)?;
        self.party.weight_gradient(self.cx, self.micro, stage);
        Ok(())
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), RunError> {
        if !self.party.session.protocol.triples().reuse() {
            self.party.reopen_gradient(self.cx, self.micro, stage)?;
        }
        self.party
            .input_gradient(self.cx, self.micro, stage, self.observer)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.activation_backward(self.cx, self.micro, stage)
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), RunError> {
        self.party.max_pool_backward(self.cx, self.micro, stage)
    }
}
