//! Every role takes each iteration once, in order, and none after one that failed.

use std::{cell::Cell, rc::Rc};

use embedded_io::{ErrorKind, ErrorType, Read, Write};

use super::*;
use crate::{
    dealt::Classifier, model::loss::Loss, prg::Key, securenn, share::observer::NoObserver,
};

/// A transport that receives zeros and drops what is sent, until it is cut.
#[derive(Clone, Default)]
struct Zeros {
    cut: Rc<Cell<bool>>,
}

impl ErrorType for Zeros {
    type Error = ErrorKind;
}

impl Read for Zeros {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.cut.get() {
            return Ok(0);
        }
        bytes.fill(0);
        Ok(bytes.len())
    }
}

impl Write for Zeros {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        match self.cut.get() {
            true => Err(ErrorKind::BrokenPipe),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Zeros {
    fn link(&self) -> Link<Zeros> {
        Link::new(self.clone(), Remote::Peer, 1 << 20)
    }
}

/// Checks a role over links that `zeros` cuts. `step` runs an iteration, and returns the bytes sent so far too.
fn check_order(zeros: &Zeros, mut step: impl FnMut(u32) -> (Result<(), RunError>, u64)) {
    let out_of_order = |expected, given| RunError::Iteration { expected, given };
    assert_eq!(step(1), (Err(out_of_order(0, 1)), 0));
    let (first, sent) = step(0);
    assert_eq!(first, Ok(()));
    assert!(sent > 0);
    for given in [0, 2] {
        assert_eq!(step(given), (Err(out_of_order(1, given)), sent));
    }
    zeros.cut.set(true);
    let (failed, after) = step(1);
    assert!(matches!(failed, Err(RunError::Link(_))));
    zeros.cut.set(false);
    for given in 0..3 {
        assert_eq!(step(given), (Err(RunError::Spent), after));
    }
}

const DATA: SyntheticData = SyntheticData {
    first: 0,
    classes: 4,
};

/// A training session and an inference session of one dense network, in the ring of 64 bits.
fn sessions(protocol: Protocol) -> [Session; 2] {
    let (input, layers) = networks().swap_remove(3);
    let train = Session {
        protocol,
        receiver: Some(Role::P1),
        ..session::<u64>(input, &layers, 5)
    };
    let infer = Session {
        task: Task::Infer,
        samples: [17, 0],
        epochs: 1,
        receiver: None,
        ..train.clone()
    };
    [train, infer]
}

const SECURENN: Protocol = Protocol::SecureNn {
    triples: TripleScheme::Fused,
    loss: Loss::Softmax,
};

fn keys() -> [Key; 2] {
    Role::BOTH.map(|role| key(1, role))
}

#[test]
fn a_dealt_trainer_takes_each_iteration_once_and_in_order() {
    let [session, _] = sessions(Protocol::DEALT);
    let network = crate::dealt::check::<u64>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let [mut memory, mut other] = [(); 2].map(|_| vec![0; plan.arena_words::<u64>(Role::P0)]);
    let [mut opened, mut other_opened] = [(); 2].map(|_| vec![0; plan.opened_data_words(Role::P0)]);
    let new = |memory, opened| {
        let secret = key(2, Role::P0);
        Trainer::<u64>::new(&session, &network, Role::P0, &secret, memory, opened).unwrap()
    };
    let zeros = Zeros::default();
    let context = || PartyContext::new(Role::P0, key(1, Role::P0), zeros.link(), zeros.link());
    let (mut party, mut cx) = (new(&mut memory, &mut opened), context());
    check_order(&zeros, |iteration| {
        let ran = party.iterate(&mut cx, iteration, &mut { DATA }, &mut NoObserver);
        (ran.map(drop), cx.peer_bytes()[0])
    });
    // Neither new keys nor new shares alone make a failed run go on.
    let sent = cx.peer_bytes()[0];
    let mut new_cx = context();
    let mut new_party = new(&mut other, &mut other_opened);
    for (party, cx) in [(&mut party, &mut new_cx), (&mut new_party, &mut cx)] {
        let ran = party.iterate(cx, 0, &mut { DATA }, &mut NoObserver);
        assert_eq!(ran, Err(RunError::Spent));
        assert_eq!(party.reveal(cx, |_, _| {}), Err(RunError::Spent));
    }
    assert_eq!((new_cx.peer_bytes()[0], cx.peer_bytes()[0]), (0, sent));
}

#[test]
fn the_keys_of_a_run_serve_no_second_one() {
    let [session, _] = sessions(Protocol::DEALT);
    let network = crate::dealt::check::<u64>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let zeros = Zeros::default();
    let mut cx = PartyContext::new(Role::P0, key(1, Role::P0), zeros.link(), zeros.link());
    let mut run = |iteration| {
        let mut memory = vec![0; plan.arena_words::<u64>(Role::P0)];
        let mut opened = vec![0; plan.opened_data_words(Role::P0)];
        let secret = key(2, Role::P0);
        let mut party = Trainer::<u64>::new(
            &session,
            &network,
            Role::P0,
            &secret,
            &mut memory,
            &mut opened,
        )
        .unwrap();
        let ran = party.iterate(&mut cx, iteration, &mut { DATA }, &mut NoObserver);
        (ran.map(drop), cx.peer_bytes()[0])
    };
    let (first, sent) = run(0);
    assert_eq!(first, Ok(()));
    let again = RunError::Iteration {
        expected: 1,
        given: 0,
    };
    assert_eq!(run(0), (Err(again), sent));
}

#[test]
fn a_model_is_revealed_once() {
    for role in Role::BOTH {
        let [session, _] = sessions(Protocol::DEALT);
        let network = crate::dealt::check::<u64>(&session).unwrap();
        let plan = Plan::new(&session, &network);
        let mut memory = vec![0; plan.arena_words::<u64>(role)];
        let mut opened = vec![0; plan.opened_data_words(role)];
        let zeros = Zeros::default();
        let mut party = Trainer::<u64>::new(
            &session,
            &network,
            role,
            &key(2, role),
            &mut memory,
            &mut opened,
        )
        .unwrap();
        let mut cx = PartyContext::new(role, key(1, role), zeros.link(), zeros.link());
        assert_eq!(party.reveal(&mut cx, |_, _| {}), Ok(()));
        let sent = cx.peer_bytes()[0];
        assert_eq!(sent > 0, role == Role::P0);
        let again = party.reveal(&mut cx, |_, _| panic!("a revealed value"));
        assert_eq!(again, Err(RunError::Spent));
        let ran = party.iterate(&mut cx, 0, &mut { DATA }, &mut NoObserver);
        assert_eq!(ran, Err(RunError::Spent));
        assert_eq!(cx.peer_bytes()[0], sent);
    }
}

#[test]
fn a_dealt_classifier_takes_each_iteration_once_and_in_order() {
    let [_, session] = sessions(Protocol::DEALT);
    let network = crate::dealt::check::<u64>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let mut memory = vec![0; plan.arena_words::<u64>(Role::P0)];
    let zeros = Zeros::default();
    let mut party = Classifier::<u64>::new(&session, &network, Role::P0, &mut memory).unwrap();
    let mut cx = PartyContext::new(Role::P0, key(1, Role::P0), zeros.link(), zeros.link());
    check_order(&zeros, |iteration| {
        let ran = party.classify(
            &mut cx,
            iteration,
            &mut { DATA },
            &mut NoObserver,
            |_, _| {},
        );
        (ran.map(drop), cx.peer_bytes()[0])
    });
}

#[test]
fn a_dealer_takes_each_iteration_once_and_in_order() {
    for session in sessions(Protocol::DEALT) {
        let network = crate::dealt::check::<u64>(&session).unwrap();
        let mut memory = vec![0; Plan::new(&session, &network).dealer_arena_words::<u64>()];
        let zeros = Zeros::default();
        let mut dealer = Dealer::<u64>::new(&session, &network, &mut memory).unwrap();
        let mut cx = DealerContext::new(keys(), zeros.link());
        check_order(&zeros, |iteration| {
            let ran = dealer.iterate(&mut cx, iteration);
            (ran, cx.sent())
        });
    }
}

#[test]
fn securenn_parties_take_each_iteration_once_and_in_order() {
    let [train, infer] = sessions(SECURENN);
    let network = securenn::check(&train).unwrap();
    let zeros = Zeros::default();
    let context = || securenn::PartyContext::new(Role::P0, keys(), zeros.link(), zeros.link());
    let mut memory = vec![0; securenn::party_words(&train, &network)];
    let secret = key(2, Role::P0);
    let mut party =
        securenn::Trainer::new(&train, &network, Role::P0, &secret, &mut memory).unwrap();
    let mut cx = context();
    check_order(&zeros, |iteration| {
        let ran = party.iterate(&mut cx, iteration, &mut { DATA }, &mut NoObserver);
        (ran.map(drop), cx.sent())
    });
    assert_eq!(party.reveal(&mut cx, |_, _| {}), Err(RunError::Spent));
    assert_eq!(
        party.reveal(&mut context(), |_, _| {}),
        Err(RunError::Spent)
    );

    let mut memory = vec![0; securenn::party_words(&infer, &network)];
    let mut party = securenn::Classifier::new(&infer, &network, Role::P0, &mut memory).unwrap();
    let mut cx = context();
    check_order(&zeros, |iteration| {
        let ran = party.classify(
            &mut cx,
            iteration,
            &mut { DATA },
            &mut NoObserver,
            |_, _| {},
        );
        (ran.map(drop), cx.sent())
    });
}

#[test]
fn an_assistant_takes_each_iteration_once_and_in_order() {
    for session in sessions(SECURENN) {
        let network = securenn::check(&session).unwrap();
        let mut memory = vec![0; securenn::assistant_words(&session, &network)];
        let zeros = Zeros::default();
        let mut assistant = securenn::Assistant::new(&session, &network, &mut memory).unwrap();
        let own = key(3, Role::P0);
        let mut cx = securenn::AssistantContext::new(own, keys(), zeros.link(), zeros.link());
        check_order(&zeros, |iteration| {
            let ran = assistant.iterate(&mut cx, iteration);
            (ran, cx.sent())
        });
    }
}

#[test]
fn dealer_and_assistant_start_at_an_iteration_of_a_training_session() {
    let late = RunError::Iteration {
        expected: 8,
        given: 9,
    };
    let zeros = Zeros::default();
    let check = |start_at: &mut dyn FnMut(u32) -> Result<(), RunError>, trains: bool| {
        let outcomes = [3, 8, 9].map(start_at);
        match trains {
            true => assert_eq!(outcomes, [Ok(()), Ok(()), Err(late.clone())]),
            false => assert!(outcomes.iter().all(|o| *o == Err(RunError::Task))),
        }
    };
    for session in sessions(Protocol::DEALT) {
        let network = crate::dealt::check::<u64>(&session).unwrap();
        let mut memory = vec![0; Plan::new(&session, &network).dealer_arena_words::<u64>()];
        let mut dealer = Dealer::<u64>::new(&session, &network, &mut memory).unwrap();
        let trains = session.task == Task::Train;
        check(&mut |start| dealer.start_at(start), trains);
        if trains {
            // A start over needs new keys.
            let mut cx = DealerContext::new(keys(), zeros.link());
            dealer.start_at(3).unwrap();
            assert_eq!(dealer.iterate(&mut cx, 3), Ok(()));
            let sent = cx.sent();
            dealer.start_at(3).unwrap();
            let again = RunError::Iteration {
                expected: 4,
                given: 3,
            };
            assert_eq!(dealer.iterate(&mut cx, 3), Err(again));
            assert_eq!(cx.sent(), sent);
        }
    }
    for session in sessions(SECURENN) {
        let network = securenn::check(&session).unwrap();
        let mut memory = vec![0; securenn::assistant_words(&session, &network)];
        let mut assistant = securenn::Assistant::new(&session, &network, &mut memory).unwrap();
        let trains = session.task == Task::Train;
        check(&mut |start| assistant.start_at(start), trains);
    }
}
