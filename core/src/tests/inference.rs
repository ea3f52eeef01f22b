//! Whole inference sessions in one process, against the plaintext network.

use crate::{
    cost::Cost,
    gate::reuse,
    network::{Activation, Stage},
    num::polynomial::COEFFICIENT_FRACTION,
    prg::{Address, Prg},
    share::observer::NoObserver,
};

use super::*;
use crate::dealt::Classifier;

/// The result of an inference session.
struct Inferred {
    /// For each party, the samples and classes that it learns.
    classes: [Vec<(u32, u8)>; 2],
    traffic: [Vec<Traffic>; 2],
    sent: [u64; 2],
    /// Stream positions that P0 and P1 used for masks, and that the dealer dealt.
    used: [Used; 3],
    /// For P0 and P1 and each iteration, the counts of the audit.
    audited: [Vec<Option<Vec<[u32; 2]>>>; 2],
}

/// Parameters of each stage at the master weights' scale: weights divided by the divisor, then biases.
pub(super) type Master = Vec<Vec<i64>>;

/// A model with weights of the variance of initial weights.
fn master(session: &Session, network: &Network) -> Master {
    let prg = Prg::new(key(17, Role::P0));
    let of = |(index, stage): (usize, &Stage)| {
        let bound = libm::sqrt(6.0 / stage.linear.fan_in() as f64) / f64::from(stage.divisor);
        let (weights, all) = (stage.linear.weight_len(), stage.parameters());
        let mut draws = vec![0u64; all];
        let address = Address {
            iteration: index as u32,
            gate: 0,
            wire: 0,
        };
        prg.fill(address, 0, &mut draws);
        let value = |(at, &draw): (usize, &u64)| {
            let part = draw as i64 as f64 / -(i64::MIN as f64);
            let bound = if at < weights { bound } else { 0.1 };
            libm::scalbn(part * bound, session.format.master().min(60) as i32) as i64
        };
        draws.iter().enumerate().map(value).collect()
    };
    network.stages.iter().enumerate().map(of).collect()
}

/// The shares of `role` of the parameters of a stage.
fn shares_of<R: Ring>(
    role: Role,
    stage: usize,
    values: impl Iterator<Item = R::Wide>,
) -> Vec<Share<R::Wide>> {
    let values: Vec<R::Wide> = values.collect();
    let mut shares = vec![R::Wide::ZERO; values.len()];
    let address = Address {
        iteration: stage as u32,
        gate: 1,
        wire: 0,
    };
    Prg::new(key(17, Role::P1)).fill(address, 0, &mut shares);
    if role == Role::P1 {
        for (share, value) in shares.iter_mut().zip(values) {
            *share = value.minus(*share);
        }
    }
    shares.into_iter().map(Share::wrap).collect()
}

/// Runs a session with both parties and the dealer.
fn run<R: Ring>(session: &Session, master: &Master, options: RunOptions) -> Inferred {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let [end_p0, end_p1] = duplex(options.capacity);
    let [cx, dealt] = duplex(options.capacity);
    let [_unused, key_only] = duplex(1);
    let keys = Role::BOTH.map(|role| key(options.keys, role));
    let party = |role: Role, peer: End, dealer: End| {
        reuse::start();
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        assert_eq!(plan.opened_data_words(role), 0);
        let mut party = Classifier::<R>::new(session, &network, role, &mut memory).unwrap();
        let by = session.format.master() - session.format.master().min(60);
        for (stage, values) in master.iter().enumerate() {
            let values = values
                .iter()
                .map(|&value| R::Wide::from_i64(value).left(by));
            match session.model_owner() {
                Some(owner) if owner == role => party.load_parameters(stage, values).unwrap(),
                Some(_) => {}
                None => {
                    let shares = shares_of::<R>(role, stage, values);
                    party.load_shares(stage, shares).unwrap();
                }
            }
        }
        let mut cx = PartyContext::new(
            role,
            keys[role.index()].clone(),
            Link::new(peer, Remote::Peer, options.ahead),
            Link::new(dealer, Remote::Dealer, options.ahead),
        );
        let mut data = SyntheticData {
            first: 0,
            classes: network.classes as u8,
        };
        let (mut traffic, mut classes, mut audited) = (Vec::new(), Vec::new(), Vec::new());
        for iteration in 0..session.iterations() {
            let learned = |sample, class| classes.push((sample, class));
            party
                .classify(&mut cx, iteration, &mut data, &mut NoObserver, learned)
                .unwrap();
            traffic.push(cx.take_traffic());
            audited.push(party.audit_counts().map(<[_]>::to_vec));
        }
        let sent = cx.peer_bytes()[0];
        (classes, traffic, sent, reuse::stop().0, audited)
    };
    thread::scope(|scope| {
        let dealer = scope.spawn(|| {
            reuse::start();
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
            let link = Link::new(cx, Remote::Party(Role::P1), options.ahead);
            let mut cx = DealerContext::new(keys.clone(), link);
            for iteration in 0..session.iterations() {
                dealer.iterate(&mut cx, iteration).unwrap();
            }
            (reuse::stop().0, cx)
        });
        let p0 = scope.spawn(|| party(Role::P0, end_p0, key_only));
        let (classes1, traffic1, sent1, used1, audited1) = party(Role::P1, end_p1, dealt);
        let (classes0, traffic0, sent0, used0, audited0) = p0.join().unwrap();
        let (dealt, _cx) = dealer.join().unwrap();
        Inferred {
            classes: [classes0, classes1],
            traffic: [traffic0, traffic1],
            sent: [sent0, sent1],
            used: [used0, used1, dealt],
            audited: [audited0, audited1],
        }
    })
}

/// Runs a session in its own ring.
fn infer(session: &Session, master: &Master, options: RunOptions) -> Inferred {
    match session.format.ring {
        32 => run::<u32>(session, master, options),
        _ => run::<u64>(session, master, options),
    }
}

fn check(session: &Session) -> Network {
    match session.format.ring {
        32 => crate::dealt::check::<u32>(session).unwrap(),
        _ => crate::dealt::check::<u64>(session).unwrap(),
    }
}

/// The logits of one sample, in floats.
pub(super) fn logits(
    session: &Session,
    network: &Network,
    master: &Master,
    sample: u32,
) -> Vec<f64> {
    let units = |by: u32, value: i64| libm::scalbn(value as f64, -(by as i32));
    let mut pixels = vec![0; network.input_len()];
    let mut data = SyntheticData {
        first: 0,
        classes: network.classes as u8,
    };
    data.pixels(sample, &mut pixels).unwrap();
    let mut x: Vec<f64> = pixels.iter().map(|&p| f64::from(p) / 255.0).collect();
    let mut inputs: Vec<Vec<f64>> = Vec::new();
    for (stage, parameters) in network.stages.iter().zip(master) {
        if let Some(pool) = stage.pooled_input {
            let mut pooled = vec![0.0; pool.output_len()];
            pool.sum(&x, &mut pooled);
            x = pooled;
        }
        if let Some(dropout) = stage.dropout {
            // The weights are divided by as much.
            x.iter_mut().for_each(|x| *x *= f64::from(dropout.whole()));
        }
        let fraction = session.format.master().min(60);
        let values: Vec<f64> = parameters.iter().map(|&v| units(fraction, v)).collect();
        let (weights, biases) = values.split_at(stage.linear.weight_len());
        let mut y: Vec<f64> = biases
            .to_vec()
            .repeat(stage.linear.output_len() / biases.len());
        let mut scratch = vec![0.0; stage.linear.scratch_len()];
        stage.linear.forward(1, &x, weights, &mut y, &mut scratch);
        inputs.push(x);
        if let Some(source) = stage.skip {
            y.iter_mut()
                .zip(&inputs[usize::from(source)])
                .for_each(|(y, x)| *y += x);
        }
        if let Some(windows) = stage.max_pool {
            let len = windows.output_len();
            let mut planes = vec![0.0; windows.positions() * len];
            windows.gather(&y, &mut planes);
            y = (0..len)
                .map(|at| {
                    planes[at..]
                        .iter()
                        .step_by(len)
                        .copied()
                        .fold(f64::MIN, f64::max)
                })
                .collect();
        }
        let activate = |y: f64| match stage.activation {
            None => y,
            Some(Activation::Relu) => y.max(0.0),
            Some(Activation::Polynomial(polynomial, _)) => {
                let terms = polynomial.terms().iter().rev();
                terms.fold(0.0, |sum, &c| sum * y + units(COEFFICIENT_FRACTION, c))
            }
        };
        x = y.into_iter().map(activate).collect();
    }
    x
}

/// Sessions of inference and of evaluation of one network: for both samples' owners, both rings, ReLU, and polynomials under every triple
/// scheme, with micro-batches and a short last batch.
fn sessions(input: [u16; 3], layers: &[Layer]) -> Vec<Session> {
    let mut sessions = polynomial_sessions(input, layers);
    sessions.push(session::<u32>(input, layers, 5));
    sessions.push(session::<u64>(input, layers, 5));
    sessions.push(session::<u32>(input, layers, 5));
    for (at, session) in sessions.iter_mut().enumerate() {
        session.task = Task::Infer;
        session.epochs = 1;
        session.samples = if at % 2 == 0 { [12, 0] } else { [0, 12] };
        session.micro_batch = [5, 2, 1][at % 3];
        session.audit = [0, 2, 1, 0][at % 4];
    }
    let mut other = sessions[sessions.len() - 1].clone();
    other.samples.reverse();
    sessions.push(other);
    // The same with a model that both parties share.
    for at in 0..sessions.len() {
        let task = Task::Evaluate;
        let session = sessions[at].clone();
        sessions.push(Session { task, ..session });
    }
    sessions
}

#[test]
fn only_the_samples_owner_learns_the_classes() {
    let (mut several, mut all) = (0, 0);
    for (input, layers) in all_networks() {
        for session in sessions(input, &layers) {
            let network = check(&session);
            let master = master(&session, &network);
            let outcome = infer(&session, &master, DEFAULT_RUN);
            let asking = session.samples_owner();
            assert!(outcome.classes[asking.other().index()].is_empty());
            let mut learned = outcome.classes[asking.index()].clone();
            learned.sort_unstable();
            let mut kinds = 0u32;
            for (number, &(sample, class)) in learned.iter().enumerate() {
                assert_eq!(sample, number as u32);
                let logits = logits(&session, &network, &master, sample);
                let most = logits.iter().copied().fold(f64::MIN, f64::max);
                let near = most - logits[usize::from(class)];
                assert!(near < 0.02, "{layers:?} {sample} {class} {logits:?}");
                kinds |= 1 << class;
            }
            assert_eq!(learned.len(), 12);
            several += u32::from(kinds.count_ones() > 1);
            all += 1;
        }
    }
    // The images are similar, but most models still find several classes.
    assert!(2 * several > all, "{several} of {all}");
}

#[test]
fn traffic_matches_the_plan_and_the_model_is_opened_once() {
    fn check_costs<R: Ring>(session: &Session) {
        let network = crate::dealt::check::<R>(session).unwrap();
        let plan = Plan::new(session, &network);
        let outcome = run::<R>(session, &master(session, &network), DEFAULT_RUN);
        for role in Role::BOTH {
            let mut all = plan.model_opening(role);
            let traffic = &outcome.traffic[role.index()];
            for (iteration, traffic) in traffic.iter().enumerate() {
                let batch = session.batch(iteration as u32);
                let mut want = plan.inference::<R>(role, batch.len);
                all += want.iter().map(|cost_row| cost_row.forward).sum();
                let is_audited = session.is_audited(iteration as u32);
                if is_audited {
                    plan.audit_gates::<R>(batch.len, |gate| {
                        assert!(!gate.backward);
                        want[gate.cost_row].forward += gate.cost;
                        all += gate.cost;
                    });
                }
                let [counts, same] = [0, 1].map(|party: usize| &outcome.audited[party][iteration]);
                assert_eq!(counts.is_some(), is_audited);
                assert_eq!(counts, same);
                if iteration == 0 {
                    for stage in 0..network.stages.len() {
                        want[2 * stage].forward += plan.stage_opening(stage, role);
                    }
                }
                for (cost_row, measured) in want.iter().zip(&traffic.cost_rows) {
                    let mut want = cost_row.forward;
                    if role == Role::P0 {
                        want.dealer_bytes = 0;
                    }
                    let name = &cost_row.name;
                    assert_eq!(measured, &[want, Cost::ZERO], "{name} {role} {iteration}");
                    assert_eq!(cost_row.backward, Cost::ZERO);
                }
            }
            assert_eq!(outcome.sent[role.index()], all.online_bytes);
        }
        let asking = session.samples_owner();
        let sends = session.model_owner().is_none();
        assert_eq!(plan.model_opening(asking).online_bytes > 0, sends);
        assert!(plan.model_opening(asking.other()).online_bytes > 0);
    }
    for (input, layers) in all_networks() {
        for session in sessions(input, &layers) {
            match session.format.ring {
                32 => check_costs::<u32>(&session),
                _ => check_costs::<u64>(&session),
            }
        }
    }
}

#[test]
fn no_mask_is_used_twice() {
    for (input, layers) in all_networks() {
        for session in sessions(input, &layers) {
            let network = check(&session);
            // The recorder checks each set; this checks that no mask is a dealt share too.
            let [p0, p1, dealt] = infer(&session, &master(&session, &network), DEFAULT_RUN).used;
            assert!(p0.len() > 100 && p1.len() > 100 && dealt.len() > 100);
            assert!(p0.is_disjoint(&dealt));
        }
    }
}

#[test]
fn little_buffering_and_other_micro_batches_give_the_same_classes() {
    for (input, layers) in all_networks() {
        let all = sessions(input, &layers);
        for session in [&all[all.len() / 2 - 1], &all[all.len() - 1]] {
            let master = master(session, &check(session));
            let whole = infer(session, &master, DEFAULT_RUN);
            let session = Session {
                micro_batch: 4,
                ..session.clone()
            };
            let narrow = infer(
                &session,
                &master,
                RunOptions {
                    capacity: 64,
                    ahead: 0,
                    ..DEFAULT_RUN
                },
            );
            assert_eq!(narrow.classes, whole.classes);
        }
    }
}

#[test]
fn a_party_refuses_the_other_task_and_wrong_parameters() {
    let (input, layers) = networks().remove(0);
    let train = session::<u32>(input, &layers, 5);
    let infer = Session {
        task: Task::Infer,
        samples: [0, 12],
        epochs: 1,
        ..train.clone()
    };
    let network = check(&infer);
    let trained = Plan::new(&train, &network);
    let plan = Plan::new(&infer, &network);
    let few = trained.arena_words::<u32>(Role::P1);
    assert!(plan.arena_words::<u32>(Role::P1) < few);
    let mut memory = vec![0; few];
    let mut opened = vec![0; trained.opened_data_words(Role::P0)];
    for role in Role::BOTH {
        let secret = key(1, role);
        let refused =
            Trainer::<u32>::new(&infer, &network, role, &secret, &mut memory, &mut opened);
        assert_eq!(refused.err(), Some(RunError::Task));
        let refused = Classifier::<u32>::new(&train, &network, role, &mut memory);
        assert_eq!(refused.err(), Some(RunError::Task));
        let mut party = Classifier::<u32>::new(&infer, &network, role, &mut memory).unwrap();
        let needed = network.stages[0].parameters();
        let mut load = |stage, count| party.load_parameters(stage, vec![0; count]);
        if role == infer.samples_owner() {
            assert_eq!(load(0, needed), Err(RunError::NotModelOwner));
            continue;
        }
        assert_eq!(load(0, needed), Ok(()));
        for given in [needed - 1, needed + 1] {
            let wrong = RunError::Parameters { needed, given };
            assert_eq!(load(0, given), Err(wrong));
        }
        let wrong = RunError::Parameters {
            needed: 0,
            given: 1,
        };
        assert_eq!(load(2, 1), Err(wrong));
    }
}
