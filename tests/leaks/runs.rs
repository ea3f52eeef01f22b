//! Whole short runs: what each role receives in a training of two iterations and in inference is uniform.

use std::thread;

use bytemuck::TransparentWrapper;
use ringlet_core::{
    Role,
    data::{Data, DataError, Normalisation},
    dealt::{self, Dealer, DealerContext, Plan},
    model::{Layer, Loss, Model, Sides, TripleScheme},
    net::{Link, Remote},
    num::{COEFFICIENT_FRACTION, Format, MAX_DEGREE, Polynomial, Ring, Word},
    prg::Key,
    securenn::{self, gates::Computing},
    session::{
        ClassList, ClassWeights, Headroom, KnownBackbone, Protocol, Session, Task, TrainingOptions,
    },
    share::{NoObserver, Share},
};

use crate::{
    affine::{View, check},
    explained::{dealt_again, field_elements, no_value, padding, result},
    roles::{AHEAD, Assistant, Computer, End, Watched, dealt_keys, duplex, key, with_assistant},
};

/// Images and labels that follow from the party, the number of the inputs, and the sample's number.
struct Samples(Role, usize);

impl Data for Samples {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        for (at, pixel) in out.iter_mut().enumerate() {
            let number = at + 3 * self.0.index() + 29 * self.1 + sample as usize;
            *pixel = (number as u8).wrapping_mul(57);
        }
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Ok((sample as u8 + self.0.index() as u8 + self.1 as u8) % 2)
    }
}

/// A network of two dense layers, with `activation` between them.
fn dense(activation: Layer) -> Vec<Layer> {
    let dense = Layer::Dense { units: 2 };
    vec![Layer::Flatten, dense, activation, dense]
}

/// A network with a convolution and max pooling.
fn convolution() -> Vec<Layer> {
    let conv = Layer::Conv2d {
        channels: 1,
        kernel: Sides::square(2),
        stride: 1,
        padding: Sides::square(0),
    };
    let pool = Layer::MaxPool {
        window: 2,
        stride: 0,
    };
    vec![
        conv,
        pool,
        Layer::Relu,
        Layer::Flatten,
        Layer::Dense { units: 2 },
    ]
}

fn cubic() -> Layer {
    let mut coefficients = [0; MAX_DEGREE + 1];
    for (unit, coefficient) in coefficients.iter_mut().zip([0.1, 0.5, 0.47, -0.125]) {
        *unit = (coefficient * 2f64.powi(COEFFICIENT_FRACTION as i32)) as i64;
    }
    Layer::Polynomial(Polynomial {
        degree: 3,
        reach: 0,
        coefficients,
    })
}

/// A training of two iterations on one sample of each party.
fn training(side: u16, layers: &[Layer], format: Format, protocol: Protocol) -> Session {
    Session {
        model: Model::new("leaks", [side, side, 1], layers).expect("a few layers"),
        format,
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol,
        samples: [1, 1],
        contributions: None,
        batch: 1,
        micro_batch: 1,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << 20,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 5,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

/// Inference of two samples of `asking`.
fn inference(session: &Session, asking: Role) -> Session {
    let mut samples = [0; 2];
    samples[asking.index()] = 2;
    Session {
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Infer,
        samples,
        ..session.clone()
    }
}

/// The model in inference: some parameters for each stage.
fn parameters(count: usize, fraction: u32, inputs: usize) -> impl Iterator<Item = i64> {
    let first = inputs as i64;
    (first..first + count as i64).map(move |at| (at * 5 % 7 - 3) << (fraction - 3))
}

/// Runs a dealt session. Returns what `watched` receives in each run, from the other party and from the dealer.
fn dealt_run<R: Ring>(session: &Session, watched: Role, [runs, inputs]: [usize; 2]) -> Vec<View> {
    let network = dealt::check::<R>(session).expect("a session that runs");
    let (network, plan) = (&network, Plan::new(session, &network));
    let ([peer0, peer1], [dealer0, no_dealer], [dealer1, to_p1]) = (duplex(), duplex(), duplex());
    let party = |role: Role, mut peer: End, mut dealer: End| {
        let each = |run| {
            let mut memory = vec![0; plan.arena_words::<R>(role)];
            let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
            let [first, second] = dealt_keys(watched, run);
            let mut cx = dealt::PartyContext::new(
                role,
                if role == Role::P0 { first } else { second },
                Link::new(&mut peer, Remote::Peer, AHEAD),
                Link::new(&mut dealer, Remote::Dealer, AHEAD),
            );
            let data = &mut Samples(role, inputs);
            let done = match session.task {
                Task::Train => {
                    let secret = key(6 + role.index() as u8, role == watched, run);
                    dealt::Trainer::<R>::new(
                        session,
                        network,
                        role,
                        &secret,
                        &mut memory,
                        &mut opened,
                    )
                    .and_then(|mut trainer| {
                        for iteration in 0..session.iterations() {
                            trainer.iterate(&mut cx, iteration, data, &mut NoObserver)?;
                        }
                        trainer.reveal(&mut cx, |_, _| {})
                    })
                }
                _ => dealt::Classifier::<R>::new(session, network, role, &mut memory).and_then(
                    |mut classifier| {
                        for (number, stage) in network.stages.iter().enumerate() {
                            let fraction = session.format.master().min(60);
                            let up = session.format.master() - fraction;
                            let of = |number| {
                                parameters(stage.parameters(), fraction, number)
                                    .map(move |value| R::Wide::from_i64(value).left(up))
                            };
                            match session.model_owner() {
                                Some(owner) if owner == role => {
                                    classifier.load_parameters(number, of(inputs))?;
                                }
                                Some(_) => {}
                                // Shares of the same model.
                                None => {
                                    let share = |(whole, first): (R::Wide, R::Wide)| match role {
                                        Role::P0 => Share::wrap(first),
                                        Role::P1 => Share::wrap(whole.minus(first)),
                                    };
                                    let shares = of(inputs).zip(of(inputs + 2)).map(share);
                                    classifier.load_shares(number, shares)?;
                                }
                            }
                        }
                        for iteration in 0..session.iterations() {
                            let sink = |_, _| {};
                            classifier.classify(&mut cx, iteration, data, &mut NoObserver, sink)?;
                        }
                        Ok(())
                    },
                ),
            };
            done.expect("a party that runs");
            drop(cx);
            embedded_io::Write::flush(&mut peer).expect("a link");
            vec![peer.take_read(), dealer.take_read()]
        };
        (0..runs).map(each).collect::<Vec<View>>()
    };
    let deal = |mut link: End| {
        for run in 0..runs {
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, network, &mut memory).expect("a dealer");
            let link = Link::new(&mut link, Remote::Party(Role::P1), AHEAD);
            let mut cx = DealerContext::new(dealt_keys(watched, run), link);
            for iteration in 0..session.iterations() {
                dealer.iterate(&mut cx, iteration).expect("a link");
            }
            cx.into_link().flush().expect("a link");
        }
        link
    };
    let [first, second] = thread::scope(|scope| {
        let dealer = scope.spawn(|| deal(to_p1));
        let first = scope.spawn(|| party(Role::P0, peer0, dealer0));
        let second = party(Role::P1, peer1, dealer1);
        drop((dealer.join().expect("the dealer"), no_dealer));
        [first.join().expect("P0"), second]
    });
    if watched == Role::P0 { first } else { second }
}

/// Runs a SecureNN session. Returns what `watched` receives in each run.
fn securenn_run(session: &Session, watched: Watched, runs: [usize; 2]) -> Vec<View> {
    let network = securenn::check(session).expect("a session that runs");
    let network = &network;
    let party = |cx: &mut Computer<'_>, secret: &Key, inputs: usize| {
        let role = Computing::role(cx);
        let mut memory = vec![0; securenn::party_words(session, network)];
        let data = &mut Samples(role, inputs);
        match session.task {
            Task::Train => {
                let trainer = securenn::Trainer::new(session, network, role, secret, &mut memory);
                let mut trainer = trainer.expect("a party that runs");
                for iteration in 0..session.iterations() {
                    let done = trainer.iterate(cx, iteration, data, &mut NoObserver);
                    done.expect("a party that runs");
                }
                trainer.reveal(cx, |_, _| {}).expect("a party that runs");
                Ok(())
            }
            _ => {
                let classifier = securenn::Classifier::new(session, network, role, &mut memory);
                let mut classifier = classifier.expect("a party that runs");
                if session.model_owner() == Some(role) {
                    for (number, stage) in network.stages.iter().enumerate() {
                        let values =
                            parameters(stage.parameters(), 2 * session.format.fraction, inputs);
                        classifier.load_parameters(number, values.map(|value| value as u64));
                    }
                }
                for iteration in 0..session.iterations() {
                    let done = classifier.classify(cx, iteration, data, &mut NoObserver, |_, _| {});
                    done.expect("a party that runs");
                }
                Ok(())
            }
        }
    };
    let assist = |cx: &mut Assistant<'_>| {
        let mut memory = vec![0; securenn::assistant_words(session, network)];
        let assistant = securenn::Assistant::new(session, network, &mut memory);
        let mut assistant = assistant.expect("an assistant");
        for iteration in 0..session.iterations() {
            assistant.iterate(cx, iteration).expect("an assistant");
        }
        Ok(())
    };
    with_assistant(watched, runs, &party, &assist)
}

/// Checks what both parties receive in a dealt session. A party receives the result in its last bytes: the numbers of
/// bytes are `results`. `again` counts the corrections that come twice.
fn check_dealt(name: &str, session: &Session, results: [usize; 2], again: usize) {
    let run = |role, runs| match session.format.ring {
        32 => dealt_run::<u32>(session, role, runs),
        _ => dealt_run::<u64>(session, role, runs),
    };
    for (role, bytes) in Role::BOTH.into_iter().zip(results) {
        let received = run(role, [1, 0])[0][0].len();
        // The planes and lists of a network this small have a few elements each.
        let allowed = [
            result(received - bytes),
            padding(0..=600),
            dealt_again(if role == Role::P1 { again } else { 0 }),
            no_value(0..=if session.has_audits() { 200 } else { 30 }),
        ];
        check(&format!("{name}, {role}"), &allowed, |runs, inputs| {
            run(role, [runs, inputs])
        });
    }
}

fn narrow() -> Format {
    Format::new::<u32>(12).expect("widths that fit")
}

#[test]
fn dealt_training_with_relu() {
    let session = training(2, &dense(Layer::Relu), narrow(), Protocol::DEALT);
    check_dealt("dense", &session, [0, 0], 0);
}

#[test]
fn dealt_training_with_a_convolution() {
    let session = training(3, &convolution(), narrow(), Protocol::DEALT);
    check_dealt("convolution", &session, [0, 0], 0);
}

#[test]
fn dealt_training_with_audits_and_a_receiver() {
    let session = Session {
        audit: 1,
        receiver: Some(Role::P0),
        ..training(2, &dense(Layer::Relu), narrow(), Protocol::DEALT)
    };
    // 16 parameters of 64 bits.
    check_dealt("audit", &session, [128, 0], 0);
}

#[test]
fn dealt_training_with_all_options() {
    let session = Session {
        reveal_loss: true,
        class_weights: ClassWeights::new(&[4096, 1000]).expect("weights"),
        training: TrainingOptions {
            weight_decay: 1 << 18,
            nesterov: true,
            clip: 1 << 20,
            ..TrainingOptions::default()
        },
        ..training(2, &dense(Layer::Relu), narrow(), Protocol::DEALT)
    };
    // The sum of losses has 29 bits.
    check_dealt("all options", &session, [4, 4], 0);
}

#[test]
fn dealt_training_with_polynomials_of_all_triple_schemes() {
    // For each of 4 elements, as in the gate's own test.
    for (triples, again) in [
        (TripleScheme::Baseline, 0),
        (TripleScheme::Seed, 4 * 298),
        (TripleScheme::Fused, 4 * 95),
    ] {
        let format = Format::direct(12).expect("widths that fit");
        let session = Session {
            momentum: 0,
            ..training(2, &dense(cubic()), format, Protocol::Dealt { triples })
        };
        check_dealt(&format!("{triples}"), &session, [0, 0], again);
    }
}

#[test]
fn dealt_inference() {
    for asking in Role::BOTH {
        let session = training(2, &dense(Layer::Relu), narrow(), Protocol::DEALT);
        let session = inference(&session, asking);
        // The party that asks learns each sample's class. The samples are classified one after the other.
        check_dealt(&format!("{asking} asks"), &session, [0, 0], 0);
    }
}

#[test]
fn evaluation_of_a_shared_model() {
    for asking in Role::BOTH {
        let session = training(2, &dense(Layer::Relu), narrow(), Protocol::DEALT);
        let session = Session {
            task: Task::Evaluate,
            ..inference(&session, asking)
        };
        check_dealt(&format!("{asking} evaluates"), &session, [0, 0], 0);
    }
}

fn securenn_session(layers: &[Layer], side: u16, loss: Loss) -> Session {
    let protocol = Protocol::SecureNn {
        triples: TripleScheme::Fused,
        loss,
    };
    let format = Format::new::<u64>(13).expect("widths that fit");
    training(side, layers, format, protocol)
}

/// Checks what all roles receive in a SecureNN session. Each party receives as many field elements in `comparisons` of
/// numbers of 64 bits, and the assistant twice as many.
fn check_securenn(name: &str, session: &Session, comparisons: usize) {
    let elements = 2 * 64 * comparisons;
    let audits = session.has_audits();
    for watched in Watched::ALL {
        // The lists of the softmax and of the audits come from the assistant as the dealer.
        let [zeros, bit6] = match watched {
            Watched::Party(_) => field_elements(elements, 0..=if audits { 4000 } else { 300 }),
            Watched::Assistant => field_elements(2 * elements, 0..=0),
        };
        let allowed = [zeros, bit6, no_value(0..=if audits { 200 } else { 30 })];
        check(&format!("{name}, {watched:?}"), &allowed, |runs, inputs| {
            securenn_run(session, watched, [runs, inputs])
        });
    }
}

#[test]
fn securenn_training() {
    // Each of two units, in two iterations.
    let session = securenn_session(&dense(Layer::Relu), 2, Loss::Softmax);
    check_securenn("dense", &session, 4);
}

#[test]
fn securenn_training_with_audits() {
    let session = Session {
        audit: 1,
        ..securenn_session(&dense(Layer::Relu), 2, Loss::Softmax)
    };
    check_securenn("audit", &session, 4);
}

#[test]
fn securenn_training_with_a_convolution() {
    // Three for the maximum of a window and one for its sign.
    let session = securenn_session(&convolution(), 3, Loss::Softmax);
    check_securenn("convolution", &session, 8);
}

#[test]
fn securenn_training_with_the_normalised_loss() {
    let session = securenn_session(&dense(Layer::Relu), 2, Loss::Normalised);
    check_securenn("normalised", &session, 68);
}

#[test]
fn securenn_inference() {
    let session = securenn_session(&dense(Layer::Relu), 2, Loss::Softmax);
    for asking in Role::BOTH {
        // Two units and two classes of two samples.
        let session = inference(&session, asking);
        check_securenn(&format!("{asking} asks"), &session, 6);
        let audited = Session {
            audit: 1,
            ..session
        };
        check_securenn(&format!("{asking} asks, audit"), &audited, 6);
    }
}
