//! The cost of an iteration of the same training by every protocol.

use ringlet_core::{
    cost::Cost,
    dealt::{CostRow, Plan},
    model::{Model, TripleScheme},
    num::Ring,
    session::{Session, SessionError},
};

use crate::{
    config::{
        activation::Activation,
        session::{one_batch, with_polynomials},
    },
    error::Failure,
};

/// Bytes of one value in the published protocol.
pub const PUBLISHED_VALUE_BYTES: u64 = 16;

/// The cost rows of a whole batch of one owner's data, used for the first time or again.
fn cost_rows<R: Ring>(session: &Session, first: bool) -> Result<Vec<CostRow>, Failure> {
    let network = ringlet_core::dealt::check::<R>(session)?;
    let plan = Plan::new(session, &network);
    let mut rows: Vec<CostRow> = plan
        .cost_rows::<R>(session.batch_rows())
        .into_iter()
        .collect();
    if first {
        rows[0].forward += plan.data::<R>(session.batch_rows(), session.batch_rows());
    }
    Ok(rows)
}

/// Values that the published protocol opens at each layer of the same network, forward and backward;
/// none if its polynomials do not fit, or the network has layers that it lacks.
pub fn published_values(session: &Session) -> Option<Vec<[u64; 2]>> {
    let published = with_polynomials(session, TripleScheme::Seed, &Activation::default()).ok()?;
    let rows = cost_rows::<u64>(&published, true).ok()?;
    let values = |row: &CostRow| [row.forward, row.backward].map(|cost| cost.opened_values);
    Some(rows.iter().map(values).collect())
}

/// A protocol, and the cost of an iteration by it.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its name in the table.
    pub name: &'static str,
    /// The session.
    pub session: Session,
    /// The cost of an iteration of the first epoch, layer by layer; the softmax comes last.
    pub first: Vec<CostRow>,
    /// The same in later epochs.
    pub later: Vec<CostRow>,
    /// Whether it opens only words before the softmax, so that they can be counted as words of the published protocol.
    in_words: bool,
}

/// The protocols to compare, the published ones first. They train `model` with batches of `batch`, and with `activation`
/// in place of ReLU where there is no exact one.
pub fn protocols(
    model: &Model,
    batch: u32,
    activation: &Activation,
) -> Result<Vec<Compared>, Failure> {
    let exact = one_batch(model.clone(), batch)?;
    [
        ("seed baseline", Some(TripleScheme::Baseline)),
        ("seed optimised", Some(TripleScheme::Seed)),
        ("fused", Some(TripleScheme::Fused)),
        ("exact", None),
    ]
    .into_iter()
    .map(|(name, triples)| match triples {
        Some(triples) => {
            Compared::new::<u64>(name, with_polynomials(&exact, triples, activation)?, true)
        }
        None => Compared::new::<u32>(name, exact.clone(), false),
    })
    .collect()
}

impl Compared {
    fn new<R: Ring>(name: &'static str, session: Session, in_words: bool) -> Result<Self, Failure> {
        ringlet_core::dealt::check::<R>(&session).map_err(|error| match error {
            SessionError::Model(_) | SessionError::Zero(_) => Failure::from(error),
            // The protocol may need more than the model itself.
            SessionError::TooLarge => Failure::new(
                format!("a batch of {} has too many values", session.batch_rows()),
                "choose a smaller --batch",
            )
            .of(name),
            error => Failure::from(error).of(name),
        })?;
        Ok(Compared {
            name,
            first: cost_rows::<R>(&session, true)?,
            later: cost_rows::<R>(&session, false)?,
            session,
            in_words,
        })
    }

    /// Bytes of opened values as words of the published protocol; none if they are not words.
    pub fn published_bytes(&self, cost: Cost) -> Option<u64> {
        self.in_words
            .then_some(cost.opened_values * PUBLISHED_VALUE_BYTES)
    }
}

/// The cost of a layer in both passes.
pub fn both(row: &CostRow) -> Cost {
    row.forward + row.backward
}
