//! A device's state, sealed under its own secret, for its host to keep.
//!
//! ```text
//! fresh value (16) · chunks, each of sealed bytes and a tag (16)
//! ```
//!
//! When the device gives a state, the checkpoint's name comes first ([`name_of`]): a host that is no party cannot know it
//! otherwise. Each chunk holds [`CHUNK`] bytes of the state, the last one what is left. The cipher is ChaCha20-Poly1305; the key
//! derives from the root secret, the fresh value of the session that seals, and the iteration, so it serves one
//! state. The nonce counts chunks, and is another one for the last. Tags cover what the state belongs to: the session, both parties' identities,
//! and the checkpoint's name.

use embedded_io::{Read, Write};
use serde::Serialize;
use zeroize::Zeroize;

use crate::{
    net::{
        link::{Link, LinkError},
        secure::{Aead, ChaChaPoly, Prologue, PublicIdentity, TAG_LEN},
    },
    prg::{
        Key,
        device_key::{FRESH_LEN, state_key},
    },
    session::{
        RunError, Session,
        handshake::{CheckpointId, VERSION},
    },
    share::Role,
};

/// Bytes of the state in a chunk.
pub const CHUNK: usize = 128;

/// Set in the nonce of the last chunk.
const LAST: u64 = 1 << 63;

/// Bytes of a checkpoint's name before a sealed state.
pub const NAME_LEN: usize = 4 + 16;

/// The checkpoint's name that comes before a sealed state: the iteration (little-endian) and the run.
pub fn name_of(bytes: &[u8; NAME_LEN]) -> CheckpointId {
    let (mut iteration, mut run) = ([0; 4], [0; 16]);
    iteration.copy_from_slice(&bytes[..4]);
    run.copy_from_slice(&bytes[4..]);
    CheckpointId {
        iteration: u32::from_le_bytes(iteration),
        run,
    }
}

/// Bytes of a sealed state of `len` bytes, without the checkpoint's name.
pub const fn sealed_len(len: usize) -> usize {
    FRESH_LEN + len + len.div_ceil(CHUNK) * TAG_LEN
}

/// What a state belongs to. It is taken back only where all of it is the same.
#[derive(Clone, Copy, Serialize)]
pub struct Belonging<'a> {
    /// The device's role.
    pub role: Role,
    /// The session.
    pub session: &'a Session,
    /// The other party's public identity.
    pub peer: PublicIdentity,
    /// The checkpoint's name.
    pub id: CheckpointId,
}

impl Belonging<'_> {
    /// The bytes that every tag covers.
    fn hash(&self) -> [u8; 32] {
        let mut hash = Prologue::new("ringlet state");
        hash.add_message(&VERSION);
        hash.add_message(self);
        hash.hash()
    }
}

/// Why a state cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StateError {
    /// The link to the host failed.
    Link(LinkError),
    /// The bytes are not those that this device sealed for this session, party and checkpoint.
    Forged,
    /// The party does not take the state.
    Run,
}

impl From<LinkError> for StateError {
    fn from(error: LinkError) -> Self {
        StateError::Link(error)
    }
}

impl From<RunError> for StateError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Link(error) => StateError::Link(error),
            _ => StateError::Run,
        }
    }
}

/// A chunk, and the cipher of all chunks.
struct Chunks {
    cipher: ChaChaPoly,
    belonging: [u8; 32],
    chunk: [u8; CHUNK],
    /// Bytes of the chunk that have been written, or read.
    used: usize,
    /// Bytes that the chunk holds.
    held: usize,
    /// Bytes of the state after this chunk.
    left: usize,
    counter: u64,
}

impl Chunks {
    fn new(root: &Key, fresh: &[u8; FRESH_LEN], belonging: Belonging<'_>, len: usize) -> Self {
        let key = state_key(root, fresh, belonging.id.iteration);
        Chunks {
            cipher: ChaChaPoly::new(key.reveal()),
            belonging: belonging.hash(),
            chunk: [0; CHUNK],
            used: 0,
            held: 0,
            left: len,
            counter: 0,
        }
    }

    /// Goes to the next chunk. Returns its nonce.
    fn next(&mut self) -> u64 {
        self.used = 0;
        self.held = self.left.min(CHUNK);
        self.left -= self.held;
        self.counter += 1;
        match self.left {
            0 => self.counter | LAST,
            _ => self.counter,
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.chunk.zeroize();
    }
}

/// Seals a state and sends it to the host, after the checkpoint's name, chunk by chunk.
pub struct Sealer<'l, T> {
    link: &'l mut Link<T>,
    chunks: Chunks,
    nonce: u64,
}

impl<'l, T: Read + Write> Sealer<'l, T> {
    /// Begins a state of `len` bytes. `fresh` is the fresh value of the session under way, which seals one state before each
    /// iteration at most. Fails if the link does.
    #[inline(never)]
    pub fn new(
        link: &'l mut Link<T>,
        root: &Key,
        fresh: &[u8; FRESH_LEN],
        belonging: Belonging<'_>,
        len: usize,
    ) -> Result<Self, LinkError> {
        link.send(&belonging.id.iteration.to_le_bytes())?;
        link.send(&belonging.id.run)?;
        link.send(fresh)?;
        let mut chunks = Chunks::new(root, fresh, belonging, len);
        let nonce = chunks.next();
        Ok(Sealer {
            link,
            chunks,
            nonce,
        })
    }

    /// Takes the next bytes of the state. Fails if the link does. Bytes beyond the state's length are left out.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() && self.chunks.held > 0 {
            let Chunks { used, held, .. } = self.chunks;
            let (now, later) = bytes.split_at(bytes.len().min(held - used));
            self.chunks.chunk[used..used + now.len()].copy_from_slice(now);
            self.chunks.used += now.len();
            bytes = later;
            if self.chunks.used == held {
                self.send()?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn send(&mut self) -> Result<(), LinkError> {
        let Chunks {
            cipher,
            belonging,
            chunk,
            held,
            ..
        } = &mut self.chunks;
        let bytes = &mut chunk[..*held];
        let tag = cipher.seal(self.nonce, belonging, bytes);
        self.link.send(bytes)?;
        self.link.send(&tag)?;
        self.nonce = self.chunks.next();
        if self.chunks.held == 0 {
            self.link.flush()?;
        }
        Ok(())
    }
}

/// Receives a sealed state from the host and opens it, chunk by chunk.
pub struct Opener<'l, T> {
    link: &'l mut Link<T>,
    chunks: Chunks,
}

impl<'l, T: Read + Write> Opener<'l, T> {
    /// Begins a state of `len` bytes that belongs to `belonging`. Fails if the link does.
    #[inline(never)]
    pub fn new(
        link: &'l mut Link<T>,
        root: &Key,
        belonging: Belonging<'_>,
        len: usize,
    ) -> Result<Self, LinkError> {
        let mut fresh = [0; FRESH_LEN];
        link.receive(&mut fresh)?;
        let chunks = Chunks::new(root, &fresh, belonging, len);
        Ok(Opener { link, chunks })
    }

    /// Gives the next bytes of the state. Fails with [`StateError::Forged`] if they are not what was sealed, or if there
    /// are no more, and if the link does.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<(), StateError> {
        for byte in bytes {
            if self.chunks.used == self.chunks.held {
                self.receive()?;
            }
            *byte = self.chunks.chunk[self.chunks.used];
            self.chunks.used += 1;
        }
        Ok(())
    }

    /// Receives the rest of a state that is not taken back, so that the host can hear why. Fails if the link does.
    #[inline(never)]
    pub fn discard(&mut self) -> Result<(), LinkError> {
        while self.chunks.left > 0 {
            self.chunks.next();
            self.receive_chunk()?;
        }
        Ok(())
    }

    #[inline(never)]
    fn receive(&mut self) -> Result<(), StateError> {
        let nonce = self.chunks.next();
        if self.chunks.held == 0 {
            return Err(StateError::Forged);
        }
        let tag = self.receive_chunk()?;
        let Chunks {
            cipher,
            belonging,
            chunk,
            held,
            ..
        } = &mut self.chunks;
        let opened = cipher.open(nonce, belonging, &mut chunk[..*held], &tag);
        opened.map_err(|_| StateError::Forged)
    }

    /// Receives a sealed chunk. Returns its tag.
    fn receive_chunk(&mut self) -> Result<[u8; TAG_LEN], LinkError> {
        let mut tag = [0; TAG_LEN];
        self.link
            .receive(&mut self.chunks.chunk[..self.chunks.held])?;
        self.link.receive(&mut tag)?;
        Ok(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::{vec, vec::Vec};

    use crate::{
        gate::harness::duplex,
        net::link::Remote,
        tests::{networks, session},
    };

    const FRESH: [u8; FRESH_LEN] = [7; FRESH_LEN];

    fn id(iteration: u32) -> CheckpointId {
        CheckpointId {
            iteration,
            run: [3; 16],
        }
    }

    fn sealed(root: &Key, belonging: Belonging<'_>, state: &[u8]) -> Vec<u8> {
        let [near, far] = duplex(1 << 16);
        let mut link = Link::new(near, Remote::Peer, 1 << 16);
        let mut sealer = Sealer::new(&mut link, root, &FRESH, belonging, state.len()).unwrap();
        for word in state.chunks(7) {
            sealer.write(word).unwrap();
        }
        let mut name = [0; NAME_LEN];
        let mut sealed = vec![0; sealed_len(state.len())];
        let mut host = Link::new(far, Remote::Peer, 0);
        host.receive(&mut name).unwrap();
        host.receive(&mut sealed).unwrap();
        assert_eq!(name_of(&name), belonging.id);
        sealed
    }

    fn opened(
        root: &Key,
        belonging: Belonging<'_>,
        sealed: &[u8],
        len: usize,
    ) -> Result<Vec<u8>, StateError> {
        let [near, far] = duplex(1 << 16);
        let mut host = Link::new(far, Remote::Peer, 1 << 16);
        host.send(sealed).unwrap();
        host.flush().unwrap();
        drop(host);
        let mut link = Link::new(near, Remote::Peer, 0);
        let mut opener = Opener::new(&mut link, root, belonging, len)?;
        let mut state = vec![0; len];
        for word in state.chunks_mut(5) {
            opener.read(word)?;
        }
        Ok(state)
    }

    #[test]
    fn a_state_is_taken_back_where_it_belongs_and_nowhere_else() {
        let (input, layers) = networks().swap_remove(3);
        let one = session::<u32>(input, &layers, 5);
        let other = session::<u32>(input, &layers, 6);
        let root = Key::new([9; 32]);
        let belonging = Belonging {
            role: Role::P0,
            session: &one,
            peer: PublicIdentity([1; 32]),
            id: id(5),
        };
        for len in [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 40] {
            let state: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let bytes = sealed(&root, belonging, &state);
            assert_eq!(opened(&root, belonging, &bytes, len), Ok(state));
            let forged = Err(StateError::Forged);
            for wrong in [
                Belonging {
                    role: Role::P1,
                    ..belonging
                },
                Belonging {
                    session: &other,
                    ..belonging
                },
                Belonging {
                    peer: PublicIdentity([2; 32]),
                    ..belonging
                },
                Belonging {
                    id: id(6),
                    ..belonging
                },
            ] {
                assert_eq!(opened(&root, wrong, &bytes, len), forged);
            }
            let foreign = Key::new([8; 32]);
            assert_eq!(opened(&foreign, belonging, &bytes, len), forged);
            for at in [0, FRESH_LEN, bytes.len() / 2, bytes.len() - 1] {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert_eq!(
                    opened(&root, belonging, &changed, len),
                    forged,
                    "{len} {at}"
                );
            }
        }
    }

    #[test]
    fn chunks_cannot_change_places_or_be_left_out() {
        let (input, layers) = networks().swap_remove(3);
        let session = session::<u32>(input, &layers, 5);
        let root = Key::new([9; 32]);
        let belonging = Belonging {
            role: Role::P0,
            session: &session,
            peer: PublicIdentity([1; 32]),
            id: id(5),
        };
        let state = vec![5; 3 * CHUNK];
        let bytes = sealed(&root, belonging, &state);
        let chunk = |number: usize| {
            let first = FRESH_LEN + number * (CHUNK + TAG_LEN);
            &bytes[first..first + CHUNK + TAG_LEN]
        };
        let fresh = &bytes[..FRESH_LEN];
        let forged = Err(StateError::Forged);
        let swapped = [fresh, chunk(1), chunk(0), chunk(2)].concat();
        assert_eq!(opened(&root, belonging, &swapped, 3 * CHUNK), forged);
        // A shorter state does not end with a chunk that was not the last.
        let cut = [fresh, chunk(0), chunk(1)].concat();
        assert_eq!(opened(&root, belonging, &cut, 2 * CHUNK), forged);
    }
}
