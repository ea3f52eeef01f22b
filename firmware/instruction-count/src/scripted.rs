//! P0 without a peer: it receives pseudo-random bytes, and has computed samples. The counting program runs it on a
//! board, and a test runs it on the host to compare what both send.

use core::{cell::Cell, convert::Infallible};

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    data::{Data, DataError},
    dealt::{PartyContext, Trainer},
    model::Model,
    net::{Link, Remote},
    network::Network,
    num::Format,
    prg::Key,
    profile::{Section, section},
    session::{Protocol, RATE_FRACTION, Session, Task},
    share::NoObserver,
};

/// The ring that devices compute in.
pub type Ring = u32;

/// What failed.
pub type Failure = &'static str;

/// A session of one iteration of a built-in model, in which P0 owns all samples.
pub fn session(name: &str, batch: u32) -> Result<Session, Failure> {
    Ok(Session {
        model: Model::built_in(name).ok_or("no such model")?,
        format: Format::new::<Ring>(12).map_err(|_| "the format")?,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [batch, 0],
        batch,
        micro_batch: 1,
        epochs: 1,
        limit: 1,
        learning_rate: 1 << (RATE_FRACTION - 4),
        momentum: 7 << (RATE_FRACTION - 3),
        shuffle_seed: 1,
        receiver: None,
        audit: 0,
    })
}

/// Runs the session's iteration, with a call of `begin` just before it, and returns a digest of what P0 sent.
pub fn train(
    session: &Session,
    network: &Network,
    arena: &mut [u64],
    begin: impl FnOnce(),
) -> Result<u32, Failure> {
    let secret = Key::new([1; Key::LEN]);
    let mut party = Trainer::<Ring>::new(session, network, Role::P0, &secret, arena, &mut [])
        .map_err(|_| "memory")?;
    let sent = Cell::new(0x811C_9DC5);
    let peer = Link::new(Scripted::new(1, &sent), Remote::Peer, 0);
    let dealer = Link::new(Scripted::new(2, &sent), Remote::Dealer, 0);
    let mut cx = PartyContext::new(Role::P0, Key::new([2; Key::LEN]), peer, dealer);
    begin();
    party
        .iterate(&mut cx, 0, &mut ComputedSamples, &mut NoObserver)
        .map_err(|_| "the run")?;
    Ok(sent.get())
}

/// A transport that receives pseudo-random bytes without end and drops what is sent.
struct Scripted<'a> {
    state: u32,
    /// The FNV-1a digest of all that was sent.
    sent: &'a Cell<u32>,
}

impl<'a> Scripted<'a> {
    /// A transport with the pseudo-random sequence of `seed`, which is not 0.
    fn new(seed: u32, sent: &'a Cell<u32>) -> Self {
        Scripted { state: seed, sent }
    }
}

impl ErrorType for Scripted<'_> {
    type Error = Infallible;
}

impl Read for Scripted<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        for byte in &mut *bytes {
            // Marsaglia's xorshift, 32 bits.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            *byte = (self.state >> 24) as u8;
        }
        Ok(bytes.len())
    }
}

impl Write for Scripted<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        for &byte in bytes {
            let digest = (self.sent.get() ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            self.sent.set(digest);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Samples computed from their number.
struct ComputedSamples;

impl Data for ComputedSamples {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let _section = section(Section::Program);
        for (at, pixel) in out.iter_mut().enumerate() {
            *pixel = (at as u32).wrapping_add(sample).wrapping_mul(37) as u8;
        }
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Ok((sample % 10) as u8)
    }
}
