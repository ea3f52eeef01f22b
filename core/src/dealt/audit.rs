//! What the dealt protocols audit.

use crate::{
    audit::{self, AuditedTensor, AuditedTensors},
    dealt::{
        gate_set::GateSet,
        stream_ids::{self, Tensors},
    },
    network::{Activation, Network},
    num::ring::Ring,
    session::Session,
    share::Values,
};

const _: () = assert!(Values::ALL.len() as u32 == stream_ids::AUDITED_TENSORS);

/// The tensors of the dealt protocols.
pub(crate) struct DealtTensors;

/// The audits of one micro-batch, or of a whole iteration if it has no rows.
pub(crate) type Audits<'a> = audit::Audits<'a, DealtTensors>;

impl<'a> Audits<'a> {
    /// The audits of the micro-batch with these tensors.
    pub fn of(tensors: &Tensors<'a>) -> Self {
        Audits::of_rows(
            (tensors.session, tensors.network),
            tensors.iteration,
            tensors.first,
            tensors.samples.len(),
        )
    }
}

impl AuditedTensors for DealtTensors {
    /// In a direct format velocities are not narrow, so there is nothing to audit.
    fn tensor<R: Ring>(audits: Audits<'_>, stage: usize, values: Values) -> Option<AuditedTensor> {
        let (session, network): (&Session, &Network) = (audits.session, audits.network);
        let gates = GateSet::new(session, network);
        let (here, rows) = (&network.stages[stage], audits.rows);
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
            // Those of the map's output before a polynomial.
            Values::Arguments => session.format.narrow(),
            _ => contract.bits,
        };
        Some(AuditedTensor {
            contract,
            ring,
            shape,
            at: stream_ids::audit(audits.iteration, stage, values as u32, audits.first),
        })
    }
}
