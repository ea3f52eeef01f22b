//! A training party of the protocols with a dealer, from its links to its end.

use std::time::Instant;

use ringlet_core::{
    Role,
    data::Data,
    dealt::{PartyContext, Plan, Trainer},
    net::Link,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    session::{RunError, Session, handshake::CheckpointId},
    share::{Observer, Share},
};
use zeroize::Zeroizing;

use super::{
    checkpoints::{Keeper, Stateful},
    dealt_positions::Positions,
    event::{Event, StageValues},
    stop_request::UnderWay,
};
use crate::{error::Failure, links::any_end::AnyEnd, resources::filled};

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
    /// The model that the training begins with, if it begins with this party's.
    pub initial: &'a [StageValues],
    /// The key that it shares with the dealer or the assistant.
    pub key: Key,
    /// Whether to report its shares to the starter: only in a simulation.
    pub simulated: bool,
    /// What keeps its checkpoints, and the iteration that comes first, if it keeps any.
    pub durable: Option<(&'a mut Keeper, u32)>,
    /// Where its iterations are in a dealt file, if it has one.
    pub positions: Option<Positions>,
    /// What keeps the other party's state beside each of its checkpoints, if that party is a device.
    pub beside: Option<Beside<'a>>,
}

/// Keeps the state of a device at the checkpoint of this name; it has so many bytes.
pub type Beside<'a> = Box<dyn FnMut(CheckpointId, usize) -> Result<(), Failure> + 'a>;

/// A party's links to its peer and to its helper.
pub type PartyLinks<'a> = (Link<AnyEnd<'a>>, Link<AnyEnd<'a>>);

impl<R: Ring> Stateful for Trainer<'_, R> {
    fn state_len(&self) -> usize {
        Trainer::state_len(self)
    }

    fn save_state(&self, out: &mut [u8]) -> Result<(), RunError> {
        Trainer::save_state(self, out)
    }

    fn restore(&mut self, iteration: u32, state: &[u8]) -> Result<(), RunError> {
        Trainer::restore(self, iteration, state)
    }
}

/// Gives a party the state with which it begins. Returns the iteration that comes first.
pub fn begin(
    durable: &mut Option<(&mut Keeper, u32)>,
    party: &mut impl Stateful,
) -> Result<u32, Failure> {
    match durable {
        Some((keeper, first)) => keeper.restore(party).map(|()| *first),
        None => Ok(0),
    }
}

/// Makes `position` the next iteration of a party with the state that it has.
fn go_to(position: u32, party: &mut impl Stateful) -> Result<(), Failure> {
    let mut state = Zeroizing::new(vec![0; party.state_len()]);
    party.save_state(&mut state)?;
    Ok(party.restore(position, &state)?)
}

/// Notes the state of a party before an iteration, and ends the run if the user wants it to stop.
pub fn before(
    durable: &mut Option<(&mut Keeper, u32)>,
    beside: &mut Option<Beside<'_>>,
    iteration: u32,
    party: &impl Stateful,
) -> Result<(), Failure> {
    let Some((keeper, _)) = durable else {
        return Ok(());
    };
    if let (Some(id), Some(keep)) = (keeper.before(iteration, party)?, beside.as_mut()) {
        keep(id, party.state_len())?;
    }
    keeper.stop(beside.is_some())
}

/// The failure of an iteration, after which the state before it is kept.
pub fn broke(durable: &mut Option<(&mut Keeper, u32)>, error: RunError) -> Failure {
    match durable {
        Some((keeper, _)) => keeper.broke(error.into()),
        None => error.into(),
    }
}

/// Trains to the end. Returns the revealed parameters if this party receives them.
pub fn run_party<R: Ring>(
    setup: PartySetup<'_>,
    (peer, dealer): PartyLinks<'_>,
    data: &mut impl Data,
    observer: &mut impl Observer<R>,
    mut emit: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let PartySetup {
        session,
        network,
        role,
        mut durable,
        mut positions,
        mut beside,
        ..
    } = setup;
    let dealt = positions
        .as_ref()
        .map(|positions| positions.session.clone());
    let dealt = dealt.as_ref().unwrap_or(session);
    let (mut memory, mut opened_data) = buffers::<R>(dealt, network, role)?;
    let mut party = Trainer::<R>::new(
        dealt,
        network,
        role,
        &setup.secret,
        &mut memory,
        &mut opened_data,
    )?;
    for (stage, values) in setup.initial.iter().enumerate() {
        party.load_parameters(stage, values.iter().map(|&value| R::Wide::from_u128(value)))?;
    }
    let mut cx = PartyContext::new(role, setup.key, peer, dealer);
    let shares = |party: &Trainer<'_, R>, epoch| Event::Shares {
        epoch,
        stages: shares(party, network),
    };
    let first = begin(&mut durable, &mut party)?;
    let _under_way = durable.is_some().then(UnderWay::begin);
    if let Some(positions) = &positions {
        go_to(positions.of(first), &mut party)?;
    }
    if setup.simulated && first == 0 {
        emit(shares(&party, 0))?;
    }
    for iteration in first..session.iterations() {
        before(&mut durable, &mut beside, iteration, &party)?;
        let start = Instant::now();
        let mut position = iteration;
        if let Some(positions) = &mut positions {
            positions.begin(iteration)?;
            position = positions.of(iteration);
        }
        let batch = party
            .iterate(&mut cx, position, data, observer)
            .map_err(|error| broke(&mut durable, error))?;
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
    before(&mut durable, &mut beside, session.iterations(), &party)?;
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
