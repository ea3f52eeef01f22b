//! Private inference, from the links of a party to its end: the images of one party, the model of the other, and the
//! classes for the owner of the images only.

use std::{sync::Mutex, time::Instant};

use ringlet_core::{
    cost::Traffic,
    data::Data,
    dealt::{self, Classifier, Plan},
    num::{Ring, Word},
    prg::Key,
    securenn::{self, party_words},
    session::{Batch, Protocol, RunError, Session},
    share::Observer,
};

use super::{
    actors::Take,
    dispatch::{InRing, in_ring},
    event::{Event, StageValues},
    monotonic_clock,
    party::{Emit, PartyLinks, PartySetup},
    ranges::{Watch, observers},
    simulation::{ConnectedParty, Simulation},
};
use crate::{error::Failure, resources::filled};

/// Numbers of images, as their owner counts them, and their classes.
pub type Classes = Vec<(u32, u8)>;

/// Classifies to the end. The owner of the model passes it as `model`, the other party an empty one. Returns the classes
/// to the owner of the images.
pub fn run_party<R: Ring>(
    setup: PartySetup<'_>,
    model: &[StageValues],
    (peer, dealer): PartyLinks<'_>,
    mut data: &mut dyn Data,
    mut observer: &mut dyn Observer<R>,
    emit: Emit<'_>,
) -> Result<Classes, Failure> {
    let (session, network, role) = (setup.session, setup.network, setup.role);
    let mut memory = filled(
        0,
        Plan::new(session, network).arena_words::<R>(role),
        "the shares",
    )?;
    let mut party = Classifier::<R>::new(session, network, role, &mut memory)?;
    for (stage, values) in model.iter().enumerate() {
        let values = values.iter().map(|&value| R::Wide::from_u128(value));
        party.load_parameters(stage, values)?;
    }
    let mut cx = dealt::PartyContext::new(role, setup.key, peer, dealer);
    cx.set_clock(monotonic_clock::nanoseconds);
    every_batch(session, emit, |iteration, classes| {
        let sink = |sample, class| classes.push((sample, class));
        let batch = party.classify(&mut cx, iteration, &mut data, &mut observer, sink)?;
        let audit = party.audit_counts().map(<[_]>::to_vec);
        Ok((batch, cx.take_traffic(), audit))
    })
}

/// The same by SecureNN; `pair` is the key that only the parties have.
pub fn run_securenn_party(
    setup: PartySetup<'_>,
    (pair, model): (Key, &[StageValues]),
    (peer, assistant): PartyLinks<'_>,
    mut data: &mut dyn Data,
    mut observer: &mut dyn Observer<u64>,
    emit: Emit<'_>,
) -> Result<Classes, Failure> {
    let (session, network, role) = (setup.session, setup.network, setup.role);
    let mut memory = filled(0, party_words(session, network), "the shares")?;
    let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
    for (stage, values) in model.iter().enumerate() {
        party.load_parameters(stage, values.iter().map(|&value| value as u64));
    }
    let mut cx = securenn::PartyContext::new(role, [pair, setup.key], peer, assistant);
    cx.set_clock(monotonic_clock::nanoseconds);
    every_batch(session, emit, |iteration, classes| {
        let sink = |sample, class| classes.push((sample, class));
        let batch = party.classify(&mut cx, iteration, &mut data, &mut observer, sink)?;
        let audit = party.audit_counts().map(<[_]>::to_vec);
        Ok((batch, cx.take_traffic(), audit))
    })
}

/// Classifies batch after batch by `step`, and reports each.
fn every_batch(
    session: &Session,
    emit: Emit<'_>,
    mut step: impl FnMut(u32, &mut Classes) -> Result<(Batch, Traffic, Option<Vec<[u32; 2]>>), RunError>,
) -> Result<Classes, Failure> {
    let mut classes = Classes::new();
    for iteration in 0..session.iterations() {
        let start = Instant::now();
        let (batch, traffic, audit) = step(iteration, &mut classes)?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(traffic),
            audit,
            loss: None,
            epoch_loss: None,
        })?;
    }
    Ok(classes)
}

/// Runs inference by `model` with all roles as threads, and watches the range of values; `take` gets the parties' events.
/// Returns the classes in the order of the images.
pub fn simulate(
    simulation: &Simulation<'_>,
    model: &[StageValues],
    take: Take<'_>,
) -> Result<Classes, Failure> {
    let kept = Mutex::new(Classes::new());
    let inference = Inference {
        simulation,
        model,
        kept: &kept,
        take,
    };
    match simulation.session.protocol {
        Protocol::Dealt { .. } => in_ring(simulation.session, inference)?,
        Protocol::SecureNn { .. } => inference.run_securenn()?,
    }
    let mut classes = kept.into_inner().map_err(|_| interrupted())?;
    classes.sort_unstable();
    Ok(classes)
}

/// An inference with all roles as threads.
struct Inference<'a> {
    simulation: &'a Simulation<'a>,
    model: &'a [StageValues],
    kept: &'a Mutex<Classes>,
    take: Take<'a>,
}

impl Inference<'_> {
    fn run_securenn(self) -> Result<(), Failure> {
        let Inference {
            simulation,
            model,
            kept,
            take,
        } = self;
        let (mut observer_p0, mut observer_p1, ranges) =
            observers::<u64>(simulation.on_range, simulation.session, simulation.network);
        let mut watch = Watch::new(ranges, simulation.on_range);
        let p0 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            classify_by_securenn(party, (pair, model), kept, &mut observer_p0, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            classify_by_securenn(party, (pair, model), kept, &mut observer_p1, emit)
        };
        simulation
            .with_assistant((Box::new(p0), Box::new(p1)), take)
            .map(drop)
    }
}

impl InRing for Inference<'_> {
    type Output = ();

    fn run<R: Ring>(self) -> Result<(), Failure> {
        let Inference {
            simulation,
            model,
            kept,
            take,
        } = self;
        let (mut observer_p0, mut observer_p1, ranges) =
            observers::<R>(simulation.on_range, simulation.session, simulation.network);
        let mut watch = Watch::new(ranges, simulation.on_range);
        let p0 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            classify(party, model, kept, &mut observer_p0, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            classify(party, model, kept, &mut observer_p1, emit)
        };
        simulation
            .with_dealer::<R>((Box::new(p0), Box::new(p1)), take)
            .map(drop)
    }
}

/// Classifies as a party with a dealer.
fn classify<R: Ring>(
    mut party: ConnectedParty<'_>,
    model: &[StageValues],
    kept: &Mutex<Classes>,
    observer: &mut dyn Observer<R>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let model = model_of(&party.setup, model);
    let links = (party.peer, party.helper);
    let classes = run_party::<R>(party.setup, model, links, &mut party.data, observer, emit)?;
    keep(kept, classes)
}

/// The same with an assistant.
fn classify_by_securenn(
    mut party: ConnectedParty<'_>,
    (pair, model): (Key, &[StageValues]),
    kept: &Mutex<Classes>,
    observer: &mut dyn Observer<u64>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let model = (pair, model_of(&party.setup, model));
    let links = (party.peer, party.helper);
    let data = &mut party.data;
    keep(
        kept,
        run_securenn_party(party.setup, model, links, data, observer, emit)?,
    )
}

/// The model for its owner, nothing for the other party.
fn model_of<'m>(setup: &PartySetup<'_>, model: &'m [StageValues]) -> &'m [StageValues] {
    match setup.session.samples_owner() == setup.role {
        true => &[],
        false => model,
    }
}

fn keep(kept: &Mutex<Classes>, classes: Classes) -> Result<(), Failure> {
    kept.lock().map_err(|_| interrupted())?.extend(classes);
    Ok(())
}

fn interrupted() -> Failure {
    Failure::new("a party was interrupted", "report this")
}
