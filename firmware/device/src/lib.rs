//! A party on a device: what all boards share.
//!
//! A board brings a line to its host, a clock, memory, samples in flash and a device secret, and calls [`serve_all`],
//! which runs one session after another.

#![no_std]

pub mod carrier;
pub mod crash_report;
#[cfg(feature = "hal")]
pub mod hal_line;
pub mod programmed;
pub mod serial;
pub mod stack;

use ringlet_core::{
    Role,
    data::{
        Data, DataError,
        sample_image::{SampleImage, SampleImageError},
    },
    dealt::{PartyContext, Plan, Trainer},
    device::{DeviceHello, MemoryUsed, Status, channel, receive_session},
    net::{
        Link, MessageError, Remote,
        serial::mux::{MuxError, Timeouts},
    },
    network::{Activation, ModelError, Network, Stage},
    prg::{
        Key,
        device_key::{dealer_key, is_programmed, session_secret},
    },
    session::{
        RunError, Session, SessionError, Task,
        handshake::{HandshakeError, receive_sealed_key},
    },
    share::NoObserver,
};

use carrier::Carrier;
use programmed::Programmed;
use stack::Stack;

/// The ring that devices compute in: its multiply-accumulate is one instruction.
pub type Ring = u32;

/// How long a device's port waits for its host.
pub const TIMEOUTS: Timeouts = Timeouts {
    resend: 500,
    silence: 300_000,
};

/// Bytes of stack that evaluating a polynomial takes, with a margin.
const POLYNOMIAL_STACK: usize = 72 * 1024;

/// What a board brings to a session.
pub struct Device<'a> {
    /// The party's memory, in 64-bit words. `ringlet plan` says how large it has to be.
    pub memory: &'a mut [u64],
    /// The device's samples, or why they cannot be read.
    pub store: Result<SampleImage<'a>, SampleImageError>,
    /// The device's root secret. Each session's secret is derived from it.
    pub root: &'a Key,
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
    /// The handshake failed: the roles do not fit together, or one of them is gone.
    Hello(HandshakeError),
    /// The training failed.
    Run(RunError),
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

/// Runs one session after another, for as long as the board has power. A session that failed leaves no state: the
/// next one starts from the beginning.
pub fn serve_all<C: Carrier>(
    carrier: &C,
    memory: &mut [u64],
    programmed: &Programmed,
    stack: &Stack,
) -> ! {
    loop {
        let device = Device {
            memory: &mut *memory,
            store: SampleImage::new(programmed.image),
            root: &programmed.root,
            stack: Some(stack),
        };
        let _ = serve(carrier, device);
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

/// One session: the task, the handshakes, the training, and the report of what it took. The handshakes have no
/// function of their own: one would take 300 bytes of flash.
#[inline(never)]
fn run<C: Carrier>(carrier: &C, device: Device<'_>) -> Result<(), Stopped> {
    carrier.accept()?;
    let mut control = Link::new(carrier.channel(channel::CONTROL), Remote::Peer, 0);
    DeviceHello::new(crash_report::take()).send(&mut control)?;
    // The session and the network are borrowed from here on: copies of them would take much of a device's stack.
    let mut heard = receive_session(&mut control);
    let (hello, nonce) = match &mut heard {
        Ok((hello, nonce)) => (hello, *nonce),
        Err(error) => return Err((*error).into()),
    };
    hello.dealt = None;
    let (role, session) = (hello.role, &hello.session);
    #[cfg(feature = "defmt")]
    defmt::info!(
        "{} asked to train {=str}",
        role,
        session.model.name.as_str()
    );
    let network = ringlet_core::dealt::check::<Ring>(session);
    let requirements = match check_session(role, session, &network, &device) {
        Ok(requirements) => requirements,
        Err(status) => return refuse(carrier, &mut control, status),
    };
    let Requirements {
        network,
        words: [words, opened],
        mut samples,
    } = requirements;
    #[cfg(feature = "defmt")]
    log_network(session, network);
    Status::Ready.send(&mut control)?;

    let mut peer = Link::new(carrier.channel(channel::PEER), Remote::Peer, 0);
    let mut dealer = Link::new(carrier.channel(channel::DEALER), Remote::Dealer, 0);
    hello.send(&mut dealer)?;
    let key = match receive_sealed_key(&mut dealer, &dealer_key(device.root)) {
        Err(HandshakeError::OtherDevice) => return refuse(carrier, &mut control, Status::Seal),
        outcome => outcome?,
    };
    Status::Ready.send(&mut control)?;
    hello.exchange_with_peer(&mut peer)?;
    let secret = session_secret(device.root, nonce);
    let (arena, rest) = device.memory.split_at_mut(words);
    let opened_data = &mut bytemuck::cast_slice_mut(rest)[..opened];
    let mut party = Trainer::<Ring>::new(session, network, role, &secret, arena, opened_data)?;
    let mut cx = PartyContext::new(role, key, peer, dealer);
    for iteration in 0..session.iterations() {
        party.iterate(&mut cx, iteration, &mut samples, &mut NoObserver)?;
        #[cfg(feature = "defmt")]
        log_bytes(iteration, cx.peer_bytes());
    }
    // The device sends its shares of the model to whoever may learn it, and keeps no copy itself.
    party.reveal(&mut cx, |_, _| {})?;
    let taken = MemoryUsed {
        memory: clamp(8 * words + size_of::<Ring>() * opened),
        stack: clamp(device.stack.map_or(0, Stack::used)),
    };
    end_session(carrier, &mut control, taken)
}

/// Tells the host what the session took, and waits until it has everything.
fn end_session<C: Carrier>(
    carrier: &C,
    control: &mut Link<C::Channel<'_>>,
    taken: MemoryUsed,
) -> Result<(), Stopped> {
    taken.send(control)?;
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
fn log_network(session: &Session, network: &Network) {
    let [rows, columns, channels] = session.model.input;
    defmt::info!(
        "images of {=u16}x{=u16}x{=u16} through {=usize} stages to {=usize} classes, {=u32} iterations",
        rows,
        columns,
        channels,
        network.stages.len(),
        network.classes,
        session.iterations()
    );
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

/// What a session takes of a device that can run it.
struct Requirements<'n, 'a> {
    network: &'n Network,
    /// 64-bit words of the arena, and words of the ring that hold the other party's opened samples.
    words: [usize; 2],
    samples: OwnSamples<'a>,
}

/// The samples that the device's own party contributes: those in its store, or none.
struct OwnSamples<'a>(Option<SampleImage<'a>>);

impl Data for OwnSamples<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let store = self.0.as_mut().ok_or(DataError::Missing(sample))?;
        store.pixels(sample, out)
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        let store = self.0.as_mut().ok_or(DataError::Missing(sample))?;
        store.label(sample)
    }
}

/// Checks whether this device can run the session. Returns what the session takes, or the status that refuses it.
/// `#[inline(never)]` so that its stack frame and that of the training do not add up.
#[inline(never)]
fn check_session<'n, 'a>(
    role: Role,
    session: &Session,
    network: &'n Result<Network, SessionError>,
    device: &Device<'a>,
) -> Result<Requirements<'n, 'a>, Status> {
    if session.task != Task::Train {
        return Err(Status::Task);
    }
    // The dealer's key travels under one derived from the root. Anyone could open it if the root was never programmed.
    if !is_programmed(device.root) {
        return Err(Status::NoSecret);
    }
    if session.format.ring != Ring::BITS {
        return Err(Status::Ring(Ring::BITS));
    }
    let network = network.as_ref().map_err(|error| match error {
        SessionError::Model(ModelError::NotInThisBuild(_)) => Status::Polynomials,
        _ => Status::Unsound,
    })?;
    let plan = Plan::new(session, network);
    let words = [plan.arena_words::<Ring>(role), plan.opened_data_words(role)];
    // In words, not bytes: a session may ask for more bytes than this device can address.
    let opened = words[1].div_ceil(size_of::<u64>() / size_of::<Ring>());
    let needed = words[0].saturating_add(opened);
    let given = device.memory.len();
    if needed > given {
        return Err(Status::Memory {
            needed: clamp(needed.saturating_mul(size_of::<u64>())),
            given: clamp(given.saturating_mul(size_of::<u64>())),
        });
    }
    let polynomial = |stage: &Stage| matches!(stage.activation, Some(Activation::Polynomial(..)));
    if let Some(stack) = device.stack
        && stack.size() < POLYNOMIAL_STACK
        && network.stages.iter().any(polynomial)
    {
        return Err(Status::Stack {
            needed: clamp(POLYNOMIAL_STACK),
            given: clamp(stack.size()),
        });
    }
    let own = session.samples[role.index()];
    let store = match device.store {
        _ if own == 0 => None,
        Ok(store) => Some(store),
        Err(error) => return Err(Status::NoSamples(error)),
    };
    if let Some(store) = &store {
        if own != store.len() {
            return Err(Status::Samples {
                asked: own,
                stored: store.len(),
            });
        }
        if session.model.input != store.shape() {
            return Err(Status::Shape(store.shape()));
        }
    }
    Ok(Requirements {
        network,
        words,
        samples: OwnSamples(store),
    })
}

fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
