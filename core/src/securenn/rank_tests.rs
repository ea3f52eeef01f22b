//! SecureNN sessions whose roles share the work on several ranks: the results are those of one rank to the bit, and no two
//! ranks of a role draw from the same stream.

extern crate std;

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread, vec,
    vec::Vec,
};

use super::{
    assistant::Assistant,
    gates::Computing,
    harness::{self, run},
    layout::{assistant_words, party_words},
    party::{Classifier, Trainer},
    session_tests::{brightest, run_session, samples_of, session},
};
use crate::{
    cost::Cost,
    gate::harness::key,
    model::{Layer, loss::Loss, triple_scheme::TripleScheme},
    network::Network,
    num::ring::Word,
    prg::{Address, drawn},
    session::{Protocol, Rank, RankLost, Ranks, RunError, Session, Task},
    share::{Share, observer::NoObserver},
    tests::{DEFAULT_RUN, networks},
};

/// What a rank exchanges with the others of its role, each on a thread of its own.
struct Joined {
    rank: Rank,
    /// To each rank, and from each.
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

impl Joined {
    /// All ranks of a role.
    fn all(count: u16) -> Vec<Self> {
        let ranks = (0..count).map(|index| Rank::new(index, count).unwrap());
        let mut all: Vec<_> = ranks
            .map(|rank| Joined {
                rank,
                to: Vec::new(),
                from: Vec::new(),
            })
            .collect();
        for from in 0..all.len() {
            for to in 0..all.len() {
                let (sender, receiver) = channel();
                all[from].to.push(sender);
                all[to].from.push(receiver);
            }
        }
        all
    }

    fn receive(&self, from: u16) -> Result<Vec<u8>, RankLost> {
        self.from[usize::from(from)].recv().map_err(|_| RankLost)
    }
}

impl Ranks for Joined {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn broadcast(&mut self, from: u16, bytes: &mut [u8]) -> Result<(), RankLost> {
        if self.rank.index() != from {
            bytes.copy_from_slice(&self.receive(from)?);
            return Ok(());
        }
        let others = (0..self.rank.count()).filter(|&to| to != from);
        others
            .map(|to| self.to[usize::from(to)].send(bytes.to_vec()))
            .try_for_each(|sent| sent.map_err(|_| RankLost))
    }

    fn sum<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost> {
        if !self.rank.is_first() {
            let bytes = bytemuck::cast_slice(words).to_vec();
            words.fill(W::ZERO);
            return self.to[0].send(bytes).map_err(|_| RankLost);
        }
        for from in 1..self.rank.count() {
            let bytes = self.receive(from)?;
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<W>())) {
                *word = word.plus(bytemuck::pod_read_unaligned(bytes));
            }
        }
        Ok(())
    }
}

/// What a party has after a session.
#[derive(Default, PartialEq, Eq, Debug)]
struct Ended {
    /// Its shares of every stage's parameters, and its state.
    shares: Vec<u64>,
    state: Vec<u8>,
    /// Samples and classes that it learns, in order.
    classes: Vec<(u32, u8)>,
    /// For each iteration, the counts of the audit.
    audits: Vec<Option<Vec<[u32; 2]>>>,
    /// For each iteration and cost row, the cost.
    costs: Vec<Vec<Cost>>,
}

/// What a role has after a session: the result, and the streams of which its ranks drew, one after the other.
struct OfRole {
    result: Ended,
    streams: Vec<HashSet<Address>>,
}

/// The iteration with which a run goes on, and both parties' states before it.
type Before<'a> = Option<(u32, &'a [Vec<u8>; 2])>;

/// What a rank of a party does from the iteration `start` on, with the state before it if that is not the first.
fn run_party(
    (session, network): (&Session, &Network),
    (model, before): (&[Vec<u64>], Before<'_>),
    ranks: &mut impl Ranks,
    cx: &mut harness::Party,
) -> Ended {
    let (role, is_first) = (cx.role(), ranks.rank().is_first());
    let mut memory = vec![0; party_words(session, network)];
    let mut data = samples_of(session, network, role);
    let mut result = Ended::default();
    let start = before.map_or(0, |(start, _)| start);
    let iterations = start..session.iterations();
    let costs = |cx: &mut harness::Party| cx.take_traffic().cost_rows.as_flattened().to_vec();
    if session.task == Task::Train {
        let secret = key(DEFAULT_RUN.weights, role);
        let mut party = match is_first {
            true => Trainer::new(session, network, role, &secret, &mut memory),
            false => Trainer::further_rank(session, network, (role, start), &mut memory),
        }
        .unwrap();
        if let (Some((start, states)), true) = (before, is_first) {
            party.restore(start, &states[role.index()]).unwrap();
        }
        drawn::start();
        for iteration in iterations {
            party
                .iterate_in_ranks(cx, ranks, iteration, &mut data, &mut NoObserver)
                .unwrap();
            result.costs.push(costs(cx));
            result.audits.push(party.audit_counts().map(<[_]>::to_vec));
        }
        let stages = 0..network.stages.len();
        let shares = stages.flat_map(|stage| party.parameters(stage).map(Share::reveal));
        result.shares = shares.collect();
        result.state = vec![0; party.state_len()];
        party.save_state(&mut result.state).unwrap();
        return result;
    }
    let mut party = Classifier::new(session, network, role, &mut memory).unwrap();
    if is_first && session.samples_owner() != role {
        for (stage, values) in model.iter().enumerate() {
            party.load_parameters(stage, values.iter().copied());
        }
    }
    drawn::start();
    for iteration in iterations {
        let sink = |sample, class| result.classes.push((sample, class));
        let seen = (&mut data, &mut NoObserver);
        party
            .classify_in_ranks(cx, ranks, iteration, seen, sink)
            .unwrap();
        result.costs.push(costs(cx));
        result.audits.push(party.audit_counts().map(<[_]>::to_vec));
    }
    result
}

/// Runs a session on so many ranks: both parties, then the assistant.
fn run_in_ranks(
    session: &Session,
    model: &[Vec<u64>],
    before: Before<'_>,
    count: u16,
) -> [OfRole; 3] {
    let network = crate::securenn::check(session).unwrap();
    let network = &network;
    let [first, second] = [Joined::all(count), Joined::all(count)];
    let ran: Vec<_> = thread::scope(|scope| {
        let ranks = first.into_iter().zip(second);
        let started: Vec<_> = ranks
            .map(|(first, second)| {
                let rank = first.rank;
                scope.spawn(move || {
                    let of_parties = [first, second].map(|ranks| Mutex::new(Some(ranks)));
                    // All ranks have the same keys.
                    run(
                        17,
                        |cx| {
                            let ranks = of_parties[cx.role().index()].lock().unwrap().take();
                            let mut ranks = ranks.expect("one party of this role");
                            let given = (model, before);
                            let result = run_party((session, network), given, &mut ranks, cx);
                            Ok((result, drawn::stop()))
                        },
                        |cx| {
                            let mut memory = vec![0; assistant_words(session, network)];
                            let mut assistant =
                                Assistant::new(session, network, &mut memory).unwrap();
                            let start = before.map_or(0, |(start, _)| start);
                            if start > 0 {
                                assistant.start_at(start).unwrap();
                            }
                            drawn::start();
                            for iteration in start..session.iterations() {
                                assistant.iterate_as_rank(cx, rank, iteration).unwrap();
                            }
                            Ok(drawn::stop())
                        },
                    )
                })
            })
            .collect();
        let ended = started.into_iter().map(|rank| rank.join().expect("a rank"));
        ended.collect()
    });
    let mut roles = [(); 3].map(|()| OfRole {
        result: Ended::default(),
        streams: Vec::new(),
    });
    for ran in ran {
        roles[2].streams.push(ran.answer);
        for (role, (result, streams)) in roles.iter_mut().zip(ran.outputs) {
            role.add(result, streams);
        }
    }
    for role in &mut roles {
        role.result.classes.sort_unstable();
    }
    roles
}

impl OfRole {
    /// Adds the next rank. What the first one alone has stays, costs add up, and classes come together.
    fn add(&mut self, rank: Ended, streams: HashSet<Address>) {
        self.streams.push(streams);
        if self.streams.len() == 1 {
            self.result = rank;
            return;
        }
        // Of an iteration the first rank alone knows the counts, and the model's state.
        assert!(rank.audits.iter().all(Option::is_none));
        self.result.classes.extend(rank.classes);
        for (costs, more) in self.result.costs.iter_mut().zip(rank.costs) {
            for (cost, more) in costs.iter_mut().zip(more) {
                *cost += more;
            }
        }
    }
}

/// Checks that so many ranks have the results and the costs of one, and draw from the same streams, each from its own. A
/// stream has one key and one address. Here it is told by its address alone, so that the same address under two keys counts
/// as one stream: ranks do not share any.
fn check(session: &Session, model: &[Vec<u64>], before: Before<'_>) -> [Ended; 2] {
    let layers = &session.model.layers;
    let one = run_in_ranks(session, model, before, 1);
    for count in 2..=session.most_ranks() {
        let several = run_in_ranks(session, model, before, count);
        for (role, alone) in several.iter().zip(&one) {
            assert!(role.result == alone.result, "{count} ranks, {layers:?}");
            let mut all = HashSet::new();
            for streams in &role.streams {
                assert!(!streams.is_empty());
                assert!(all.is_disjoint(streams), "{count} ranks, {layers:?}");
                all.extend(streams);
            }
            assert!(all == alone.streams[0], "{count} ranks, {layers:?}");
        }
    }
    let [first, second, _] = one;
    [first.result, second.result]
}

#[test]
fn any_number_of_ranks_trains_the_same_model() {
    for (index, (input, layers)) in networks().into_iter().enumerate() {
        // Batches of 5 in micro-batches of 2, 2 and 1, and a last batch of an epoch that is shorter.
        let session = Session {
            protocol: Protocol::SecureNn {
                triples: [TripleScheme::Baseline, TripleScheme::Fused][index % 2],
                loss: [Loss::Softmax, Loss::Softmax, Loss::Normalised][index % 3],
            },
            momentum: if index == 4 { 0 } else { 7 << 21 },
            micro_batch: if index == 3 { 1 } else { 2 },
            audit: if index % 3 == 1 { 0 } else { 3 },
            limit: 5,
            ..session(input, &layers)
        };
        let lens: HashSet<u32> = (0..5).map(|at| session.batch(at).len).collect();
        assert!(lens.len() > 1 && lens.contains(&5));
        let ended = check(&session, &[], None);
        // The model is that of a session that knows of no ranks.
        let plain = run_session(&session, &[]);
        for (party, plain) in ended.iter().zip(&plain.outputs) {
            assert!(party.shares == plain.shares, "{layers:?}");
            assert_eq!(party.audits, plain.audits);
        }
        if index > 1 {
            continue;
        }
        // Ranks of a run that goes on: under the same keys, as only a test may, it comes to the same end.
        let limit = 3;
        let started = check(
            &Session {
                limit,
                ..session.clone()
            },
            &[],
            None,
        );
        let states = started.map(|party| party.state);
        let resumed = check(&session, &[], Some((limit, &states)));
        for (party, straight) in resumed.iter().zip(&ended) {
            assert!(party.shares == straight.shares && party.state == straight.state);
        }
    }
}

#[test]
fn values_outside_of_the_contract_are_counted_the_same_on_any_number_of_ranks() {
    let mut found = 0;
    for (input, layers) in networks().into_iter().take(3) {
        let session = Session {
            learning_rate: u32::MAX,
            micro_batch: 2,
            audit: 1,
            limit: 6,
            ..session(input, &layers)
        };
        let [party, _] = check(&session, &[], None);
        let counts = party.audits.iter().flatten().flatten().flatten();
        found += counts.sum::<u32>();
    }
    assert!(found > 0);
}

#[test]
fn any_number_of_ranks_finds_the_same_classes() {
    let layers = [Layer::Dense { units: 9 }];
    for samples in [[17, 0], [0, 17]] {
        let session = Session {
            task: Task::Infer,
            samples,
            epochs: 1,
            micro_batch: 2,
            audit: 2,
            ..session([1, 1, 9], &layers)
        };
        let found = check(&session, &[brightest(9)], None);
        let owner = session.samples_owner().index();
        assert_eq!(found[owner].classes.len(), 17);
        assert!(found[1 - owner].classes.is_empty());
        let alone = run_session(&session, &[brightest(9)]);
        let mut classes = alone.outputs[owner].classes.clone();
        classes.sort_unstable();
        assert_eq!(found[owner].classes, classes);
    }
}

#[test]
fn ranks_without_work_are_refused() {
    let (input, layers) = networks().swap_remove(3);
    let session = Session {
        micro_batch: 2,
        ..session(input, &layers)
    };
    assert_eq!(session.most_ranks(), 3);
    let network = crate::securenn::check(&session).unwrap();
    run(
        17,
        |cx| {
            let mut memory = vec![0; party_words(&session, &network)];
            let role = cx.role();
            let mut party =
                Trainer::further_rank(&session, &network, (role, 0), &mut memory).unwrap();
            let mut data = samples_of(&session, &network, role);
            let ranks = &mut Joined::all(4).swap_remove(1);
            let outcome = party.iterate_in_ranks(cx, ranks, 0, &mut data, &mut NoObserver);
            assert_eq!(outcome, Err(RunError::TooManyRanks));
            drop(party);
            let late = Trainer::further_rank(&session, &network, (role, 99), &mut memory);
            assert!(matches!(late.err(), Some(RunError::Iteration { .. })));
            Ok(())
        },
        |cx| {
            let mut memory = vec![0; assistant_words(&session, &network)];
            let mut assistant = Assistant::new(&session, &network, &mut memory).unwrap();
            let rank = Rank::new(1, 4).unwrap();
            let outcome = assistant.iterate_as_rank(cx, rank, 0);
            assert_eq!(outcome, Err(RunError::TooManyRanks));
            Ok(())
        },
    );
}
