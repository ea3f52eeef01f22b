//! What SecureNN audits.

use crate::{
    audit::{self, AuditedTensor, AuditedTensors},
    num::ring::Ring,
    share::Values,
};

use super::{
    scale::{Rate, contract},
    stream_ids,
};

/// The tensors of SecureNN, whose shares are in Z_2^64.
pub(super) struct SecureNnTensors;

/// The audits of one micro-batch, or of a whole iteration if it has no rows.
pub(super) type Audits<'a> = audit::Audits<'a, SecureNnTensors>;

impl AuditedTensors for SecureNnTensors {
    /// There are no polynomials, so there are no arguments of any.
    fn tensor<R: Ring>(audits: Audits<'_>, stage: usize, values: Values) -> Option<AuditedTensor> {
        let (session, rows) = (audits.session, audits.rows);
        let here = &audits.network.stages[stage];
        let (contract, shape) = match values {
            Values::Outputs => (contract(session), [rows, here.linear.output_len()]),
            Values::Gradients if stage > 0 => (contract(session), [rows, here.linear.input_len()]),
            Values::Gradients | Values::Arguments => return None,
            Values::Velocities => (Rate::contract(session, here), [1, here.parameters()]),
        };
        let step = stream_ids::step(session, audits.iteration, audits.first);
        Some(AuditedTensor {
            contract,
            ring: R::BITS,
            shape,
            at: stream_ids::audit(step, stage, values),
        })
    }
}
