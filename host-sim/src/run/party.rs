//! A training party of the protocols with a dealer, from its links to its end.

use std::time::Instant;

use ringlet_core::{
    Role,
    data::Data,
    dealt::{PartyContext, Plan, Trainer},
    net::Remote,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    session::{EpochLoss, RunError, Session, Validation, handshake::CheckpointId},
    share::{Observer, Share},
};
use zeroize::Zeroizing;

use super::{
    checkpoints::{Keeper, Stateful},
    contribution_check,
    dealt_positions::Positions,
    early_stopping::share_stop,
    event::{Evaluated, Event, StageValues},
    monotonic_clock,
    party_ranks::{FurtherRanks, Observers, PartyLinks, RankNeeds, end_links, links, sum_traffic},
    ranks,
    role_ranks::RoleRanks,
    stop_request::UnderWay,
    validation::{Evaluation, PartyValidation, evaluate},
};
use crate::{data::contribution_file::ContributionFile, error::Failure, resources::filled};

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
    /// The evaluations between iterations, if there are any.
    pub validation: Option<PartyValidation<'a>>,
    /// The contributions that the session trains on, if it does.
    pub contributions: Option<&'a ContributionFile>,
    /// This party's further ranks, if it has any.
    pub further: FurtherRanks<'a>,
}

/// Keeps the state of a device at the checkpoint of this name; it has so many bytes.
pub type Beside<'a> = Box<dyn FnMut(CheckpointId, usize) -> Result<(), Failure> + 'a>;

/// Takes the events of a party.
pub type Emit<'e> = &'e mut dyn FnMut(Event) -> Result<(), Failure>;

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
    party: &mut dyn Stateful,
) -> Result<u32, Failure> {
    match durable {
        Some((keeper, first)) => keeper.restore(party).map(|()| *first),
        None => Ok(0),
    }
}

/// Makes `position` the next iteration of a party with the state that it has.
fn go_to(position: u32, party: &mut dyn Stateful) -> Result<(), Failure> {
    let mut state = Zeroizing::new(vec![0; party.state_len()]);
    party.save_state(&mut state)?;
    Ok(party.restore(position, &state)?)
}

/// Notes the state of a party before an iteration, and ends the run if the user wants it to stop.
pub fn before(
    durable: &mut Option<(&mut Keeper, u32)>,
    beside: &mut Option<Beside<'_>>,
    iteration: u32,
    party: &dyn Stateful,
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
pub fn broke(durable: &mut Option<(&mut Keeper, u32)>, failure: impl Into<Failure>) -> Failure {
    match durable {
        Some((keeper, _)) => keeper.broke(failure.into()),
        None => failure.into(),
    }
}

/// What a further rank of a party needs beside its links.
pub struct FurtherRank<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The key that all ranks of the party share with the dealer.
    pub key: Key,
    /// The iteration that comes first.
    pub first: u32,
    /// The evaluations between iterations, if there are any.
    pub validation: Option<Validation>,
    /// The contributions that the session trains on, if it does.
    pub contributions: Option<&'a ContributionFile>,
}

impl FurtherRank<'_> {
    /// Trains to the end, and ends the links.
    pub fn run<R: Ring>(
        &self,
        ranks: &mut RoleRanks<'_>,
        RankNeeds {
            mut peer,
            mut helper,
            mut positions,
            mut data,
        }: RankNeeds<'_>,
        mut observer: &mut dyn Observer<R>,
    ) -> Result<(), Failure> {
        let (session, network, role) = (self.session, self.network, self.role);
        let dealt = positions.as_ref().map(|positions| {
            let session = positions.session.clone();
            (session, positions.of(self.first))
        });
        let (dealt, start) = match &dealt {
            Some((dealt, position)) => (dealt, *position),
            None => (session, self.first),
        };
        let (mut memory, mut opened_data) = buffers::<R>(dealt, network, role)?;
        let at = (role, start);
        let mut party =
            Trainer::<R>::further_rank(dealt, network, at, &mut memory, &mut opened_data)?;
        let (to_peer, to_dealer) = links(&mut peer, (helper.as_mut(), Remote::Dealer));
        let mut cx = PartyContext::new(role, self.key.clone(), to_peer, to_dealer);
        cx.set_clock(monotonic_clock::nanoseconds);
        let mut data: &mut dyn Data = &mut *data;
        if let Some(file) = self.contributions {
            let party = (&mut party, &mut cx);
            contribution_check::at_party(party, (session, network), ranks, data, file)?;
        }
        for iteration in self.first..session.iterations() {
            let position = match &mut positions {
                Some(positions) => positions.begin::<R>(network, ranks, iteration)?,
                None => iteration,
            };
            party.iterate_in_ranks(&mut cx, ranks, position, &mut data, &mut observer)?;
            if let Some(positions) = &positions {
                positions.end()?;
            }
            sum_traffic(ranks, &mut cx.take_traffic()).map_err(RunError::from)?;
            let plan = (self.validation.as_ref(), session);
            if share_stop(ranks, plan, iteration, false)? {
                break;
            }
        }
        drop(cx);
        end_links(role, peer, (helper, Remote::Dealer))
    }
}

/// Trains to the end, with all ranks of the party. Returns the revealed parameters if this party receives them.
///
/// It is generic over the ring alone, so that the protocol is compiled once for each ring, as
/// [`inference::run_party`](super::inference::run_party) is.
pub fn run_party<R: Ring>(
    mut setup: PartySetup<'_>,
    links: PartyLinks<'_>,
    data: &mut dyn Data,
    observers: Observers<'_, R>,
    emit: Emit<'_>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let further = std::mem::take(&mut setup.further);
    if let Some(processes) = further.processes {
        let ranks = &mut RoleRanks::Processes(processes);
        let made = run_first_rank(setup, links, ranks, data, observers.first, emit)?;
        processes.meet();
        return Ok(made);
    }
    let further_rank = FurtherRank {
        session: setup.session,
        network: setup.network,
        role: setup.role,
        key: setup.key.clone(),
        first: setup.durable.as_ref().map_or(0, |(_, first)| *first),
        validation: setup.validation.as_ref().map(|validation| validation.plan),
        contributions: setup.contributions,
    };
    let (observer, needs) = observers.with(further.needs);
    ranks::run(
        (needs, &further.closer),
        |ranks| {
            let ranks = &mut RoleRanks::Threads(ranks);
            run_first_rank(setup, links, ranks, data, observer, emit)
        },
        |ranks, (needs, mut observer)| {
            further_rank.run::<R>(&mut RoleRanks::Threads(ranks), needs, &mut *observer)
        },
    )
}

/// As [`run_party`], for the first rank.
fn run_first_rank<R: Ring>(
    setup: PartySetup<'_>,
    (peer, dealer): PartyLinks<'_>,
    ranks: &mut RoleRanks<'_>,
    mut data: &mut dyn Data,
    mut observer: &mut dyn Observer<R>,
    emit: Emit<'_>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let PartySetup {
        session,
        network,
        role,
        mut durable,
        mut positions,
        mut beside,
        mut validation,
        contributions,
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
    cx.set_clock(monotonic_clock::nanoseconds);
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
    if let Some(file) = contributions {
        let party = (&mut party, &mut cx);
        let checked = contribution_check::at_party(party, (session, network), ranks, data, file);
        emit(checked.map_err(|failure| broke(&mut durable, failure))?)?;
    }
    let mut done = first;
    for iteration in first..session.iterations() {
        before(&mut durable, &mut beside, iteration, &party)?;
        let start = Instant::now();
        let begun = match &mut positions {
            Some(positions) => positions.begin::<R>(network, ranks, iteration),
            None => Ok(iteration),
        };
        let position = begun.map_err(|failure| broke(&mut durable, failure))?;
        let batch = party
            .iterate_in_ranks(&mut cx, ranks, position, &mut data, &mut observer)
            .map_err(|error| broke(&mut durable, error))?;
        if let Some(positions) = &positions {
            positions.end()?;
        }
        let mut traffic = cx.take_traffic();
        sum_traffic(ranks, &mut traffic)
            .map_err(|lost| broke(&mut durable, RunError::from(lost)))?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(traffic),
            audit: party.audit_counts().map(<[_]>::to_vec),
            loss: None,
            epoch_loss: party.epoch_loss().map(EpochLoss::mean),
        })?;
        let mut stops = false;
        if let Some(validation) = &mut validation {
            let mut found = Vec::new();
            for evaluation in Evaluation::due::<R>(&validation.plan, session, iteration)? {
                let mut memory = evaluation.memory::<R>(role)?;
                let own = (&mut validation.data, &mut memory[..]);
                let evaluated = evaluate(&evaluation, &party, &mut cx, own, iteration + 1);
                found.push(evaluated.map_err(|error| broke(&mut durable, error))?);
            }
            if validation.plan.may_stop_after(session, iteration) {
                let wishes = validation.wishes_to_stop(role, &found)?;
                stops = cx
                    .agree_to_stop(wishes)
                    .map_err(|error| broke(&mut durable, error))?;
            }
            for evaluated in found {
                let evaluated = Evaluated { stops, ..evaluated };
                emit(Event::Evaluated(Box::new(evaluated)))?;
            }
        }
        let plan = validation.as_ref().map(|validation| &validation.plan);
        share_stop(ranks, (plan, session), iteration, stops)
            .map_err(|error| broke(&mut durable, error))?;
        let ends_epoch = session.ends_epoch(iteration);
        if setup.simulated && (ends_epoch || iteration + 1 == session.iterations()) {
            emit(shares(&party, batch.epoch + 1))?;
        }
        done = iteration + 1;
        if stops {
            break;
        }
    }
    before(&mut durable, &mut beside, done, &party)?;
    let mut revealed = vec![StageValues::new(); network.stages.len()];
    party.reveal(&mut cx, |stage, value| {
        revealed[stage].push(value.to_u128());
    })?;
    Ok((session.reveals_to() == Some(role)).then_some(revealed))
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
