//! What secure links cost on hosts: training over TCP on this machine with sealed and with plain links, side by side. Run
//! `cargo bench -p ringlet --bench links`. Roles never speak over plain links; only this measurement does.

use std::{
    error::Error,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use ringlet::{
    links::{
        any_end::AnyEnd, connect::UNBOUNDED, secure::SecureEnd, tcp::TcpEnd,
        traffic_shaper::TrafficShape,
    },
    run::{
        dealer::run_dealer,
        party::{PartySetup, run_party},
        party_ranks::{FurtherRanks, Observers},
    },
};
use ringlet_core::{
    Role,
    data::{Data, DataError, Normalisation},
    dealt,
    model::Model,
    net::{
        Link, Remote,
        secure::{Keys, Suite},
    },
    network::Network,
    num::Format,
    prg::Key,
    session::{ClassList, Headroom, KnownBackbone, Protocol, RATE_FRACTION, Session, Task},
    share::NoObserver,
};
use rustix::time::{ClockId, clock_gettime};

/// Iterations of a run, and runs of each kind.
const ITERATIONS: u32 = 6;
const RUNS: usize = 9;

type Failed = Box<dyn Error + Send + Sync>;

/// Wall and processor time of an iteration.
#[derive(Clone, Copy)]
struct Times {
    wall: f64,
    processor: f64,
}

fn main() -> Result<(), Failed> {
    let session = Session {
        model: Model::built_in("convnet2").ok_or("no such model")?,
        format: Format::new::<u32>(12).map_err(|_| "the format")?,
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [128 * ITERATIONS, 0],
        contributions: None,
        batch: 128,
        micro_batch: 128,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << (RATE_FRACTION - 4),
        momentum: 7 << (RATE_FRACTION - 3),
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 1,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    };
    let network = dealt::check::<u32>(&session).map_err(|_| "the session")?;
    let mut times = [Vec::new(), Vec::new()];
    for run in 0..2 * RUNS {
        let sealed = run % 2 == 1;
        times[usize::from(sealed)].push(train(&session, &network, sealed)?);
    }
    println!(
        "convnet2, batch 128, {RUNS} runs of {ITERATIONS} iterations over TCP on this machine, medians of an iteration"
    );
    let [plain, sealed] = times.map(median);
    for (name, times) in [("plain", plain), ("sealed", sealed)] {
        println!(
            "{name:<8} {:.4} s, {:.4} core-seconds",
            times.wall, times.processor
        );
    }
    println!(
        "sealed takes {:+.1} % of the time, {:+.1} % of the processors",
        100.0 * (sealed.wall / plain.wall - 1.0),
        100.0 * (sealed.processor / plain.processor - 1.0)
    );
    Ok(())
}

fn median(mut times: Vec<Times>) -> Times {
    let mut middle = |of: fn(&Times) -> f64| {
        times.sort_by(|one, other| of(one).total_cmp(&of(other)));
        of(&times[times.len() / 2])
    };
    Times {
        wall: middle(|times| times.wall),
        processor: middle(|times| times.processor),
    }
}

/// Trains with three roles over TCP.
fn train(session: &Session, network: &Network, sealed: bool) -> Result<Times, Failed> {
    let [(peer0, peer1), (dealer0, party0), (dealer1, party1)] =
        [pair(sealed)?, pair(sealed)?, pair(sealed)?];
    let processor = processor_time();
    let start = Instant::now();
    let key = |byte| Key::new([byte; Key::LEN]);
    thread::scope(|scope| -> Result<(), Failed> {
        let dealer = scope.spawn(move || -> Result<(), Failed> {
            let _idle = dealer0;
            let link = dealer1.link(Remote::Party(Role::P1));
            run_dealer::<u32>(
                session,
                [key(1), key(2)],
                (link, Vec::new()),
                0,
                &mut |_, _| {},
            )?;
            Ok(())
        });
        let parties =
            [(Role::P0, peer0, party0), (Role::P1, peer1, party1)].map(|(role, peer, dealer)| {
                scope.spawn(move || -> Result<(), Failed> {
                    let setup = PartySetup {
                        session,
                        network,
                        role,
                        secret: key(3 + role.index() as u8),
                        initial: &[],
                        key: key(1 + role.index() as u8),
                        simulated: false,
                        durable: None,
                        positions: None,
                        beside: None,
                        validation: None,
                        contributions: None,
                        further: FurtherRanks::default(),
                    };
                    let links = (peer.link(Remote::Peer), dealer.link(Remote::Dealer));
                    run_party::<u32>(
                        setup,
                        links,
                        &mut Computed,
                        Observers::only(&mut NoObserver),
                        &mut |_| Ok(()),
                    )?;
                    Ok(())
                })
            });
        for role in [dealer].into_iter().chain(parties) {
            role.join().map_err(|_| "a role panicked")??;
        }
        Ok(())
    })?;
    let share = f64::from(ITERATIONS);
    Ok(Times {
        wall: start.elapsed().as_secs_f64() / share,
        processor: (processor_time() - processor).as_secs_f64() / share,
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// One end of a link.
enum End {
    Plain(TcpEnd),
    Sealed(SecureEnd),
}

impl End {
    fn link(self, remote: Remote) -> Link<AnyEnd<'static>> {
        let end = match self {
            End::Plain(end) => AnyEnd::new(end),
            End::Sealed(end) => AnyEnd::new(end),
        };
        Link::new(end, remote, UNBOUNDED)
    }
}

/// Both ends of a link over TCP.
fn pair(sealed: bool) -> Result<(End, End), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    let end = |stream, [send, receive]: [u8; 2]| -> Result<End, Failed> {
        let end = TcpEnd::free(stream, TrafficShape::default())?;
        let keys = Keys {
            send: [send; 32],
            receive: [receive; 32],
            first_frames: [0; 2],
            hash: [0; 32],
        };
        Ok(match sealed {
            true => End::Sealed(SecureEnd::new(end, Suite::Host, &keys)),
            false => End::Plain(end),
        })
    };
    Ok((end(one, [1, 2])?, end(other, [2, 1])?))
}

/// Samples computed from their number.
struct Computed;

impl Data for Computed {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        for (at, pixel) in out.iter_mut().enumerate() {
            *pixel = (at as u32).wrapping_add(sample).wrapping_mul(37) as u8;
        }
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Ok((sample % 10) as u8)
    }
}
