//! What further threads gain a role: the time that passes in its own work of an iteration, by itself, over links that answer at once.

use std::time::Instant;

use ringlet_core::{
    Role,
    dealt::{self, Dealer, DealerContext, Plan},
    net::{Link, Remote},
    network::Network,
    num::Ring,
    securenn::{self, Assistant, AssistantContext, assistant_words, party_words},
    session::{Protocol, Ranks, RunError, Session},
    share::NoObserver,
};

use super::{
    machine,
    roles::{RoleSeconds, of_batch},
};
use crate::{
    error::Failure,
    links::any_end::AnyEnd,
    resources::filled,
    run::{
        dispatch::{InRing, in_ring},
        nobody::{Blank, Inputs, Nobody, key, link},
        ranks::{self, Closer, ThreadRanks},
    },
};

/// How many threads share the work, and how many times as fast each role is with them: P0, P1, and the dealer or the assistant.
pub struct ThreadGains {
    /// Threads of a role.
    pub threads: u16,
    /// Each role's gain.
    pub gains: RoleSeconds,
}

/// The gains of so many `iterations` over `batch` samples with as many threads as the machine has cores, on the same
/// micro-batches. None on one core, and for what takes one thread.
pub fn gains(
    (session, network): (&Session, &Network),
    batch: u32,
    iterations: u32,
) -> Result<Option<ThreadGains>, Failure> {
    // The first one sets up what the others find, and is not counted.
    let mut session = of_batch(session, batch, iterations + 1);
    // A batch that is worked through as a whole has one micro-batch for each of them.
    let cores = machine::cores() as u32;
    if session.micro_batch == batch {
        session.micro_batch = batch.div_ceil(cores).max(1);
    }
    let threads = cores.min(session.most_ranks().into()) as u16;
    if threads < 2 {
        return Ok(None);
    }
    let passing = |threads| {
        let passing = Passing(&session, network, threads);
        match session.protocol {
            Protocol::Dealt { .. } => in_ring(&session, passing),
            Protocol::SecureNn { .. } => passing.securenn(),
        }
    };
    let (alone, shared) = (passing(1)?, passing(threads)?);
    let gain = |role: usize| alone[role] / shared[role].max(f64::MIN_POSITIVE);
    Ok(Some(ThreadGains {
        threads,
        gains: [gain(0), gain(1), gain(2)],
    }))
}

/// The seconds that pass in each role's iterations on so many threads.
struct Passing<'a>(&'a Session, &'a Network, u16);

impl Passing<'_> {
    /// The lower quartile of the iterations of a role, whose ranks `work` does.
    fn quartile(
        &self,
        work: impl Fn(&mut ThreadRanks, &mut dyn FnMut()) -> Result<(), Failure> + Sync,
    ) -> Result<f64, Failure> {
        let further = vec![(); usize::from(self.2) - 1];
        let mut times = Vec::new();
        ranks::run(
            (further, &Closer::of_party()),
            |ranks| {
                let mut begun = Instant::now();
                work(ranks, &mut || {
                    times.push(begun.elapsed().as_secs_f64());
                    begun = Instant::now();
                })
            },
            |ranks, ()| work(ranks, &mut || ()),
        )?;
        let mut times = times.split_off(1);
        times.sort_by(f64::total_cmp);
        Ok(times.get(times.len() / 4).copied().unwrap_or_default())
    }

    /// The same seconds by SecureNN.
    fn securenn(&self) -> Result<RoleSeconds, Failure> {
        let &Passing(session, network, ..) = self;
        let mut seconds = [0.0; 3];
        for role in Role::BOTH {
            seconds[role.index()] = self.quartile(|ranks, done| {
                let mut memory = filled(0, party_words(session, network), "the shares")?;
                let memory = &mut memory[..];
                let mut party = match ranks.rank().is_first() {
                    true => securenn::Trainer::new(session, network, role, &key(), memory)?,
                    false => securenn::Trainer::further_rank(session, network, (role, 0), memory)?,
                };
                let [mut peer, mut helper] = <[Nobody; 2]>::default();
                let to_peer = link(&mut peer, Remote::Peer);
                let assistant = link(&mut helper, Remote::Assistant);
                let keys = [key(), key()];
                let mut cx = securenn::PartyContext::new(role, keys, to_peer, assistant);
                let (mut data, mut observer): Inputs<'_, u64> = (&mut Blank, &mut NoObserver);
                for iteration in 0..session.iterations() {
                    party.iterate_in_ranks(&mut cx, ranks, iteration, &mut data, &mut observer)?;
                    done();
                }
                Ok(())
            })?;
        }
        seconds[2] = self.quartile(|ranks, done| {
            let mut memory = filled(0, assistant_words(session, network), "the shares")?;
            let mut assistant =
                Assistant::new(session, network, &mut memory).map_err(RunError::from)?;
            let [mut first, mut second] = <[Nobody; 2]>::default();
            let to_first = link(&mut first, Remote::Party(Role::P0));
            let to_second = link(&mut second, Remote::Party(Role::P1));
            let mut cx = AssistantContext::new(key(), [key(), key()], to_first, to_second);
            for iteration in 0..session.iterations() {
                assistant.iterate_as_rank(&mut cx, ranks.rank(), iteration)?;
                done();
            }
            Ok(())
        })?;
        Ok(seconds)
    }
}

impl InRing for Passing<'_> {
    type Output = RoleSeconds;

    fn run<R: Ring>(self) -> Result<RoleSeconds, Failure> {
        let Passing(session, network, ..) = self;
        let plan = Plan::new(session, network);
        let mut seconds = [0.0; 3];
        for role in Role::BOTH {
            seconds[role.index()] = self.quartile(|ranks, done| {
                let mut memory = filled(0, plan.arena_words::<R>(role), "the shares")?;
                let opened = plan.opened_data_words(role);
                let mut opened = filled(R::ZERO, opened, "the opened samples")?;
                let (memory, opened) = (&mut memory[..], &mut opened[..]);
                let mut party = match ranks.rank().is_first() {
                    true => {
                        dealt::Trainer::<R>::new(session, network, role, &key(), memory, opened)?
                    }
                    false => {
                        let at = (role, 0);
                        dealt::Trainer::<R>::further_rank(session, network, at, memory, opened)?
                    }
                };
                let [mut peer, mut dealer] = <[Nobody; 2]>::default();
                let to_dealer = Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, 0);
                let to_peer = link(&mut peer, Remote::Peer);
                let mut cx = dealt::PartyContext::new(role, key(), to_peer, to_dealer);
                let (mut data, mut observer): Inputs<'_, R> = (&mut Blank, &mut NoObserver);
                for iteration in 0..session.iterations() {
                    party.iterate_in_ranks(&mut cx, ranks, iteration, &mut data, &mut observer)?;
                    done();
                }
                Ok(())
            })?;
        }
        seconds[2] = self.quartile(|ranks, done| {
            let mut memory = filled(0, plan.dealer_arena_words::<R>(), "the masks")?;
            let mut dealer =
                Dealer::<R>::new(session, network, &mut memory).map_err(RunError::from)?;
            let mut p1 = Nobody::default();
            let to_p1 = link(&mut p1, Remote::Party(Role::P1));
            let mut cx = DealerContext::new([key(), key()], to_p1);
            for iteration in 0..session.iterations() {
                dealer.iterate_in_ranks(&mut cx, ranks, iteration)?;
                done();
            }
            Ok(())
        })?;
        Ok(seconds)
    }
}
