//! Training as a simulation, which watches the range contract.

use std::sync::{Arc, Mutex};

use ringlet_core::{num::Ring, session::Protocol};

use super::{
    actors::Take,
    dispatch::{InRing, in_ring},
    losses::Losses,
    party::{Emit, run_party},
    party_ranks::{Observers, RankObserver, boxed},
    ranges::{Counting, Ranges, Sending, Watch, observers, taken},
    role_time::RoleTime,
    securenn,
    simulation::{ConnectedParty, Simulation},
};
use crate::error::Failure;

impl Simulation<'_> {
    /// Trains, and watches the range contract; `take` gets the parties' events. Returns where the roles' time went, and
    /// the ranges of all values.
    pub fn train(&self, take: Take<'_>) -> Result<(Vec<RoleTime>, Ranges), Failure> {
        match self.session.protocol {
            Protocol::SecureNn { .. } => self.train_by_securenn(take),
            Protocol::Dealt { .. } => in_ring(self.session, Training(self, take)),
        }
    }

    fn train_by_securenn(&self, take: Take<'_>) -> Result<(Vec<RoleTime>, Ranges), Failure> {
        let Seen {
            p0: (mut observer_p0, further_p0),
            p1: (mut observer_p1, further_p1),
            mut watch,
            ranges,
        } = self.seen::<u64>();
        let p0 = move |mut party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let links = (party.peer, party.helper);
            let (setup, data) = (party.setup, &mut party.data);
            let watched = &mut |event| watch.pass(event, emit);
            let observers = Observers {
                first: &mut observer_p0,
                further: further_p0,
            };
            securenn::run_party(setup, pair, links, data, observers, watched).map(drop)
        };
        let p1 = move |mut party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let links = (party.peer, party.helper);
            let (setup, data) = (party.setup, &mut party.data);
            let observers = Observers {
                first: &mut observer_p1,
                further: further_p1,
            };
            securenn::run_party(setup, pair, links, data, observers, emit).map(drop)
        };
        let times = self.with_assistant((Box::new(p0), Box::new(p1)), take)?;
        Ok((times, taken(&ranges)?))
    }

    /// The observers of all ranks of both parties, and the watch over what they fill.
    fn seen<R: Ring>(&self) -> Seen<'_, R> {
        let (observer_p0, observer_p1, ranges) =
            observers::<R>(self.on_range, self.session, self.network);
        let ranks = self.ranks();
        let (further_p0, further_p1) = observer_p0.further_ranks(ranks);
        let (losses, watch) = self.watch(&ranges, ranks);
        let mut losses = losses.into_iter();
        let observer_p0 = observer_p0.with_losses(losses.next());
        let further_p0 = further_p0.into_iter();
        let further_p0 = further_p0.map(|counting| counting.with_losses(losses.next()));
        Seen {
            p0: (observer_p0, boxed(further_p0.collect())),
            p1: (observer_p1, boxed(further_p1)),
            watch,
            ranges,
        }
    }

    /// What takes the losses of the training at each of so many ranks, and the watch over what the observers fill.
    fn watch(&self, ranges: &Arc<Mutex<Ranges>>, ranks: u16) -> (Vec<Losses<'_>>, Watch) {
        let watch = Watch::new(ranges.clone(), self.on_range);
        // Where samples are drawn in secret, some rows do not count.
        let losses = match self.session.privacy() {
            Some(_) => None,
            None => Losses::new(
                self.session,
                self.network,
                &self.images.labels,
                (self.first(), ranks),
            ),
        };
        let losses = losses.unwrap_or_default();
        match losses.first().map(Losses::done) {
            Some(done) => (losses, watch.with_losses(done)),
            None => (losses, watch),
        }
    }
}

/// What sees the values of both parties, at the first rank of each and at its further ones.
struct Seen<'a, R> {
    p0: (Counting<'a, R>, Vec<RankObserver<'a, R>>),
    p1: (Sending<R>, Vec<RankObserver<'a, R>>),
    watch: Watch,
    /// What the observers fill.
    ranges: Arc<Mutex<Ranges>>,
}

/// Training with a dealer.
struct Training<'a>(&'a Simulation<'a>, Take<'a>);

impl InRing for Training<'_> {
    type Output = (Vec<RoleTime>, Ranges);

    fn run<R: Ring>(self) -> Result<Self::Output, Failure> {
        let Training(simulation, take) = self;
        let Seen {
            p0: (mut observer_p0, further_p0),
            p1: (mut observer_p1, further_p1),
            mut watch,
            ranges,
        } = simulation.seen::<R>();
        let p0 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            let observers = Observers {
                first: &mut observer_p0,
                further: further_p0,
            };
            train(party, observers, &mut watched)
        };
        let p1 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let observers = Observers {
                first: &mut observer_p1,
                further: further_p1,
            };
            train(party, observers, emit)
        };
        let times = simulation.with_dealer::<R>((Box::new(p0), Box::new(p1)), take)?;
        Ok((times, taken(&ranges)?))
    }
}

/// Trains a party with a dealer.
fn train<R: Ring>(
    mut party: ConnectedParty<'_>,
    observers: Observers<'_, R>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let links = (party.peer, party.helper);
    run_party::<R>(party.setup, links, &mut party.data, observers, emit).map(drop)
}

#[cfg(test)]
mod tests {
    use ringlet_core::{
        Role,
        model::{Loss, Model, TripleScheme},
        network::Network,
        num::Format,
        session::{Headroom, Session},
    };

    use super::*;
    use crate::{
        config::{args::OnRange, session::one_batch},
        data::{Part, load},
        links::traffic_shaper::TrafficShape,
        run::{
            event::{Event, StageValues},
            secrets::Secrets,
        },
    };

    #[test]
    fn every_layer_that_sends_takes_time_of_its_iteration() {
        let model = Model::built_in("digits8").expect("built in");
        let session = one_batch(model, 8).expect("a session");
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a network");
        let images = load(None, Part::Train).expect("images").slice(0..8);
        let simulation = Simulation {
            session: &session,
            network: &network,
            images: &images,
            shape: TrafficShape::default(),
            secrets: Secrets::Seed(1),
            checkpoints: None,
            initial: &[],
            on_range: None,
            threads: None,
        };
        let mut seen = Vec::new();
        let mut take = |role, event| {
            if let Event::Iteration {
                traffic, seconds, ..
            } = event
            {
                let times = traffic.nanoseconds.as_flattened();
                for (time, cost) in times.iter().zip(traffic.cost_rows.as_flattened()) {
                    assert!(*time > 0 || cost.online_bytes == 0);
                }
                let sum: u64 = times.iter().sum();
                assert!(sum as f64 <= 1e9 * seconds, "{sum} ns in {seconds} s");
                seen.push(role);
            }
            Ok(())
        };
        simulation.train(&mut take).expect("a run");
        seen.sort_unstable_by_key(|role| role.index());
        assert_eq!(seen, Role::BOTH);
    }

    fn network(session: &Session) -> Network {
        let network = match session.protocol {
            Protocol::Dealt { .. } => ringlet_core::dealt::check::<u32>(session),
            Protocol::SecureNn { .. } => ringlet_core::securenn::check(session),
        };
        network.expect("a network")
    }

    /// What a training with so many threads shows but for times, by party, and the ranges of its values.
    fn shown(
        session: &Session,
        initial: &[StageValues],
        threads: u16,
    ) -> ([Vec<Event>; 2], Ranges) {
        let network = network(session);
        let images = load(None, Part::Train).expect("images");
        let simulation = Simulation {
            session,
            network: &network,
            images: &images.slice(0..session.samples[0] as usize),
            shape: TrafficShape::default(),
            secrets: Secrets::Seed(3),
            checkpoints: None,
            initial,
            on_range: Some(OnRange::Warn),
            threads: Some(threads),
        };
        let mut shown = [Vec::new(), Vec::new()];
        let mut take = |role: Role, event: Event| {
            shown[role.index()].push(event.without_times());
            Ok(())
        };
        let (times, ranges) = simulation.train(&mut take).expect("a run");
        assert_eq!(times.len(), 3);
        (shown, ranges)
    }

    #[test]
    fn any_number_of_threads_shows_the_same() {
        let model = Model::built_in("digits8").expect("built in");
        let mut session = one_batch(model, 10).expect("a session");
        // Four micro-batches, but two in the last batch of an epoch. At this learning rate values leave their range.
        (session.samples, session.micro_batch) = ([24, 0], 3);
        (session.epochs, session.audit) = (2, 1);
        session.learning_rate *= 8;
        check(&session, &[]);
        session.protocol = Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Softmax,
        };
        session.format = Format::new::<u64>(13).expect("a format");
        session.headroom = Headroom::NONE;
        // Weights so large that values leave this range too.
        session.initial_model = Some(Role::P0);
        let [_, fraction] = session.master();
        let parameter = |index: usize| ((index * 37 % 33) as i128 - 16) << (fraction + 13);
        let stages = network(&session).stages.into_iter().map(|stage| {
            let values = (0..stage.parameters()).map(|index| parameter(index) as u128);
            values.collect()
        });
        check(&session, &stages.collect::<Vec<StageValues>>());
    }

    /// Checks that several threads show what one shows: also losses, and values that leave their range.
    fn check(session: &Session, initial: &[StageValues]) {
        let (one, ranges) = shown(session, initial, 1);
        let of_p0 = one[0].iter();
        let kinds = |event: &&Event| match event {
            Event::OutsideRange { .. } => true,
            Event::Iteration { loss, .. } => loss.is_none(),
            _ => false,
        };
        let outside: Vec<_> = of_p0.filter(kinds).collect();
        assert!(!outside.is_empty(), "no value leaves its range");
        let only_outside = |event: &&Event| matches!(event, Event::OutsideRange { .. });
        assert!(outside.iter().all(only_outside), "no loss");
        for threads in [2, 3, 4, 9] {
            let several = shown(session, initial, threads);
            assert_eq!(several.0, one, "{threads} threads");
            assert!(several.1 == ranges, "{threads} threads");
        }
    }
}
