//! An attack on trainings of the twin: it trains with samples that only chance puts in, and scores all of them by the model that
//! comes out, as somebody can who knows the samples and sees that model alone.

use std::{
    num::NonZero,
    panic,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
};

use ringlet_core::{
    network::Network,
    prg::{Address, Key},
    session::Session,
};

use super::{private_step::PrivateTraining, seeded::Seeded, twin::Twin};
use crate::{
    data::{Classes, Images, parameters::initial_model},
    error::Failure,
    resources::spawn_scoped,
};

/// What the numbers of the attack's seed are for.
const CANARY_PIXELS: u8 = 0;
const CANARY_LABELS: u8 = 1;
const MEMBERS: u8 = 2;
const COINS: u8 = 3;
const INITIAL: u8 = 4;
const TRAINING: u8 = 5;

/// How many of 256 pixels of a canary are white. Canaries of few white pixels are unlike each other, and so are their gradients.
const WHITE: u8 = 26;

/// Trainings on one half of the images or the other, and on canaries: images of white pixels and labels at random, each of which is
/// in a training or not, by a coin of its own.
pub struct Attack<'a> {
    network: &'a Network,
    /// Its number of samples is the one to be expected.
    session: &'a Session,
    images: &'a Images,
    held_out: &'a Images,
    canaries: Images,
    seed: u64,
}

/// What an attacker sees of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The losses of the images in the training.
    pub members: Vec<f64>,
    /// The losses of the other ones.
    pub others: Vec<f64>,
    /// The logit of each canary's label against all others together.
    pub canaries: Vec<f64>,
    /// Whether each canary was in the training.
    pub coins: Vec<bool>,
    /// The share of held-out images that the model classifies right.
    pub accuracy: f64,
}

impl<'a> Attack<'a> {
    /// Trainings on `images`, as the session says but for the samples. Its number of samples is [`Attack::expected_samples`].
    pub fn new(
        (network, session): (&'a Network, &'a Session),
        (images, held_out): (&'a Images, &'a Images),
        canaries: usize,
        seed: u64,
    ) -> Self {
        let seeded = Seeded::new(seed);
        let labels = seeded.uniform(place(0, CANARY_LABELS), canaries);
        let pixels = seeded.bytes(place(0, CANARY_PIXELS), canaries * images.image_len());
        let white = |drawn: u8| if drawn < WHITE { u8::MAX } else { 0 };
        let class = |part: f64| (part * network.classes as f64) as u8;
        Attack {
            network,
            session,
            images,
            held_out,
            canaries: Images {
                shape: images.shape,
                pixels: pixels.into_iter().map(white).collect(),
                labels: labels.into_iter().map(class).collect(),
                classes: Classes::Numbered,
            },
            seed,
        }
    }

    /// The mean number of samples of a training.
    pub fn expected_samples(images: usize, canaries: usize) -> usize {
        images / 2 + canaries / 2
    }

    /// So many trainings of each kind, on all processors. `advance` is called after each iteration of one.
    pub fn observe_all<const KINDS: usize>(
        &self,
        kinds: &[PrivateTraining; KINDS],
        trainings: u32,
        mut advance: impl FnMut(),
    ) -> Result<[Vec<Observed>; KINDS], Failure> {
        let numbers = (0..trainings).flat_map(|number| (0..KINDS).map(move |kind| (kind, number)));
        let all: Vec<(usize, u32)> = numbers.collect();
        let next = AtomicUsize::new(0);
        // Each thread takes the next training until there is none, or one has failed.
        let work = |told: Sender<()>| {
            let mut observed = Vec::new();
            while let Some(&(kind, number)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let tell = || {
                    // Without a receiver nobody waits for the result.
                    let _ = told.send(());
                };
                let one = self.observe(number, &kinds[kind], tell).inspect_err(|_| {
                    next.store(all.len(), Ordering::Relaxed);
                })?;
                observed.push((number, kind, one));
            }
            Ok::<_, Failure>(observed)
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let mut observed = thread::scope(|scope| {
            let (told, heard) = channel();
            let started: Vec<_> = (0..threads.min(all.len()))
                .map(|_| {
                    let (work, told) = (&work, told.clone());
                    spawn_scoped(scope, move || work(told))
                })
                .collect();
            drop(told);
            heard.iter().for_each(|()| advance());
            let mut observed = Vec::with_capacity(all.len());
            for thread in started {
                match thread?.join() {
                    Ok(some) => observed.extend(some?),
                    Err(cause) => panic::resume_unwind(cause),
                }
            }
            Ok::<_, Failure>(observed)
        })?;
        observed.sort_by_key(|&(number, ..)| number);
        let mut of_kinds = [const { Vec::new() }; KINDS];
        for (_, kind, one) in observed {
            of_kinds[kind].push(one);
        }
        Ok(of_kinds)
    }

    /// A training, and what it tells. Those of one number have the same samples. `advance` is called after each iteration.
    pub fn observe(
        &self,
        number: u32,
        private: &PrivateTraining,
        mut advance: impl FnMut(),
    ) -> Result<Observed, Failure> {
        let seeded = Seeded::new(self.seed);
        // Every second training has the same members, and the others have the rest: chance decides on canaries alone.
        let order = seeded.uniform(place(0, MEMBERS), self.images.len());
        let mut chosen: Vec<usize> = (0..self.images.len()).collect();
        chosen.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
        let (members, others) = match half(number as usize) {
            0 => chosen.split_at(self.images.len() / 2),
            _ => {
                chosen.reverse();
                chosen.split_at(self.images.len() / 2)
            }
        };
        let coins = seeded.uniform(place(number, COINS), self.canaries.len());
        let coins: Vec<bool> = coins.into_iter().map(|part| part < 0.5).collect();
        let within: Vec<usize> = (0..coins.len()).filter(|&canary| coins[canary]).collect();
        let [members, others] = [members, others].map(|chosen| select(self.images, chosen));
        let mut samples = select(&self.canaries, &within);
        samples.pixels.extend_from_slice(&members.pixels);
        samples.labels.extend_from_slice(&members.labels);

        let seed = seeded.bytes(place(number, TRAINING), size_of::<u64>());
        let private = PrivateTraining {
            seed: seed
                .iter()
                .fold(0, |seed, &byte| seed << 8 | u64::from(byte)),
            ..*private
        };
        // The attacker knows the initial model, so it is always the same.
        let initial = seeded.bytes(place(0, INITIAL), 2 * Key::LEN);
        let key = |at: usize| Key::new(std::array::from_fn(|byte| initial[at * Key::LEN + byte]));
        let initial = initial_model(self.network, self.session, [key(0), key(1)]);
        let mut twin: Twin<'_> = Twin::new(self.network, self.session, initial);
        for iteration in 0..self.session.iterations() {
            twin.iterate_privately(self.session, &samples, iteration, &private, 1)?;
            advance();
        }
        let observed = Observed {
            members: twin.losses(&members),
            others: twin.losses(&others),
            canaries: twin.losses(&self.canaries).into_iter().map(logit).collect(),
            coins,
            accuracy: twin.accuracy(self.held_out),
        };
        let told = [&observed.members, &observed.others, &observed.canaries];
        let is_finite = told.into_iter().flatten().all(|value| value.is_finite());
        match is_finite {
            true => Ok(observed),
            false => Err(Failure::new(
                "a training with these settings leaves the range of floats",
                "choose a lower --lr or less --momentum",
            )),
        }
    }
}

/// The half of the images that are the members of a training.
fn half(number: usize) -> usize {
    number % 2
}

/// The score of each canary in each of all trainings, in their order, and whether it was in: how much larger its logit is than in
/// the others with the same members. No score depends on a coin but by the models.
pub fn canary_scores(trainings: &[Observed]) -> Vec<(f64, bool)> {
    let score = |number: usize, canary: usize| {
        let numbers = 0..trainings.len();
        let alike = numbers.filter(|&other| other != number && half(other) == half(number));
        let logits = alike.map(|other| trainings[other].canaries[canary]);
        let (sum, count) = logits.fold((0.0, 0), |(sum, count), logit| (sum + logit, count + 1));
        trainings[number].canaries[canary] - sum / f64::from(count.max(1))
    };
    let scores = trainings.iter().enumerate().flat_map(|(number, training)| {
        let coins = training.coins.iter().enumerate();
        coins.map(move |(canary, &was_in)| (score(number, canary), was_in))
    });
    scores.collect()
}

/// ln(p / (1 - p)) of the probability whose negative logarithm a loss is.
fn logit(loss: f64) -> f64 {
    // A loss of 0 is that of a probability that is nearest to 1.
    -loss - (-(-loss).exp_m1()).max(f64::MIN_POSITIVE).ln()
}

/// The images of these places.
fn select(images: &Images, places: &[usize]) -> Images {
    Images {
        shape: images.shape,
        pixels: places
            .iter()
            .flat_map(|&place| images.image(place).iter().copied())
            .collect(),
        labels: places.iter().map(|&place| images.labels[place]).collect(),
        classes: images.classes.clone(),
    }
}

/// Where the numbers of a training for a purpose stand.
fn place(training: u32, purpose: u8) -> Address {
    Address {
        iteration: training,
        gate: 0,
        wire: purpose,
    }
}
