//! `ringlet hub`: two devices train with each other. Each has one line, to this process, which passes on what
//! they say to each other, and what each and the dealer say to one another.

use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use embedded_io::{Error as _, Read, Write};
use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::{
    Role,
    dealt::Plan,
    device::{Taken, channel},
    net::{
        Link, LinkError, Remote,
        message::pass_on,
        serial::{frame::MAX_PAYLOAD, mux::Channel},
    },
    network::Network,
    num::Ring,
    session::{
        Session,
        handshake::{Hello, pass_sealed_key_on},
    },
};

use super::party::{reach, samples};
use crate::{
    config::{
        args::HubArgs,
        settings::{self, InRing, in_ring},
    },
    data::{Part, load},
    error::Failure,
    links::{
        capture::{Capture, transcript},
        device_address::DeviceAddress,
        read_ahead::ReadAhead,
    },
    output::{console, report::bytes},
    run::secrets::Secrets,
};
use crate::{
    links::connect::broken,
    run::device::{
        DeviceChannel, DeviceMux, await_ready, crash_report, end_session, plug_in, start_session,
    },
};

/// How long to rest when there is nothing to pass on; whatever comes ends it.
const REST: Duration = Duration::from_millis(1);

/// Pause between two looks of the user at the progress.
const GLANCE: Duration = Duration::from_millis(200);

/// A device with its connection to the dealer.
struct Side<'a> {
    role: Role,
    address: &'a DeviceAddress,
    port: &'a DeviceMux,
    /// What it says to the other device and hears from it.
    peer: Capture<DeviceChannel<'a>>,
    dealer: ReadAhead,
    /// Bytes that it has sent to the other device.
    sent: u64,
    /// Bytes that it has been sent by the dealer after its key, and will have been at the end.
    dealt: u64,
    to_be_dealt: u64,
}

impl<'a> Side<'a> {
    fn new(
        role: Role,
        (address, port): (&'a DeviceAddress, &'a DeviceMux),
        dealer: ReadAhead,
        to_be_dealt: u64,
        kept: Option<File>,
    ) -> Result<Self, Failure> {
        let peer = Channel::new(port, channel::PEER);
        Ok(Side {
            role,
            address,
            port,
            peer: Capture::new(peer, &kept).map_err(broken)?,
            dealer,
            sent: 0,
            dealt: 0,
            to_be_dealt,
        })
    }

    /// Whether the device has said what the session took of it, which it does last.
    fn is_done(&self) -> bool {
        self.port.borrow().waiting(channel::CONTROL) > 0
    }

    /// Takes in what the device has sent. True when anything came.
    fn turn(&mut self) -> Result<bool, Failure> {
        let turned = self.port.borrow_mut().turn();
        match turned {
            Ok(came) => Ok(came),
            // It has everything that it needs, and may go.
            Err(_) if self.is_done() => Ok(false),
            Err(error) => Err(Failure::new(error.to_string(), "start again")),
        }
    }

    /// Passes on what the device and the dealer have said, as far as there is room. Returns the bytes.
    fn pass_dealt(&mut self) -> Result<usize, Failure> {
        let mut device = Channel::new(self.port, channel::DEALER);
        let room = self.port.borrow_mut().room(channel::DEALER);
        let waiting = self.dealer.waiting();
        let dealt = pass(&mut self.dealer, waiting, &mut device, room)?;
        self.dealt += dealt as u64;
        if self.dealer.is_over() && self.dealt < self.to_be_dealt {
            return Err(LinkError::Closed(Remote::Dealer).into());
        }
        let waiting = self.port.borrow().waiting(channel::DEALER);
        // The dealer hears no more than hellos, which the connection takes at once.
        Ok(dealt + pass(&mut device, waiting, &mut self.dealer, MAX_PAYLOAD)?)
    }

    /// Passes on what the device has said to the other one, as far as that has room. Returns the bytes.
    fn pass_to(&mut self, other: &mut Side<'_>) -> Result<usize, Failure> {
        let waiting = self.port.borrow().waiting(channel::PEER);
        let room = other.port.borrow_mut().room(channel::PEER);
        let count = pass(&mut self.peer, waiting, &mut other.peer, room)?;
        self.sent += count as u64;
        Ok(count)
    }
}

/// Moves bytes of which `waiting` are there, and `room` are taken, without waiting. Returns how many.
fn pass(
    from: &mut impl Read,
    waiting: usize,
    to: &mut impl Write,
    room: usize,
) -> Result<usize, Failure> {
    let mut piece = [0; MAX_PAYLOAD];
    let count = waiting.min(room).min(MAX_PAYLOAD);
    if count == 0 {
        return Ok(0);
    }
    let failed = |kind| Failure::new(format!("a line broke ({kind:?})"), "start again");
    let count = (from.read(&mut piece[..count])).map_err(|error| failed(error.kind()))?;
    to.write_all(&piece[..count])
        .and_then(|()| to.flush())
        .map_err(|error| failed(error.kind()))?;
    Ok(count)
}

/// Passes on whatever comes, until both devices are done. Gives up when nothing has for as long as `idle`.
fn pass_all(sides: &mut [Side<'_>; 2], bar: &ProgressBar, idle: Duration) -> Result<(), Failure> {
    let (mut moved_at, mut shown_at) = (Instant::now(), Instant::now());
    while !sides.iter().all(Side::is_done) {
        let mut came = false;
        let mut moved = 0;
        for side in sides.iter_mut() {
            came |= side.turn()?;
            moved += side.pass_dealt()?;
        }
        let [p0, p1] = sides;
        moved += p0.pass_to(p1)? + p1.pass_to(p0)?;
        if moved > 0 {
            moved_at = Instant::now();
        } else if moved_at.elapsed() >= idle {
            return Err(Failure::new(
                format!("nobody has said anything for {} s", idle.as_secs()),
                "see whether both devices still run, then start again; --idle waits longer",
            ));
        } else if !came {
            thread::park_timeout(REST);
        }
        if shown_at.elapsed() >= GLANCE {
            shown_at = Instant::now();
            bar.set_position(sides[1].dealt);
            bar.set_message(bytes(sides[0].sent + sides[1].sent));
        }
    }
    Ok(())
}

/// Makes both devices known to the dealer, and gives them the keys that it answers with.
fn greet_dealer(
    ports: [&DeviceMux; 2],
    mut dealers: [Link<ReadAhead>; 2],
) -> Result<[ReadAhead; 2], Failure> {
    let mut devices =
        ports.map(|port| Link::new(Channel::new(port, channel::DEALER), Remote::Peer, 0));
    // The dealer answers only when it has heard both.
    for (device, dealer) in devices.iter_mut().zip(&mut dealers) {
        pass_on(device, dealer)?;
    }
    for (device, dealer) in devices.iter_mut().zip(&mut dealers) {
        // What a refusal says is for the user of this process.
        pass_sealed_key_on(dealer, device)?;
    }
    for (role, port) in Role::BOTH.into_iter().zip(ports) {
        await_ready(port).map_err(|failure| failure.of(&role.to_string()))?;
    }
    Ok(dealers.map(Link::into_inner))
}

struct Run<'a> {
    args: &'a HubArgs,
    session: &'a Session,
    plugs: [DeviceAddress; 2],
}

impl Run<'_> {
    /// One of the two connections to the dealer.
    fn dealer(&self) -> Result<Link<ReadAhead>, Failure> {
        let wait = Duration::from_secs(self.args.wait);
        let stream = reach(&self.args.dealer, "the dealer", "--dealer", wait)?;
        let end = ReadAhead::new(stream, 2 * wait).map_err(broken)?;
        Ok(Link::new(end, Remote::Dealer, 0))
    }

    /// Runs the session once both devices answer.
    fn serve(
        &self,
        ports: [&DeviceMux; 2],
        corrections: u64,
        kept: [Option<File>; 2],
    ) -> Result<(), Failure> {
        let secrets = Secrets::new(self.args.secret_seed);
        for (role, port) in Role::BOTH.into_iter().zip(ports) {
            // Another one for each device, also where it comes from a seed.
            let nonce = secrets.nonce()?.wrapping_add(role.index() as u64);
            let hello = Hello::new(role, self.session);
            start_session(port, &hello, nonce).map_err(|failure| failure.of(&role.to_string()))?;
        }
        let [first, second] = greet_dealer(ports, [self.dealer()?, self.dealer()?])?;
        let start = Instant::now();
        let [to_p0, to_p1] = kept;
        let [p0, p1] = [(&self.plugs[0], ports[0]), (&self.plugs[1], ports[1])];
        let mut sides = [
            Side::new(Role::P0, p0, first, 0, to_p0)?,
            Side::new(Role::P1, p1, second, corrections, to_p1)?,
        ];
        let style = "[{elapsed_precise}] {wide_bar} {percent}%, {msg} between the devices";
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::new(corrections.max(1));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let outcome = pass_all(&mut sides, &bar, Duration::from_secs(self.args.idle));
        bar.finish_and_clear();
        outcome?;
        let took = start.elapsed();
        for side in &sides {
            let Taken { memory, stack } =
                end_session(side.port).map_err(|failure| failure.of(&side.role.to_string()))?;
            console::line(&format!(
                "hub: {} at {} sent {} to the other device and received {} of corrections; it took {} of its memory and {} of stack",
                side.role,
                side.address,
                bytes(side.sent),
                bytes(side.dealt),
                bytes(memory.into()),
                bytes(stack.into()),
            ))?;
        }
        console::line(&format!(
            "hub: done; {} iterations in {:.1} s",
            self.session.iterations(),
            took.as_secs_f64()
        ))
    }
}

impl InRing for Run<'_> {
    type Output = ();

    fn run<R: Ring>(self, network: Network) -> Result<(), Failure> {
        let args = self.args;
        let plan = Plan::new(self.session, &network);
        let corrections = plan.corrections::<R>();
        let kept = transcripts(args.transcript.as_deref())?;
        let (wait, idle) = (
            Duration::from_secs(args.wait),
            Duration::from_secs(args.idle),
        );
        let open = |role: Role| {
            let address = &self.plugs[role.index()];
            let port =
                plug_in(address, wait, idle).map_err(|failure| failure.of(&role.to_string()))?;
            console::line(&format!("hub: {role} at {address} answers"))?;
            Ok::<_, Failure>(port)
        };
        let [p0, p1] = [open(Role::P0)?, open(Role::P1)?];
        console::line("hub: nobody will learn the model, of which each device has shares alone")?;
        self.serve([&p0, &p1], corrections, kept)
            .map_err(|failure| {
                // Where a device is gone, everything else follows from that.
                for (role, port) in Role::BOTH.into_iter().zip([&p0, &p1]) {
                    if port.borrow().failure().is_some() {
                        let address = &self.plugs[role.index()];
                        return crash_report(port, address, failure).of(&role.to_string());
                    }
                }
                failure
            })
    }
}

/// The files for what each device sends to the other, if they are to be kept.
fn transcripts(dir: Option<&Path>) -> Result<[Option<File>; 2], Failure> {
    let Some(dir) = dir else {
        return Ok([None, None]);
    };
    fs::create_dir_all(dir).map_err(|error| {
        Failure::new(
            format!("{} cannot be made: {error}", dir.display()),
            "give another directory with --transcript",
        )
    })?;
    let file = |name| transcript(Some(&dir.join(name)));
    Ok([file("p0.sent")?, file("p1.sent")?])
}

/// Where the user says that a device is.
fn address(text: &str, option: &str) -> Result<DeviceAddress, Failure> {
    DeviceAddress::parse(text)?.ok_or_else(|| {
        Failure::new(
            format!("{option} {text} names no line to a device"),
            "give serial:PATH, serial:PATH?baud=N, pty:PATH or tcp:HOST:PORT",
        )
    })
}

/// Passes on what two devices say to each other until they have trained.
pub fn run(args: &HubArgs) -> Result<(), Failure> {
    let plugs = [address(&args.p0, "--p0")?, address(&args.p1, "--p1")?];
    if plugs[0] == plugs[1] {
        return Err(Failure::new(
            format!("both devices are to be at {}", plugs[0]),
            "give each its own line with --p0 and --p1",
        ));
    }
    if args.session.audit.is_some() {
        return Err(Failure::new(
            "what an audit counts is for the parties, and these are devices, which tell nobody",
            "leave out --audit",
        ));
    }
    // Only the devices have the images; files here tell how many they are.
    let images = match args.samples {
        Some(_) if args.session.data.is_none() => None,
        _ => Some(load(args.session.data.as_deref(), Part::Train)?),
    };
    let shape = images.as_ref().map(|images| images.shape);
    let model = settings::model(args.session.model.as_deref(), shape)?;
    let total = images.map_or(0, |images| images.len());
    let samples = samples(args.samples, total, args.session.share_of_p0)?;
    let order = args.session.seed.unwrap_or(0);
    let session = settings::session(&args.session, model, samples, order, None)?;
    let run = Run {
        args,
        session: &session,
        plugs,
    };
    in_ring(&session, run)
}
