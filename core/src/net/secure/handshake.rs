//! The Noise handshake of a secure link.

use clatter::{
    Handshaker, KeyPair, NqHandshakeCore,
    bytearray::{ByteArray, SensitiveByteArray},
    crypto::{dh::X25519, hash::Blake2s},
    handshakepattern::noise_kk,
    rand_core::{CryptoRng, Error, RngCore},
    traits::Hash,
};
use embedded_io::{Read, Write};
use postcard::{ser_flavors::Flavor, serialize_with_flavor};
use serde::Serialize;
use zeroize::ZeroizeOnDrop;

use super::{
    aead::{Aead, Forged, HandshakeCipher, TAG_LEN},
    identity::{Identity, PublicIdentity},
};
use crate::{
    net::link::{Link, LinkError},
    prg::Key,
    profile::{self, Section},
};

/// Length of each of the handshake's two messages: an ephemeral key and a tag.
pub(super) const MESSAGE_LEN: usize = 32 + TAG_LEN;

/// What both ends have said before the handshake, as a hash. The handshake fails if the ends have not heard the same.
#[derive(Clone)]
pub struct Prologue(Blake2s);

impl Prologue {
    /// The prologue of a link for the purpose `label`.
    pub fn new(label: &str) -> Self {
        let mut prologue = Prologue(Blake2s::default());
        prologue.add(label.as_bytes());
        prologue
    }

    /// Adds a message. Messages cannot run into each other: their lengths are added too.
    pub fn add(&mut self, message: &[u8]) {
        self.0.input(message);
        self.0.input(&(message.len() as u64).to_le_bytes());
    }

    /// Adds a message of the postcard format.
    pub fn add_message(&mut self, message: &impl Serialize) {
        struct Hashed<'a>(&'a mut Blake2s, u64);

        impl Flavor for Hashed<'_> {
            type Output = u64;

            fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
                self.try_extend(&[byte])
            }

            fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
                self.0.input(bytes);
                self.1 += bytes.len() as u64;
                Ok(())
            }

            fn finalize(self) -> postcard::Result<u64> {
                Ok(self.1)
            }
        }

        // The length comes last: the message is not stored. Messages with an error in them hash differently.
        let len = serialize_with_flavor(message, Hashed(&mut self.0, 0)).unwrap_or(u64::MAX);
        self.0.input(&len.to_le_bytes());
    }

    /// The hash of all messages.
    pub fn hash(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.result().as_slice());
        hash
    }
}

/// Length of the message by which the end that connects confirms the handshake: the tag of an empty Noise message.
pub(super) const CONFIRMATION_LEN: usize = TAG_LEN;

/// The keys of a link after its handshake.
#[derive(ZeroizeOnDrop)]
pub struct Keys {
    /// Seals what this end sends.
    pub send: [u8; 32],
    /// Opens what this end receives.
    pub receive: [u8; 32],
    /// The numbers of the first frames that are sent and received: the confirmation has number 0 of its direction.
    pub first_frames: [u64; 2],
    /// Hash of the whole handshake, the same at both ends and at no other link. It is no secret.
    pub hash: [u8; 32],
}

/// Takes the place of a generator. The handshake draws nothing: it gets its ephemeral key from the caller.
#[derive(Clone, Default)]
struct NoGenerator;

impl CryptoRng for NoGenerator {}

impl RngCore for NoGenerator {
    fn next_u32(&mut self) -> u32 {
        unreachable!("the ephemeral key is given")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("the ephemeral key is given")
    }

    fn fill_bytes(&mut self, _: &mut [u8]) {
        unreachable!("the ephemeral key is given")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Error> {
        unreachable!("the ephemeral key is given")
    }
}

type State<A> = NqHandshakeCore<X25519, HandshakeCipher<A>, Blake2s, NoGenerator>;

fn pair(identity: &Identity) -> KeyPair<[u8; 32], SensitiveByteArray<[u8; 32]>> {
    KeyPair::new(
        identity.public().0,
        ByteArray::from_slice(identity.secret().reveal()),
    )
}

/// Connects as the end that speaks first: the handshake's initiator. It confirms the handshake with an empty message under
/// the new key. `ephemeral` is a secret that serves this handshake alone.
///
/// # Errors
/// [`LinkError::Unauthentic`] when the other end has not the identity `remote`, knows this end by another, has heard
/// another `prologue`, or when the handshake was altered on its way.
#[inline(never)]
pub fn connect<A: Aead, T: Read + Write>(
    link: &mut Link<T>,
    own: &Identity,
    remote: PublicIdentity,
    prologue: Prologue,
    ephemeral: Key,
) -> Result<Keys, LinkError> {
    let _section = profile::section(Section::Sealing);
    let failed = LinkError::Unauthentic(link.remote());
    let mut state = state::<A>(true, own, remote, prologue, ephemeral).ok_or(failed)?;
    write(&mut state, link)?;
    read(&mut state, link)?;
    let keys = keys(state, true).ok_or(failed)?;
    let confirmation = A::new(&keys.send).seal(0, &[], &mut []);
    link.send(&confirmation)?;
    link.flush()?;
    Ok(keys)
}

/// Accepts as the end that answers: the handshake's responder. It waits for the confirmation, without which the first message
/// could be one that was recorded earlier. Otherwise as [`connect`].
///
/// # Errors
/// As for [`connect`].
#[inline(never)]
pub fn accept<A: Aead, T: Read + Write>(
    link: &mut Link<T>,
    own: &Identity,
    remote: PublicIdentity,
    prologue: Prologue,
    ephemeral: Key,
) -> Result<Keys, LinkError> {
    let _section = profile::section(Section::Sealing);
    let failed = LinkError::Unauthentic(link.remote());
    let mut state = state::<A>(false, own, remote, prologue, ephemeral).ok_or(failed)?;
    read(&mut state, link)?;
    write(&mut state, link)?;
    let keys = keys(state, false).ok_or(failed)?;
    let mut confirmation = [0; CONFIRMATION_LEN];
    link.receive(&mut confirmation)?;
    let opened = A::new(&keys.receive).open(0, &[], &mut [], &confirmation);
    opened.map(|()| keys).map_err(|Forged| failed)
}

fn state<A: Aead>(
    initiator: bool,
    own: &Identity,
    remote: PublicIdentity,
    prologue: Prologue,
    ephemeral: Key,
) -> Option<State<A>> {
    let ephemeral = pair(&Identity::new(ephemeral));
    NqHandshakeCore::new(
        noise_kk(),
        &prologue.hash(),
        initiator,
        Some(pair(own)),
        Some(ephemeral),
        Some(remote.0),
        None,
    )
    .ok()
}

fn write<A: Aead, T: Read + Write>(
    state: &mut State<A>,
    link: &mut Link<T>,
) -> Result<(), LinkError> {
    let mut message = [0; MESSAGE_LEN];
    state
        .write_message(&[], &mut message)
        .map_err(|_| LinkError::Unauthentic(link.remote()))?;
    link.send(&message)?;
    link.flush()
}

fn read<A: Aead, T: Read + Write>(
    state: &mut State<A>,
    link: &mut Link<T>,
) -> Result<(), LinkError> {
    let mut message = [0; MESSAGE_LEN];
    link.receive(&mut message)?;
    state
        .read_message(&message, &mut [])
        .map(drop)
        .map_err(|_| LinkError::Unauthentic(link.remote()))
}

fn keys<A: Aead>(state: State<A>, initiator: bool) -> Option<Keys> {
    let state = state.finalize().ok()?;
    let mut hash = [0; 32];
    hash.copy_from_slice(state.get_handshake_hash().as_slice());
    let ciphers = state.take();
    let [out, back] = [
        ciphers.initiator_to_responder.take().0,
        ciphers.responder_to_initiator.take().0,
    ];
    let (send, receive, first_frames) = if initiator {
        (&out, &back, [1, 0])
    } else {
        (&back, &out, [0, 1])
    };
    Some(Keys {
        send: **send,
        receive: **receive,
        first_frames,
        hash,
    })
}
