//! A training party of SecureNN, from its links to its end.

use std::time::Instant;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    data::Data,
    net::{Link, Remote},
    network::Network,
    prg::Key,
    securenn::{PartyContext, Trainer, party_words},
    session::{RunError, Session},
    share::{Observer, Share},
};

use super::{
    checkpoints::Stateful,
    event::{Event, StageValues},
    monotonic_clock,
    party::{Emit, PartySetup, before, begin, broke},
    party_ranks::{Observers, PartyLinks, RankNeeds, end_links, links, sum_traffic},
    ranks,
    role_ranks::RoleRanks,
    stop_request::UnderWay,
};
use crate::{error::Failure, resources::filled};

/// Makes the key that only the parties have. Each sends its part to the other.
pub fn share_pair_key<P: Read + Write>(part: &Key, peer: &mut Link<P>) -> Result<Key, Failure> {
    peer.send(part.reveal())?;
    peer.flush()?;
    Key::filled(|key| {
        peer.receive(key)?;
        for (byte, part) in key.iter_mut().zip(part.reveal()) {
            *byte ^= part;
        }
        Ok(())
    })
}

/// What a further rank of a party needs beside its links.
pub struct FurtherRank<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The keys that all ranks of the party share with the peer and with the assistant.
    pub keys: [Key; 2],
    /// The iteration that comes first.
    pub first: u32,
}

impl FurtherRank<'_> {
    /// Trains to the end, and ends the links.
    pub fn run(
        &self,
        ranks: &mut RoleRanks<'_>,
        RankNeeds {
            mut peer,
            mut helper,
            mut data,
            ..
        }: RankNeeds<'_>,
        mut observer: &mut dyn Observer<u64>,
    ) -> Result<(), Failure> {
        let (session, network, role) = (self.session, self.network, self.role);
        let mut memory = filled(0, party_words(session, network), "the shares")?;
        let at = (role, self.first);
        let mut party = Trainer::further_rank(session, network, at, &mut memory)?;
        let (to_peer, assistant) = links(&mut peer, (helper.as_mut(), Remote::Assistant));
        let mut cx = PartyContext::new(role, self.keys.clone(), to_peer, assistant);
        cx.set_clock(monotonic_clock::nanoseconds);
        let mut data: &mut dyn Data = &mut *data;
        for iteration in self.first..session.iterations() {
            party.iterate_in_ranks(&mut cx, ranks, iteration, &mut data, &mut observer)?;
            sum_traffic(ranks, &mut cx.take_traffic()).map_err(RunError::from)?;
        }
        drop(cx);
        end_links(role, peer, (helper, Remote::Assistant))
    }
}

/// Trains to the end, with all ranks of the party; `pair` is the key that only the parties have. Returns the revealed
/// parameters if this party receives them.
pub fn run_party(
    mut setup: PartySetup<'_>,
    pair: Key,
    party_links: PartyLinks<'_>,
    data: &mut dyn Data,
    observers: Observers<'_, u64>,
    emit: Emit<'_>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let further = std::mem::take(&mut setup.further);
    if let Some(processes) = further.processes {
        let ranks = &mut RoleRanks::Processes(processes);
        let seen = (data, observers.first);
        let made = run_first_rank(setup, pair, party_links, ranks, seen, emit)?;
        processes.meet();
        return Ok(made);
    }
    let further_rank = FurtherRank {
        session: setup.session,
        network: setup.network,
        role: setup.role,
        keys: [pair.clone(), setup.key.clone()],
        first: setup.durable.as_ref().map_or(0, |(_, first)| *first),
    };
    let (observer, needs) = observers.with(further.needs);
    ranks::run(
        (needs, &further.closer),
        |ranks| {
            let ranks = &mut RoleRanks::Threads(ranks);
            run_first_rank(setup, pair, party_links, ranks, (data, observer), emit)
        },
        |ranks, (needs, mut observer)| {
            further_rank.run(&mut RoleRanks::Threads(ranks), needs, &mut *observer)
        },
    )
}

/// As [`run_party`], for the first rank.
fn run_first_rank(
    setup: PartySetup<'_>,
    pair: Key,
    (peer, assistant): PartyLinks<'_>,
    ranks: &mut RoleRanks<'_>,
    (mut data, mut observer): (&mut dyn Data, &mut dyn Observer<u64>),
    emit: Emit<'_>,
) -> Result<Option<Vec<StageValues>>, Failure> {
    let PartySetup {
        session,
        network,
        role,
        mut durable,
        ..
    } = setup;
    let mut memory = filled(0, party_words(session, network), "the shares")?;
    let mut party = Trainer::new(session, network, role, &setup.secret, &mut memory)?;
    for (stage, values) in setup.initial.iter().enumerate() {
        party.load_parameters(stage, values.iter().map(|&value| value as u64))?;
    }
    let mut cx = PartyContext::new(role, [pair, setup.key], peer, assistant);
    cx.set_clock(monotonic_clock::nanoseconds);
    let start = begin(&mut durable, &mut party)?;
    let _under_way = durable.is_some().then(UnderWay::begin);
    if setup.simulated && start == 0 {
        emit(Event::Shares {
            epoch: 0,
            stages: shares(&party, network),
        })?;
    }
    for iteration in start..session.iterations() {
        before(&mut durable, &mut None, iteration, &party)?;
        let start = Instant::now();
        let batch = party
            .iterate_in_ranks(&mut cx, ranks, iteration, &mut data, &mut observer)
            .map_err(|error| broke(&mut durable, error))?;
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
            epoch_loss: None,
        })?;
        let ends_epoch = (iteration + 1) % session.iterations_per_epoch() == 0;
        if setup.simulated && (ends_epoch || iteration + 1 == session.iterations()) {
            emit(Event::Shares {
                epoch: batch.epoch + 1,
                stages: shares(&party, network),
            })?;
        }
    }
    before(&mut durable, &mut None, session.iterations(), &party)?;
    let mut revealed = vec![StageValues::new(); network.stages.len()];
    party.reveal(&mut cx, |stage, value| {
        revealed[stage].push(value.into());
    })?;
    Ok((session.receiver == Some(role)).then_some(revealed))
}

impl Stateful for Trainer<'_> {
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

/// A party's shares of the model as it stands.
fn shares(party: &Trainer<'_>, network: &Network) -> Vec<StageValues> {
    (0..network.stages.len())
        .map(|stage| {
            let shares = party.parameters(stage);
            shares.map(|share| Share::reveal(share).into()).collect()
        })
        .collect()
}
