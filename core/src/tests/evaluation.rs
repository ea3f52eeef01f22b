//! Evaluations of the shared model while it is trained.

use crate::{
    cost::Cost, dealt::Classifier, num::fixed_point::RATE_FRACTION, session::Validation,
    share::observer::NoObserver,
};

use super::{
    inference::{Master, logits},
    *,
};

/// The held-out samples of P0 and P1.
const VALIDATION: Validation = Validation {
    samples: [7, 4],
    every: 1,
    patience: 0,
};

/// A party's part in an evaluation: its session, the classes that this party learns, and its traffic in all.
type Evaluated = (Session, Vec<(u32, u8)>, Cost);

/// What a party has after a training with evaluations.
#[derive(Default)]
struct Trained {
    shares: Vec<Vec<u128>>,
    state: Vec<u8>,
    evaluations: Vec<Evaluated>,
    /// Bytes sent to the peer in all.
    sent: u64,
    /// Traffic of the iterations.
    training: Cost,
}

/// Trains, with evaluations or without. Returns what both parties have, and the bytes that the dealer has sent.
fn train<R: Ring>(session: &Session, validation: Option<Validation>) -> ([Trained; 2], u64) {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let [end_p0, end_p1] = duplex(1 << 16);
    let [to_p1, dealt] = duplex(1 << 16);
    let [_unused, key_only] = duplex(1);
    let keys = Role::BOTH.map(|role| key(DEFAULT_RUN.keys, role));
    let due = |iteration| {
        let validation = validation.filter(|validation| validation.is_due(session, iteration));
        let of = |owner| validation.map(|validation| validation.session(session, owner));
        let owners = validation.iter().flat_map(Validation::owners);
        owners.filter_map(of).collect::<Vec<Session>>()
    };
    let data = |first| SyntheticData {
        first,
        classes: network.classes as u8,
    };
    let party = |role: Role, peer: End, dealer: End| {
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
        let secret = key(DEFAULT_RUN.weights, role);
        let mut party =
            Trainer::<R>::new(session, &network, role, &secret, &mut memory, &mut opened).unwrap();
        let mut cx = PartyContext::new(
            role,
            keys[role.index()].clone(),
            Link::new(peer, Remote::Peer, 0),
            Link::new(dealer, Remote::Dealer, 0),
        );
        let mut trained = Trained::default();
        let mut own = data(role.index() as u32 * session.samples[0]);
        for iteration in 0..session.iterations() {
            let observer = &mut NoObserver;
            party
                .iterate(&mut cx, iteration, &mut own, observer)
                .unwrap();
            trained.training += cx.take_traffic().total();
            for evaluation in due(iteration) {
                let network = crate::dealt::check::<R>(&evaluation).unwrap();
                let words = Plan::new(&evaluation, &network).arena_words::<R>(role);
                let mut memory = vec![0; words];
                let mut classifier =
                    Classifier::<R>::new(&evaluation, &network, role, &mut memory).unwrap();
                // Both ways to load the model give the same shares.
                match iteration % 2 {
                    0 => {
                        let mut state = vec![0; party.state_len()];
                        party.save_state(&mut state).unwrap();
                        classifier.restore(&state).unwrap();
                    }
                    _ => (0..network.stages.len()).for_each(|stage| {
                        let shares = party.parameters(stage);
                        classifier.load_shares(stage, shares).unwrap();
                    }),
                }
                let mut classes = Vec::new();
                let mut held_out = data(0);
                let run = cx.evaluation(|cx| {
                    for batch in 0..evaluation.iterations() {
                        let learned = |sample, class| classes.push((sample, class));
                        let observer = &mut NoObserver;
                        classifier.classify(cx, batch, &mut held_out, observer, learned)?;
                    }
                    Ok::<_, RunError>(())
                });
                run.unwrap();
                let traffic = cx.take_traffic().total();
                let done = (evaluation.clone(), classes, traffic);
                trained.evaluations.push(done);
            }
        }
        for stage in 0..network.stages.len() {
            let shares = party.parameters(stage).map(|s| Share::peel(s).to_u128());
            trained.shares.push(shares.collect());
        }
        trained.state = vec![0; party.state_len()];
        party.save_state(&mut trained.state).unwrap();
        trained.sent = cx.peer_bytes()[0];
        trained
    };
    thread::scope(|scope| {
        let dealer = scope.spawn(|| {
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
            let link = Link::new(to_p1, Remote::Party(Role::P1), 0);
            let mut cx = DealerContext::new(keys.clone(), link);
            for iteration in 0..session.iterations() {
                dealer.iterate(&mut cx, iteration).unwrap();
                for evaluation in due(iteration) {
                    let network = crate::dealt::check::<R>(&evaluation).unwrap();
                    let words = Plan::new(&evaluation, &network).dealer_arena_words::<R>();
                    let mut memory = vec![0; words];
                    let mut dealer = Dealer::<R>::new(&evaluation, &network, &mut memory).unwrap();
                    let run = cx.evaluation(|cx| {
                        (0..evaluation.iterations()).try_for_each(|batch| dealer.iterate(cx, batch))
                    });
                    run.unwrap();
                }
            }
            cx
        });
        let p0 = scope.spawn(|| party(Role::P0, end_p0, key_only));
        let p1 = party(Role::P1, end_p1, dealt);
        let p0 = p0.join().unwrap();
        ([p0, p1], dealer.join().unwrap().sent())
    })
}

/// The sum of both parties' shares, as the plaintext network takes it.
fn opened(session: &Session, [p0, p1]: &[Trained; 2]) -> Master {
    let by = session.format.master() - session.format.master().min(60);
    let sum = |(a, b): (&u128, &u128)| signed(a.wrapping_add(*b), session.format.wide()) >> by;
    let stages = p0.shares.iter().zip(&p1.shares);
    let stages = stages.map(|(a, b)| a.iter().zip(b).map(sum).map(|v| v as i64).collect());
    stages.collect()
}

fn check<R: Ring>(session: &Session) {
    let (plain, dealt) = train::<R>(session, None);
    let (validated, dealt_with) = train::<R>(session, Some(VALIDATION));
    let network = crate::dealt::check::<R>(session).unwrap();
    let model = opened(session, &validated);
    let mut corrections = 0;
    for role in Role::BOTH {
        let [plain, validated] = [&plain, &validated].map(|both| &both[role.index()]);
        // The training is the same to the bit, and so are its costs.
        assert!(plain.shares == validated.shares && plain.state == validated.state);
        assert_eq!(plain.training, validated.training);
        assert!(plain.evaluations.is_empty());
        assert_eq!(validated.evaluations.len(), 2 * 2);
        let mut sent = plain.sent;
        for (index, (evaluation, classes, traffic)) in validated.evaluations.iter().enumerate() {
            // What the plan says is what was sent.
            let plan = Plan::new(evaluation, &network);
            let mut want = plan.model_opening(role);
            for iteration in 0..evaluation.iterations() {
                let len = evaluation.batch(iteration).len;
                let rows = plan.inference::<R>(role, len);
                want += rows.iter().map(|row| row.forward).sum();
                if evaluation.is_audited(iteration) {
                    want += plan.audit::<R>(len);
                }
            }
            if role == Role::P0 {
                want.dealer_bytes = 0;
            }
            assert_eq!(*traffic, want, "{role} {index}");
            assert_eq!(plan.sent_to_peer::<R>(role, 0).bytes, traffic.online_bytes);
            sent += traffic.online_bytes;
            corrections += traffic.dealer_bytes;
            // Only the samples' owner learns classes.
            let owner = [Role::P0, Role::P1][index % 2];
            assert_eq!(evaluation.samples_owner(), owner);
            let count = VALIDATION.samples[role.index()] as usize;
            assert_eq!(classes.len(), if role == owner { count } else { 0 });
            if index < 2 {
                continue;
            }
            // Those of the trained model.
            for &(sample, class) in classes {
                let logits = logits(evaluation, &network, &model, sample);
                let most = logits.iter().copied().fold(f64::MIN, f64::max);
                assert!(most - logits[usize::from(class)] < 0.03, "{logits:?}");
            }
        }
        assert_eq!(validated.sent, sent);
    }
    assert_eq!(dealt_with, dealt + corrections);
}

#[test]
fn a_training_with_evaluations_is_the_same_to_the_bit() {
    for (index, (input, layers)) in all_networks().into_iter().enumerate() {
        let mut sessions = polynomial_sessions(input, &layers);
        sessions.push(session::<u32>(input, &layers, 5));
        sessions.push(session::<u64>(input, &layers, 5));
        for mut session in sessions {
            session.micro_batch = [5, 2][index % 2];
            session.audit = [0, 3][index % 2];
            session.learning_rate = 1 << (RATE_FRACTION - 4);
            match session.format.ring {
                32 => check::<u32>(&session),
                _ => check::<u64>(&session),
            }
        }
    }
}

#[test]
fn evaluations_are_due_after_epochs_and_at_the_end() {
    let (input, layers) = networks().remove(0);
    let mut session = session::<u32>(input, &layers, 5);
    // Four iterations an epoch.
    session.epochs = 5;
    let due = |session: &Session, every| -> Vec<u32> {
        let validation = Validation {
            every,
            patience: 0,
            ..VALIDATION
        };
        let iterations = 0..session.iterations();
        let due = iterations.filter(|&iteration| validation.is_due(session, iteration));
        due.collect()
    };
    assert_eq!(due(&session, 1), [3, 7, 11, 15, 19]);
    assert_eq!(due(&session, 2), [7, 15, 19]);
    assert_eq!(due(&session, 9), [19]);
    session.limit = 9;
    assert_eq!(due(&session, 1), [3, 7, 8]);
}

#[test]
fn an_evaluation_needs_shares_of_the_whole_model() {
    let (input, layers) = networks().remove(0);
    let training = session::<u32>(input, &layers, 5);
    let evaluation = VALIDATION.session(&training, Role::P1);
    let network = crate::dealt::check::<u32>(&evaluation).unwrap();
    let words = Plan::new(&evaluation, &network).arena_words::<u32>(Role::P0);
    let mut memory = vec![0; words];
    let mut party = Classifier::<u32>::new(&evaluation, &network, Role::P0, &mut memory).unwrap();
    let [peer, dealer] = duplex(1);
    let mut cx = PartyContext::new(
        Role::P0,
        key(1, Role::P0),
        Link::new(peer, Remote::Peer, 0),
        Link::new(dealer, Remote::Dealer, 0),
    );
    let mut data = SyntheticData {
        first: 0,
        classes: 4,
    };
    let shares = |stage: usize| {
        let count = network.stages[stage].parameters();
        vec![Share::wrap(0); count]
    };
    let refused = party.classify(&mut cx, 0, &mut data, &mut NoObserver, |_, _| ());
    assert_eq!(refused, Err(RunError::NoModel));
    assert_eq!(party.load_shares(1, shares(1)), Err(RunError::NoModel));
    let of_one = party.load_parameters(0, vec![0; network.stages[0].parameters()]);
    assert_eq!(of_one, Err(RunError::NotModelOwner));
    let few = shares(0).split_off(1);
    assert!(matches!(
        party.load_shares(0, few),
        Err(RunError::Parameters { .. })
    ));
    assert_eq!(party.load_shares(0, shares(0)), Ok(()));
    assert!(matches!(
        party.restore(&[0; 3]),
        Err(RunError::State { given: 3, .. })
    ));
    let refused = party.classify(&mut cx, 0, &mut data, &mut NoObserver, |_, _| ());
    assert_eq!(refused, Err(RunError::NoModel));
    assert_eq!(party.load_shares(1, shares(1)), Ok(()));
    // An evaluation that fails ends the run.
    let failed = cx.evaluation(|_| Err::<(), _>(RunError::RankLost));
    assert_eq!(failed, Err(RunError::RankLost));
    let refused = cx.evaluation(|_| Ok::<_, RunError>(()));
    assert_eq!(refused, Err(RunError::Spent));
    let refused = party.classify(&mut cx, 0, &mut data, &mut NoObserver, |_, _| ());
    assert_eq!(refused, Err(RunError::Spent));
}
