//! `ringlet plan`: what a run will cost.

use ringlet_core::{network::Network, ring::Ring, session::Session};

use crate::{
    cli::PlanArgs,
    data::{Part, load},
    error::Failure,
    report::{plan_json, plan_lines, plan_table},
    settings::{self, InRing, in_ring},
};

struct Print<'a> {
    session: &'a Session,
    json: bool,
}

impl InRing for Print<'_> {
    type Output = String;

    fn run<R: Ring>(self, network: Network) -> Result<String, Failure> {
        let lines = plan_lines::<R>(self.session, &network);
        if !self.json {
            return Ok(plan_table::<R>(self.session, &network, &lines));
        }
        let plan = plan_json::<R>(self.session, &network, &lines);
        serde_json::to_string_pretty(&plan)
            .map(|text| text + "\n")
            .map_err(|error| Failure::new(format!("the plan cannot be written: {error}"), ""))
    }
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
    let session = settings::session(&args.session, model, samples, 0, None)?;
    let json = args.json;
    in_ring(
        &session,
        Print {
            session: &session,
            json,
        },
    )
}
