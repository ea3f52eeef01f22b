//! What `ringlet train` or `predict` takes on this machine: all roles as threads over links in memory, with the watch over
//! ranges.

use std::time::Instant;

use ringlet_core::{
    network::Network,
    session::{Session, Task},
};

use super::{clock::ProcessClock, roles::of_batch};
use crate::{
    config::args::OnRange,
    data::{Classes, Images},
    error::Failure,
    links::traffic_shaper::TrafficShape,
    resources::filled,
    run::{inference, secrets::Secrets, simulation::Simulation},
};

/// Seed of the secrets of a measurement. Time does not depend on them.
const SEED: u64 = 1;

/// The processor seconds of all roles together, and the seconds that pass, in an iteration or a batch of so many samples: the
/// means of so many `iterations`.
pub fn whole_seconds(
    session: &Session,
    network: &Network,
    batch: u32,
    iterations: u32,
) -> Result<[f64; 2], Failure> {
    let session = &of_batch(session, batch, iterations);
    let shape = session.model.input.map(usize::from);
    let count = (batch * iterations) as usize;
    let images = Images {
        shape,
        pixels: filled(0, count * shape.iter().product::<usize>(), "the images")?,
        labels: filled(0, count, "the labels")?,
        classes: Classes::Numbered,
    };
    let simulation = Simulation {
        session,
        network,
        images: &images,
        shape: TrafficShape::default(),
        secrets: Secrets::Seed(SEED),
        checkpoints: None,
        initial: &[],
        on_range: Some(OnRange::Warn),
        threads: None,
    };
    let (start, clock) = (Instant::now(), ProcessClock::start());
    match session.task {
        Task::Train => simulation.train(&mut |_, _| Ok(())).map(drop)?,
        Task::Infer | Task::Evaluate => {
            let stages = network.stages.iter();
            let model: Vec<_> = stages.map(|stage| vec![0; stage.parameters()]).collect();
            inference::simulate(&simulation, &model, &mut |_, _| Ok(())).map(drop)?;
        }
    }
    let taken = [clock.seconds(), start.elapsed().as_secs_f64()];
    Ok(taken.map(|seconds| seconds / f64::from(iterations)))
}
