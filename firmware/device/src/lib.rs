//! P0 on a device: what all boards share. A board brings a line, a clock, memory, its samples in flash and a
//! secret of its own, and serves one session after another.

#![no_std]

use core::cell::RefCell;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    desk::Desk,
    hello::{Hello, HelloError, receive_hello, receive_key},
    link::{Link, Remote},
    message::MessageError,
    network::Network,
    party::{Party, RunError, Unwatched},
    plan::Plan,
    prg::{Address, Key, Prg},
    session::{Session, SessionError},
    store::Store,
    wire::{
        control::{Status, channel, tell},
        port::{Channel, Clock, Line, Port, PortError},
    },
};

/// The ring that devices compute in: one multiply-accumulate instruction.
pub type Ring = u32;

/// What a board gives a party to work in.
pub struct Memory<'a> {
    /// The arena; a plan says how large it has to be.
    pub arena: &'a mut [u64],
    /// Where the other party's opened samples are kept; none if it owns none.
    pub opened: &'a mut [Ring],
}

/// Why a session ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stopped {
    /// The device told the host that it will not run the session.
    Refused(Status),
    /// The line, or whoever is at its other end.
    Port(PortError),
    /// The roles do not fit together, or one is gone.
    Hello(HelloError),
    /// The run itself.
    Run(RunError),
}

impl From<PortError> for Stopped {
    fn from(error: PortError) -> Self {
        Stopped::Port(error)
    }
}

impl From<HelloError> for Stopped {
    fn from(error: HelloError) -> Self {
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

/// Waits for a host to begin a session and runs it to its end. `root` is the device's own secret, from
/// which each session's is drawn.
pub fn serve<T: Line, C: Clock>(
    port: &RefCell<Port<T, C>>,
    store: Option<Store<'_>>,
    root: &Key,
    memory: Memory<'_>,
) -> Result<(), Stopped> {
    let outcome = run(port, store, root, memory);
    #[cfg(feature = "defmt")]
    match &outcome {
        Ok(()) => defmt::info!("the session is over"),
        Err(stopped) => defmt::warn!("the session ended early: {}", stopped),
    }
    outcome
}

#[inline(never)]
fn run<T: Line, C: Clock>(
    port: &RefCell<Port<T, C>>,
    store: Option<Store<'_>>,
    root: &Key,
    memory: Memory<'_>,
) -> Result<(), Stopped> {
    port.borrow_mut().accept()?;
    let number = port.borrow().session();
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    // Sessions and networks stay where they are first made: copies would take much of a device's stack. So the
    // host's hello becomes this party's own.
    let mut heard = receive_hello(&mut control);
    let hello = match &mut heard {
        Ok(hello) => hello,
        Err(error) => return Err((*error).into()),
    };
    hello.role = Role::P0;
    hello.dealt = None;
    let session = &hello.session;
    #[cfg(feature = "defmt")]
    defmt::info!(
        "{} asked to train {=str}",
        Role::P0,
        session.model.name.as_str()
    );
    let network = session.check::<Ring>();
    let (network, mut store) = match examine(session, &network, store, &memory) {
        Ok(ready) => ready,
        Err(status) => {
            tell(&mut control, &status)?;
            port.borrow_mut().finish()?;
            return Err(Stopped::Refused(status));
        }
    };
    #[cfg(feature = "defmt")]
    log_network(session, network);
    tell(&mut control, &Status::Ready)?;

    let mut peer = Link::new(Channel::new(port, channel::PEER), Remote::Peer, 0);
    let mut dealer = Link::new(Channel::new(port, channel::DEALER), Remote::Dealer, 0);
    let key = greet(hello, &mut peer, &mut dealer)?;
    let secret = session_secret(root, number);
    let Memory { arena, opened } = memory;
    let mut party = Party::<Ring>::new(session, network, Role::P0, &secret, arena, opened)?;
    let mut desk = Desk::new(Role::P0, key, peer, dealer);
    for iteration in 0..session.iterations() {
        party.iterate(&mut desk, iteration, &mut store, &mut Unwatched)?;
        #[cfg(feature = "defmt")]
        log_bytes(iteration, desk.peer_bytes());
    }
    party.reveal(&mut desk, |_, _| {})?;
    Ok(port.borrow_mut().finish()?)
}

/// Makes the device known to the peer and the dealer, who gives it its key.
#[inline(never)]
fn greet<A: Read + Write, B: Read + Write>(
    hello: &Hello,
    peer: &mut Link<A>,
    dealer: &mut Link<B>,
) -> Result<Key, HelloError> {
    hello.announce(dealer)?;
    hello.meet_peer(peer)?;
    receive_key(dealer)
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

/// Whether this device can run the session: the network, and the samples that it will train on.
#[inline(never)]
fn examine<'a, 'n>(
    session: &Session,
    network: &'n Result<Network, SessionError>,
    store: Option<Store<'a>>,
    memory: &Memory<'_>,
) -> Result<(&'n Network, Store<'a>), Status> {
    if session.format.ring != Ring::BITS {
        return Err(Status::Ring(Ring::BITS));
    }
    let network = network.as_ref().map_err(|_| Status::Unsound)?;
    let plan = Plan::new(session, network);
    // A session may well ask for more than this device can address.
    let needed = [
        plan.arena_words::<Ring>(Role::P0).saturating_mul(8),
        plan.opened_data_words(Role::P0).saturating_mul(4),
    ];
    let given = [8 * memory.arena.len(), 4 * memory.opened.len()];
    for (needed, given) in needed.into_iter().zip(given) {
        if needed > given {
            let [needed, given] = [needed, given].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            return Err(Status::Memory { needed, given });
        }
    }
    let store = store.ok_or(Status::NoSamples)?;
    if session.samples[0] != store.len() {
        return Err(Status::Samples {
            asked: session.samples[0],
            stored: store.len(),
        });
    }
    if session.model.input != store.shape() {
        return Err(Status::Shape(store.shape()));
    }
    Ok((network, store))
}

/// A session's own secret, for its part of the first weights.
fn session_secret(root: &Key, number: u16) -> Key {
    let mut bytes = [0u8; Key::LEN];
    let address = Address {
        iteration: number.into(),
        gate: 0,
        wire: 0,
    };
    Prg::new(root.clone()).fill(address, 0, &mut bytes);
    Key::new(bytes)
}
