//! Whole sessions of inference on one machine, against the plaintext network.

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

/// What a session left behind.
struct Inferred {
    /// For each party, the classes that it was told, by sample.
    classes: [Vec<(u32, u8)>; 2],
    meters: [Vec<Traffic>; 2],
    sent: [u64; 2],
    /// Stream positions that hide what P0 and P1 open, and that the dealer deals from.
    used: [Used; 3],
}

/// Parameters of each stage in units of the master weights: weights divided by the divisor, then biases.
type Master = Vec<Vec<i64>>;

/// A model with weights as wide as training's first ones.
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

fn run<R: Ring>(session: &Session, master: &Master, way: Way) -> Inferred {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let [end_p0, end_p1] = duplex(way.capacity);
    let [cx, dealt] = duplex(way.capacity);
    let [_unused, key_only] = duplex(1);
    let keys = Role::BOTH.map(|role| key(way.keys, role));
    let party = |role: Role, peer: End, dealer: End| {
        reuse::start();
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        assert_eq!(plan.opened_data_words(role), 0);
        let mut party = Classifier::<R>::new(session, &network, role, &mut memory).unwrap();
        if Some(role) == session.model_owner() {
            let by = session.format.master() - session.format.master().min(60);
            for (stage, values) in master.iter().enumerate() {
                let values = values
                    .iter()
                    .map(|&value| R::Wide::from_i64(value).left(by));
                party.load_parameters(stage, values).unwrap();
            }
        }
        let mut cx = PartyContext::new(
            role,
            keys[role.index()].clone(),
            Link::new(peer, Remote::Peer, way.ahead),
            Link::new(dealer, Remote::Dealer, way.ahead),
        );
        let mut data = Made {
            first: 0,
            classes: network.classes as u8,
        };
        let (mut meters, mut classes) = (Vec::new(), Vec::new());
        for iteration in 0..session.iterations() {
            let told = |sample, class| classes.push((sample, class));
            party
                .classify(&mut cx, iteration, &mut data, &mut NoObserver, told)
                .unwrap();
            meters.push(cx.take_traffic());
        }
        (classes, meters, cx.peer_bytes()[0], reuse::stop())
    };
    thread::scope(|scope| {
        let dealer = scope.spawn(|| {
            reuse::start();
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
            let link = Link::new(cx, Remote::Party(Role::P1), way.ahead);
            let mut cx = DealerContext::new(keys.clone(), link);
            for iteration in 0..session.iterations() {
                dealer.iterate(&mut cx, iteration).unwrap();
            }
            (reuse::stop(), cx)
        });
        let p0 = scope.spawn(|| party(Role::P0, end_p0, key_only));
        let (classes1, meters1, sent1, used1) = party(Role::P1, end_p1, dealt);
        let (classes0, meters0, sent0, used0) = p0.join().unwrap();
        let (dealt, _supply) = dealer.join().unwrap();
        Inferred {
            classes: [classes0, classes1],
            meters: [meters0, meters1],
            sent: [sent0, sent1],
            used: [used0, used1, dealt],
        }
    })
}

/// Runs a session in the ring that it names.
fn infer(session: &Session, master: &Master, way: Way) -> Inferred {
    match session.format.ring {
        32 => run::<u32>(session, master, way),
        _ => run::<u64>(session, master, way),
    }
}

fn check(session: &Session) -> Network {
    match session.format.ring {
        32 => crate::dealt::check::<u32>(session).unwrap(),
        _ => crate::dealt::check::<u64>(session).unwrap(),
    }
}

/// The logits of one sample, in floats.
fn logits(session: &Session, network: &Network, master: &Master, sample: u32) -> Vec<f64> {
    let units = |by: u32, value: i64| libm::scalbn(value as f64, -(by as i32));
    let mut pixels = vec![0; network.input_len()];
    let mut data = Made {
        first: 0,
        classes: network.classes as u8,
    };
    data.pixels(sample, &mut pixels).unwrap();
    let mut x: Vec<f64> = pixels.iter().map(|&p| f64::from(p) / 255.0).collect();
    for (stage, parameters) in network.stages.iter().zip(master) {
        if let Some(pool) = stage.pooled_input {
            let mut pooled = vec![0.0; pool.output_len()];
            pool.sum(&x, &mut pooled);
            x = pooled;
        }
        let fraction = session.format.master().min(60);
        let values: Vec<f64> = parameters.iter().map(|&v| units(fraction, v)).collect();
        let (weights, biases) = values.split_at(stage.linear.weight_len());
        let mut y: Vec<f64> = biases
            .to_vec()
            .repeat(stage.linear.output_len() / biases.len());
        let mut scratch = vec![0.0; stage.linear.scratch_len()];
        stage.linear.forward(1, &x, weights, &mut y, &mut scratch);
        if let Some(windows) = stage.max_pool {
            let len = windows.output_len();
            let mut planes = vec![0.0; windows.places() * len];
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

/// Sessions of inference on one network: either party asks, in either ring, with ReLU and with polynomials under every
/// kind of triples, with batches cut up and the last one short.
fn sessions(input: [u16; 3], layers: &[Layer]) -> Vec<Session> {
    let mut sessions = smooth_sessions(input, layers);
    sessions.push(session::<u32>(input, layers, 5));
    sessions.push(session::<u64>(input, layers, 5));
    sessions.push(session::<u32>(input, layers, 5));
    for (at, session) in sessions.iter_mut().enumerate() {
        session.task = Task::Infer;
        session.epochs = 1;
        session.samples = if at % 2 == 0 { [12, 0] } else { [0, 12] };
        session.micro_batch = [5, 2, 1][at % 3];
    }
    let mut other = sessions[sessions.len() - 1].clone();
    other.samples.reverse();
    sessions.push(other);
    sessions
}

#[test]
fn the_party_that_asks_and_no_other_learns_the_classes() {
    let (mut several, mut all) = (0, 0);
    for (input, layers) in networks() {
        for session in sessions(input, &layers) {
            let network = check(&session);
            let master = master(&session, &network);
            let outcome = infer(&session, &master, WAY);
            let asking = session.asking();
            assert!(outcome.classes[asking.other().index()].is_empty());
            let mut told = outcome.classes[asking.index()].clone();
            told.sort_unstable();
            let mut kinds = 0u32;
            for (number, &(sample, class)) in told.iter().enumerate() {
                assert_eq!(sample, number as u32);
                let logits = logits(&session, &network, &master, sample);
                let most = logits.iter().copied().fold(f64::MIN, f64::max);
                let near = most - logits[usize::from(class)];
                assert!(near < 0.02, "{layers:?} {sample} {class} {logits:?}");
                kinds |= 1 << class;
            }
            assert_eq!(told.len(), 12);
            several += u32::from(kinds.count_ones() > 1);
            all += 1;
        }
    }
    // The images are much alike, but not to every model.
    assert!(2 * several > all, "{several} of {all}");
}

#[test]
fn what_is_sent_is_what_the_plan_says_and_the_model_is_opened_once() {
    fn check_costs<R: Ring>(session: &Session) {
        let network = crate::dealt::check::<R>(session).unwrap();
        let plan = Plan::new(session, &network);
        let outcome = run::<R>(session, &master(session, &network), WAY);
        for role in Role::BOTH {
            let mut all = plan.model_opening(role);
            let meters = &outcome.meters[role.index()];
            for (iteration, traffic) in meters.iter().enumerate() {
                let batch = session.batch(iteration as u32);
                let mut want = plan.inference::<R>(role, batch.len);
                all += want.iter().map(|cost_row| cost_row.forward).sum();
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
        let asking = session.asking();
        assert_eq!(plan.model_opening(asking).online_bytes, 0);
        assert!(plan.model_opening(asking.other()).online_bytes > 0);
    }
    for (input, layers) in networks() {
        for session in sessions(input, &layers) {
            match session.format.ring {
                32 => check_costs::<u32>(&session),
                _ => check_costs::<u64>(&session),
            }
        }
    }
}

#[test]
fn nothing_is_opened_twice_under_one_mask() {
    for (input, layers) in networks() {
        for session in sessions(input, &layers) {
            let network = check(&session);
            // Within each set it has been checked; a mask may not serve as a dealt share either.
            let [p0, p1, dealt] = infer(&session, &master(&session, &network), WAY).used;
            assert!(p0.len() > 100 && p1.len() > 100 && dealt.len() > 100);
            assert!(p0.is_disjoint(&dealt));
        }
    }
}

#[test]
fn links_that_hold_few_bytes_give_the_same_classes_in_any_micro_batches() {
    for (input, layers) in networks() {
        let last = sessions(input, &layers).len() - 1;
        for session in &sessions(input, &layers)[last - 1..] {
            let master = master(session, &check(session));
            let wide = Way {
                ahead: 1 << 15,
                ..WAY
            };
            let whole = infer(session, &master, wide);
            let session = Session {
                micro_batch: 4,
                ..session.clone()
            };
            let narrow = infer(
                &session,
                &master,
                Way {
                    capacity: 64,
                    ..WAY
                },
            );
            assert_eq!(narrow.classes, whole.classes);
        }
    }
}

#[test]
fn a_party_refuses_the_other_task_and_parameters_that_are_not_its_own() {
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
        if role == infer.asking() {
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
