//! The samples of a micro-batch as a role knows them.

use crate::{
    Role,
    num::arena::{Arena, words},
    prg::Key,
    session::Session,
};

#[cfg(feature = "contributions")]
use crate::data::{ContributionKeys, DataError};
#[cfg(feature = "contributions")]
use zeroize::Zeroize;

/// A role's memory of a micro-batch's samples. It wipes the keys when it is dropped.
pub(crate) struct SampleMemory<'a> {
    /// Their numbers.
    pub numbers: &'a mut [u32],
    /// If they are contributions, the keys of their masks at P0 and at P1, as far as the role knows them.
    #[cfg(feature = "contributions")]
    pub keys: [&'a mut [[u8; Key::LEN]]; 2],
}

/// The samples of a micro-batch.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    /// Their numbers.
    pub numbers: &'a [u32],
    /// See [`SampleMemory::keys`].
    #[cfg(feature = "contributions")]
    pub keys: [&'a [[u8; Key::LEN]]; 2],
}

impl<'a> SampleMemory<'a> {
    /// Takes the memory of `rows` samples, of whose masks the role knows the keys of these parties.
    pub fn take(arena: &mut Arena<'a>, session: &Session, rows: usize, parties: &[Role]) -> Self {
        let numbers = arena.take(rows);
        #[cfg(not(feature = "contributions"))]
        let _ = (session, parties);
        SampleMemory {
            numbers,
            #[cfg(feature = "contributions")]
            keys: Role::BOTH.map(|party| match parties.contains(&party) {
                true => arena.take(keys(session, rows)),
                false => &mut [],
            }),
        }
    }

    /// 64-bit words that a role needs which knows the keys of so many parties.
    pub fn words(session: &Session, rows: usize, parties: usize) -> usize {
        words(rows, size_of::<u32>()) + parties * words(keys(session, rows), Key::LEN)
    }

    /// Reads the keys of the first `rows` samples, which the dealer knows.
    #[cfg(feature = "contributions")]
    pub fn read_keys(
        &mut self,
        rows: usize,
        contributions: &mut impl ContributionKeys,
    ) -> Result<(), DataError> {
        let [p0, p1] = &mut self.keys;
        let keys = p0.iter_mut().zip(p1.iter_mut());
        for (&sample, (p0, p1)) in self.numbers[..rows].iter().zip(keys) {
            contributions.keys(sample, [p0, p1])?;
        }
        Ok(())
    }

    /// The samples.
    pub fn view(&self) -> Samples<'_> {
        Samples {
            numbers: self.numbers,
            #[cfg(feature = "contributions")]
            keys: [&*self.keys[0], &*self.keys[1]],
        }
    }
}

impl<'a> Samples<'a> {
    /// No samples.
    pub const NONE: Self = Samples {
        numbers: &[],
        #[cfg(feature = "contributions")]
        keys: [&[]; 2],
    };

    /// The first `rows` of them.
    pub fn first(self, rows: usize) -> Self {
        self.with_numbers(&self.numbers[..rows])
    }

    /// The same with other numbers.
    pub fn with_numbers(mut self, numbers: &'a [u32]) -> Self {
        self.numbers = numbers;
        self
    }
}

/// Keys of one party for `rows` samples.
fn keys(session: &Session, rows: usize) -> usize {
    match session.contributions {
        Some(_) => rows,
        None => 0,
    }
}

#[cfg(feature = "contributions")]
impl Drop for SampleMemory<'_> {
    fn drop(&mut self) {
        for keys in &mut self.keys {
            keys.as_flattened_mut().zeroize();
        }
    }
}
