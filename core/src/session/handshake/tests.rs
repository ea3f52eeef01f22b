//! The bytes of all messages, and each refusal.

use super::*;
use crate::{
    data::{Channel, Normalisation},
    gate::harness::duplex,
    model::{InitialWeights, Layer, Model, loss::Loss, triple_scheme::TripleScheme},
    net::{
        link::Remote,
        secure::{ChaChaPoly, Identity, PublicIdentity, Suite},
    },
    num::fixed_point::Format,
    session::{
        ClassList, ClassWeights, ContributionList, Contributions, Headroom, KnownBackbone, Privacy,
        Protocol, Schedule, Task,
    },
};

extern crate std;
use std::{thread, vec, vec::Vec};

fn session() -> Session {
    Session {
        model: Model::new("m", [1, 1, 4], &[Layer::Dense { units: 3 }]).unwrap(),
        format: Format {
            ring: 32,
            fraction: 12,
            weights: 12,
        },
        headroom: Headroom::new(&[3, 2]).unwrap(),
        normalisation: Normalisation::new(&[Channel {
            scale: 5,
            offset: -2,
        }])
        .unwrap(),
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [300, 2],
        contributions: None,
        batch: 5,
        micro_batch: 5,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << 20,
        momentum: 0,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 9,
        receiver: Some(Role::P1),
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Named([7; 16]),
        backbone: KnownBackbone::Digest([8; 16]),
    }
}

/// Runs `send` on one end of a link and returns the `len` bytes that it sends.
fn bytes_of(send: impl FnOnce(&mut Link<crate::gate::harness::End>), len: usize) -> Vec<u8> {
    let [one, other] = duplex(4096);
    let mut one = Link::new(one, Remote::Peer, 0);
    let mut other = Link::new(other, Remote::Peer, 0);
    send(&mut one);
    assert_eq!(one.sent(), len as u64);
    let mut bytes = vec![0; len];
    other.receive(&mut bytes).unwrap();
    bytes
}

#[test]
fn hello_format_is_stable() {
    let hello = Hello::new(Role::P0, &session());
    let bytes = bytes_of(|link| hello.send(link).unwrap(), 96);
    let body = [
        23, 0, // version, role
        1, b'm', 1, 1, 4, 1, 1, 3, // model: name, input, one dense layer of 3
        32, 12, 12, // format
        2, 3, 2, // headroom of input and output
        1, 10, 3, // normalisation: scale 5, offset -2, zigzag
        0, 2, 0, // train, fused triples, not SecureNN
        0xAC, 0x02, 2, // samples, 300 as a varint
        0, // no contributions
        5, 5, 1, 0, // batch, micro-batch, epochs, limit
        0x80, 0x80, 0x40, // learning rate, 2^20
        0,    // momentum
        0, 0, 0, 0, 0, 0,
        0, // schedule, warm-up, weight decay, smoothing, initial weights, Nesterov, clipping
        0, // gradients that are not private
        0, // no class weights
        9, // shuffle seed
        1, 1, // receiver: p1
        0, // no loss is revealed
        0, // no initial model
        0, // no audit
        2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // named classes: a digest
        2, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, // the backbone's digest
        0, // no dealt file
        0, 0, // no checkpoints, not durable
        0, // no validation
        0, 1, 1, // rank 0, which offers one, of one process
    ];
    assert_eq!(bytes[..4], *b"RNGL");
    assert_eq!(bytes[4..6], (body.len() as u16).to_le_bytes());
    assert_eq!(bytes[6..], body);
}

#[test]
fn answer_formats_are_stable() {
    let start = Start {
        key: Key::new([7; 32]),
        first: 300,
        ranks: 4,
    };
    let key = bytes_of(|link| send_key(link, &start).unwrap(), 42);
    assert_eq!(key[..7], *b"RNGL\x24\0\0");
    assert_eq!(key[7..39], [7; 32]);
    assert_eq!(key[39..], [0xAC, 0x02, 4]); // 300 as a varint, four ranks
    let why = Mismatch::Differs(Parameter::Batch);
    let refusal = bytes_of(|link| refuse(link, why).unwrap(), 9);
    assert_eq!(refusal, *b"RNGL\x03\0\x01\x03\x0B");
}

#[test]
fn corrupt_hellos_are_errors() {
    // The hello cut at every byte, and with every byte changed.
    let hello = Hello::new(Role::P1, &session());
    let whole = bytes_of(|link| hello.send(link).unwrap(), 96);
    let receive_from = |bytes: Vec<u8>| {
        let [one, other] = duplex(4096);
        let mut one = Link::new(one, Remote::Peer, 0);
        one.send(&bytes).unwrap();
        one.flush().unwrap();
        drop(one);
        receive_hello(&mut Link::new(other, Remote::Peer, 0))
    };
    assert_eq!(receive_from(whole.clone()), Ok(hello.clone()));
    let mut newer = whole.clone();
    newer[6] += 1;
    assert_eq!(
        receive_from(newer),
        Err(Mismatch::Version(VERSION + 1).into())
    );
    assert_eq!(
        receive_from(b"GET / HTTP/1.1".to_vec()),
        Err(Mismatch::Foreign.into())
    );
    for at in 0..whole.len() {
        let cut = receive_from(whole[..at].to_vec());
        assert_eq!(cut, Err(LinkError::Closed(Remote::Peer).into()), "{at}");
        for change in [0x01, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            // The changed bytes may still be a valid hello, but then another one.
            assert_ne!(receive_from(changed), Ok(hello.clone()), "{at} {change}");
        }
    }
}

#[test]
fn every_parameter_is_compared() {
    let own = Hello::new(Role::P0, &session());
    let other = |change: fn(&mut Session)| {
        let mut session = session();
        change(&mut session);
        own.compare(&Hello::new(Role::P1, &session))
    };
    type Change = fn(&mut Session);
    let changes: [(Change, Parameter); 35] = [
        (|s| s.model.input[2] = 5, Parameter::Model),
        (|s| s.format.ring = 64, Parameter::Ring),
        (|s| s.format.fraction = 11, Parameter::FractionBits),
        (|s| s.headroom = Headroom::NONE, Parameter::Headroom),
        (
            |s| s.normalisation = Normalisation::NONE,
            Parameter::Normalisation,
        ),
        (|s| s.format.weights = 13, Parameter::Update),
        (|s| s.task = Task::Infer, Parameter::Task),
        (
            |s| {
                s.protocol = Protocol::Dealt {
                    triples: TripleScheme::Seed,
                }
            },
            Parameter::TripleScheme,
        ),
        (
            |s| {
                s.protocol = Protocol::SecureNn {
                    triples: TripleScheme::Fused,
                    loss: Loss::Softmax,
                }
            },
            Parameter::Protocol,
        ),
        (|s| s.samples[1] = 3, Parameter::Samples),
        (
            |s| s.contributions = Some(Contributions::fixed(ContributionList([4; 16]))),
            Parameter::Contributions,
        ),
        (|s| s.batch = 6, Parameter::Batch),
        (|s| s.micro_batch = 6, Parameter::MicroBatch),
        (|s| s.epochs = 2, Parameter::Epochs),
        (|s| s.limit = 1, Parameter::Limit),
        (|s| s.learning_rate += 1, Parameter::LearningRate),
        (|s| s.momentum = 1, Parameter::Momentum),
        (
            |s| s.training.schedule = Schedule::Cosine,
            Parameter::Schedule,
        ),
        (|s| s.training.warm_up = 1, Parameter::Schedule),
        (|s| s.training.weight_decay = 1, Parameter::WeightDecay),
        (
            |s| s.training.label_smoothing = 1,
            Parameter::LabelSmoothing,
        ),
        (
            |s| s.training.initial_weights = InitialWeights::Zero,
            Parameter::InitialWeights,
        ),
        (|s| s.shuffle_seed = 1, Parameter::Shuffle),
        (|s| s.receiver = None, Parameter::Receiver),
        (|s| s.reveal_loss = true, Parameter::RevealLoss),
        (|s| s.training.nesterov = true, Parameter::Nesterov),
        (|s| s.training.clip = 1, Parameter::Clip),
        (
            |s| {
                s.training.privacy = Some(Privacy {
                    clip: 1,
                    noise: 1,
                    rows: [1, 1],
                });
            },
            Parameter::Privacy,
        ),
        (
            |s| s.class_weights = ClassWeights::new(&[1, 2, 3]).unwrap(),
            Parameter::ClassWeights,
        ),
        (
            |s| s.initial_model = Some(Role::P1),
            Parameter::InitialModel,
        ),
        (|s| s.audit = 9, Parameter::Audit),
        (|s| s.classes = ClassList::Numbered, Parameter::Classes),
        (
            |s| s.classes = ClassList::Named([8; 16]),
            Parameter::Classes,
        ),
        (|s| s.backbone = KnownBackbone::Absent, Parameter::Backbone),
        (
            |s| s.backbone = KnownBackbone::Digest([9; 16]),
            Parameter::Backbone,
        ),
    ];
    assert_eq!(other(|_| ()), Ok(()));
    let validates = |samples, every| {
        let validation = Some(Validation {
            samples,
            every,
            patience: 0,
        });
        own.compare(&Hello {
            validation,
            ..own.clone()
        })
    };
    for (samples, every) in [([9, 0], 1), ([0, 0], 1)] {
        let differs = Mismatch::Differs(Parameter::Validation);
        assert_eq!(validates(samples, every), Err(differs));
    }
    // A role without labels goes with any.
    assert_eq!(other(|s| s.classes = ClassList::Unknown), Ok(()));
    // And one without images goes with any backbone.
    assert_eq!(other(|s| s.backbone = KnownBackbone::Unknown), Ok(()));
    for (change, parameter) in changes {
        assert_eq!(other(change), Err(Mismatch::Differs(parameter)));
    }
    let dealt = Hello::new(Role::P1, &session()).with_dealt_file(DealtId([1; 16]));
    assert_eq!(
        own.compare(&dealt),
        Err(Mismatch::Differs(Parameter::Dealt))
    );
}

#[test]
fn matching_parties_complete_the_handshake() {
    let [one, other] = duplex(4096);
    let meet = |role, end| {
        let hello = Hello::new(role, &session());
        hello.exchange_with_peer(&mut Link::new(end, Remote::Peer, 0))
    };
    thread::scope(|scope| {
        let p0 = scope.spawn(|| meet(Role::P0, one));
        assert_eq!(meet(Role::P1, other), Ok(()));
        assert_eq!(p0.join().unwrap(), Ok(()));
    });
}

#[test]
fn first_ranks_come_before_further_ones() {
    let rank = |index, count| {
        let rank = Rank::new(index, count).expect("a rank");
        Hello::new(Role::P0, &session()).with_rank(rank)
    };
    for (hello, ranks, checked) in [
        (rank(0, 4), None, Ok(())),
        (rank(3, 4), Some(4), Ok(())),
        (rank(3, 4), None, Err(Mismatch::Rank(0))),
        (rank(0, 4), Some(4), Err(Mismatch::Rank(1))),
        (rank(1, 2), Some(4), Err(Mismatch::Rank(1))),
    ] {
        assert_eq!(hello.check_rank(ranks), checked);
    }
}

#[test]
fn all_roles_have_the_same_number_of_processes() {
    let party = |role, count| {
        let rank = Rank::new(0, count).expect("a rank");
        Hello::new(role, &session()).with_process(rank)
    };
    for (numbers, good) in [
        ([1, 1, 1], true),
        ([4, 4, 4], true),
        ([4, 4, 1], false),
        ([4, 1, 4], false),
        ([2, 4, 4], false),
    ] {
        let [p0, p1] = [(Role::P0, numbers[0]), (Role::P1, numbers[1])];
        let checked = party(p0.0, p0.1).check_processes(&party(p1.0, p1.1), numbers[2]);
        let wanted = match good {
            true => Ok(()),
            false => Err(Mismatch::Processes(numbers)),
        };
        assert_eq!(checked, wanted);
    }
    // A thread that is a further rank belongs to the only process.
    let rank = Rank::new(0, 4).expect("a rank");
    assert_eq!(
        Hello::new(Role::P0, &session()).with_rank(rank).processes,
        1
    );
}

#[test]
fn greeting_formats_are_stable() {
    let hello = Hello {
        checkpoints: Checkpoints {
            kept: [CheckpointId {
                iteration: 300,
                run: [6; 16],
            }]
            .into_iter()
            .collect(),
            durable: true,
        },
        ..Hello::new(Role::P0, &session())
    };
    let greeting = Greeting {
        hello: hello.clone(),
        to: Actor::Party(Role::P1),
        identity: PublicIdentity([5; 32]),
        suite: Suite::Device,
    };
    let bytes = bytes_of(|link| send(link, &greeting).unwrap(), 96 + 18 + 34 + 1);
    assert_eq!(bytes[90..93], [1, 0xAC, 0x02]);
    assert_eq!(bytes[93..109], [6; 16]);
    assert_eq!(bytes[109], 1);
    // No validation.
    assert_eq!(bytes[110], 0);
    // Rank 0, which offers one, of one process.
    assert_eq!(bytes[111..114], [0, 1, 1]);
    // To party p1.
    assert_eq!(bytes[114..116], [0, 1]);
    assert_eq!(bytes[116..148], [5; 32]);
    // With a device.
    assert_eq!(bytes[148..], [1]);
    // What is sent in a greeting is what is received.
    let [one, other] = duplex(4096);
    let mut one = Link::new(one, Remote::Peer, 0);
    send(&mut one, &greeting).unwrap();
    let mut other = Link::new(other, Remote::Peer, 0);
    assert_eq!(receive_greeting(&mut other), Ok(greeting));
    let refusal = bytes_of(|link| refuse_greeting(link, Mismatch::Identity).unwrap(), 8);
    assert_eq!(refusal, *b"RNGL\x02\0\x01\x07");
}

#[test]
fn a_greeting_binds_roles_sessions_and_checkpoints() {
    let (dealer, party) = (identity(1), identity(2));
    let hello = Hello::new(Role::P0, &session());
    // What somebody in the middle changes in the greeting before the dealer hears it.
    type Change = fn(&mut Greeting);
    let changes: [(Change, bool); 6] = [
        (|_| {}, true),
        (|greeting| greeting.hello.role = Role::P1, false),
        (|greeting| greeting.hello.session.batch = 4, false),
        (
            |greeting| greeting.hello.dealt = Some(DealtId([1; 16])),
            false,
        ),
        (|greeting| greeting.to = Actor::Assistant, false),
        (|greeting| greeting.suite = Suite::Host, false),
    ];
    for (change, good) in changes {
        let [one, other] = duplex(4096);
        thread::scope(|scope| {
            let greeted = scope.spawn(|| {
                let ends = Ends {
                    own: &party,
                    remote: dealer.public(),
                    ephemeral: Key::new([8; 32]),
                    suite: Suite::Device,
                };
                let mut link = Link::new(one, Remote::Dealer, 0);
                greet::<ChaChaPoly, _>(&mut link, &hello, Actor::Dealer, ends)
                    .map(|welcome| welcome.keys.hash)
            });
            let mut link = Link::new(other, Remote::Party(Role::P0), 0);
            let mut greeting = receive_greeting(&mut link).unwrap();
            change(&mut greeting);
            let ends = Ends {
                own: &dealer,
                remote: party.public(),
                ephemeral: Key::new([9; 32]),
                suite: Suite::Device,
            };
            let heard = greeting
                .welcome::<ChaChaPoly, _>(&mut link, &Checkpoints::default(), ends)
                .map(|keys| keys.hash);
            drop(link);
            match good {
                true => assert_eq!(greeted.join().unwrap(), heard),
                false => {
                    let unauthentic = LinkError::Unauthentic(Remote::Party(Role::P0));
                    assert_eq!(heard, Err(unauthentic.into()));
                    assert!(greeted.join().unwrap().is_err());
                }
            }
        });
    }
}

#[test]
fn a_greeting_for_another_role_or_of_another_identity_does_not_fit() {
    let greeting = Greeting {
        hello: Hello::new(Role::P0, &session()),
        to: Actor::Dealer,
        identity: PublicIdentity([5; 32]),
        suite: Suite::Device,
    };
    let check = |own, identity| greeting.check(own, PublicIdentity([identity; 32]));
    assert_eq!(check(Actor::Dealer, 5), Ok(()));
    let other = Actor::Party(Role::P0);
    assert_eq!(check(other, 5), Err(Mismatch::Actor(other)));
    assert_eq!(check(Actor::Dealer, 6), Err(Mismatch::Identity));
}

fn identity(byte: u8) -> Identity {
    Identity::new(Key::new([byte; 32]))
}
