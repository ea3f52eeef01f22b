//! P0 without a peer: it receives sealed pseudo-random bytes, and has computed samples. The counting program runs it on a
//! board, and a test runs it on the host to compare what both send.

use core::{cell::Cell, convert::Infallible, ops::Range};

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    data::{Data, DataError, Normalisation},
    dealt::{PartyContext, Trainer},
    model::Model,
    net::{
        Link, Remote,
        secure::{Aead, ChaChaPoly, Keys, SecureTransport, Suite, TAG_LEN},
    },
    network::Network,
    num::Format,
    prg::Key,
    profile::{Section, section},
    session::{ClassList, Headroom, KnownBackbone, Protocol, RATE_FRACTION, Session, Task},
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
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [batch, 0],
        contributions: None,
        batch,
        micro_batch: 1,
        epochs: 1,
        limit: 1,
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
    let peer = Link::new(secure(1, &sent), Remote::Peer, 0);
    let dealer = Link::new(secure(2, &sent), Remote::Dealer, 0);
    let mut cx = PartyContext::new(Role::P0, Key::new([2; Key::LEN]), peer, dealer);
    begin();
    party
        .iterate(&mut cx, 0, &mut ComputedSamples, &mut NoObserver)
        .map_err(|_| "the run")?;
    Ok(sent.get())
}

/// Length of a frame's buffer.
const FRAME: usize = Suite::Device.buffer_len();

/// The secure link of a device.
type Secure<'a> = SecureTransport<Scripted<'a>, ChaChaPoly, [u8; FRAME]>;

/// The end of a secure link whose other end is scripted.
fn secure<'a>(seed: u32, sent: &'a Cell<u32>) -> Secure<'a> {
    let keys = Keys {
        send: [3; 32],
        receive: [4; 32],
        first_frames: [0; 2],
        hash: [0; 32],
    };
    let scripted = Scripted::new(seed, sent, &keys);
    SecureTransport::new(scripted, &keys, [0; FRAME], [0; FRAME])
}

/// Frames of the other end whose payload has not been made yet.
const AHEAD: usize = 16;

/// A transport that receives sealed frames of pseudo-random bytes without end, each as long as one that was sent, and drops
/// what is sent.
struct Scripted<'a> {
    state: u32,
    /// The FNV-1a digest of all that was sent.
    sent: &'a Cell<u32>,
    /// Seals what comes.
    sealer: ChaChaPoly,
    nonce: u64,
    /// The current frame of the other end, and its unread part.
    frame: [u8; FRAME + 2 + TAG_LEN],
    unread: Range<usize>,
    /// Lengths of frames that were sent and not answered.
    lens: [u16; AHEAD],
    asked: usize,
    answered: usize,
    /// Bytes to come of the frame that is being sent.
    rest: usize,
}

impl<'a> Scripted<'a> {
    /// A transport with the pseudo-random sequence of `seed`, which is not 0.
    fn new(seed: u32, sent: &'a Cell<u32>, keys: &Keys) -> Self {
        Scripted {
            state: seed,
            sent,
            sealer: ChaChaPoly::new(&keys.receive),
            nonce: 0,
            frame: [0; FRAME + 2 + TAG_LEN],
            unread: 0..0,
            lens: [0; AHEAD],
            asked: 0,
            answered: 0,
            rest: 0,
        }
    }

    /// Makes the next frame.
    fn answer(&mut self) {
        let len = if self.answered < self.asked {
            usize::from(self.lens[self.answered % AHEAD])
        } else {
            FRAME
        };
        self.answered = (self.answered + 1).min(self.asked);
        self.frame[..2].copy_from_slice(&(len as u16).to_le_bytes());
        let (bytes, rest) = self.frame[2..].split_at_mut(len);
        bytes[0] = 0;
        for byte in &mut bytes[1..] {
            // Marsaglia's xorshift, 32 bits.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            *byte = (self.state >> 24) as u8;
        }
        let tag = self.sealer.seal(self.nonce, &[], bytes);
        rest[..TAG_LEN].copy_from_slice(&tag);
        self.nonce += 1;
        self.unread = 0..2 + len + TAG_LEN;
    }
}

impl ErrorType for Scripted<'_> {
    type Error = Infallible;
}

impl Read for Scripted<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        if self.unread.is_empty() {
            self.answer();
        }
        let count = bytes.len().min(self.unread.len());
        let start = self.unread.start;
        bytes[..count].copy_from_slice(&self.frame[start..start + count]);
        self.unread.start += count;
        Ok(count)
    }
}

impl Write for Scripted<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        for &byte in bytes {
            let digest = (self.sent.get() ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            self.sent.set(digest);
        }
        // A frame's head is written at once.
        match (self.rest, bytes) {
            (0, &[low, high]) => {
                let len = u16::from_le_bytes([low, high]);
                self.rest = usize::from(len) + TAG_LEN;
                self.lens[self.asked % AHEAD] = len;
                self.asked += 1;
            }
            (rest, bytes) => self.rest = rest.saturating_sub(bytes.len()),
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
