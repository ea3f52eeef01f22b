//! The same training by every protocol: what a session would cost elsewhere.

use ringlet_core::{
    fixed::Format,
    plan::{Line, Plan},
    ring::Ring,
    session::{Session, Triples},
};

use crate::{activation::Activation, error::Failure};

/// Bytes of one value in the published protocol.
pub const PUBLISHED_VALUE_BYTES: u64 = 16;

/// Fraction bits where the published protocol is run in a ring of 64 bits.
const PUBLISHED_FRACTION_BITS: u32 = 12;

/// The same training with polynomials, as "Image recognition without disclosing your data" (2018) has it:
/// no momentum, so that an update opens nothing.
pub fn with_polynomials(
    session: &Session,
    triples: Triples,
    activation: &Activation,
) -> Result<Session, Failure> {
    Ok(Session {
        model: activation.replace_relu(&session.model)?,
        format: Format::direct(PUBLISHED_FRACTION_BITS)?,
        triples,
        momentum: 0,
        ..session.clone()
    })
}

/// The lines of a session's plan for a whole batch of one owner's data that is used for the first time,
/// or of data that has been used before.
pub fn lines<R: Ring>(session: &Session, first: bool) -> Result<Vec<Line>, Failure> {
    let network = session.check::<R>()?;
    let plan = Plan::new(session, &network);
    let mut lines: Vec<Line> = plan.lines::<R>(session.batch).into_iter().collect();
    if first {
        lines[0].forward += plan.data::<R>(session.batch, session.batch);
    }
    Ok(lines)
}

/// Values that the published protocol opens at each layer of the same network, forward and backward;
/// none if its polynomials do not fit.
pub fn published_values(session: &Session) -> Option<Vec<[u64; 2]>> {
    let published = with_polynomials(session, Triples::Seed, &Activation::default()).ok()?;
    let lines = lines::<u64>(&published, true).ok()?;
    let values = |line: &Line| [line.forward, line.backward].map(|cost| cost.opened_values);
    Some(lines.iter().map(values).collect())
}
