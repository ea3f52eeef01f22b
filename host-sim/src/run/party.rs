//! A training party of the protocols with a dealer, from its links to its end.

use std::time::Instant;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    data::Data,
    dealt::{PartyContext, Plan, Trainer},
    net::Link,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    session::Session,
    share::{Observer, Share},
};

use super::event::{Event, StageValues};
use crate::{error::Failure, resources::filled};

/// What a party needs beside its links and data.
pub struct PartySetup<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The secret from which it draws its part of the initial weights.
    pub secret: Key,
    /// The key that it shares with the dealer or the assistant.
    pub key: Key,
    /// Whether to report its shares to the starter: only in a simulation.
    pub simulated: bool,
}

/// Trains to the end. Returns the revealed parameters if this party receives them.
pub fn run_party<R: Ring, P: Read + Write, D: Read + Write>(
    setup: PartySetup<'_>,
    peer: Link<P>,
    dealer: Link<D>,
    data: &mut impl Data,
    observer: &mut impl Observer<R>,
    mut emit: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let PartySetup {
        session,
        network,
        role,
        ..
    } = setup;
    let (mut memory, mut opened_data) = buffers::<R>(session, network, role)?;
    let mut party = Trainer::<R>::new(
        session,
        network,
        role,
        &setup.secret,
        &mut memory,
        &mut opened_data,
    )?;
    let mut cx = PartyContext::new(role, setup.key, peer, dealer);
    let shares = |party: &Trainer<'_, R>, epoch| Event::Shares {
        epoch,
        stages: shares(party, network),
    };
    if setup.simulated {
        emit(shares(&party, 0))?;
    }
    for iteration in 0..session.iterations() {
        let start = Instant::now();
        let batch = party.iterate(&mut cx, iteration, data, observer)?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(cx.take_traffic()),
            audit: party.audit_counts().map(<[_]>::to_vec),
        })?;
        let ends_epoch = (iteration + 1) % session.iterations_per_epoch() == 0;
        if setup.simulated && (ends_epoch || iteration + 1 == session.iterations()) {
            emit(shares(&party, batch.epoch + 1))?;
        }
    }
    let mut revealed = vec![StageValues::new(); network.stages.len()];
    party.reveal(&mut cx, |stage, value| {
        revealed[stage].push(value.to_u128());
    })?;
    Ok((session.receiver == Some(role)).then_some(revealed))
}

/// A party's arena, and its buffer for the other party's opened samples.
fn buffers<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
) -> Result<(Vec<u64>, Vec<R>), Failure> {
    let plan = Plan::new(session, network);
    let arena = filled(0, plan.arena_words::<R>(role), "the shares")?;
    let opened = filled(R::ZERO, plan.opened_data_words(role), "the opened samples")?;
    Ok((arena, opened))
}

/// A party's shares of the model as it stands.
fn shares<R: Ring>(party: &Trainer<'_, R>, network: &Network) -> Vec<StageValues> {
    (0..network.stages.len())
        .map(|stage| {
            let shares = party.parameters(stage);
            shares.map(|share| Share::reveal(share).to_u128()).collect()
        })
        .collect()
}

/// The shares of the initial weights that `role` draws from `secret`: for simulations, which know the secrets.
pub fn initial_shares<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
    secret: &Key,
) -> Result<Vec<StageValues>, Failure> {
    let (mut memory, mut opened_data) = buffers::<R>(session, network, role)?;
    let party = Trainer::<R>::new(
        session,
        network,
        role,
        secret,
        &mut memory,
        &mut opened_data,
    )?;
    Ok(shares(&party, network))
}
