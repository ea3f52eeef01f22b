//! Fresh values from a hardware generator.

use ringlet_core::{device::NotFresh, prg::device_key::FRESH_LEN};

use super::Fresh;

/// Words of a fresh value.
const WORDS: usize = FRESH_LEN / size_of::<u32>();

/// Fresh values from a hardware generator: a function that returns its next word, or `None` when the generator reports
/// an error. A generator that repeats a word counts as broken.
pub struct Random<G>(pub G);

impl<G: FnMut() -> Option<u32>> Fresh for Random<G> {
    fn fresh(&mut self) -> Result<[u8; FRESH_LEN], NotFresh> {
        let mut words = [[0; size_of::<u32>()]; WORDS];
        // The first word only serves to compare the next with.
        let mut last = (self.0)().ok_or(NotFresh::Generator)?;
        for bytes in &mut words {
            let word = (self.0)().ok_or(NotFresh::Generator)?;
            if word == last {
                return Err(NotFresh::Generator);
            }
            *bytes = word.to_le_bytes();
            last = word;
        }
        let mut fresh = [0; FRESH_LEN];
        fresh.copy_from_slice(words.as_flattened());
        Ok(fresh)
    }

    fn given(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_words_of_the_generator() {
        let mut next = 0;
        let mut source = Random(|| {
            next += 1;
            Some(next)
        });
        assert_eq!(
            source.fresh(),
            Ok([2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0])
        );
        assert_ne!(source.fresh(), source.fresh());
    }

    #[test]
    fn a_generator_that_repeats_itself_or_fails_gives_nothing() {
        assert_eq!(Random(|| Some(0)).fresh(), Err(NotFresh::Generator));
        assert_eq!(Random(|| None).fresh(), Err(NotFresh::Generator));
        let mut left = 3;
        let mut source = Random(|| {
            left -= 1;
            (left > 0).then_some(left)
        });
        assert_eq!(source.fresh(), Err(NotFresh::Generator));
        // It sticks after some words.
        let mut next = 0;
        let mut source = Random(|| {
            next += 1;
            Some(3.min(next))
        });
        assert_eq!(source.fresh(), Err(NotFresh::Generator));
    }
}
