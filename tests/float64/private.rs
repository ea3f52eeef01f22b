//! Private training of a network of the reference, in threads.

use std::thread;

use ringlet::{
    data::{OwnImages, parameters::Parameters},
    links::{
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
    },
};
use ringlet_core::{
    Role, dealt,
    net::{Link, Remote},
    network::Network,
    num::{Ring, Word},
    prg::Key,
    securenn,
    session::{Protocol, Session},
    share::{NoObserver, Share},
};

use crate::cases::{Case, network};

fn key(number: u8) -> Key {
    Key::new([number; Key::LEN])
}

fn link(end: MemoryEnd, remote: Remote) -> Link<MemoryEnd> {
    Link::new(end, remote, usize::MAX / 4)
}

/// Parameters of all stages, as integers: shares, or what they add up to.
type Model128 = Vec<Vec<u128>>;

/// Runs both parties and their helper. Each party's work returns its shares after each number of steps.
fn meet(
    helper: impl FnOnce([MemoryEnd; 2]) + Send,
    party: impl Fn(Role, MemoryEnd, MemoryEnd) -> Vec<Model128> + Sync,
) -> [Vec<Model128>; 2] {
    let shape = TrafficShape::default;
    let [peer0, peer1] = memory::duplex(shape());
    let [[helper0, party0], [helper1, party1]] = [memory::duplex(shape()), memory::duplex(shape())];
    let party = &party;
    thread::scope(|scope| {
        scope.spawn(|| helper([helper0, helper1]));
        let first = scope.spawn(|| party(Role::P0, peer0, party0));
        let second = party(Role::P1, peer1, party1);
        [first.join().expect("no panic"), second]
    })
}

/// A party's shares of the model.
fn revealed<W: Word>(shares: impl Iterator<Item = Share<W>>) -> Vec<u128> {
    shares.map(|share| share.reveal().to_u128()).collect()
}

fn train_dealt<R: Ring>(case: &Case, session: &Session, network: &Network) -> [Vec<Model128>; 2] {
    let plan = dealt::Plan::new(session, network);
    let deal = |[_p0, p1]: [MemoryEnd; 2]| {
        let mut memory = vec![0; plan.dealer_arena_words::<R>()];
        let mut dealer = dealt::Dealer::<R>::new(session, network, &mut memory).expect("memory");
        let to_p1 = link(p1, Remote::Party(Role::P1));
        let mut cx = dealt::DealerContext::new([key(1), key(2)], to_p1);
        for iteration in 0..session.iterations() {
            dealer.iterate(&mut cx, iteration).expect("a party");
        }
    };
    meet(deal, |role, peer, dealer| {
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
        let mut party =
            dealt::Trainer::<R>::new(session, network, role, &key(3), &mut memory, &mut opened)
                .expect("memory");
        let state = case.state(session, network, role);
        party.restore(0, &state).expect("a state");
        let (peer, dealer) = (link(peer, Remote::Peer), link(dealer, Remote::Dealer));
        let mut cx = dealt::PartyContext::new(role, key(1 + role.index() as u8), peer, dealer);
        let mut data = OwnImages::new(&case.images, case.own(session, role), network.classes);
        let mut made = Vec::new();
        for iteration in 0..session.iterations() {
            party
                .iterate(&mut cx, iteration, &mut data, &mut NoObserver)
                .expect("a run");
            let outside = party.audit_counts().unwrap_or_default().as_flattened();
            assert!(outside.iter().all(|&count| count == 0), "{iteration}");
            if case.steps.contains(&(iteration + 1)) {
                let stages = 0..network.stages.len();
                made.push(
                    stages
                        .map(|stage| revealed(party.parameters(stage)))
                        .collect(),
                );
            }
        }
        made
    })
}

fn train_securenn(case: &Case, session: &Session, network: &Network) -> [Vec<Model128>; 2] {
    let assist = |[first, second]: [MemoryEnd; 2]| {
        let mut memory = vec![0; securenn::assistant_words(session, network)];
        let mut assistant =
            securenn::Assistant::new(session, network, &mut memory).expect("memory");
        let [first, second] = [(first, Role::P0), (second, Role::P1)]
            .map(|(end, role)| link(end, Remote::Party(role)));
        let shared = [key(1), key(2)];
        let mut cx = securenn::AssistantContext::new(key(5), shared, first, second);
        for iteration in 0..session.iterations() {
            assistant.iterate(&mut cx, iteration).expect("parties");
        }
    };
    meet(assist, |role, peer, assistant| {
        let mut memory = vec![0; securenn::party_words(session, network)];
        let mut party =
            securenn::Trainer::new(session, network, role, &key(3), &mut memory).expect("memory");
        let state = case.state(session, network, role);
        party.restore(0, &state).expect("a state");
        let links = (link(peer, Remote::Peer), link(assistant, Remote::Assistant));
        let keys = [key(4), key(1 + role.index() as u8)];
        let mut cx = securenn::PartyContext::new(role, keys, links.0, links.1);
        let mut data = OwnImages::new(&case.images, case.own(session, role), network.classes);
        let mut made = Vec::new();
        for iteration in 0..session.iterations() {
            party
                .iterate(&mut cx, iteration, &mut data, &mut NoObserver)
                .expect("a run");
            if case.steps.contains(&(iteration + 1)) {
                let stages = 0..network.stages.len();
                made.push(
                    stages
                        .map(|stage| revealed(party.parameters(stage)))
                        .collect(),
                );
            }
        }
        made
    })
}

/// The weights after each number of steps in private training.
pub fn train(case: &Case, session: &Session) -> Vec<Vec<Parameters<f64>>> {
    let network = network(session);
    let [first, second] = match (session.protocol, session.format.ring) {
        (Protocol::SecureNn { .. }, _) => train_securenn(case, session, &network),
        (_, 32) => train_dealt::<u32>(case, session, &network),
        _ => train_dealt::<u64>(case, session, &network),
    };
    let join = |(first, second): (Model128, Model128)| {
        let stages = first.into_iter().zip(second).zip(&network.stages);
        let parameters = stages.map(|((first, second), stage)| {
            let sums = first.iter().zip(&second);
            let sums: Vec<u128> = sums.map(|(a, b)| a.wrapping_add(*b)).collect();
            Parameters::decode(stage, session, &sums)
        });
        parameters.collect()
    };
    first.into_iter().zip(second).map(join).collect()
}
