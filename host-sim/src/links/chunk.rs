//! Bytes on their way over a link. They may be keys and corrections, so they are wiped when they are dropped.

use std::ops::Deref;

use zeroize::optimization_barrier;

/// Up to a fixed number of bytes on their way. Its memory never moves, so the wiped copy is the only one.
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// A chunk with room for `room` bytes.
    pub fn new(room: usize) -> Self {
        Chunk(Vec::with_capacity(room))
    }

    /// A chunk without bytes or room.
    pub const fn empty() -> Self {
        Chunk(Vec::new())
    }

    /// Adds as many of `bytes` as there is room for. Returns their number.
    pub fn add(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.0.capacity() - self.0.len());
        self.0.extend_from_slice(&bytes[..count]);
        count
    }

    /// Wipes the bytes, so that the chunk has all its room again.
    pub fn clear(&mut self) {
        wipe(&mut self.0);
        self.0.clear();
    }

    /// Whether there is no more room.
    pub fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }

    /// Replaces the bytes by what `read` puts into all the room. `read` returns how many it has put there.
    pub fn refill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let left = self.0.len();
        self.0.resize(self.0.capacity(), 0);
        let count = read(&mut self.0);
        // What the last read left behind the new bytes is not dropped with the chunk.
        let kept = *count.as_ref().unwrap_or(&0);
        if kept < left {
            wipe(&mut self.0[kept..left]);
        }
        self.0.truncate(kept);
        count
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Only what was used: a short message is not as dear as a full chunk.
        wipe(&mut self.0);
    }
}

/// Wipes bytes, as fast as the machine clears memory.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_takes_what_fits_and_does_not_move() {
        let mut chunk = Chunk::new(5);
        let place = chunk.as_ptr();
        assert_eq!(chunk.add(b"abc"), 3);
        assert_eq!(chunk.add(b"defg"), 2);
        assert_eq!((&chunk[..], chunk.is_full()), (&b"abcde"[..], true));
        assert_eq!(chunk.as_ptr(), place);
    }

    #[test]
    fn a_cleared_chunk_has_all_its_room_again() {
        let mut chunk = Chunk::new(5);
        chunk.add(b"abcde");
        chunk.clear();
        assert!(chunk.is_empty() && !chunk.is_full());
        assert_eq!(chunk.add(b"xyzabc"), 5);
    }

    #[test]
    fn every_byte_is_wiped_wherever_the_list_begins_and_ends() {
        let mut bytes = [0u8; 40];
        for first in 0..bytes.len() {
            for last in first..bytes.len() {
                bytes.fill(7);
                wipe(&mut bytes[first..last]);
                let wanted = |(at, &byte): (usize, &u8)| (byte == 0) == (first..last).contains(&at);
                assert!(bytes.iter().enumerate().all(wanted), "{first}..{last}");
            }
        }
    }

    #[test]
    fn a_shorter_read_leaves_nothing_of_the_longer_one_before() {
        let mut chunk = Chunk::new(5);
        let place = chunk.as_ptr();
        chunk.add(b"abcde");
        let read = chunk.refill(|room| {
            assert_eq!(room.len(), 5);
            room[..2].copy_from_slice(b"xy");
            Ok::<_, ()>(2)
        });
        assert_eq!((read, &chunk[..]), (Ok(2), &b"xy"[..]));
        chunk
            .refill(|room| {
                assert_eq!(room, b"xy\0\0\0");
                Err::<usize, _>(())
            })
            .expect_err("a failed read");
        assert_eq!((chunk.len(), chunk.as_ptr()), (0, place));
    }
}
