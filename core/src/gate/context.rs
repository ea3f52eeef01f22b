//! The interfaces of gates to the roles, the stream address of a gate, and groups of lanes.

use crate::{
    Role,
    cost::LANES,
    net::link::{LinkError, Segment},
    num::ring::Word,
    prg::{Address, Prg},
};

/// A party as a gate sees it.
pub trait Online {
    /// Which party this is.
    fn role(&self) -> Role;
    /// The streams of this party's key with the dealer.
    fn prg(&self) -> &Prg;
    /// Opens the segments in one round: replaces this party's masked shares by the sums of both parties'.
    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError>;
    /// Receives the next bytes of corrections. Only P1 calls this.
    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// The dealer as a gate sees it.
pub trait Offline {
    /// The streams of the dealer's key with a party.
    fn prg(&self, role: Role) -> &Prg;
    /// Sends bytes of corrections to P1.
    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError>;
}

/// Position of a gate in the run, from which its stream addresses and offsets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Iteration of the run.
    pub iteration: u32,
    /// Number of the gate in the network; its wires are not used by another gate.
    pub gate: u32,
    /// Index in the batch of the first sample that is processed.
    pub row: u64,
}

impl At {
    /// The stream address of one of the gate's wires.
    pub(crate) fn wire(self, wire: u8) -> Address {
        Address {
            iteration: self.iteration,
            gate: self.gate,
            wire,
        }
    }
}

/// Up to [`LANES`] adjacent elements of a row, which are processed together.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// Index of the first element in a buffer of `rows` x `len`.
    pub first: usize,
    /// Elements in the group.
    pub lanes: usize,
    /// Offset of the group's first element in the gate's streams. In streams, rows are padded to whole groups, so
    /// that a sample's masks do not depend on the micro-batch.
    pub stream: u64,
    /// Index of the group's first byte in a buffer of one bit plane per row, one bit per element.
    pub plane: usize,
}

/// Bytes of one bit plane over a row of `len` elements.
pub(crate) const fn plane_len(len: usize) -> usize {
    len / LANES * 8 + (len % LANES).div_ceil(8)
}

/// Iterates over the groups of `rows` x `len` elements, in order. `at.row` is the first row's index in the batch.
pub(crate) fn groups(at: At, rows: usize, len: usize) -> Groups {
    Groups {
        rows: if len == 0 { 0 } else { rows },
        len,
        left: len,
        first: 0,
        stream: at.row * (len.div_ceil(LANES) * LANES) as u64,
        plane: 0,
    }
}

/// What [`groups`] returns.
pub(crate) struct Groups {
    /// Rows that are left.
    rows: usize,
    /// Elements of a row.
    len: usize,
    /// Elements that are left in this row.
    left: usize,
    first: usize,
    stream: u64,
    plane: usize,
}

impl Iterator for Groups {
    type Item = Group;

    // Not inlined where flash is scarce.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn next(&mut self) -> Option<Group> {
        if self.rows == 0 {
            return None;
        }
        let group = Group {
            first: self.first,
            lanes: LANES.min(self.left),
            stream: self.stream,
            plane: self.plane,
        };
        self.first += group.lanes;
        self.stream += LANES as u64;
        self.plane += group.plane_bytes();
        self.left -= group.lanes;
        if self.left == 0 {
            self.left = self.len;
            self.rows -= 1;
        }
        Some(group)
    }
}

impl Group {
    /// The group's elements in a buffer of `rows` x `len`.
    pub(crate) fn range(&self) -> core::ops::Range<usize> {
        self.first..self.first + self.lanes
    }

    /// Number of the group in the gate's streams: the offset of a plane of its own.
    pub(crate) fn number(&self) -> u64 {
        self.stream / LANES as u64
    }

    /// Bytes of one bit plane of this group.
    pub(crate) fn plane_bytes(&self) -> usize {
        self.lanes.div_ceil(8)
    }
}

/// Writes a plane of at most 64 lanes, little-endian, cut to `bytes.len()` bytes.
pub(crate) fn store_plane(plane: u64, bytes: &mut [u8]) {
    let plane = plane.to_le_bytes();
    // A whole plane is one store, where code may be long.
    if cfg!(target_pointer_width = "64")
        && let Some(whole) = bytes.as_mut_array()
    {
        *whole = plane;
        return;
    }
    for (byte, value) in bytes.iter_mut().zip(plane) {
        *byte = value;
    }
}

/// The inverse of [`store_plane`].
pub(crate) fn load_plane(bytes: &[u8]) -> u64 {
    if cfg!(target_pointer_width = "64")
        && let Ok(whole) = bytes.try_into()
    {
        return u64::from_le_bytes(whole);
    }
    let mut plane = [0; 8];
    plane[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(plane)
}
