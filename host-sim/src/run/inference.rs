//! Private inference, from the links of a party to its end: the images of one party, the model of the other, and the
//! classes for the owner of the images only.

use std::{sync::Mutex, time::Instant};

use ringlet_core::{
    Role,
    cost::Traffic,
    data::Data,
    dealt::{self, Classifier, Plan},
    network::Network,
    num::{Ring, Word},
    prg::Key,
    securenn::{self, party_words},
    session::{Batch, Protocol, Ranks, RunError, Session},
    share::Observer,
};

use super::{
    actors::Take,
    dispatch::{InRing, in_ring},
    event::{Event, StageValues},
    monotonic_clock,
    party::{Emit, PartySetup},
    party_ranks::{Observers, PartyLinks, RankNeeds, boxed, end_links, links, sum_traffic},
    ranges::{Watch, observers},
    ranks,
    role_ranks::RoleRanks,
    simulation::{ConnectedParty, Simulation},
};
use crate::{error::Failure, resources::filled};

/// Numbers of images, as their owner counts them, and their classes.
pub type Classes = Vec<(u32, u8)>;

/// Classifies to the end, with all ranks of the party. The owner of the model passes it as `model`, the other party an
/// empty one. Returns the classes to the owner of the images.
pub fn run_party<R: Ring>(
    mut setup: PartySetup<'_>,
    model: &[StageValues],
    party_links: PartyLinks<'_>,
    data: &mut dyn Data,
    observers: Observers<'_, R>,
    emit: Emit<'_>,
) -> Result<Classes, Failure> {
    let further = std::mem::take(&mut setup.further);
    let rank = InferenceRank {
        session: setup.session,
        network: setup.network,
        role: setup.role,
        key: setup.key,
    };
    if let Some(processes) = further.processes {
        let ranks = &mut RoleRanks::Processes(processes);
        let seen = (data, observers.first);
        let classes = rank.run(ranks, model, party_links, seen, emit)?;
        processes.meet();
        return Ok(classes);
    }
    let (observer, needs) = observers.with(further.needs);
    ranks::run(
        (needs, &further.closer),
        |ranks| {
            let ranks = &mut RoleRanks::Threads(ranks);
            rank.run(ranks, model, party_links, (data, observer), emit)
        },
        |ranks, (needs, mut observer)| {
            rank.run_further(&mut RoleRanks::Threads(ranks), needs, &mut *observer)
        },
    )
}

/// A rank of a party of an inference.
pub struct InferenceRank<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The key that all ranks of the party share with the dealer.
    pub key: Key,
}

impl InferenceRank<'_> {
    /// Classifies to the end as a further rank, and ends the links.
    pub fn run_further<R: Ring>(
        &self,
        ranks: &mut RoleRanks<'_>,
        mut needs: RankNeeds<'_>,
        observer: &mut dyn Observer<R>,
    ) -> Result<(), Failure> {
        let party_links = links(&mut needs.peer, needs.dealer.as_mut());
        let seen = (&mut *needs.data as &mut dyn Data, observer);
        self.run(ranks, &[], party_links, seen, &mut |_| Ok(()))?;
        end_links(self.role, (needs.peer, needs.dealer))
    }

    /// Classifies to the end. Only the first rank has the `model`, and gets the classes.
    fn run<R: Ring>(
        &self,
        ranks: &mut RoleRanks<'_>,
        model: &[StageValues],
        (peer, dealer): PartyLinks<'_>,
        (mut data, mut observer): (&mut dyn Data, &mut dyn Observer<R>),
        emit: Emit<'_>,
    ) -> Result<Classes, Failure> {
        let (session, network, role) = (self.session, self.network, self.role);
        let mut memory = filled(
            0,
            Plan::new(session, network).arena_words::<R>(role),
            "the shares",
        )?;
        let mut party = Classifier::<R>::new(session, network, role, &mut memory)?;
        for (stage, values) in model.iter().enumerate() {
            let values = values.iter().map(|&value| R::Wide::from_u128(value));
            party.load_parameters(stage, values)?;
        }
        let mut cx = dealt::PartyContext::new(role, self.key.clone(), peer, dealer);
        cx.set_clock(monotonic_clock::nanoseconds);
        let step = |iteration, classes: &mut Classes| {
            // No rank begins a batch before the first one has told what was seen of the batch before.
            ranks.broadcast(0, &mut [0])?;
            let sink = |sample, class| classes.push((sample, class));
            let seen = (&mut data, &mut observer);
            let batch = party.classify_in_ranks(&mut cx, ranks, iteration, seen, sink)?;
            let audit = party.audit_counts().map(<[_]>::to_vec);
            let mut traffic = cx.take_traffic();
            sum_traffic(ranks, &mut traffic)?;
            Ok((batch, traffic, audit))
        };
        let classes = every_batch(session, emit, step)?;
        gathered(session, role, ranks, classes)
    }
}

/// Gathers at the first rank the classes that all ranks have found: of each image of the session at their owner, of none
/// at the other party.
fn gathered(
    session: &Session,
    role: Role,
    ranks: &mut RoleRanks<'_>,
    own: Classes,
) -> Result<Classes, Failure> {
    if ranks.rank().count() == 1 {
        return Ok(own);
    }
    // The class and 1, so that what no rank has found is 0.
    let mut sums = filled(0u32, session.samples[role.index()] as usize, "the classes")?;
    for (sample, class) in own {
        if let Some(sum) = sums.get_mut(sample as usize) {
            *sum = u32::from(class) + 1;
        }
    }
    ranks.sum(&mut sums).map_err(RunError::from)?;
    if !ranks.rank().is_first() || role != session.samples_owner() {
        return Ok(Classes::new());
    }
    let class = |(sample, sum): (usize, u32)| {
        let class = sum.checked_sub(1)?;
        Some((sample as u32, u8::try_from(class).ok()?))
    };
    let found: Classes = sums.into_iter().enumerate().filter_map(class).collect();
    let wanted: u32 = (0..session.iterations())
        .map(|iteration| session.batch(iteration).len)
        .sum();
    match found.len() == wanted as usize {
        true => Ok(found),
        false => Err(Failure::new(
            "the ranks have not found one class for each image",
            "report this",
        )),
    }
}

/// The same by SecureNN; `pair` is the key that only the parties have.
pub fn run_securenn_party(
    setup: PartySetup<'_>,
    (pair, model): (Key, &[StageValues]),
    (peer, assistant): PartyLinks<'_>,
    mut data: &mut dyn Data,
    mut observer: &mut dyn Observer<u64>,
    emit: Emit<'_>,
) -> Result<Classes, Failure> {
    let (session, network, role) = (setup.session, setup.network, setup.role);
    let mut memory = filled(0, party_words(session, network), "the shares")?;
    let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
    for (stage, values) in model.iter().enumerate() {
        party.load_parameters(stage, values.iter().map(|&value| value as u64));
    }
    let mut cx = securenn::PartyContext::new(role, [pair, setup.key], peer, assistant);
    cx.set_clock(monotonic_clock::nanoseconds);
    every_batch(session, emit, |iteration, classes| {
        let sink = |sample, class| classes.push((sample, class));
        let batch = party.classify(&mut cx, iteration, &mut data, &mut observer, sink)?;
        let audit = party.audit_counts().map(<[_]>::to_vec);
        Ok((batch, cx.take_traffic(), audit))
    })
}

/// Classifies batch after batch by `step`, and reports each.
fn every_batch(
    session: &Session,
    emit: Emit<'_>,
    mut step: impl FnMut(u32, &mut Classes) -> Result<(Batch, Traffic, Option<Vec<[u32; 2]>>), RunError>,
) -> Result<Classes, Failure> {
    let mut classes = Classes::new();
    for iteration in 0..session.iterations() {
        let start = Instant::now();
        let (batch, traffic, audit) = step(iteration, &mut classes)?;
        emit(Event::Iteration {
            iteration,
            samples: batch.len,
            seconds: start.elapsed().as_secs_f64(),
            traffic: Box::new(traffic),
            audit,
            loss: None,
            epoch_loss: None,
        })?;
    }
    Ok(classes)
}

/// Runs inference by `model` with all roles as threads, and watches the range of values; `take` gets the parties' events.
/// Returns the classes in the order of the images.
pub fn simulate(
    simulation: &Simulation<'_>,
    model: &[StageValues],
    take: Take<'_>,
) -> Result<Classes, Failure> {
    let kept = Mutex::new(Classes::new());
    let inference = Inference {
        simulation,
        model,
        kept: &kept,
        take,
    };
    match simulation.session.protocol {
        Protocol::Dealt { .. } => in_ring(simulation.session, inference)?,
        Protocol::SecureNn { .. } => inference.run_securenn()?,
    }
    let mut classes = kept.into_inner().map_err(|_| interrupted())?;
    classes.sort_unstable();
    Ok(classes)
}

/// An inference with all roles as threads.
struct Inference<'a> {
    simulation: &'a Simulation<'a>,
    model: &'a [StageValues],
    kept: &'a Mutex<Classes>,
    take: Take<'a>,
}

impl Inference<'_> {
    fn run_securenn(self) -> Result<(), Failure> {
        let Inference {
            simulation,
            model,
            kept,
            take,
        } = self;
        let (mut observer_p0, mut observer_p1, ranges) =
            observers::<u64>(simulation.on_range, simulation.session, simulation.network);
        let mut watch = Watch::new(ranges, simulation.on_range);
        let p0 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            classify_by_securenn(party, (pair, model), kept, &mut observer_p0, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            classify_by_securenn(party, (pair, model), kept, &mut observer_p1, emit)
        };
        simulation
            .with_assistant((Box::new(p0), Box::new(p1)), take)
            .map(drop)
    }
}

impl InRing for Inference<'_> {
    type Output = ();

    fn run<R: Ring>(self) -> Result<(), Failure> {
        let Inference {
            simulation,
            model,
            kept,
            take,
        } = self;
        let (mut observer_p0, mut observer_p1, ranges) =
            observers::<R>(simulation.on_range, simulation.session, simulation.network);
        let (further_p0, further_p1) = observer_p0.further_ranks(simulation.ranks());
        let (further_p0, further_p1) = (boxed(further_p0), boxed(further_p1));
        let mut watch = Watch::new(ranges, simulation.on_range);
        let p0 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            let observers = Observers {
                first: &mut observer_p0,
                further: further_p0,
            };
            classify(party, model, kept, observers, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let observers = Observers {
                first: &mut observer_p1,
                further: further_p1,
            };
            classify(party, model, kept, observers, emit)
        };
        simulation
            .with_dealer::<R>((Box::new(p0), Box::new(p1)), take)
            .map(drop)
    }
}

/// Classifies as a party with a dealer.
fn classify<R: Ring>(
    mut party: ConnectedParty<'_>,
    model: &[StageValues],
    kept: &Mutex<Classes>,
    observers: Observers<'_, R>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let model = model_of(&party.setup, model);
    let links = (party.peer, party.helper);
    let classes = run_party::<R>(party.setup, model, links, &mut party.data, observers, emit)?;
    keep(kept, classes)
}

/// The same with an assistant.
fn classify_by_securenn(
    mut party: ConnectedParty<'_>,
    (pair, model): (Key, &[StageValues]),
    kept: &Mutex<Classes>,
    observer: &mut dyn Observer<u64>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let model = (pair, model_of(&party.setup, model));
    let links = (party.peer, party.helper);
    let data = &mut party.data;
    keep(
        kept,
        run_securenn_party(party.setup, model, links, data, observer, emit)?,
    )
}

/// The model for its owner, nothing for the other party.
fn model_of<'m>(setup: &PartySetup<'_>, model: &'m [StageValues]) -> &'m [StageValues] {
    match setup.session.samples_owner() == setup.role {
        true => &[],
        false => model,
    }
}

fn keep(kept: &Mutex<Classes>, classes: Classes) -> Result<(), Failure> {
    kept.lock().map_err(|_| interrupted())?.extend(classes);
    Ok(())
}

fn interrupted() -> Failure {
    Failure::new("a party was interrupted", "report this")
}

#[cfg(test)]
mod tests {
    use ringlet_core::model::Model;

    use super::*;
    use crate::{
        config::{args::OnRange, session::one_batch},
        data::{Part, load},
        links::traffic_shaper::TrafficShape,
        run::secrets::Secrets,
    };

    /// The classes that so many threads find, and what they show but for times.
    fn shown(session: &Session, model: &[StageValues], threads: u16) -> (Classes, Vec<Event>) {
        let network = dealt::check::<u32>(session).expect("a network");
        let images = load(None, Part::Test).expect("images");
        let simulation = Simulation {
            session,
            network: &network,
            images: &images.slice(0..session.samples[0] as usize),
            shape: TrafficShape::default(),
            secrets: Secrets::Seed(3),
            checkpoints: None,
            initial: &[],
            on_range: Some(OnRange::Warn),
            threads: Some(threads),
        };
        let mut events = Vec::new();
        let mut take = |role, event: Event| {
            events.push((role == Role::P1, event.without_times()));
            Ok(())
        };
        let classes = simulate(&simulation, model, &mut take).expect("a run");
        events.sort_by_key(|(is_p1, _)| *is_p1);
        (
            classes,
            events.into_iter().map(|(_, event)| event).collect(),
        )
    }

    #[test]
    fn any_number_of_threads_finds_the_same_classes() {
        let model = Model::built_in("digits8").expect("built in");
        let mut session = one_batch(model, 10).expect("a session");
        // Four micro-batches, but two in the last batch.
        (session.samples, session.micro_batch) = ([24, 0], 3);
        (session.task, session.audit) = (ringlet_core::session::Task::Infer, 1);
        let network = dealt::check::<u32>(&session).expect("a network");
        let unit = 1i128 << session.format.master();
        // Weights of all sizes from -8 to 8, so that some values leave their range.
        let parameter = |index: usize| ((index * 37 % 33) as i128 - 16) * unit / 2;
        let stages = network.stages.iter();
        let parameters: Vec<StageValues> = stages
            .map(|stage| {
                let values = (0..stage.parameters()).map(|index| parameter(index) as u128);
                values.collect()
            })
            .collect();
        let (classes, events) = shown(&session, &parameters, 1);
        assert_eq!(classes.len(), 24);
        let is_outside = |event: &Event| matches!(event, Event::OutsideRange { .. });
        assert!(events.iter().any(is_outside), "no value leaves its range");
        for threads in [2, 3, 4, 9] {
            let several = shown(&session, &parameters, threads);
            assert_eq!(several.0, classes, "{threads} threads");
            assert_eq!(several.1, events, "{threads} threads");
        }
    }
}
