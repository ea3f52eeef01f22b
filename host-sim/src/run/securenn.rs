//! The roles of SecureNN in training, from their links to their end.

use std::time::Instant;

use embedded_io::{Read, Write};
use ringlet_core::{
    data::Data,
    net::Link,
    network::Network,
    prg::Key,
    securenn::{Assistant, AssistantContext, PartyContext, Trainer, assistant_words, party_words},
    session::{RunError, Session},
    share::{Observer, Share},
};

use super::{
    checkpoints::Stateful,
    event::{Event, StageValues},
    monotonic_clock,
    party::{Emit, PartySetup, before, begin, broke},
    party_ranks::PartyLinks,
    stop_request::UnderWay,
};
use crate::{error::Failure, links::any_end::AnyEnd, resources::filled};

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

/// Trains to the end; `pair` is the key that only the parties have. Returns the revealed parameters if this party
/// receives them.
pub fn run_party(
    setup: PartySetup<'_>,
    pair: Key,
    (peer, assistant): PartyLinks<'_>,
    mut data: &mut dyn Data,
    mut observer: &mut dyn Observer<u64>,
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
            .iterate(&mut cx, iteration, &mut data, &mut observer)
            .map_err(|error| broke(&mut durable, error))?;
        let traffic = Box::new(cx.take_traffic());
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic,
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

/// Runs the assistant through a whole session; nobody else has the key `own`.
pub fn run_assistant(
    session: &Session,
    (own, shared): (Key, [Key; 2]),
    (first, second): (Link<AnyEnd<'_>>, Link<AnyEnd<'_>>),
    start: u32,
    progress: &mut dyn FnMut(u32, u64),
) -> Result<(), Failure> {
    let network = ringlet_core::securenn::check(session)?;
    let mut memory = filled(0, assistant_words(session, &network), "the shares")?;
    let mut assistant = Assistant::new(session, &network, &mut memory).map_err(RunError::from)?;
    let mut cx = AssistantContext::new(own, shared, first, second);
    if start > 0 {
        assistant.start_at(start)?;
    }
    for iteration in start..session.iterations() {
        assistant.iterate(&mut cx, iteration)?;
        progress(iteration, cx.sent());
    }
    Ok(())
}
