//! The processor time that a role's own work in an iteration, or in a batch of an inference, takes on this machine. The role
//! runs by itself, over links that answer at once, so it never waits.

use ringlet_core::{
    Role,
    dealt::{self, Dealer, DealerContext, Plan},
    net::{Link, Remote},
    network::Network,
    num::{Ring, Word},
    securenn::{self, Assistant, AssistantContext, assistant_words, party_words},
    session::{Protocol, RunError, Session, Task},
    share::NoObserver,
};

use super::clock::Clock;
use crate::{
    error::Failure,
    links::any_end::AnyEnd,
    resources::filled,
    run::{
        dispatch::{InRing, in_ring},
        nobody::{Blank, Inputs, Nobody, key, link},
        ranks::ThreadRanks,
    },
};

/// Seconds of P0, of P1, and of the dealer or the assistant.
pub type RoleSeconds = [f64; 3];

/// The most iterations of a measurement, beside the first, which is not counted.
const ITERATIONS: u32 = 9;

/// The processor seconds of each role in an iteration over `batch` samples: the lower quartiles of some iterations, because
/// other programs make them longer and never shorter. A role runs at least two, and no more when they have taken `enough`
/// seconds.
pub fn iteration_seconds(
    session: &Session,
    network: &Network,
    batch: u32,
    enough: f64,
) -> Result<RoleSeconds, Failure> {
    let session = &of_batch(session, batch, ITERATIONS + 1);
    match session.protocol {
        Protocol::Dealt { .. } => in_ring(session, DealtRoles(session, network, enough)),
        Protocol::SecureNn { .. } => securenn_roles(session, network, enough),
    }
}

/// Bytes of memory in which the largest role of such an iteration computes.
pub fn memory(session: &Session, network: &Network, batch: u32) -> u64 {
    struct Words<'a>(&'a Session, &'a Network);

    impl InRing for Words<'_> {
        type Output = usize;

        fn run<R: Ring>(self) -> Result<usize, Failure> {
            let plan = Plan::new(self.0, self.1);
            let parties = Role::BOTH.map(|role| plan.arena_words::<R>(role));
            Ok(parties[0]
                .max(parties[1])
                .max(plan.dealer_arena_words::<R>()))
        }
    }

    let session = &of_batch(session, batch, 1);
    let words = match session.protocol {
        Protocol::Dealt { .. } => in_ring(session, Words(session, network)).unwrap_or(usize::MAX),
        Protocol::SecureNn { .. } => {
            party_words(session, network).max(assistant_words(session, network))
        }
    };
    8 * words as u64
}

/// The same work on so many `iterations` of `batch` samples of P0's, in training in a first epoch.
pub fn of_batch(session: &Session, batch: u32, iterations: u32) -> Session {
    let micro_batch = match session.micro_batch == session.batch_rows() {
        true => batch,
        false => session.micro_batch.min(batch),
    };
    let mut training = session.training;
    if let Some(privacy) = &mut training.privacy {
        privacy.rows = [batch, 0];
    }
    Session {
        training,
        samples: [batch * iterations, 0],
        contributions: None,
        batch,
        micro_batch,
        epochs: 1,
        limit: 0,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        ..session.clone()
    }
}

/// Times iterations, at least two. Returns the lower quartile of all but the first.
fn quartile_of_iterations(
    session: &Session,
    enough: f64,
    iterate: &mut dyn FnMut(u32) -> Result<(), RunError>,
) -> Result<f64, Failure> {
    iterate(0)?;
    let mut times = Vec::new();
    for iteration in 1..session.iterations() {
        let clock = Clock::start();
        iterate(iteration)?;
        times.push(clock.seconds());
        if times.len() > 1 && times.iter().sum::<f64>() > enough {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 4).copied().unwrap_or_default())
}

/// The roles of a session with a dealer.
struct DealtRoles<'a>(&'a Session, &'a Network, f64);

impl InRing for DealtRoles<'_> {
    type Output = RoleSeconds;

    fn run<R: Ring>(self) -> Result<RoleSeconds, Failure> {
        let DealtRoles(session, network, enough) = self;
        let plan = Plan::new(session, network);
        let mut seconds = [0.0; 3];
        let mut alone = ThreadRanks::only();
        for role in Role::BOTH {
            let mut memory = filled(0, plan.arena_words::<R>(role), "the shares")?;
            let [mut peer, mut dealer] = <[Nobody; 2]>::default();
            let to_dealer = Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, 0);
            let to_peer = link(&mut peer, Remote::Peer);
            let mut cx = dealt::PartyContext::new(role, key(), to_peer, to_dealer);
            let (mut data, mut observer): Inputs<'_, R> = (&mut Blank, &mut NoObserver);
            seconds[role.index()] = if session.task == Task::Train {
                let opened = plan.opened_data_words(role);
                let mut opened = filled(R::ZERO, opened, "the opened samples")?;
                let mut party = dealt::Trainer::<R>::new(
                    session,
                    network,
                    role,
                    &key(),
                    &mut memory,
                    &mut opened,
                )?;
                quartile_of_iterations(session, enough, &mut |iteration| {
                    party
                        .iterate_in_ranks(&mut cx, &mut alone, iteration, &mut data, &mut observer)
                        .map(drop)
                })?
            } else {
                let mut party = dealt::Classifier::<R>::new(session, network, role, &mut memory)?;
                if session.model_owner() == Some(role) {
                    for (number, stage) in network.stages.iter().enumerate() {
                        let zeros = vec![R::Wide::from_u128(0); stage.parameters()];
                        party.load_parameters(number, zeros)?;
                    }
                }
                quartile_of_iterations(session, enough, &mut |iteration| {
                    let seen = (&mut data, &mut observer);
                    let sink = |_, _| {};
                    party
                        .classify_in_ranks(&mut cx, &mut alone, iteration, seen, sink)
                        .map(drop)
                })?
            };
        }
        let mut memory = filled(0, plan.dealer_arena_words::<R>(), "the masks")?;
        let mut dealer = Dealer::<R>::new(session, network, &mut memory).map_err(RunError::from)?;
        let mut p1 = Nobody::default();
        let to_p1 = link(&mut p1, Remote::Party(Role::P1));
        let mut cx = DealerContext::new([key(), key()], to_p1);
        seconds[2] = quartile_of_iterations(session, enough, &mut |iteration| {
            dealer.iterate_in_ranks(&mut cx, &mut alone, iteration)
        })?;
        Ok(seconds)
    }
}

/// The roles of a session by SecureNN.
fn securenn_roles(
    session: &Session,
    network: &Network,
    enough: f64,
) -> Result<RoleSeconds, Failure> {
    let mut seconds = [0.0; 3];
    for role in Role::BOTH {
        let mut memory = filled(0, party_words(session, network), "the shares")?;
        let [mut peer, mut helper] = <[Nobody; 2]>::default();
        let links = (
            link(&mut peer, Remote::Peer),
            link(&mut helper, Remote::Assistant),
        );
        let mut cx = securenn::PartyContext::new(role, [key(), key()], links.0, links.1);
        let (mut data, mut observer): Inputs<'_, u64> = (&mut Blank, &mut NoObserver);
        seconds[role.index()] = if session.task == Task::Train {
            let mut party = securenn::Trainer::new(session, network, role, &key(), &mut memory)?;
            quartile_of_iterations(session, enough, &mut |iteration| {
                party
                    .iterate(&mut cx, iteration, &mut data, &mut observer)
                    .map(drop)
            })?
        } else {
            let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
            if session.model_owner() == Some(role) {
                for (number, stage) in network.stages.iter().enumerate() {
                    party.load_parameters(number, vec![0; stage.parameters()]);
                }
            }
            quartile_of_iterations(session, enough, &mut |iteration| {
                party
                    .classify(&mut cx, iteration, &mut data, &mut observer, |_, _| {})
                    .map(drop)
            })?
        };
    }
    let mut memory = filled(0, assistant_words(session, network), "the shares")?;
    let mut assistant = Assistant::new(session, network, &mut memory).map_err(RunError::from)?;
    let [mut first, mut second] = <[Nobody; 2]>::default();
    let to_first = link(&mut first, Remote::Party(Role::P0));
    let to_second = link(&mut second, Remote::Party(Role::P1));
    let mut cx = AssistantContext::new(key(), [key(), key()], to_first, to_second);
    seconds[2] = quartile_of_iterations(session, enough, &mut |iteration| {
        assistant.iterate(&mut cx, iteration)
    })?;
    Ok(seconds)
}
