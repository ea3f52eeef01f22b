//! Sums of both parties' shares in a simulation: how the shares of one party come to the other's observer, and how large the sums are.

use std::{
    cell::RefCell,
    sync::mpsc::{Receiver, Sender, channel},
};

use ringlet_core::{num::Ring, share::Share};

/// Where the observer of one party gives its shares. The lists come back, so that no memory is asked for again and again.
pub struct Giver<R> {
    given: Sender<Vec<R>>,
    back: Receiver<Vec<R>>,
    /// Lists that have come back, each as long as the shares that it was made for.
    free: RefCell<Vec<Vec<R>>>,
}

/// Where that of the other takes them.
pub struct Taker<R> {
    given: Receiver<Vec<R>>,
    back: Sender<Vec<R>>,
}

/// Both ends.
pub fn pair<R>() -> (Giver<R>, Taker<R>) {
    let (sender, given) = channel();
    let (giver_of_back, back) = channel();
    let giver = Giver {
        given: sender,
        back,
        free: RefCell::default(),
    };
    let taker = Taker {
        given,
        back: giver_of_back,
    };
    (giver, taker)
}

impl<R: Ring> Giver<R> {
    /// Gives shares to the other observer.
    pub fn give(&self, shares: &[Share<R>]) {
        let mut list = self.free_list(shares.len());
        list.clear();
        list.extend(shares.iter().map(|share| share.reveal()));
        // The other thread has ended only if the run has failed already.
        let _ = self.given.send(list);
    }
}

impl<R> Giver<R> {
    /// The shortest free list that is long enough, or a new one: a list that grew would stay as long as the longest ever.
    fn free_list(&self, len: usize) -> Vec<R> {
        let mut free = self.free.borrow_mut();
        free.extend(self.back.try_iter());
        let fits = free.iter().enumerate();
        let fits = fits.filter(|(_, list)| list.capacity() >= len);
        match fits.min_by_key(|(_, list)| list.capacity()) {
            Some((index, _)) => free.swap_remove(index),
            None => Vec::with_capacity(len),
        }
    }
}

impl<R: Ring> Taker<R> {
    /// The sums of the other party's next shares and of these, where an empty list stands for zeros. None if that party has
    /// ended.
    pub fn take(&self, shares: &[Share<R>]) -> Option<Vec<R>> {
        let mut sums = self.given.recv().ok()?;
        if sums.is_empty() {
            sums.extend(shares.iter().map(|share| share.reveal()));
            return Some(sums);
        }
        for (sum, share) in sums.iter_mut().zip(shares) {
            *sum = sum.plus(share.reveal());
        }
        Some(sums)
    }

    /// Gives a list back.
    pub fn give_back(&self, list: Vec<R>) {
        // Where the other party has ended nobody needs it.
        let _ = self.back.send(list);
    }
}

/// The size of a value of the ring of so many bits: x, or -(x + 1) if it is negative. Bits above the ring do not count.
#[inline(always)]
pub fn size<R: Ring>(value: R, ring: u32) -> R {
    let unused = R::BITS - ring;
    let value = value.short_left(unused);
    let sign = R::ZERO.minus(value.short_right(R::BITS - 1));
    value.xor(sign).short_right(unused)
}

/// A word of the ring Z_2^L as a signed number.
#[inline(always)]
pub fn number<R: Ring>(value: R) -> f64 {
    match R::BITS {
        32 => f64::from(value.to_u64() as i32),
        _ => value.to_u64() as i64 as f64,
    }
}

/// The sum of the squares of words of the ring Z_2^L, as signed numbers.
pub fn squares<R: Ring>(values: &[R]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, &value) in sums.iter_mut().zip(eight) {
            *sum += number(value).powi(2);
        }
    }
    let rest = rest.iter().map(|&value| number(value).powi(2));
    sums.into_iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use bytemuck::TransparentWrapper;

    use super::*;

    #[test]
    fn lists_come_back_and_empty_ones_stand_for_zeros() {
        let (giver, taker) = pair::<u32>();
        let shares = |words: &'static [u32]| Share::wrap_slice(words);
        let mut place = None;
        for _ in 0..3 {
            giver.give(shares(&[1, u32::MAX, 3]));
            let sums = taker.take(shares(&[10, 2, 30])).expect("given");
            assert_eq!(sums, [11, 1, 33]);
            assert_eq!(*place.get_or_insert(sums.as_ptr()), sums.as_ptr());
            taker.give_back(sums);
        }
        giver.give(&[]);
        assert_eq!(taker.take(shares(&[7, 8])), Some(vec![7, 8]));
        giver.give(shares(&[7, 8]));
        assert_eq!(taker.take(&[]), Some(vec![7, 8]));
        drop(giver);
        assert_eq!(taker.take(&[]), None);
    }

    #[test]
    fn squares_are_of_signed_numbers() {
        let words: Vec<u32> = (0..21u32).map(|word| word.wrapping_neg()).collect();
        let wanted = f64::from((0..21).map(|x| x * x).sum::<i32>());
        assert_eq!(squares(&words), wanted);
        let words: Vec<u64> = words.iter().map(|&word| word as i32 as u64).collect();
        assert_eq!(squares(&words), wanted);
        assert_eq!(squares::<u32>(&[]), 0.0);
    }
}
