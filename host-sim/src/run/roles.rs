//! One role of a run, from its connected links to its end.

use std::time::Instant;

use crate::{
    error::Failure,
    run::event::{Event, StageValues},
};
use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    data::Data,
    dealt::{Dealer, DealerContext, PartyContext, Plan, Trainer},
    net::Link,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    session::{
        Protocol, RunError, Session,
        handshake::{
            HandshakeError, Hello, Mismatch, Seal, receive_key, refuse, send_key, send_sealed_key,
        },
    },
    share::{Observer, Share},
};

/// What a party needs beside its links.
pub struct PartySetup<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The secret from which its part of the first weights is drawn.
    pub secret: Key,
    /// The key that it shares with the dealer.
    pub key: Key,
    /// Whether to tell the starter its shares: in a simulation alone.
    pub simulated: bool,
}

/// Runs a party to the end. Returns the revealed parameters if this party receives them.
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
    let (mut memory, mut opened_data) = room::<R>(session, network, role);
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
            audit: party.audited().map(<[_]>::to_vec),
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

/// A party's arena, and its room for the other party's opened samples.
pub(crate) fn room<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
) -> (Vec<u64>, Vec<R>) {
    let plan = Plan::new(session, network);
    let arena = vec![0; plan.arena_words::<R>(role)];
    (arena, vec![R::ZERO; plan.opened_data_words(role)])
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

/// The shares of the model that `role` starts with when it draws them from `secret`: for simulations, which
/// know the secrets.
pub fn first_shares<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
    secret: &Key,
) -> Result<Vec<StageValues>, Failure> {
    let (mut memory, mut opened_data) = room::<R>(session, network, role);
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

/// Greets the peer and the dealer or assistant, and returns the key that the latter hands out.
pub fn greet<P: Read + Write, D: Read + Write>(
    hello: &Hello,
    peer: &mut Link<P>,
    dealer: &mut Link<D>,
) -> Result<Key, Failure> {
    // The dealer first: so it too learns what the parties differ in.
    hello.announce(dealer)?;
    hello.meet_peer(peer)?;
    Ok(receive_key(dealer)?)
}

/// The role that both parties meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Deals ahead.
    Dealer,
    /// Helps during the run.
    Assistant,
}

/// Compares what both parties said, refuses them if they do not fit together, and hands out the keys, those of
/// devices sealed. Returns the session that they agree on and the links in the order of the roles. Parties that want
/// another `helper` than this one are refused.
pub fn meet_parties<T: Read + Write>(
    helper: Helper,
    mut links: [Link<T>; 2],
    heard: [Hello; 2],
    keys: &[Key; 2],
    seals: &[Option<Seal>; 2],
) -> Result<(Session, [Link<T>; 2]), Failure> {
    let assisted = matches!(heard[0].session.protocol, Protocol::SecureNn { .. });
    let mismatch = match helper {
        _ if heard[0].role == heard[1].role => Some(Mismatch::Role(heard[0].role)),
        Helper::Dealer if assisted => Some(Mismatch::Dealer),
        Helper::Assistant if !assisted => Some(Mismatch::Assistant),
        _ => heard[0].compare(&heard[1]).err(),
    };
    if let Some(mismatch) = mismatch {
        for link in &mut links {
            // A party that is gone needs no answer.
            let _ = refuse(link, mismatch);
        }
        return Err(HandshakeError::from(mismatch).into());
    }
    if heard[0].role == Role::P1 {
        links.swap(0, 1);
    }
    for ((link, key), seal) in links.iter_mut().zip(keys).zip(seals) {
        match seal {
            Some(seal) => send_sealed_key(link, key, seal)?,
            None => send_key(link, key)?,
        }
    }
    let [hello, _] = heard;
    Ok((hello.session, links))
}

/// Deals a whole session to P1; returns the link.
pub fn run_dealer<R: Ring, T: Read + Write>(
    session: &Session,
    keys: [Key; 2],
    link: Link<T>,
    mut progress: impl FnMut(u32, u64),
) -> Result<Link<T>, Failure> {
    let network = ringlet_core::dealt::check::<R>(session)?;
    let mut memory = vec![0; Plan::new(session, &network).dealer_arena_words::<R>()];
    let mut dealer = Dealer::<R>::new(session, &network, &mut memory).map_err(RunError::from)?;
    let mut cx = DealerContext::new(keys, link);
    for iteration in 0..session.iterations() {
        dealer.iterate(&mut cx, iteration)?;
        progress(iteration, cx.sent());
    }
    Ok(cx.into_link())
}
