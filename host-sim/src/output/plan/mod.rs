//! The plan of a session: what a run will cost.

mod device;
mod inference;
mod links;
pub mod privacy;
mod process;
mod ranges;
mod ranks;
pub mod seconds;
mod securenn;
mod securenn_ranks;
mod training;

use ringlet_core::{
    network::Network,
    num::Ring,
    session::{Protocol, Session, Task},
};
use serde::Serialize;

use crate::{
    error::Failure,
    run::dispatch::{InRing, in_ring},
};

use inference::InferencePlan;
use securenn::SecureNnPlan;
pub use training::Beside;
use training::{cost_rows, plan_json, plan_table};

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Costs as a table.
    Table,
    /// Costs as JSON.
    Json,
}

/// The plan of a session, and what is to be `beside` it: its time, and of training what each rank has.
pub fn costs(
    session: &Session,
    network: &Network,
    beside: Beside<'_>,
    form: Form,
) -> Result<String, Failure> {
    let figures = beside.figures;
    match session.protocol {
        Protocol::Dealt { .. } => in_ring(session, Costs(session, network, beside, form)),
        Protocol::SecureNn { .. } if session.task == Task::Infer => {
            let plan = inference::securenn(session, network)?;
            inference_text(&plan.with_time(session, figures), session, form)
        }
        Protocol::SecureNn { .. } => {
            let plan = SecureNnPlan::new(session, network, beside)?;
            match form {
                Form::Json => json(&plan),
                Form::Table => Ok(plan.table()),
            }
        }
    }
}

/// The boards that can be P0, and the time of an iteration on their links.
pub fn devices(session: &Session, network: &Network) -> Result<String, Failure> {
    in_ring(session, Devices(session, network))
}

/// The plan of a session with a dealer.
struct Costs<'a>(&'a Session, &'a Network, Beside<'a>, Form);

impl InRing for Costs<'_> {
    type Output = String;

    fn run<R: Ring>(self) -> Result<String, Failure> {
        let Costs(session, network, beside, form) = self;
        if session.task != Task::Train {
            let plan = inference::dealt::<R>(session, network);
            let plan = plan.with_time(session, beside.figures);
            return inference_text(&plan, session, form);
        }
        let rows = cost_rows::<R>(session, network);
        let plan = plan_json::<R>(session, network, &rows, beside);
        match form {
            Form::Table => Ok(plan_table(session, &plan, &rows)),
            Form::Json => json(&plan),
        }
    }
}

/// The plan of a session with a device.
struct Devices<'a>(&'a Session, &'a Network);

impl InRing for Devices<'_> {
    type Output = String;

    fn run<R: Ring>(self) -> Result<String, Failure> {
        device::tables::<R>(self.0, self.1)
    }
}

fn inference_text(
    plan: &InferencePlan<'_>,
    session: &Session,
    form: Form,
) -> Result<String, Failure> {
    match form {
        Form::Json => json(plan),
        Form::Table => Ok(plan.table(session)),
    }
}

pub(crate) fn json(plan: &(impl Serialize + ?Sized)) -> Result<String, Failure> {
    serde_json::to_string_pretty(plan)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("the plan cannot be written: {error}"), ""))
}
