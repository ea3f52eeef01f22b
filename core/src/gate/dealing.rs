//! Dealt values: what P0 draws from its key, and P1 receives as corrections.

use crate::{
    Role,
    cost::LANES,
    kernel::pack::{pack, packed_len, unpack},
    net::link::LinkError,
    num::ring::Word,
    prg::Address,
};

#[cfg(test)]
use super::reuse;
use super::{Offline, Online};

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

pub(super) fn send_corrections<W: Word, D: Offline>(
    cx: &mut D,
    bits: u32,
    values: &[W],
) -> Result<(), LinkError> {
    let mut bytes = [0; LANE_BYTES];
    let len = packed_len(values.len(), bits);
    pack(bits, values, &mut bytes[..len]);
    cx.corrections(&bytes[..len])
}
