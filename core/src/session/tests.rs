//! Checks of sessions that cannot run, and layer orders that make the same network.

use super::*;
use crate::{
    dealt::{Plan, check},
    model::{Layer, Loss, Sides},
    network::MAX_STAGES,
    num::{COEFFICIENT_FRACTION, MAX_DEGREE, Polynomial, ring::Ring},
};

extern crate std;
use std::vec;

/// A session on a small model.
pub(super) fn small() -> Session {
    session::<u32>([1, 1, 4], &[Layer::Dense { units: 3 }])
}

/// A session that is sound if its model is.
fn session<R: Ring>(input: [u16; 3], layers: &[Layer]) -> Session {
    Session {
        model: Model::new("m", input, layers).unwrap(),
        format: Format::new::<R>(12).unwrap(),
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [1 << 20, 0],
        contributions: None,
        batch: 256,
        micro_batch: 1,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << 20,
        momentum: 0,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 0,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

fn conv(channels: u16, kernel: u8) -> Layer {
    Layer::Conv2d {
        channels,
        kernel: Sides::square(kernel),
        stride: 1,
        padding: Sides::square(kernel / 2),
    }
}

#[test]
fn windows_that_leave_gradients_no_bits_are_refused() {
    let layers = |window| {
        [
            Layer::AvgPool { window },
            conv(1, 1),
            Layer::AvgPool { window },
            Layer::Relu,
            Layer::Flatten,
            Layer::Dense { units: 2 },
        ]
    };
    let check = |window: u8| {
        let side = u16::from(window).pow(2);
        check::<u32>(&session::<u32>([side, side, 1], &layers(window)))
    };
    assert!(check(4).is_ok());
    // A divisor of 2^20 and more leaves nothing of 20 bits.
    for window in [33, 60] {
        assert_eq!(check(window).err(), Some(SessionError::Gradients));
    }
}

#[test]
fn a_batch_that_leaves_the_softmax_no_bits_is_refused() {
    let check = |batch, fraction| {
        let mut session = session::<u32>([1, 1, 4], &[Layer::Dense { units: 3 }]);
        session.batch = batch;
        session.format = Format::new::<u32>(fraction).unwrap();
        session.learning_rate = u32::MAX;
        check::<u32>(&session).err()
    };
    // A label of 1, divided by the batch, is a unit of the gradients at least.
    assert_eq!(check(1 << 20, 8), None);
    assert_eq!(check(1 << 16, 12), None);
    assert_eq!(check(1 << 17, 12), Some(SessionError::Gradients));
}

#[test]
fn momentum_that_securenn_would_round_too_far_is_refused() {
    let with = |momentum: f64, fraction| {
        let mut session = session::<u32>([1, 1, 4], &[Layer::Dense { units: 3 }]);
        session.momentum = (momentum * f64::from(1u32 << RATE_FRACTION)) as u32;
        session.format = Format::new::<u32>(fraction).unwrap();
        session
    };
    for (momentum, fraction) in [(0.99, 8), (0.9999, 8), (0.9999, 14)] {
        let error = check::<u32>(&with(momentum, fraction)).err();
        assert_eq!(error, None, "{momentum} at {fraction} fraction bits");
    }
    for (momentum, outcome) in [(0.999, None), (0.9999, Some(SessionError::MomentumRounds))] {
        let mut session = with(momentum, 8);
        session.protocol = Protocol::SecureNn {
            triples: TripleScheme::Baseline,
            loss: Loss::Softmax,
        };
        session.format = Format::new::<u64>(13).unwrap();
        let error = crate::securenn::check(&session).err();
        assert_eq!(error, outcome, "{momentum} by SecureNN");
    }
}

#[test]
fn a_huge_micro_batch_is_refused_without_overflow() {
    let layers = [
        conv(1, 255),
        Layer::AvgPool { window: 255 },
        Layer::Flatten,
        Layer::Dense { units: 2 },
    ];
    // 2^24 patches of 2^16 values, 2^32 times.
    let mut session = session::<u64>([3800, 3800, 1], &layers);
    session.protocol = Protocol::Dealt {
        triples: TripleScheme::Baseline,
    };
    session.samples = [u32::MAX, 0];
    (session.batch, session.micro_batch) = (u32::MAX, u32::MAX);
    assert_eq!(check::<u64>(&session).err(), Some(SessionError::TooLarge));
}

#[test]
fn opened_data_words_saturate() {
    let layers = [Layer::Flatten, Layer::Dense { units: 2 }];
    let mut session = session::<u32>([4096, 1024, 1], &layers);
    session.samples = [0, u32::MAX];
    session.batch = 1;
    let network = check::<u32>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let words = u64::from(u32::MAX) << 22;
    let most = usize::try_from(words).unwrap_or(usize::MAX);
    assert_eq!(plan.opened_data_words(Role::P0), most);
    assert_eq!(plan.opened_data_words(Role::P1), 0);
}

#[test]
fn max_pooling_and_relu_make_one_network_in_either_order() {
    let head = [Layer::Flatten, Layer::Dense { units: 10 }];
    let pool = Layer::MaxPool {
        window: 2,
        stride: 0,
    };
    let stages = |middle: [Layer; 2]| {
        let layers = [&[conv(4, 3)], &middle[..], &head[..]].concat();
        let model = Model::new("pooled", [8, 8, 1], &layers).unwrap();
        Network::new(&model).unwrap().stages
    };
    let (before, after) = (stages([pool, Layer::Relu]), stages([Layer::Relu, pool]));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.max_pool, after.max_pool);
        assert_eq!(before.activation, after.activation);
        assert_eq!(before.activation_name, after.activation_name);
        assert_eq!(before.leaving_len(), after.leaving_len());
    }
    assert_eq!(before[0].leaving_len(), 4 * 4 * 4);
}

#[test]
fn headroom_that_a_session_cannot_have_is_refused() {
    let layers = [
        Layer::Dense { units: 3 },
        Layer::Relu,
        Layer::Dense { units: 3 },
    ];
    let check = |bits: &[u8]| {
        let mut session = session::<u32>([1, 1, 4], &layers);
        session.format = Format::new::<u32>(12).unwrap();
        session.headroom = Headroom::new(bits).unwrap();
        check::<u32>(&session).err()
    };
    assert_eq!(check(&[4, 0, 4]), None);
    for bits in [&[0, 5, 0][..], &[0, 0, 0, 0]] {
        assert_eq!(check(bits), Some(SessionError::Headroom(4)), "{bits:?}");
    }
    assert_eq!(Headroom::new(&[0; MAX_STAGES + 2]), None);
}

#[test]
fn a_polynomial_has_no_headroom() {
    let mut square = Polynomial {
        degree: 2,
        reach: 0,
        coefficients: [0; MAX_DEGREE + 1],
    };
    square.coefficients[2] = 1 << COEFFICIENT_FRACTION;
    let square = Layer::Polynomial(square);
    let layers = [Layer::Dense { units: 3 }, square, Layer::Dense { units: 3 }];
    let check = |bits: &[u8]| {
        let mut session = session::<u32>([1, 1, 4], &layers);
        session.format = Format::new::<u32>(12).unwrap();
        session.headroom = Headroom::new(bits).unwrap();
        check::<u32>(&session).err()
    };
    assert_eq!(check(&[2, 0, 3]), None);
    assert!(matches!(
        check(&[2, 1, 3]),
        Some(SessionError::PolynomialHeadroom(_))
    ));
}

/// The factor of a stage's velocities, summed over iterations.
fn summed_rates(session: &Session, iterations: u32) -> [u64; 2] {
    let network = check::<u32>(session).unwrap();
    let rates = (0..iterations).map(|iteration| session.rates(&network, 0, iteration));
    rates.fold([0; 2], |[w, b], [weights, biases]| {
        [w + weights, b + biases]
    })
}

#[test]
fn rates_between_integers_add_up_to_the_exact_ones() {
    let mut session = session::<u32>([1, 1, 4], &[Layer::Dense { units: 3 }]);
    session.format = Format::new::<u32>(12).unwrap();
    session.batch = 128;
    session.samples = [1000, 0];
    for learning_rate in [0.0001, 0.003, 0.01, 0.1] {
        session.learning_rate = (learning_rate * f64::from(1u32 << RATE_FRACTION)) as u32;
        let [one, _] = summed_rates(&session, 1);
        let many = 1 << 14;
        let [weights, biases] = summed_rates(&session, many);
        assert_eq!(weights, biases);
        // 24 fraction bits less a velocity's 16 and its gradient's exponent of 4, beside the operand's 12.
        let exact = f64::from(session.learning_rate) * 2f64.powi(36 - 16 - 4 - 24);
        let sum = exact * f64::from(many);
        assert!(
            (weights as f64 - sum).abs() <= 1.0,
            "{learning_rate}: {weights} and {sum}"
        );
        assert!(
            (one as f64 - exact).abs() <= 1.0,
            "{learning_rate}: {one} and {exact}"
        );
    }
}

#[test]
fn learning_rates_rise_and_fall_as_the_options_say() {
    let mut session = session::<u32>([1, 1, 4], &[Layer::Dense { units: 3 }]);
    // Ten iterations in each of four epochs.
    (session.samples, session.batch, session.epochs) = ([100, 0], 10, 4);
    session.learning_rate = 1 << 20;
    let rates = |session: &Session| -> vec::Vec<u32> {
        (0..session.iterations())
            .map(|iteration| session.learning_rate_at(iteration))
            .collect()
    };
    assert_eq!(rates(&session), [1 << 20; 40]);
    session.training.schedule = Schedule::Step {
        epochs: 2,
        factor: 1 << (RATE_FRACTION - 3),
    };
    session.training.warm_up = 4;
    let stepped = rates(&session);
    assert_eq!(stepped[..4], [1 << 18, 2 << 18, 3 << 18, 1 << 20]);
    assert_eq!(stepped[4..20], [1 << 20; 16]);
    assert_eq!(stepped[20..], [1 << 17; 20]);
    // A factor that has brought the rate to 0 leaves it there.
    session.epochs = 1 << 20;
    assert_eq!(session.learning_rate_at(session.iterations() - 1), 0);
    session.epochs = 4;
    session.training.schedule = Schedule::Cosine;
    let falling = rates(&session);
    assert_eq!(falling[4], 1 << 20);
    assert!(falling[4..].windows(2).all(|pair| pair[1] < pair[0]));
    assert!(falling[22].abs_diff(1 << 19) < 4);
    assert!((1..1 << 12).contains(&falling[39]));
    // The end is that of the run, limit included; it may lie within the warm-up.
    session.limit = 22;
    assert!((1..1 << 14).contains(&session.learning_rate_at(21)));
    session.limit = 3;
    assert_eq!(rates(&session), stepped[..3]);
    session.training.warm_up = u32::MAX;
    session.learning_rate = u32::MAX;
    assert_eq!(session.learning_rate_at(u32::MAX - 1), u32::MAX);
}

#[test]
fn rates_and_decays_add_up_over_the_iterations() {
    let layers = [
        conv(1, 3),
        Layer::AvgPool { window: 3 },
        Layer::Relu,
        Layer::Flatten,
        Layer::Dense { units: 3 },
    ];
    let mut session = session::<u32>([6, 6, 1], &layers);
    session.batch = 100;
    session.training.weight_decay = 1677;
    session.headroom = Headroom::new(&[1, 3, 2]).unwrap();
    let network = check::<u32>(&session).unwrap();
    let one = f64::from(1u32 << RATE_FRACTION);
    for (index, stage) in network.stages.iter().enumerate() {
        let exponent = session.gradient_exponent(&network, index);
        let [input, output] = stage.headroom.map(|bits| bits as i32);
        let divisor = f64::from(stage.divisor);
        // 12 + 12 fraction bits of the gradient less 12 of the weight; a batch of 100 is scaled by 100 / 128.
        let scale =
            1677.0 / one * 100.0 / 128.0 * libm::exp2(f64::from(12 + exponent - input + output));
        let want = [
            scale * divisor.powi(2) * libm::exp2(f64::from(-input)),
            scale,
        ];
        for (which, want) in want.into_iter().enumerate() {
            let decays = (0..1000).map(|i| session.decays(&network, index, i)[which]);
            let sum: u64 = decays.sum();
            assert!((sum as f64 - 1000.0 * want).abs() < 1.5, "{sum} {want}");
        }
    }
    session.format = Format::direct(12).unwrap();
    session.headroom = Headroom::NONE;
    assert_eq!(
        check::<u64>(&session).err(),
        Some(SessionError::DecayInDirect)
    );
    session.training.weight_decay = 0;
    assert_eq!(check::<u64>(&session).err(), None);
    session.training.label_smoothing = 1 << RATE_FRACTION;
    assert_eq!(
        check::<u64>(&session).err(),
        Some(SessionError::TrainingOptions)
    );
}

#[test]
fn securenn_refuses_what_it_has_not() {
    let layers = |more: &[Layer]| {
        let before = [Layer::Flatten, Layer::Dense { units: 4 }, Layer::Relu];
        [&before, more, &[Layer::Dense { units: 4 }]].concat()
    };
    let sound = |layers: &[Layer]| {
        let mut session = session::<u64>([6, 6, 1], layers);
        session.protocol = Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Softmax,
        };
        session.format = Format::new::<u64>(13).unwrap();
        session
    };
    let with = |layers: &[Layer]| crate::securenn::check(&sound(layers)).err();
    let dropout = layers(&[Layer::Dropout { percent: 50 }]);
    assert_eq!(with(&dropout), Some(SessionError::NotInSecureNn("dropout")));
    let add = [layers(&[]), vec![Layer::Add { layer: 3 }]].concat();
    let refused = Some(SessionError::NotInSecureNn("residual additions"));
    assert_eq!(with(&add), refused);
    assert_eq!(with(&layers(&[])), None);
    type Change = fn(&mut TrainingOptions);
    let changes: [(Change, &str); 4] = [
        (|t| t.warm_up = 1, "schedules of the learning rate"),
        (
            |t| t.schedule = Schedule::Cosine,
            "schedules of the learning rate",
        ),
        (|t| t.weight_decay = 1, "weight decay"),
        (|t| t.label_smoothing = 1, "label smoothing"),
    ];
    for (change, what) in changes {
        let mut session = sound(&layers(&[]));
        change(&mut session.training);
        let error = crate::securenn::check(&session).err();
        assert_eq!(error, Some(SessionError::NotInSecureNn(what)));
    }
}
