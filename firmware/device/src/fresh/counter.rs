//! A counter of sessions in memory that keeps its contents without power.
//!
//! It has two slots, which take turns. A value is written, and read back, before it is given. Power may fail at any time:
//! while one slot is erased and written, the other holds the value before.

use ringlet_core::{device::NotFresh, prg::device_key::FRESH_LEN};

use super::Fresh;

/// Bytes of a slot: a value, and its complement.
pub const SLOT_LEN: usize = 16;

/// The memory cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageError;

/// Memory that keeps its contents without power, with two slots that are erased apart from each other.
pub trait Storage {
    /// Reads slot 0 or 1. An erased slot reads all ones.
    fn read(&mut self, slot: usize) -> Result<[u8; SLOT_LEN], StorageError>;

    /// Erases slot 0 or 1, writes it, and returns when its contents would outlast the power.
    fn write(&mut self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), StorageError>;
}

/// Fresh values that count from 1. Erase the memory only together with the device's secret.
pub struct Counter<S> {
    storage: S,
    given: Option<u64>,
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Blank,
    Damaged,
    Value(u64),
}

impl Slot {
    fn read(bytes: [u8; SLOT_LEN]) -> Self {
        let (value, complement) = bytes.split_at(SLOT_LEN / 2);
        if bytes == [u8::MAX; SLOT_LEN] {
            return Slot::Blank;
        }
        if !value.iter().zip(complement).all(|(a, b)| *a == !*b) {
            return Slot::Damaged;
        }
        let mut number = [0; SLOT_LEN / 2];
        number.copy_from_slice(value);
        Slot::Value(u64::from_le_bytes(number))
    }

    fn bytes(value: u64) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        bytes[..SLOT_LEN / 2].copy_from_slice(&value.to_le_bytes());
        bytes[SLOT_LEN / 2..].copy_from_slice(&(!value).to_le_bytes());
        bytes
    }
}

impl<S: Storage> Counter<S> {
    /// The counter in this memory. It goes on after the last value that was written there.
    pub fn new(storage: S) -> Self {
        Counter {
            storage,
            given: None,
        }
    }

    /// The next value, and the slot that it goes to: not that of the last value.
    fn next(&mut self) -> Result<(u64, usize), NotFresh> {
        let mut slots = [Slot::Blank; 2];
        for (number, slot) in slots.iter_mut().enumerate() {
            let bytes = self.storage.read(number).map_err(|_| NotFresh::Storage)?;
            *slot = Slot::read(bytes);
        }
        let (last, spare, other) = match slots {
            [Slot::Blank, Slot::Blank] => return Ok((1, 0)),
            [Slot::Value(a), Slot::Value(b)] if a > b => (a, 1, slots[1]),
            [_, Slot::Value(b)] => (b, 0, slots[0]),
            [Slot::Value(a), _] => (a, 1, slots[1]),
            _ => return Err(NotFresh::Damaged),
        };
        // A damaged slot may have held the value after the last, and that may have been given.
        let step = if other == Slot::Damaged { 2 } else { 1 };
        let next = last.checked_add(step).ok_or(NotFresh::Damaged)?;
        Ok((next, spare))
    }
}

impl<S: Storage> Fresh for Counter<S> {
    fn fresh(&mut self) -> Result<[u8; FRESH_LEN], NotFresh> {
        let (value, slot) = self.next()?;
        let bytes = Slot::bytes(value);
        let written = self.storage.write(slot, &bytes);
        if written.is_err() || self.storage.read(slot) != Ok(bytes) {
            return Err(NotFresh::Storage);
        }
        self.given = Some(value);
        let mut fresh = [0; FRESH_LEN];
        fresh[..size_of::<u64>()].copy_from_slice(&value.to_le_bytes());
        Ok(fresh)
    }

    fn given(&self) -> Option<u64> {
        self.given
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{cell::RefCell, collections::BTreeSet};

    use super::*;

    /// Memory whose power fails after some bytes: erasing a byte and writing a byte are a step each.
    struct Memory {
        slots: [[u8; SLOT_LEN]; 2],
        steps: usize,
    }

    const BLANK: Memory = Memory {
        slots: [[u8::MAX; SLOT_LEN]; 2],
        steps: usize::MAX,
    };

    impl Memory {
        fn step(&mut self) -> Result<(), StorageError> {
            self.steps = self.steps.checked_sub(1).ok_or(StorageError)?;
            Ok(())
        }
    }

    impl Storage for &RefCell<Memory> {
        fn read(&mut self, slot: usize) -> Result<[u8; SLOT_LEN], StorageError> {
            Ok(self.borrow().slots[slot])
        }

        fn write(&mut self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), StorageError> {
            let mut memory = self.borrow_mut();
            for at in 0..SLOT_LEN {
                memory.step()?;
                memory.slots[slot][at] = u8::MAX;
            }
            for (at, &byte) in bytes.iter().enumerate() {
                memory.step()?;
                memory.slots[slot][at] = byte;
            }
            Ok(())
        }
    }

    /// The next value after a reset.
    fn next(memory: &RefCell<Memory>) -> Result<u64, NotFresh> {
        let mut counter = Counter::new(memory);
        let fresh = counter.fresh()?;
        let value = u128::from_le_bytes(fresh) as u64;
        assert_eq!(counter.given(), Some(value));
        Ok(value)
    }

    #[test]
    fn values_count_from_one_across_resets() {
        let memory = RefCell::new(BLANK);
        assert_eq!(Counter::new(&memory).given(), None);
        for value in 1..10 {
            assert_eq!(next(&memory), Ok(value));
        }
        let mut counter = Counter::new(&memory);
        assert_ne!(counter.fresh(), counter.fresh());
    }

    #[test]
    fn no_value_is_given_twice_wherever_the_power_fails() {
        for before in 0..4 {
            for steps in 0..=2 * SLOT_LEN {
                let memory = RefCell::new(BLANK);
                let mut given = BTreeSet::new();
                for _ in 0..before {
                    assert!(given.insert(next(&memory).unwrap()));
                }
                memory.borrow_mut().steps = steps;
                let cut = next(&memory);
                assert_eq!(cut.is_ok(), steps == 2 * SLOT_LEN);
                given.extend(cut);
                memory.borrow_mut().steps = usize::MAX;
                for _ in 0..3 {
                    match next(&memory) {
                        Ok(value) => assert!(given.insert(value), "{before}, {steps}"),
                        // Only within the very first write is there no other slot to go on from.
                        Err(error) => {
                            assert_eq!((error, before), (NotFresh::Damaged, 0));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_damaged_slot_may_have_held_the_last_value() {
        for damaged in 0..2 {
            let memory = RefCell::new(BLANK);
            let last = (0..5).map(|_| next(&memory).unwrap()).last();
            memory.borrow_mut().slots[damaged][3] ^= 8;
            assert!(next(&memory).ok() > last);
            memory.borrow_mut().slots = [[0x55; SLOT_LEN]; 2];
            assert_eq!(next(&memory), Err(NotFresh::Damaged));
        }
    }

    #[test]
    fn memory_that_does_not_take_a_value_gives_none() {
        struct Stuck;
        impl Storage for Stuck {
            fn read(&mut self, _: usize) -> Result<[u8; SLOT_LEN], StorageError> {
                Ok([u8::MAX; SLOT_LEN])
            }
            fn write(&mut self, _: usize, _: &[u8; SLOT_LEN]) -> Result<(), StorageError> {
                Ok(())
            }
        }
        assert_eq!(Counter::new(Stuck).fresh(), Err(NotFresh::Storage));
    }
}
