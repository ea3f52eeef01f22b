//! What gates work with: the roles' contexts, a gate's address in the streams, and groups of lanes.

use crate::{
    Role,
    cost::LANES,
    net::link::{LinkError, Segment},
    num::ring::Word,
    prg::{Address, Prg},
};

/// What a gate needs of a computing party.
pub trait Online {
    /// Which party this is.
    fn role(&self) -> Role;
    /// The streams that this party shares with the dealer.
    fn prg(&self) -> &Prg;
    /// Opens the segments in one round.
    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError>;
    /// The next bytes of corrections. Only P1 asks.
    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// What a gate needs of the dealer.
pub trait Offline {
    /// The streams shared with one of the parties.
    fn prg(&self, role: Role) -> &Prg;
    /// Sends bytes of corrections to P1.
    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError>;
}

/// Where a gate stands: its iteration, its place in the network, and its first row in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Iteration of the run.
    pub iteration: u32,
    /// Number of the gate, whose wires are its own.
    pub gate: u32,
    /// Place in the whole batch of the first sample that is being worked on.
    pub row: u64,
}

impl At {
    pub(crate) fn wire(self, wire: u8) -> Address {
        Address {
            iteration: self.iteration,
            gate: self.gate,
            wire,
        }
    }
}

/// Up to [`LANES`] neighbouring elements of one row, worked on together.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// Index of the first element in a buffer of `rows` x `len`.
    pub first: usize,
    /// Elements in the group.
    pub lanes: usize,
    /// Offset of the group's first element in the gate's streams, where rows are padded to whole
    /// groups, so that the same sample has the same masks however a batch is cut up.
    pub stream: u64,
    /// Index of the group's first byte in a buffer of bit planes, one bit for each element.
    pub plane: usize,
}

/// Bytes of one bit plane over a row.
pub(crate) const fn plane_len(len: usize) -> usize {
    len / LANES * 8 + (len % LANES).div_ceil(8)
}

/// The groups of `rows` x `len` elements in order.
pub(crate) fn groups(at: At, rows: usize, len: usize) -> impl Iterator<Item = Group> {
    let per_row = len.div_ceil(LANES);
    (0..rows).flat_map(move |row| {
        (0..per_row).map(move |group| Group {
            first: row * len + group * LANES,
            lanes: LANES.min(len - group * LANES),
            stream: ((at.row + row as u64) * per_row as u64 + group as u64) * LANES as u64,
            plane: row * plane_len(len) + group * 8,
        })
    })
}

impl Group {
    pub(crate) fn range(&self) -> core::ops::Range<usize> {
        self.first..self.first + self.lanes
    }

    /// Bytes of one plane of this group.
    pub(crate) fn plane_bytes(&self) -> usize {
        self.lanes.div_ceil(8)
    }
}

/// Writes the low bits of a plane of at most 64 lanes.
pub(crate) fn store_plane(plane: u64, bytes: &mut [u8]) {
    for (byte, value) in bytes.iter_mut().zip(plane.to_le_bytes()) {
        *byte = value;
    }
}

/// Reads a plane of at most 64 lanes.
pub(crate) fn load_plane(bytes: &[u8]) -> u64 {
    let mut plane = [0; 8];
    plane[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(plane)
}
