//! `ringlet plan`: what a run will cost.

mod inference;

use ringlet_core::{
    Role,
    dealt::Plan,
    network::{Activation, Network, Stage},
    num::Ring,
    session::{Protocol, Session, Task},
};
use serde::Serialize;

use crate::{
    board::BOARDS,
    config::{
        args::PlanArgs,
        settings::{self, InRing, in_ring},
    },
    data::{Part, load},
    error::Failure,
    links::traffic_shaper::TrafficShape,
    output::report::{bytes, plan_json, plan_lines, plan_table},
    output::securenn::TrainingPlan,
};

use inference::InferencePlan;

struct Print<'a> {
    session: &'a Session,
    form: Form,
}

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Device,
}

impl InRing for Print<'_> {
    type Output = String;

    fn run<R: Ring>(self, network: Network) -> Result<String, Failure> {
        if self.form == Form::Device {
            let table = device_table(self.session, &network);
            return Ok(table + &link_table::<R>(self.session, &network));
        }
        if self.session.task == Task::Infer {
            return self.print(&inference::dealt::<R>(self.session, &network));
        }
        let lines = plan_lines::<R>(self.session, &network);
        if self.form == Form::Table {
            return Ok(plan_table::<R>(self.session, &network, &lines));
        }
        json(&plan_json::<R>(self.session, &network, &lines))
    }

    fn run_assisted(self, network: Network) -> Result<String, Failure> {
        if self.session.task == Task::Infer {
            return self.print(&inference::assisted(self.session, &network));
        }
        let plan = TrainingPlan::new(self.session, &network);
        match self.form {
            Form::Json => json(&plan),
            _ => Ok(plan.table()),
        }
    }
}

impl Print<'_> {
    fn print(&self, plan: &InferencePlan<'_>) -> Result<String, Failure> {
        match self.form {
            Form::Json => json(plan),
            _ => Ok(plan.table(self.session)),
        }
    }
}

fn json(plan: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(plan)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("the plan cannot be written: {error}"), ""))
}

/// The plan's text.
pub fn run(args: &PlanArgs) -> Result<String, Failure> {
    let images = match &args.session.data {
        Some(dir) => Some(load(Some(dir), Part::Train)?),
        None => None,
    };
    let shape = images.as_ref().map(|images| images.shape);
    let model = settings::model(args.session.model.as_deref(), shape)?;
    if let Some(images) = &images {
        settings::check_shape(&model, images)?;
    }
    // Costs depend on the batch alone; without data there are as many images as it takes.
    let total = images.map_or(args.session.batch as usize, |images| images.len());
    let samples = settings::split(total, args.session.share_of_p0)?;
    let mut session = settings::session(&args.session, model, samples, 0, None)?;
    if args.infer {
        session = settings::inference(session)?;
    }
    let form = match (args.json, args.device) {
        (true, _) => Form::Json,
        (_, true) if matches!(session.protocol, Protocol::SecureNn { .. }) => {
            return Err(Failure::new(
                "devices take no part in SecureNN's protocols",
                "choose another --protocol",
            ));
        }
        (_, true) if session.format.ring != u32::BITS => {
            return Err(Failure::new(
                "devices are made for the ring of 32 bits",
                "leave out --ring u64, and --protocol spdz without --ring u32",
            ));
        }
        (_, true) => Form::Device,
        _ => Form::Table,
    };
    let session = &session;
    in_ring(session, Print { session, form })
}

/// What P0 takes of each board.
fn device_table(session: &Session, network: &Network) -> String {
    let needed = |micro_batch| {
        let session = Session {
            micro_batch,
            ..session.clone()
        };
        let plan = Plan::new(&session, network);
        let opened = size_of::<u32>() * plan.opened_data_words(Role::P0);
        (8 * plan.arena_words::<u32>(Role::P0) + opened.next_multiple_of(8)) as u64
    };
    let session_takes = needed(session.micro_batch);
    let polynomial = |stage: &Stage| matches!(stage.activation, Some(Activation::Polynomial(..)));
    let polynomials = network.stages.iter().any(polynomial);
    let mut table = format!(
        "{} with micro-batches of {} takes {} of a device that is p0\n\n",
        session.model.name,
        session.micro_batch,
        bytes(session_takes)
    );
    table += &format!(
        "{:<16} {:>12} {:>12} {:>12} {:>12} {:>10}\n",
        "board", "for a party", "in all", "its stack", "its flash", "fits"
    );
    for board in BOARDS {
        let budget = board.budget;
        let given = u64::from(budget.party);
        // More samples at a time never take less.
        let most = (1..=session.micro_batch)
            .take_while(|&rows| needed(rows) <= given)
            .last();
        let fits = match most {
            _ if polynomials && !board.polynomials => "no".to_owned(),
            Some(rows) if rows == session.micro_batch => "yes".to_owned(),
            Some(rows) => format!("up to {rows}"),
            None => "no".to_owned(),
        };
        let all = budget.party + budget.statics + budget.stack[0];
        table += &format!(
            "{:<16} {:>12} {:>12} {:>12} {:>12} {:>10}\n",
            board.name,
            bytes(given),
            bytes(all.into()),
            bytes(budget.stack[0].into()),
            bytes(budget.flash[0].into()),
            fits
        );
    }
    table += "\nAll is static RAM and the stack that was used. Up to: samples of a --micro-batch that fit.\n";
    if polynomials {
        table += "A board on which polynomials do not fit leaves them out of its firmware: their stack is too large.\n";
    }
    table
}

/// How long each link of a device is busy with an iteration, the device's own time apart.
fn link_table<R: Ring>(session: &Session, network: &Network) -> String {
    let plan = Plan::new(session, network);
    let cost = plan.iteration::<R>(session.batch) + plan.data::<R>(session.batch, session.batch);
    let mut table = format!(
        "\nAn iteration of {} samples sends {} each way in {} rounds\n\n{:<22} {:>11} {:>14}\n",
        session.batch,
        bytes(cost.online_bytes),
        cost.rounds,
        "link",
        "a second",
        "an iteration"
    );
    for (name, shape) in TrafficShape::OF_DEVICES {
        let rate = shape.rate.map_or(0, |rate| rate as u64);
        let seconds = shape.seconds(cost.rounds, cost.online_bytes);
        table += &format!("{name:<22} {:>11} {seconds:>12.1} s\n", bytes(rate));
    }
    table
}
