//! An upload as its owner makes it, piece by piece, in little memory.

use clatter::{crypto::hash::Blake2s, traits::Hash};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    cost::LANES,
    prg::{Address, Key, Prg},
};

use super::{
    CollectionTask, DEALER_SEAL_LEN, PARTY_SEAL_LEN, Part, UploadError, UploadId, key, mask,
    received::{HEADER_LEN, Header},
    seal::seal,
};

/// Streams of an upload's secret.
const ID: u32 = 0;
const SEEDS: [u32; 2] = [1, 2];
const EPHEMERAL: u32 = 3;

/// An upload under way: it masks samples and passes on the bytes to send. It holds no sample, and wipes its seeds when it is
/// dropped.
pub struct Upload<'a> {
    task: &'a CollectionTask,
    id: UploadId,
    seeds: [Key; 2],
    ephemeral: Key,
    hash: Blake2s,
    /// Contributions so far, and in all.
    done: u16,
    count: u16,
}

impl<'a> Upload<'a> {
    /// Begins an upload of `count` contributions, and passes its first bytes to `write`. All randomness comes from `secret`: 32
    /// bytes that nobody can guess and that serve no other upload. The same secret and samples make the same bytes.
    ///
    /// Fails if the task cannot be used or if `count` is 0, and as `write` does.
    pub fn begin<E: From<UploadError>>(
        task: &'a CollectionTask,
        secret: &Key,
        count: u16,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        task.check().map_err(UploadError::Task)?;
        if count == 0 {
            return Err(UploadError::Length.into());
        }
        let prg = Prg::new(secret.clone());
        let mut id = [0; 16];
        prg.fill(stream(ID), 0, &mut id);
        let derive = |number| {
            let Ok(key) = Key::filled(|bytes| {
                prg.fill(stream(number), 0, bytes);
                Ok::<_, core::convert::Infallible>(())
            });
            key
        };
        let mut upload = Upload {
            task,
            id: UploadId(id),
            seeds: SEEDS.map(derive),
            ephemeral: derive(EPHEMERAL),
            hash: Blake2s::default(),
            done: 0,
            count,
        };
        let header = Header {
            task: task.id(),
            id: upload.id,
            count,
        };
        let bytes: [u8; HEADER_LEN] = header.to_bytes();
        upload.hash.input(&bytes);
        write(&bytes)?;
        Ok(upload)
    }

    /// The upload's name.
    pub fn id(&self) -> UploadId {
        self.id
    }

    /// Masks the next sample, and passes its bytes to `write` in pieces of at most 256.
    ///
    /// Fails if the sample does not have the task's shape, if the label is not one of its classes, if there are
    /// enough samples already, and as `write` does.
    pub fn sample<E: From<UploadError>>(
        &mut self,
        pixels: &[u8],
        label: u8,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let task = self.task;
        if pixels.len() != task.input_len() {
            return Err(UploadError::Length.into());
        }
        if label >= task.classes {
            return Err(UploadError::Label.into());
        }
        if self.done == self.count {
            return Err(UploadError::Length.into());
        }
        let keys = [0, 1].map(|party: usize| key(&self.seeds[party], self.done));
        self.done += 1;
        let channels = task.input[2] as usize;
        let pixel = |index: usize| {
            let normalisation = &task.normalisation;
            normalisation.units::<u32>(index % channels, pixels[index], task.fraction)
        };
        self.masked(&keys, Part::Pixels, pixels.len(), pixel, &mut write)?;
        // The label is secret, so each class is written the same way.
        let class = |index: usize| u32::from(index == usize::from(label));
        let classes = task.classes.into();
        self.masked(&keys, Part::Label, classes, class, &mut write)
    }

    /// Masks `len` values, and passes them on.
    fn masked<E>(
        &mut self,
        keys: &[Key; 2],
        part: Part,
        len: usize,
        value: impl Fn(usize) -> u32,
        write: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let value_len = self.task.value_len();
        for first in (0..len).step_by(LANES) {
            let count = LANES.min(len - first);
            let (mut words, mut masks) = ([0u32; LANES], [0u32; LANES]);
            let (words, masks) = (&mut words[..count], &mut masks[..count]);
            for (index, word) in words.iter_mut().enumerate() {
                *word = value(first + index);
            }
            for key in keys {
                mask(key.reveal(), part, first as u64, masks);
                for (word, &mut mask) in words.iter_mut().zip(&mut *masks) {
                    *word = word.wrapping_add(mask);
                }
            }
            masks.zeroize();
            // The low bytes are what the values have.
            let mut bytes = [0; 4 * LANES];
            let bytes = &mut bytes[..count * value_len];
            for (bytes, word) in bytes.chunks_exact_mut(value_len).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes()[..value_len]);
            }
            self.hash.input(bytes);
            write(bytes)?;
        }
        Ok(())
    }

    /// Ends the upload: passes the seals to `write`. Returns the hash that they are bound to.
    ///
    /// Fails if samples are missing, if nothing can be sealed to an identity of the task, and as `write` does.
    pub fn finish<E: From<UploadError>>(
        self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<[u8; 32], E> {
        if self.done < self.count {
            return Err(UploadError::Length.into());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(self.hash.result().as_slice());
        let [p0, p1] = &self.seeds;
        for (number, seed) in [(0, p0), (1, p1)] {
            let mut sealed = [0; PARTY_SEAL_LEN];
            let to = &self.task.identities[number as usize];
            seal(
                (&self.ephemeral, number),
                to,
                seed.reveal(),
                &hash,
                &mut sealed,
            )?;
            write(&sealed)?;
        }
        let mut both = Zeroizing::new([0; 2 * Key::LEN]);
        both[..Key::LEN].copy_from_slice(p0.reveal());
        both[Key::LEN..].copy_from_slice(p1.reveal());
        let mut sealed = [0; DEALER_SEAL_LEN];
        let to = self.task.dealer();
        seal((&self.ephemeral, 2), to, &both, &hash, &mut sealed)?;
        write(&sealed)?;
        Ok(hash)
    }
}

/// A stream of an upload's secret.
fn stream(number: u32) -> Address {
    Address {
        iteration: number,
        gate: 0,
        wire: 0,
    }
}
