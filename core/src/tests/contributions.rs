//! Training on contributions against training on the samples of one owner.

use super::*;
use crate::{
    contribution::{self, Part},
    data::ContributionKeys,
    prg::Key,
    session::{ContributionList, Contributions, SessionError},
};

/// Samples that a party owns, or that their owners have masked for both parties.
pub(super) struct Samples<'a> {
    pub session: &'a Session,
    pub network: &'a Network,
    pub role: Role,
    pub own: SyntheticData,
    /// What an owner that does not keep to the rules makes of a sample's values.
    pub damage: fn(u32, Part, &mut [i64]),
}

/// The key of a contribution's masks at a party.
fn key_at(role: Role, sample: u32) -> [u8; Key::LEN] {
    let mut key = [role.index() as u8; Key::LEN];
    key[..4].copy_from_slice(&sample.to_le_bytes());
    key
}

impl Samples<'_> {
    /// Damages and masks values as an owner does.
    fn mask(&self, sample: u32, part: Part, mut values: Vec<i64>, out: &mut [u8]) {
        (self.damage)(sample, part, &mut values);
        let value_len = out.len() / values.len();
        let mut masks = vec![0; values.len()];
        for role in Role::BOTH {
            contribution::mask(&key_at(role, sample), part, 0, &mut masks);
            for (value, &mask) in values.iter_mut().zip(&masks) {
                *value += i64::from(mask);
            }
        }
        for (out, value) in out.chunks_exact_mut(value_len).zip(values) {
            out.copy_from_slice(&value.to_le_bytes()[..value_len]);
        }
    }

    fn values(&mut self, sample: u32) -> [Vec<i64>; 2] {
        let stage = &self.network.stages[0];
        let mut pixels = vec![0; stage.entering_len()];
        self.own.pixels(sample, &mut pixels).unwrap();
        let fraction = self.session.format.fraction - stage.headroom[0];
        let channels = self.network.input[2];
        let normalisation = &self.session.normalisation;
        let units = pixels.iter().enumerate();
        let units = units
            .map(|(at, &pixel)| normalisation.units::<u64>(at % channels, pixel, fraction) as i64);
        let label = usize::from(self.own.label(sample).unwrap());
        let classes = 0..self.network.classes;
        let hot = classes.map(|class| i64::from(class == label));
        [units.collect(), hot.collect()]
    }
}

impl Data for Samples<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        match self.session.contributions {
            Some(_) => Err(DataError::Missing(sample)),
            None => self.own.pixels(sample, out),
        }
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        match self.session.contributions {
            Some(_) => Err(DataError::Missing(sample)),
            None => self.own.label(sample),
        }
    }

    fn contribution(
        &mut self,
        sample: u32,
        key: &mut [u8; Key::LEN],
        out: &mut [u8],
    ) -> Result<(), DataError> {
        *key = key_at(self.role, sample);
        let [pixels, label] = self.values(sample);
        let value_len = out.len() / (pixels.len() + label.len());
        let (of_pixels, of_label) = out.split_at_mut(pixels.len() * value_len);
        self.mask(sample, Part::Pixels, pixels, of_pixels);
        self.mask(sample, Part::Label, label, of_label);
        Ok(())
    }
}

/// The keys of all contributions.
pub(super) struct Keys;

impl ContributionKeys for Keys {
    fn keys(&mut self, sample: u32, out: [&mut [u8; Key::LEN]; 2]) -> Result<(), DataError> {
        for (role, out) in Role::BOTH.into_iter().zip(out) {
            *out = key_at(role, sample);
        }
        Ok(())
    }
}

/// The session on the samples of P0, and on contributions of the same samples.
fn both(session: Session) -> [Session; 2] {
    let own = Session {
        samples: [17, 0],
        ..session
    };
    let contributed = Session {
        contributions: Some(Contributions::fixed(ContributionList([1; 16]))),
        ..own.clone()
    };
    [own, contributed]
}

/// The largest distance of two models.
fn distance(one: &[f64], other: &[f64]) -> f64 {
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Checks that contributions train the model that the samples of one owner train, within what rounding makes of it: shares are
/// rounded, so two runs on the same samples differ by their keys.
fn trains_the_same<R: Ring>(session: Session) {
    let [own, contributed] = both(session);
    let other_keys = RunOptions {
        keys: 13,
        ..DEFAULT_RUN
    };
    let runs = [
        run::<R>(&own, DEFAULT_RUN),
        run::<R>(&own, other_keys),
        run::<R>(&contributed, DEFAULT_RUN),
    ];
    let models = runs.each_ref().map(|run| run.parameters(own.format));
    let largest = models[0].iter().fold(0f64, |a, b| a.max(b.abs()));
    let rounding = distance(&models[0], &models[1]);
    let found = distance(&models[0], &models[2]);
    // Rounding can turn a sign or a maximum that hangs in the balance.
    let bound = if R::BITS == 32 { 0.03 } else { 0.0005 };
    assert!(largest > 0.1 && rounding < bound, "{largest} {rounding}");
    // Samples that are masked anew are opened to the same values, whoever masked them before.
    assert_eq!(found > 0.0, own.keeps_data());
    assert!(found < bound, "{found} {rounding}");
    let losses = runs.each_ref().map(|run| {
        let losses = run.losses[0].iter().flatten();
        losses.map(|loss| loss.mean()).collect::<Vec<f64>>()
    });
    assert_eq!(losses[0].len(), losses[2].len());
    assert!(distance(&losses[0], &losses[2]) < 0.01);
}

#[test]
fn contributions_train_the_model_of_one_owner() {
    for (input, layers) in all_networks() {
        let mut narrow = session::<u32>(input, &layers, 5);
        if narrow.network().unwrap().stages[0].pooled_input.is_some() {
            continue;
        }
        trains_the_same::<u32>(narrow.clone());
        narrow.training.label_smoothing = 1 << 21;
        trains_the_same::<u32>(narrow);
        trains_the_same::<u64>(session::<u64>(input, &layers, 5));
    }
}

#[test]
fn losses_of_contributions_are_revealed() {
    let (input, layers) = all_networks().swap_remove(0);
    let session = Session {
        reveal_loss: true,
        ..session::<u32>(input, &layers, 5)
    };
    trains_the_same::<u32>(session);
}

#[test]
fn micro_batches_and_resumption_change_no_bit() {
    let (input, layers) = all_networks().swap_remove(0);
    let [_, mut session] = both(session::<u32>(input, &layers, 5));
    let whole = run::<u32>(&session, DEFAULT_RUN);
    session.micro_batch = 2;
    let parts = run::<u32>(&session, DEFAULT_RUN);
    assert!(parts.shares == whole.shares);
}

#[test]
fn contributions_cost_what_the_plan_says() {
    for (input, layers) in all_networks() {
        let [_, session] = both(session::<u32>(input, &layers, 5));
        let session = Session {
            micro_batch: 2,
            audit: 3,
            ..session
        };
        let Ok(network) = crate::dealt::check::<u32>(&session) else {
            continue;
        };
        let plan = Plan::new(&session, &network);
        for role in Role::BOTH {
            assert_eq!(plan.opened_data_words(role), 0);
            assert_eq!(plan.run_data_bytes(role, 0), 0);
        }
        let outcome = run::<u32>(&session, DEFAULT_RUN);
        for iteration in 0..session.iterations() {
            let len = session.batch(iteration).len;
            let mut want = plan.iteration::<u32>(len);
            if session.is_audited(iteration) {
                want += plan.audit::<u32>(len);
            }
            for role in Role::BOTH {
                let measured = outcome.traffic[role.index()][iteration as usize].total();
                let dealer_bytes = match role {
                    Role::P0 => 0,
                    Role::P1 => want.dealer_bytes,
                };
                let want = crate::cost::Cost {
                    dealer_bytes,
                    ..want
                };
                assert_eq!(measured, want, "{layers:?} {role} {iteration}");
            }
        }
    }
}

#[test]
fn what_needs_to_know_the_samples_is_refused() {
    let (input, layers) = all_networks().swap_remove(0);
    let [_, good] = both(session::<u32>(input, &layers, 5));
    assert!(crate::dealt::check::<u32>(&good).is_ok());
    let refused = |change: fn(&mut Session)| {
        let mut session = good.clone();
        change(&mut session);
        matches!(
            crate::dealt::check::<u32>(&session),
            Err(SessionError::OnContributions(_))
        )
    };
    assert!(refused(|session| {
        session.class_weights = ClassWeights::new(&[4096; 3]).unwrap();
    }));
    assert!(refused(|session| session.samples = [10, 7]));
    assert!(refused(|session| {
        (session.task, session.epochs) = (Task::Evaluate, 1);
    }));
}

#[test]
fn all_triples_train_on_contributions() {
    for triples in [TripleScheme::Baseline, TripleScheme::Seed] {
        let (input, layers) = all_networks().swap_remove(0);
        let session = Session {
            protocol: Protocol::Dealt { triples },
            ..session::<u32>(input, &layers, 5)
        };
        trains_the_same::<u32>(session);
    }
}

/// What the check of contributions finds: at each party the counts, at all roles which are broken, and the parties' traffic.
struct Checked {
    found: [Vec<(u32, u32)>; 2],
    broken: [Vec<u8>; 3],
    traffic: [crate::cost::Cost; 2],
}

fn check<R: Ring>(session: &Session, damage: fn(u32, Part, &mut [i64])) -> Checked {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let [end_p0, end_p1] = duplex(1 << 16);
    let [to_p1, dealt] = duplex(1 << 16);
    let [_unused, key_only] = duplex(1);
    let keys = Role::BOTH.map(|role| key(3, role));
    let party = |role: Role, peer: End, dealer: End| {
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        let secret = key(4, role);
        let mut party =
            Trainer::<R>::new(session, &network, role, &secret, &mut memory, &mut []).unwrap();
        let mut cx = PartyContext::new(
            role,
            keys[role.index()].clone(),
            Link::new(peer, Remote::Peer, 0),
            Link::new(dealer, Remote::Dealer, 0),
        );
        let mut data = Samples {
            session,
            network: &network,
            role,
            own: SyntheticData {
                first: 0,
                classes: network.classes as u8,
            },
            damage,
        };
        let mut memory = vec![0; plan.check_words::<R>()];
        let mut broken = vec![0xFF; plan.broken_len()];
        let mut found = Vec::new();
        let mut check = |found: &mut Vec<(u32, u32)>| {
            let places = (&mut memory[..], &mut broken[..]);
            let found = |sample, bounds| found.push((sample, bounds));
            party.check_contributions(
                &mut cx,
                &mut crate::session::OneRank,
                &mut data,
                places,
                found,
            )
        };
        check(&mut found).unwrap();
        // A key's masks serve one check.
        assert_eq!(check(&mut Vec::new()), Err(RunError::Spent));
        (found, broken, cx.take_traffic().total())
    };
    thread::scope(|scope| {
        let dealer = scope.spawn(|| {
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
            let link = Link::new(to_p1, Remote::Party(Role::P1), 0);
            let mut cx = DealerContext::new(keys.clone(), link);
            let mut memory = vec![0; plan.check_words::<R>()];
            let mut broken = vec![0xFF; plan.broken_len()];
            let places = (&mut memory[..], &mut broken[..]);
            dealer
                .check_contributions(&mut cx, &mut crate::session::OneRank, &mut Keys, places)
                .unwrap();
            (broken, cx)
        });
        let p0 = scope.spawn(|| party(Role::P0, end_p0, key_only));
        let (found1, broken1, traffic1) = party(Role::P1, end_p1, dealt);
        let (found0, broken0, traffic0) = p0.join().unwrap();
        let (broken, _cx) = dealer.join().unwrap();
        Checked {
            found: [found0, found1],
            broken: [broken0, broken1, broken],
            traffic: [traffic0, traffic1],
        }
    })
}

/// Values that no sample and no label has, in some of the samples.
fn break_some(sample: u32, part: Part, words: &mut [i64]) {
    match (sample, part) {
        (1, Part::Pixels) => words[0] = 4097,
        (2, Part::Pixels) => words[3] = -1,
        (4, Part::Pixels) => words[1] = 1 << 15,
        (5, Part::Pixels) => words.fill(1 << 14),
        // No class, two of them, and one less one more.
        (8, Part::Label) => words.fill(0),
        (9, Part::Label) => words.fill(1),
        (10, Part::Label) => words.copy_from_slice(&[2, -1, 0][..words.len()]),
        (11, Part::Label) => words[0] ^= 1 << 15,
        // All that is allowed.
        (12, Part::Pixels) => words.fill(0),
        (13, Part::Pixels) => words.fill(4096),
        (14, Part::Pixels) => words.fill(2047),
        _ => {}
    }
}

fn finds_what_is_broken<R: Ring>() {
    let layers = [Layer::Flatten, Layer::Dense { units: 3 }];
    let [_, mut session] = both(session::<R>([2, 3, 1], &layers, 5));
    session.format = Format::new::<R>(12).unwrap();
    for micro_batch in [5, 2, 1] {
        session.micro_batch = micro_batch;
        let good = check::<R>(&session, |_, _, _| {});
        assert!(good.found.iter().all(Vec::is_empty));
        assert!(good.broken.iter().flatten().all(|&byte| byte == 0));
        let checked = check::<R>(&session, break_some);
        let [one, other] = &checked.found;
        assert_eq!(one, other);
        let found: Vec<u32> = one.iter().map(|(sample, _)| *sample).collect();
        assert_eq!(found, [1, 2, 4, 5, 8, 9, 10, 11]);
        assert_eq!(one[0].1, 1);
        assert_eq!(one[3].1, 6);
        let mut broken = vec![0; 3];
        for sample in found {
            broken[sample as usize / 8] |= 1 << (sample % 8);
        }
        for told in &checked.broken {
            assert_eq!(*told, broken);
        }
        let network = crate::dealt::check::<R>(&session).unwrap();
        let want = Plan::new(&session, &network).check::<R>();
        for (role, traffic) in Role::BOTH.into_iter().zip(checked.traffic) {
            let dealer_bytes = match role {
                Role::P0 => 0,
                Role::P1 => want.dealer_bytes,
            };
            let want = crate::cost::Cost {
                dealer_bytes,
                ..want
            };
            assert_eq!(traffic, want, "{role}");
        }
    }
}

#[test]
fn the_check_finds_values_that_no_sample_has() {
    finds_what_is_broken::<u32>();
    finds_what_is_broken::<u64>();
}
