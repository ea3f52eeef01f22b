//! Private inference, from the links of a party to its end: the images of one party, the model of the other, and the
//! classes for the owner of the images only.

use std::sync::Mutex;

use ringlet_core::{
    Role,
    data::Data,
    dealt::{self, Classifier, Plan},
    net::Remote,
    network::Network,
    num::{Ring, Word},
    prg::Key,
    session::{Protocol, Ranks, Session},
    share::Observer,
};

use super::{
    actors::Take,
    classes::{Classes, every_batch, gathered},
    dispatch::{InRing, in_ring},
    event::StageValues,
    monotonic_clock,
    party::{Emit, PartySetup},
    party_ranks::{
        Observers, PartyLinks, RankNeeds, RankObserver, boxed, end_links, links, sum_traffic,
    },
    ranges::{Counting, Sending, Watch, observers},
    ranks,
    role_ranks::RoleRanks,
    securenn_inference,
    simulation::{ConnectedParty, Simulation},
};
use crate::{error::Failure, resources::filled};

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
        let party_links = links(&mut needs.peer, (needs.helper.as_mut(), Remote::Dealer));
        let seen = (&mut *needs.data as &mut dyn Data, observer);
        self.run(ranks, &[], party_links, seen, &mut |_| Ok(()))?;
        end_links(self.role, needs.peer, (needs.helper, Remote::Dealer))
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

/// What sees the values of both parties, at the first rank of each and at its further ones.
struct Seen<'a, R> {
    p0: (Counting<'a, R>, Vec<RankObserver<'a, R>>),
    p1: (Sending<R>, Vec<RankObserver<'a, R>>),
    watch: Watch,
}

/// The observers of all ranks of both parties, and the watch over what they fill.
fn seen<'a, R: Ring>(simulation: &Simulation<'a>) -> Seen<'a, R> {
    let (observer_p0, observer_p1, ranges) =
        observers::<R>(simulation.on_range, simulation.session, simulation.network);
    let (further_p0, further_p1) = observer_p0.further_ranks(simulation.ranks());
    Seen {
        p0: (observer_p0, boxed(further_p0)),
        p1: (observer_p1, boxed(further_p1)),
        watch: Watch::new(ranges, simulation.on_range),
    }
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
        let Seen {
            p0: (mut observer_p0, further_p0),
            p1: (mut observer_p1, further_p1),
            mut watch,
        } = seen::<u64>(simulation);
        let p0 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            let observers = Observers {
                first: &mut observer_p0,
                further: further_p0,
            };
            classify_by_securenn(party, (pair, model), kept, observers, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let observers = Observers {
                first: &mut observer_p1,
                further: further_p1,
            };
            classify_by_securenn(party, (pair, model), kept, observers, emit)
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
        let Seen {
            p0: (mut observer_p0, further_p0),
            p1: (mut observer_p1, further_p1),
            mut watch,
        } = seen::<R>(simulation);
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
    observers: Observers<'_, u64>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let model = (pair, model_of(&party.setup, model));
    let links = (party.peer, party.helper);
    let data = &mut party.data;
    keep(
        kept,
        securenn_inference::run_party(party.setup, model, links, data, observers, emit)?,
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
    use ringlet_core::{
        model::{Loss, Model, TripleScheme},
        num::Format,
        session::Headroom,
    };

    use super::*;
    use crate::{
        config::{args::OnRange, session::one_batch},
        data::{Part, load},
        links::traffic_shaper::TrafficShape,
        run::{event::Event, secrets::Secrets},
    };

    fn network(session: &Session) -> Network {
        let network = match session.protocol {
            Protocol::Dealt { .. } => dealt::check::<u32>(session),
            Protocol::SecureNn { .. } => ringlet_core::securenn::check(session),
        };
        network.expect("a network")
    }

    /// The classes that so many threads find, and what they show but for times.
    fn shown(session: &Session, model: &[StageValues], threads: u16) -> (Classes, Vec<Event>) {
        let network = network(session);
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
        check(&session, 1);
        session.protocol = Protocol::SecureNn {
            triples: TripleScheme::Baseline,
            loss: Loss::Softmax,
        };
        session.format = Format::new::<u64>(13).expect("a format");
        session.headroom = Headroom::NONE;
        check(&session, 1 << 14);
    }

    /// Checks that several threads find the classes that one finds, and show the same, by a model with weights of all sizes
    /// up to 8 times this factor, so that some values leave their range.
    fn check(session: &Session, factor: i128) {
        let network = network(session);
        let [_, fraction] = session.master();
        let unit = factor << fraction;
        let parameter = |index: usize| ((index * 37 % 33) as i128 - 16) * unit / 2;
        let stages = network.stages.iter();
        let parameters: Vec<StageValues> = stages
            .map(|stage| {
                let values = (0..stage.parameters()).map(|index| parameter(index) as u128);
                values.collect()
            })
            .collect();
        let (classes, events) = shown(session, &parameters, 1);
        assert_eq!(classes.len(), 24);
        let is_outside = |event: &Event| matches!(event, Event::OutsideRange { .. });
        assert!(events.iter().any(is_outside), "no value leaves its range");
        for threads in [2, 3, 4, 9] {
            let several = shown(session, &parameters, threads);
            assert_eq!(several.0, classes, "{threads} threads");
            assert_eq!(several.1, events, "{threads} threads");
        }
    }
}
