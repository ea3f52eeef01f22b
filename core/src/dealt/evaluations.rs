//! The keys of evaluations between the iterations of a training.
//!
//! An evaluation draws all its masks from keys of its own. They are words of a stream of the session keys that serves
//! nothing else, so they are as good as new session keys. They are numbered under each set of session keys, and a run
//! that goes on has new ones: no key comes twice.

use crate::{
    dealt::stream_ids,
    prg::{Key, Prg},
    session::RunError,
};

/// Counts the evaluations under a set of session keys.
#[derive(Default)]
pub(crate) struct Evaluations(u32);

impl Evaluations {
    /// The generators of the next evaluation, from those of the session keys. Fails with [`RunError::Spent`] after 2^32 - 1
    /// evaluations.
    pub fn next<const N: usize>(&mut self, prgs: [&Prg; N]) -> Result<[Prg; N], RunError> {
        let address = stream_ids::evaluation(self.0);
        self.0 = self.0.checked_add(1).ok_or(RunError::Spent)?;
        #[cfg(test)]
        crate::gate::reuse::use_once(address, 0, Key::LEN);
        Ok(prgs.map(|prg| {
            let key = Key::filled(|bytes| {
                prg.fill(address, 0, bytes);
                Ok::<_, core::convert::Infallible>(())
            });
            match key {
                Ok(key) => Prg::new(key),
                Err(never) => match never {},
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashSet;

    use super::*;
    use crate::prg::Address;

    #[test]
    fn every_evaluation_has_streams_of_its_own() {
        let prgs = [1, 2].map(|byte| Prg::new(Key::new([byte; Key::LEN])));
        let at = Address {
            iteration: 0,
            gate: 0,
            wire: 0,
        };
        let word = |prg: &Prg| {
            let mut word = [0u64; 1];
            prg.fill(at, 0, &mut word);
            word[0]
        };
        let mut words: HashSet<u64> = prgs.iter().map(word).collect();
        let mut evaluations = Evaluations::default();
        for _ in 0..5 {
            let keys = evaluations.next([&prgs[0], &prgs[1]]);
            words.extend(keys.into_iter().flatten().map(|prg| word(&prg)));
        }
        assert_eq!(words.len(), 12);
        assert!(Evaluations(u32::MAX).next([&prgs[0]]).is_err());
    }
}
