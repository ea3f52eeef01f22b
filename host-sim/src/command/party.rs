//! `ringlet party`: one computing party on its own.

use std::{
    cell::RefCell,
    io::{self},
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    link::{Link, Remote},
    meter::Meter,
    network::Network,
    party::Unwatched,
    ring::Ring,
    session::Session,
};

use super::dealer::{UNBOUNDED, broken, listen, wait_for};
use crate::{
    cli::{PartyArgs, Samples},
    collect::{EpochRecord, own_record},
    data::{Images, OwnImages, Part, load},
    error::Failure,
    event::Event,
    links::tcp::{TcpEnd, connect},
    model_file::{check_writable, save},
    report::{Report, Spent, bytes, time_table},
    roles::{PartySetup, greet, run_party},
    secrets::Secrets,
    settings::{self, InRing, in_ring},
    supervision,
    twin::Parameters,
};

/// The images of `role` alone, and the numbers of both parties' images.
fn own_images(args: &PartyArgs, role: Role) -> Result<(Images, [u32; 2]), Failure> {
    let all = load(args.session.data.as_deref(), Part::Train)?;
    let (samples, first) = match args.samples {
        Some(Samples(samples)) => (samples, 0),
        None => {
            let samples = settings::split(all.len(), args.session.share_of_p0)?;
            (
                samples,
                if role == Role::P0 {
                    0
                } else {
                    samples[0] as usize
                },
            )
        }
    };
    let count = samples[role.index()] as usize;
    if first + count > all.len() {
        return Err(Failure::new(
            format!(
                "{role} is to own {count} images, but there are {}",
                all.len()
            ),
            "correct --samples, or give other --data",
        ));
    }
    Ok((all.slice(first..first + count), samples))
}

struct Run<'a> {
    args: &'a PartyArgs,
    role: Role,
    session: &'a Session,
    images: Images,
}

impl Run<'_> {
    /// Meets the peer: P1's process may start before P0's or after.
    fn meet(&self, patience: Duration) -> Result<TcpEnd, Failure> {
        let peer = self.role.other();
        let stream = match (&self.args.listen, &self.args.peer) {
            (Some(address), _) => {
                let listener = listen(address)?;
                let address = listener.local_addr().map_err(broken)?.to_string();
                if self.args.supervised {
                    supervision::send(io::stdout(), &Event::Listening(address))?;
                } else {
                    println!("{}: waiting for {peer} at {address}", self.role);
                }
                wait_for(&listener, &format!("party {peer}"), patience)?
            }
            (None, Some(address)) => reach(address, &format!("party {peer}"), "--peer", patience)?,
            (None, None) => {
                return Err(Failure::new(
                    "there is no way to the peer",
                    "give --listen or --peer",
                ));
            }
        };
        let end = TcpEnd::free(stream).map_err(broken)?;
        end.set_patience(Some(patience)).map_err(broken)?;
        Ok(end)
    }
}

fn reach(
    address: &str,
    who: &str,
    option: &str,
    patience: Duration,
) -> Result<std::net::TcpStream, Failure> {
    connect(address, patience).map_err(|error| {
        Failure::new(
            format!("cannot reach {who} at {address} ({error})"),
            format!("start it there, or correct {option}"),
        )
    })
}

impl InRing for Run<'_> {
    type Output = ();

    fn run<R: Ring>(self, network: Network) -> Result<(), Failure> {
        let (args, role, session) = (self.args, self.role, self.session);
        let secrets = Secrets::new(args.secret_seed);
        let patience = Duration::from_secs(args.wait);
        let dealer = TcpEnd::free(reach(&args.dealer, "the dealer", "--dealer", patience)?)
            .map_err(broken)?;
        // The dealer answers only when both parties are there.
        dealer.set_patience(Some(2 * patience)).map_err(broken)?;
        let peer = self.meet(patience)?;
        let waited = [peer.waited(), dealer.waited()];
        let handles = [
            peer.patience().map_err(broken)?,
            dealer.patience().map_err(broken)?,
        ];
        let mut peer = Link::new(peer, Remote::Peer, UNBOUNDED);
        let mut dealer = Link::new(dealer, Remote::Dealer, UNBOUNDED);
        let key = greet(session, role, &mut peer, &mut dealer)?;
        // From here on a role may be busy for as long as it takes.
        for handle in handles {
            handle.forget().map_err(broken)?;
        }

        let setup = PartySetup {
            session,
            network: &network,
            role,
            secret: secrets.first_weights(role)?,
            key,
            simulated: args.supervised,
        };
        let mut data = OwnImages::new(self.images, network.classes);
        let start = Instant::now();
        if args.supervised {
            let emit = |event| supervision::send(io::stdout(), &event);
            run_party::<R, _, _>(setup, peer, dealer, &mut data, &mut Unwatched, emit)?;
            return Ok(());
        }
        let report = Report::new(session.iterations(), args.output.metrics.as_deref())?;
        let report = RefCell::new(report);
        let sums = RefCell::new(Meter::default());
        let emit = |event| record(&report, &sums, session, role, start, event);
        let revealed = run_party::<R, _, _>(setup, peer, dealer, &mut data, &mut Unwatched, emit)?;
        report.borrow().finish();
        if let (Some(values), Some(path)) = (revealed, &args.output.save) {
            let parameters: Vec<Parameters> = network
                .stages
                .iter()
                .zip(&values)
                .map(|(stage, values)| Parameters::decode(stage, session.format, values))
                .collect();
            save(path, &session.model, &network, &parameters)?;
            println!("{role}: the model is in {}", path.display());
        }
        let total = sums.borrow().total();
        println!(
            "{role}: done; sent {} to the peer in {} rounds, received {} of corrections",
            bytes(total.online_bytes),
            total.rounds,
            bytes(total.dealer_bytes)
        );
        print!(
            "{}",
            time_table(&[Spent {
                name: if role == Role::P0 { "p0" } else { "p1" },
                total: start.elapsed(),
                peer: waited[0].total(),
                dealer: waited[1].total(),
            }])
        );
        Ok(())
    }
}

/// Reports what a lone party can see of its own run.
fn record(
    report: &RefCell<Report>,
    sums: &RefCell<Meter>,
    session: &Session,
    role: Role,
    start: Instant,
    event: Event,
) -> Result<(), Failure> {
    let Event::Iteration {
        iteration,
        seconds,
        meter,
        ..
    } = event
    else {
        return Ok(());
    };
    sums.borrow_mut().add(&meter);
    let mut report = report.borrow_mut();
    report.iteration(&own_record(role, iteration, seconds, meter.total()))?;
    if (iteration + 1) % session.iterations_per_epoch() == 0 {
        report.epoch(&EpochRecord {
            kind: "epoch",
            epoch: session.batch(iteration).epoch + 1,
            accuracy: None,
            twin_accuracy: None,
            seconds: start.elapsed().as_secs_f64(),
        })?;
    }
    Ok(())
}

/// Runs the party to the end.
pub fn run(args: &PartyArgs) -> Result<(), Failure> {
    let role = Role::from(args.role);
    let receiver = args.reveal_to.map(Role::from);
    if let Some(path) = &args.output.save {
        if receiver != Some(role) {
            return Err(Failure::new(
                format!("--save needs the model, which {role} does not receive"),
                format!("start both parties with --reveal-to {role}"),
            ));
        }
        check_writable(path)?;
    }
    let (images, samples) = own_images(args, role)?;
    let model = settings::model(args.session.model.as_deref(), Some(images.shape))?;
    settings::check_shape(&model, &images)?;
    // The order is public; the parties only have to agree on it.
    let order = args.session.seed.unwrap_or(0);
    let session = settings::session(&args.session, model, samples, order, receiver)?;
    let run = Run {
        args,
        role,
        session: &session,
        images,
    };
    in_ring(&session, run)
}
