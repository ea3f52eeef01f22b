//! A party on a device: what all boards share.
//!
//! A board brings a line to its host, a clock, memory, samples and a record in flash, and a source of fresh values, and
//! calls [`serve_all`], which runs one session after another. What passes between the device and the other roles is sealed
//! end to end; the host relays it.

#![no_std]

pub mod carrier;
mod check;
pub mod classes;
#[cfg(feature = "contribute")]
pub mod contribute;
pub mod crash_report;
pub mod fresh;
#[cfg(feature = "hal")]
pub mod hal_line;
mod keeping;
mod links;
pub mod programmed;
pub mod serial;
pub mod stack;

use ringlet_core::{
    Role,
    backbone::{Backbone, BackboneError},
    data::sample_image::{SampleImage, SampleImageError},
    dealt::{Classifier, PartyContext, Trainer},
    device::{Assignment, DeviceHello, MemoryUsed, ModelImage, ModelImageError, Status, channel},
    net::{
        Link, MessageError, Remote,
        secure::PublicIdentity,
        serial::mux::{MuxError, Timeouts},
    },
    network::Network,
    prg::{Key, device_key::FRESH_LEN},
    session::{
        RunError, Task,
        handshake::{
            Actor, Checkpoints, HandshakeError, Hello, Mismatch, receive_hello, receive_key,
        },
    },
    share::NoObserver,
};

use carrier::Carrier;
use check::{OwnSamples, Requirements, check_session, clamp};
use classes::Classes;
use fresh::Fresh;
use keeping::Keeping;
use links::{
    Buffers, SecureEnd, SecureLink, greet_dealer, introduction, meet_peer, secure, weights_secret,
};
use programmed::Programmed;
use stack::Stack;

/// The ring that devices compute in: its multiply-accumulate is one instruction.
pub type Ring = u32;

/// How long a device's port waits for its host.
pub const TIMEOUTS: Timeouts = Timeouts {
    resend: 500,
    silence: 300_000,
};

/// What a board brings to a session.
pub struct Device<'a> {
    /// The party's memory, in 64-bit words. `ringlet plan` says how large it has to be.
    pub memory: &'a mut [u64],
    /// The device's samples, or why they cannot be read.
    pub store: Result<SampleImage<'a>, SampleImageError>,
    /// The layers by which its samples become features, if it has any, or why they cannot be read.
    pub backbone: Result<Option<Backbone<'a>>, BackboneError>,
    /// The model by which the device classifies the other party's samples, or why it has none.
    pub model: Result<ModelImage<'a>, ModelImageError>,
    /// What becomes of the classes of its own samples.
    pub classes: &'a mut dyn Classes,
    /// The device's record, unchecked: its secret, the roles that it talks to, its policy.
    pub record: &'a [u8],
    /// The source of a fresh value for each session.
    pub fresh: &'a mut dyn Fresh,
    /// The stack, if its use is measured.
    pub stack: Option<&'a Stack>,
}

/// Why a session ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stopped {
    /// The device told the host that it will not run the session.
    Refused(Status),
    /// The line or the host failed.
    Mux(MuxError),
    /// The host does not speak this protocol, or another version.
    Hello(HandshakeError),
    /// The handshake with this role failed: the roles do not fit together, or one of them is gone.
    Meeting(Actor, HandshakeError),
    /// The training failed.
    Run(RunError),
    /// An upload was not taken.
    #[cfg(feature = "contribute")]
    NotTaken(ringlet_core::device::UploadAnswer),
}

impl From<MuxError> for Stopped {
    fn from(error: MuxError) -> Self {
        Stopped::Mux(error)
    }
}

impl From<HandshakeError> for Stopped {
    fn from(error: HandshakeError) -> Self {
        Stopped::Hello(error)
    }
}

impl From<MessageError> for Stopped {
    fn from(error: MessageError) -> Self {
        Stopped::Hello(error.into())
    }
}

impl From<RunError> for Stopped {
    fn from(error: RunError) -> Self {
        Stopped::Run(error)
    }
}

/// Runs one session after another, for as long as the board has power. A session that failed leaves no state on the device:
/// the next one starts from the beginning, or from a state that the host gives back.
pub fn serve_all<C: Carrier>(
    carrier: &C,
    memory: &mut [u64],
    programmed: &Programmed,
    fresh: &mut dyn Fresh,
    classes: &mut dyn Classes,
    stack: &Stack,
) -> ! {
    loop {
        let store = SampleImage::new(programmed.image);
        let device = Device {
            memory: &mut *memory,
            store,
            backbone: backbone_behind(programmed.image, &store),
            model: ModelImage::new(programmed.image),
            classes: &mut *classes,
            record: programmed.record,
            fresh: &mut *fresh,
            stack: Some(stack),
        };
        let _ = serve(carrier, device);
    }
}

/// The backbone that follows the samples in their memory, if there is one.
pub fn backbone_behind<'a>(
    memory: &'a [u8],
    samples: &Result<SampleImage<'a>, SampleImageError>,
) -> Result<Option<Backbone<'a>>, BackboneError> {
    let Ok(samples) = samples else {
        return Ok(None);
    };
    let rest = memory.get(samples.image_len()..).unwrap_or_default();
    match Backbone::new(rest) {
        Ok(backbone) => Ok(Some(backbone)),
        // What is erased or belongs to something else.
        Err(BackboneError::Missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for a host to begin a session and runs that session.
pub fn serve<C: Carrier>(carrier: &C, device: Device<'_>) -> Result<(), Stopped> {
    let outcome = run(carrier, device);
    #[cfg(feature = "defmt")]
    match &outcome {
        Ok(()) => defmt::info!("the session is over"),
        Err(stopped) => defmt::warn!("the session ended early: {}", stopped),
    }
    outcome
}

/// What a session of the device needs beside its description.
struct Meeting {
    fresh: [u8; FRESH_LEN],
    /// The other party's public identity.
    peer: PublicIdentity,
    /// Iterations from one checkpoint to the next, or 0.
    every: u32,
}

/// One session: the task, the handshakes, the training, and the report of what it took.
#[inline(never)]
fn run<C: Carrier>(carrier: &C, mut device: Device<'_>) -> Result<(), Stopped> {
    carrier.accept()?;
    let mut control = Link::new(carrier.channel(channel::CONTROL), Remote::Peer, 0);
    DeviceHello::new(crash_report::take()).send(&mut control)?;
    let introduced = introduction(device.record, device.fresh.fresh());
    introduced.send(&mut control)?;
    // The session and the network are borrowed from here on: copies of them would take much of a device's stack.
    let mut heard = receive_hello(&mut control);
    let hello = match &mut heard {
        Ok(hello) => hello,
        Err(error) => return Err((*error).into()),
    };
    let assignment = Assignment::receive(&mut control).map_err(HandshakeError::from)?;
    let Assignment { peer, every } = assignment;
    hello.dealt = None;
    match every {
        0 => hello.checkpoints = Checkpoints::default(),
        // The first one is the one that the device takes back.
        _ => hello.checkpoints.kept.truncate(1),
    }
    check::name_backbone(hello, &device);
    let (role, session) = (hello.role, &hello.session);
    #[cfg(feature = "defmt")]
    defmt::info!(
        "{} asked to compute with {=str}",
        role,
        session.model.name.as_str()
    );
    let network = ringlet_core::dealt::check::<Ring>(session);
    let checked = check_session(role, session, &network, &device, introduced.identity, peer);
    let (requirements, fresh) = match (checked, introduced.fresh) {
        (Ok(requirements), Ok(fresh)) => (requirements, fresh),
        (Err(status), _) => return refuse(carrier, &mut control, status),
        (_, Err(error)) => return refuse(carrier, &mut control, Status::NotFresh(error)),
    };
    #[cfg(feature = "defmt")]
    check::log_network(session, requirements.network);
    Status::Ready.send(&mut control)?;

    let mut buffers = Buffers::new();
    let meeting = Meeting { fresh, peer, every };
    let trained = meet(
        carrier,
        &mut control,
        hello,
        &device,
        &meeting,
        &mut buffers,
    )
    .and_then(|met| {
        compute(
            &mut control,
            hello,
            &mut device,
            requirements,
            &meeting,
            met,
        )
    });
    match trained {
        Ok(taken) => end_session(carrier, &mut control, taken),
        Err(stopped) => tell(carrier, &mut control, role, stopped),
    }
}

/// A device's context of a session.
type SecureContext<'b, T> = PartyContext<SecureEnd<'b, T>, SecureEnd<'b, T>>;

/// A device that has met the other roles.
struct Met<'b, T> {
    peer: SecureLink<'b, T>,
    dealer: SecureLink<'b, T>,
    /// The session key that the device shares with the dealer.
    key: Key,
    /// The secret of its part of the initial weights.
    weights: Key,
    /// The run, as both parties name it.
    run: [u8; 16],
}

/// Completes the handshakes with the dealer and with the other party.
#[inline(never)]
fn meet<'b, C: Carrier>(
    carrier: &'b C,
    control: &mut Link<C::Channel<'_>>,
    hello: &Hello,
    device: &Device<'_>,
    Meeting { fresh, peer, .. }: &Meeting,
    buffers: &'b mut Buffers,
) -> Result<Met<'b, C::Channel<'b>>, Stopped> {
    let [for_peer, for_dealer] = buffers.split();
    let mut link = Link::new(carrier.channel(channel::DEALER), Remote::Dealer, 0);
    let keys = greet_dealer(&mut link, hello, device.record, fresh).map_err(at_dealer)?;
    let mut dealer = secure(link, &keys, for_dealer);
    drop(keys);
    let start = receive_key(&mut dealer).map_err(at_dealer)?;
    // A device has one rank, as its hello says.
    if start.first != keeping::first(hello) || start.ranks != 1 {
        return Err(at_dealer(Mismatch::Foreign.into()));
    }
    Status::Ready.send(control)?;
    let mut link = Link::new(carrier.channel(channel::PEER), Remote::Peer, 0);
    let at_peer = |error| Stopped::Meeting(Actor::Party(hello.role.other()), error);
    let keys = meet_peer(&mut link, hello, *peer, device.record, fresh).map_err(at_peer)?;
    let mut run = [0; 16];
    run.copy_from_slice(&keys.hash[..16]);
    Ok(Met {
        run,
        peer: secure(link, &keys, for_peer),
        dealer,
        key: start.key,
        weights: weights_secret(device.record, fresh).map_err(at_peer)?,
    })
}

fn at_dealer(error: HandshakeError) -> Stopped {
    Stopped::Meeting(Actor::Dealer, error)
}

/// Trains or classifies, and confirms the end to both other roles. Returns what the session took.
#[inline(never)]
fn compute<T: embedded_io::Read + embedded_io::Write>(
    control: &mut Link<impl embedded_io::Read + embedded_io::Write>,
    hello: &Hello,
    device: &mut Device<'_>,
    requirements: Requirements<'_, '_>,
    meeting: &Meeting,
    met: Met<'_, T>,
) -> Result<MemoryUsed, Stopped> {
    let (role, session) = (hello.role, &hello.session);
    let Requirements {
        network,
        words: [words, opened, features, answers],
        images,
    } = requirements;
    let Met {
        peer,
        dealer,
        key,
        weights,
        run,
    } = met;
    let keeping = Keeping {
        hello,
        peer: meeting.peer,
        every: meeting.every,
        record: device.record,
        fresh: meeting.fresh,
        run,
    };
    let (arena, rest) = device.memory.split_at_mut(words);
    let (opened_data, rest) = bytemuck::cast_slice_mut::<u64, Ring>(rest).split_at_mut(opened);
    let (features_memory, rest) = rest.split_at_mut(features);
    let features_memory = bytemuck::must_cast_slice_mut(features_memory);
    let classes = &mut bytemuck::must_cast_slice_mut::<Ring, u8>(&mut rest[..answers])
        [..session.samples[role.index()] as usize * usize::from(answers > 0)];
    let mut samples = OwnSamples::new(images, device.backbone, features_memory)?;
    let mut cx = PartyContext::new(role, key, peer, dealer);
    match session.task {
        Task::Train => {
            let memory = (weights, arena, opened_data);
            train(control, &keeping, network, memory, &mut cx, &mut samples)?;
        }
        _ => {
            drop(weights);
            let model = device
                .model
                .ok()
                .filter(|_| session.model_owner() == Some(role));
            classify(
                (hello, network, model),
                arena,
                &mut cx,
                &mut samples,
                classes,
            )?;
        }
    }
    let (mut peer, mut dealer) = cx.into_links();
    // While the parties end their link, nobody may relay between device and dealer, so the dealer comes first.
    dealer.finish(false).map_err(RunError::from)?;
    peer.finish(role == Role::P0).map_err(RunError::from)?;
    if !classes.is_empty() {
        device.classes.found(classes);
        classes.fill(0);
    }
    Ok(MemoryUsed {
        memory: clamp(8 * words + size_of::<Ring>() * (opened + features + answers)),
        stack: clamp(device.stack.map_or(0, Stack::used)),
    })
}

/// Trains, and sends the shares of the model to whoever may learn it. The device keeps no copy itself.
#[inline(never)]
fn train<T: embedded_io::Read + embedded_io::Write>(
    control: &mut Link<impl embedded_io::Read + embedded_io::Write>,
    keeping: &Keeping<'_>,
    network: &Network,
    (weights, arena, opened_data): (Key, &mut [u64], &mut [Ring]),
    cx: &mut SecureContext<'_, T>,
    samples: &mut OwnSamples<'_, '_>,
) -> Result<(), Stopped> {
    let (role, session) = (keeping.hello.role, &keeping.hello.session);
    let mut party = Trainer::<Ring>::new(session, network, role, &weights, arena, opened_data)?;
    drop(weights);
    keeping.restore(control, &mut party)?;
    for iteration in keeping::first(keeping.hello)..session.iterations() {
        keeping.before(control, iteration, &party)?;
        party.iterate(cx, iteration, samples, &mut NoObserver)?;
        #[cfg(feature = "defmt")]
        log_bytes(iteration, cx.peer_bytes());
    }
    keeping.before(control, session.iterations(), &party)?;
    party.reveal(cx, |_, _| {})?;
    Ok(())
}

/// Classifies all samples, by the device's `model` if it owns it, of which [`check_session`] has counted the parameters. The
/// classes of the device's own samples go to `classes`, which is empty if it has none.
#[inline(never)]
fn classify<T: embedded_io::Read + embedded_io::Write>(
    (hello, network, model): (&Hello, &Network, Option<ModelImage<'_>>),
    arena: &mut [u64],
    cx: &mut SecureContext<'_, T>,
    samples: &mut OwnSamples<'_, '_>,
    classes: &mut [u8],
) -> Result<(), Stopped> {
    let session = &hello.session;
    let mut party = Classifier::<Ring>::new(session, network, hello.role, arena)?;
    if let Some(model) = model {
        let mut parameters = model.parameters();
        for (index, stage) in network.stages.iter().enumerate() {
            let own = parameters.by_ref().take(stage.parameters());
            party.load_parameters(index, own.map(|parameter| parameter as u64))?;
        }
    }
    for iteration in 0..session.iterations() {
        let sink = |sample: u32, class| {
            if let Some(place) = classes.get_mut(sample as usize) {
                *place = class;
            }
        };
        party.classify(cx, iteration, samples, &mut NoObserver, sink)?;
        #[cfg(feature = "defmt")]
        log_bytes(iteration, cx.peer_bytes());
    }
    Ok(())
}

/// Tells the host why a session ended early, if the line still works and the reason is one of another role.
fn tell<C: Carrier>(
    carrier: &C,
    control: &mut Link<C::Channel<'_>>,
    role: Role,
    stopped: Stopped,
) -> Result<(), Stopped> {
    let (actor, error) = match &stopped {
        Stopped::Meeting(actor, error) => (*actor, *error),
        Stopped::Run(RunError::Link(error)) => match error.remote() {
            Remote::Dealer => (Actor::Dealer, (*error).into()),
            _ => (Actor::Party(role.other()), (*error).into()),
        },
        Stopped::Refused(status) => return refuse(carrier, control, *status),
        _ => return Err(stopped),
    };
    if let Some(status) = Status::of_failure(actor, error) {
        // The host may be gone. The session is over in any case.
        let _ = status.send(control);
        let _ = carrier.finish();
    }
    Err(stopped)
}

/// Tells the host what the session took, and waits until it has everything.
fn end_session<C: Carrier>(
    carrier: &C,
    control: &mut Link<C::Channel<'_>>,
    taken: MemoryUsed,
) -> Result<(), Stopped> {
    Status::Done(taken).send(control)?;
    Ok(carrier.finish()?)
}

/// Tells the host that the device will not run the session.
fn refuse<C: Carrier>(
    carrier: &C,
    control: &mut Link<C::Channel<'_>>,
    status: Status,
) -> Result<(), Stopped> {
    status.send(control)?;
    carrier.finish()?;
    Err(Stopped::Refused(status))
}

#[cfg(feature = "defmt")]
fn log_bytes(iteration: u32, [sent, received]: [u64; 2]) {
    defmt::info!(
        "iteration {=u32}: {=u64} bytes to the peer and {=u64} from it so far",
        iteration,
        sent,
        received
    );
}
