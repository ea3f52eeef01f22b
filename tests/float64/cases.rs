//! The networks of the reference: their samples, their initial weights, and the weights that training makes.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use ringlet::data::{Classes, Images, Part, load, parameters::Parameters};
use ringlet_core::{
    Role,
    data::Normalisation,
    dealt,
    model::{Layer, Loss, Model, TripleScheme},
    network::Network,
    num::{Format, RATE_FRACTION},
    securenn,
    session::{
        ClassList, ClassWeights, Headroom, KnownBackbone, Protocol, Schedule, Session, Task,
        TrainingOptions,
    },
};
use serde_json::Value;

/// A ring with its fraction bits, a protocol, and bits of headroom at every place.
pub type Arithmetic = (Format, Protocol, u8);

const fn format(ring: u32, fraction: u32) -> Format {
    Format {
        ring,
        fraction,
        weights: fraction,
    }
}

pub const U32: Arithmetic = (format(32, 12), Protocol::DEALT, 0);
/// The same with the usual range of 512.
pub const USUAL: Arithmetic = (format(32, 12), Protocol::DEALT, 3);
pub const U64: Arithmetic = (format(64, 20), Protocol::DEALT, 0);
pub const SECURENN: Arithmetic = (
    format(64, 13),
    Protocol::SecureNn {
        triples: TripleScheme::Fused,
        loss: Loss::Softmax,
    },
    0,
);

/// What steps.py draws numbers for.
const PIXELS: u64 = 0;
const LABELS: u64 = 1;
const CLASSES: u64 = 2;
const WEIGHTS: u64 = 3;
const BIASES: u64 = 4;
/// What steps.py has none of: shares, and small moves of weights.
const SHARES: u64 = 5;
pub const MOVES: u64 = 6;

/// A network of the reference, with its samples and its weights.
pub struct Case {
    pub model: Model,
    pub images: Images,
    pub learning_rate: f64,
    /// Schedule, decay and smoothing.
    pub training: TrainingOptions,
    /// How much the samples of each class count.
    pub class_weights: ClassWeights,
    pub momentum: f64,
    /// The numbers of steps after which the weights are known, in order.
    pub steps: Vec<u32>,
    pub initial: Vec<Parameters>,
    /// The weights after each number of steps.
    pub wanted: Vec<Vec<Parameters>>,
}

/// SplitMix64 by counter (Steele, Lea and Flood, 2014), as steps.py has it.
pub fn draw(seed: usize, what: u64, layer: usize, index: usize) -> u64 {
    let start = ((seed as u64) << 32 | (layer as u64) << 8 | what) << 16;
    let mut z = start
        .wrapping_add(index as u64 + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// `count` multiples of 2^-20 between -bound and bound, which has that unit.
fn uniform(seed: usize, what: u64, layer: usize, bound: u64, count: usize) -> Vec<f32> {
    let value = |index| {
        let signed = (draw(seed, what, layer, index) >> 32) as i64 - (1 << 31);
        ((signed * bound as i64) >> 31) as f32 / (1 << 20) as f32
    };
    (0..count).map(value).collect()
}

fn samples(seed: usize, count: usize, model: &Model, digits: bool) -> Images {
    let shape = model.input.map(usize::from);
    if digits {
        let images = load(None, Part::Train).expect("built-in digits");
        return images.slice(0..count);
    }
    let Some(Layer::Dense { units }) = model.layers.last() else {
        panic!("no classes");
    };
    let size: usize = shape.iter().product();
    let labels: Vec<u8> = (0..count)
        .map(|sample| (draw(seed, LABELS, 0, sample) % u64::from(*units)) as u8)
        .collect();
    let pixel = |at: usize| {
        let class = usize::from(labels[at / size]);
        let of_class = draw(seed, CLASSES, 0, class * size + at % size);
        (draw(seed, PIXELS, 0, at) >> 57) as u8 + (of_class >> 57) as u8
    };
    let pixels = (0..count * size).map(pixel).collect();
    Images {
        shape,
        pixels,
        labels,
        classes: Classes::Numbered,
    }
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference")
}

/// Splits the next parameters off `values`, in the order of the stages.
fn take(network: &Network, values: &mut &[f32]) -> Vec<Parameters> {
    let mut next = |count| {
        let (taken, rest) = values.split_at(count);
        *values = rest;
        taken.to_vec()
    };
    let stages = network.stages.iter();
    stages
        .map(|stage| Parameters {
            weights: next(stage.linear.weight_len()),
            biases: next(stage.linear.channels()),
        })
        .collect()
}

/// All networks of the reference.
pub fn cases() -> Vec<Case> {
    let described = fs::read(reference().join("networks.json")).expect("networks");
    let described: Vec<Value> = serde_json::from_slice(&described).expect("JSON");
    let weights = fs::read(reference().join("weights.f32")).expect("weights");
    let words = weights.as_chunks().0.iter();
    let weights: Vec<f32> = words.map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let mut rest = &weights[..];
    let mut cases = Vec::new();
    for described in described {
        let model: Model = serde_json::from_value(described["model"].clone()).expect("a model");
        let whole = |key: &str| described[key].as_u64().expect("a number") as usize;
        let seed = whole("seed");
        let digits = described["digits"] == true;
        let real = |key: &str| described[key].as_f64().expect("a number");
        let part = |key: &str| {
            let part = described[key].as_f64().unwrap_or(0.0);
            (part * f64::from(1 << RATE_FRACTION)) as u32
        };
        let steps = described["steps"].as_array().expect("numbers").iter();
        let mut case = Case {
            images: samples(seed, whole("samples"), &model, digits),
            learning_rate: real("rate"),
            training: TrainingOptions {
                schedule: match described["cosine"] == true {
                    true => Schedule::Cosine,
                    false => Schedule::Constant,
                },
                warm_up: described["warm_up"].as_u64().unwrap_or(0) as u32,
                weight_decay: part("decay"),
                label_smoothing: part("smoothing"),
                nesterov: described["nesterov"] == true,
                clip: part("clip"),
                ..TrainingOptions::default()
            },
            class_weights: class_weights(&described["class_weights"]),
            momentum: real("momentum"),
            steps: steps
                .map(|steps| steps.as_u64().expect("a number") as u32)
                .collect(),
            model,
            initial: Vec::new(),
            wanted: Vec::new(),
        };
        let network = network(&case.session(U32, 0));
        let layers = case.model.layers.iter().enumerate();
        let layers =
            layers.filter(|(_, layer)| matches!(layer, Layer::Conv2d { .. } | Layer::Dense { .. }));
        for ((layer, _), stage) in layers.zip(&network.stages) {
            let bound = ((6 << 40) / stage.linear.fan_in() as u64).isqrt();
            let [weights, biases] = [stage.linear.weight_len(), stage.linear.channels()];
            case.initial.push(Parameters {
                weights: uniform(seed, WEIGHTS, layer, bound, weights),
                biases: uniform(seed, BIASES, layer, 1 << 16, biases),
            });
        }
        for _ in &case.steps {
            case.wanted.push(take(&network, &mut rest));
        }
        cases.push(case);
    }
    assert!(rest.is_empty());
    cases
}

/// The weights of classes; none if all count the same.
fn class_weights(described: &Value) -> ClassWeights {
    let one = f64::from(1 << ClassWeights::FRACTION);
    let weights = described.as_array().into_iter().flatten();
    let units = weights.map(|weight| (weight.as_f64().expect("a number") * one) as u16);
    ClassWeights::new(&units.collect::<Vec<u16>>()).expect("weights")
}

impl Case {
    /// A session of so many steps that takes all samples in each. Each party owns half of them.
    pub fn session(&self, (format, protocol, headroom): Arithmetic, steps: u32) -> Session {
        let count = self.images.len() as u32;
        let rate = |value: f64| (value * f64::from(1 << RATE_FRACTION)) as u32;
        Session {
            model: self.model.clone(),
            format,
            headroom: match headroom {
                0 => Headroom::NONE,
                bits => {
                    let network = Network::new(&self.model).expect("a network");
                    let places = vec![bits; network.stages.len() + 1];
                    Headroom::new(&places).expect("a few stages")
                }
            },
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol,
            samples: [count / 2, count - count / 2],
            contributions: None,
            batch: count,
            micro_batch: count,
            epochs: steps.max(1),
            limit: 0,
            learning_rate: rate(self.learning_rate),
            momentum: rate(self.momentum),
            training: self.training,
            class_weights: self.class_weights.clone(),
            shuffle_seed: 1,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: match protocol {
                Protocol::Dealt { .. } => 9,
                Protocol::SecureNn { .. } => 0,
            },
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    /// A party's state with the initial weights: shares that are uniform and velocities of 0.
    pub fn state(&self, session: &Session, network: &Network, role: Role) -> Vec<u8> {
        let bytes = |bits: u32| bits as usize / 8;
        let [bits, _] = session.master();
        let velocity = match session.protocol {
            Protocol::Dealt { .. } => session.format.ring,
            Protocol::SecureNn { .. } => u64::BITS,
        };
        let mut state = Vec::new();
        for (index, (stage, initial)) in network.stages.iter().zip(&self.initial).enumerate() {
            for (parameter, value) in initial.encode(stage, session).into_iter().enumerate() {
                let half = |half| u128::from(draw(index, SHARES, half, parameter));
                let mask = half(0) << 64 | half(1);
                let share = match role {
                    Role::P0 => value.wrapping_sub(mask),
                    Role::P1 => mask,
                };
                state.extend(&share.to_le_bytes()[..bytes(bits)]);
            }
            state.resize(state.len() + stage.parameters() * bytes(velocity), 0);
        }
        if let Protocol::Dealt { .. } = session.protocol {
            // With Nesterov's momentum, the last velocities too.
            state.resize(dealt::Plan::new(session, network).state_len(), 0);
        }
        state
    }

    /// The numbers of a party's samples.
    pub fn own(&self, session: &Session, role: Role) -> Range<usize> {
        let split = session.samples[0] as usize;
        match role {
            Role::P0 => 0..split,
            Role::P1 => split..self.images.len(),
        }
    }
}

pub fn network(session: &Session) -> Network {
    match (session.protocol, session.format.ring) {
        (Protocol::SecureNn { .. }, _) => securenn::check(session),
        (_, 32) => dealt::check::<u32>(session),
        _ => dealt::check::<u64>(session),
    }
    .expect("a session that runs")
}
