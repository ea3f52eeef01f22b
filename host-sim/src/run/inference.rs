//! Private inference, one role at a time, from its connected links to its end: the images of one party, the model of the
//! other, and the classes for the images' owner alone.

use std::time::Instant;

use embedded_io::{Read, Write};
use ringlet_core::{
    cost::Traffic,
    data::Data,
    dealt::{self, Classifier, Plan},
    net::Link,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    securenn::{self, party_words},
    session::{Batch, RunError, Session},
    share::NoObserver,
};

use crate::{
    data::parameters::Parameters,
    error::Failure,
    run::{
        event::{Event, StageValues},
        roles::PartySetup,
    },
};

/// Numbers of images among their owner's, and their classes.
pub type Classes = Vec<(u32, u8)>;

/// What the model's owner loads.
pub fn encode(session: &Session, network: &Network, parameters: &[Parameters]) -> Vec<StageValues> {
    let stages = network.stages.iter().zip(parameters);
    stages
        .map(|(stage, parameters)| parameters.encode(stage, session))
        .collect()
}

/// Runs a party to the end, with the model if it is the model's owner. Returns the classes if it is the images' owner.
pub fn run_party<R: Ring, P: Read + Write, D: Read + Write>(
    setup: PartySetup<'_>,
    model: &[StageValues],
    (peer, dealer): (Link<P>, Link<D>),
    data: &mut impl Data,
    emit: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<Classes, Failure> {
    let (session, network, role) = (setup.session, setup.network, setup.role);
    let mut memory = vec![0; Plan::new(session, network).arena_words::<R>(role)];
    let mut party = Classifier::<R>::new(session, network, role, &mut memory)?;
    for (stage, values) in model.iter().enumerate() {
        let values = values.iter().map(|&value| R::Wide::from_u128(value));
        party.load_parameters(stage, values)?;
    }
    let mut cx = dealt::PartyContext::new(role, setup.key, peer, dealer);
    every_batch(session, emit, |iteration, classes| {
        let sink = |sample, class| classes.push((sample, class));
        let batch = party.classify(&mut cx, iteration, data, &mut NoObserver, sink)?;
        Ok((batch, cx.take_traffic()))
    })
}

/// The same with an assistant; `pair` is the key that both parties share.
pub fn run_assisted_party<P: Read + Write, A: Read + Write>(
    setup: PartySetup<'_>,
    (pair, model): (Key, &[StageValues]),
    (peer, assistant): (Link<P>, Link<A>),
    data: &mut impl Data,
    emit: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<Classes, Failure> {
    let (session, network, role) = (setup.session, setup.network, setup.role);
    let mut memory = vec![0; party_words(session, network)];
    let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
    for (stage, values) in model.iter().enumerate() {
        party.load_parameters(stage, values.iter().map(|&value| value as u64));
    }
    let mut cx = securenn::PartyContext::new(role, [pair, setup.key], peer, assistant);
    every_batch(session, emit, |iteration, classes| {
        let sink = |sample, class| classes.push((sample, class));
        let batch = party.classify(&mut cx, iteration, data, sink)?;
        Ok((batch, cx.take_traffic()))
    })
}

/// Classifies batch after batch by `step`, and tells of each.
fn every_batch(
    session: &Session,
    mut emit: impl FnMut(Event) -> Result<(), Failure>,
    mut step: impl FnMut(u32, &mut Classes) -> Result<(Batch, Traffic), RunError>,
) -> Result<Classes, Failure> {
    let mut classes = Classes::new();
    for iteration in 0..session.iterations() {
        let start = Instant::now();
        let (batch, traffic) = step(iteration, &mut classes)?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(traffic),
            audit: None,
        })?;
    }
    Ok(classes)
}
