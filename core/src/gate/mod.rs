//! Protocol steps. Each gate keeps four faces side by side: the ideal function in plaintext, what the
//! dealer computes, what a party computes, and its exact cost.
//!
//! Notation, as throughout the core: `x` in Z_2^n with |x| < 2^(n-2) (the range contract); a mask
//! `a`; an opening `e = x + 2^(n-2) + a`, so that what is masked is non-negative. As integers
//! `x + 2^(n-2) = e - a + 2^n * msb(a) * (1 - msb(e))`.

pub mod argmax;
pub mod bilinear;
pub mod chain;
pub mod cross;
pub mod fused;
pub mod lift;
pub mod lookup;
pub mod maxpool;
pub mod multiply;
pub mod polynomial;
pub mod powers;
pub mod range;
pub mod relu;
pub mod select;
pub mod softmax;
pub mod tensor;
pub mod widen;

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
pub(crate) mod polynomial_tests;
#[cfg(test)]
pub(crate) mod reuse;
#[cfg(test)]
mod tests;

use crate::{
    Role,
    cost::LANES,
    kernel::pack::{pack, packed_len, unpack},
    link::{LinkError, Segment},
    prg::{Address, Prg},
    ring::Word,
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

/// This party's shares of the masks under which the next opening hides values: each mask once.
pub(crate) fn opening_masks<W: Word, O: Online>(
    cx: &O,
    address: Address,
    first: u64,
    bits: u32,
    out: &mut [W],
) {
    #[cfg(test)]
    reuse::use_once(address, first, out.len());
    cx.prg().fill_bits(address, first, bits, out);
}

/// Most bytes that a group of lanes takes on the wire.
const LANE_BYTES: usize = LANES * 16;

/// This party's shares of values that the dealer chose: P0's come from its key, P1's as corrections.
/// `bits` 0 means that the shares are zero and nothing is sent.
pub(crate) fn dealt<W: Word, O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    bits: u32,
    out: &mut [W],
) -> Result<(), LinkError> {
    if bits == 0 {
        out.fill(W::ZERO);
        return Ok(());
    }
    match cx.role() {
        Role::P0 => cx.prg().fill_bits(address, first, bits, out),
        Role::P1 => {
            let mut bytes = [0; LANE_BYTES];
            let bytes = &mut bytes[..packed_len(out.len(), bits)];
            cx.corrections(bytes)?;
            unpack(bits, bytes, out);
        }
    }
    Ok(())
}

/// The dealer's side of [`dealt`]: `values` are overwritten by the corrections that are sent.
pub(crate) fn deal<W: Word, D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    bits: u32,
    values: &mut [W],
) -> Result<(), LinkError> {
    let mut given = [W::ZERO; LANES];
    let given = &mut given[..values.len()];
    if bits > 0 {
        #[cfg(test)]
        reuse::use_once(address, first, values.len());
        cx.prg(Role::P0).fill(address, first, given);
    }
    for (value, &given) in values.iter_mut().zip(given.iter()) {
        *value = value.minus(given);
    }
    send_corrections(cx, bits, values)
}

/// As [`dealt`], for a plane of bits shared by exclusive or.
pub(crate) fn dealt_plane<O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    lanes: usize,
) -> Result<u64, LinkError> {
    let mut plane = [0];
    dealt_planes(cx, address, first, lanes, &mut plane)?;
    Ok(plane[0])
}

/// As [`dealt_plane`], for planes that stand side by side.
pub(crate) fn dealt_planes<O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    lanes: usize,
    out: &mut [u64],
) -> Result<(), LinkError> {
    match cx.role() {
        Role::P0 => cx.prg().fill(address, first, out),
        Role::P1 => {
            for plane in out {
                let mut bytes = [0; 8];
                cx.corrections(&mut bytes[..lanes.div_ceil(8)])?;
                *plane = u64::from_le_bytes(bytes);
            }
        }
    }
    Ok(())
}

/// The dealer's side of [`dealt_plane`].
pub(crate) fn deal_plane<D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    lanes: usize,
    plane: u64,
) -> Result<(), LinkError> {
    #[cfg(test)]
    reuse::use_once(address, first, 1);
    let mut given = [0u64];
    cx.prg(Role::P0).fill(address, first, &mut given);
    let bytes = (plane ^ given[0]).to_le_bytes();
    cx.corrections(&bytes[..lanes.div_ceil(8)])
}

/// As [`dealt`], for words whose bits are shared by exclusive or.
pub(crate) fn deal_bits<W: Word, D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    bits: u32,
    values: &mut [W],
) -> Result<(), LinkError> {
    #[cfg(test)]
    reuse::use_once(address, first, values.len());
    let mut given = [W::ZERO; LANES];
    let given = &mut given[..values.len()];
    cx.prg(Role::P0).fill(address, first, given);
    for (value, &given) in values.iter_mut().zip(given.iter()) {
        *value = value.xor(given);
    }
    send_corrections(cx, bits, values)
}

fn send_corrections<W: Word, D: Offline>(
    cx: &mut D,
    bits: u32,
    values: &[W],
) -> Result<(), LinkError> {
    let mut bytes = [0; LANE_BYTES];
    let len = packed_len(values.len(), bits);
    pack(bits, values, &mut bytes[..len]);
    cx.corrections(&bytes[..len])
}
