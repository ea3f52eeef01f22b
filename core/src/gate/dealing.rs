//! Dealt values: shares of values that the dealer chooses. P0's share is a word of its stream, and P1's share is the
//! correction, value minus P0's share.

use crate::{
    Role,
    cost::LANES,
    kernel::pack::{pack, packed_len, unpack},
    net::link::LinkError,
    num::ring::Word,
    prg::{Address, Prg},
};

#[cfg(test)]
use super::reuse;
use super::{At, Offline, Online, groups};

/// Fills `out` with this party's shares of masks in Z_2^bits for an opening. `first` counts words of the stream. Each
/// mask is used once.
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

/// Adds this party's shares of masks in Z_2^bits to shares of `rows` x `len` values, for an opening.
#[inline(never)]
pub(super) fn add_masks<O: Online>(
    cx: &O,
    (at, wire): (At, u8),
    bits: u32,
    [rows, len]: [usize; 2],
    values: &mut [u64],
) {
    for group in groups(at, rows, len) {
        let mut masks = [0u64; LANES];
        let masks = &mut masks[..group.lanes];
        opening_masks(cx, at.wire(wire), group.stream, bits, masks);
        for (value, mask) in values[group.range()].iter_mut().zip(masks) {
            *value = value.plus(*mask).low(bits);
        }
    }
}

/// Fills `out`, at most [`LANES`] words, with this party's shares in Z_2^bits of dealt values. P0 draws them at
/// `first` of the stream, and P1 receives corrections. `bits` 0 means zero shares and no corrections.
pub(crate) fn dealt<W: Word, O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    bits: u32,
    out: &mut [W],
) -> Result<(), LinkError> {
    match (bits, cx.role()) {
        (0, _) => out.fill(W::ZERO),
        (_, Role::P0) => draw(cx.prg(), address, first, bits, out),
        (_, Role::P1) => receive_corrections(cx, bits, out)?,
    }
    Ok(())
}

/// Draws P0's shares in Z_2^bits of dealt values. Shares of at most 16 bits are words of 16 bits in the stream, which takes
/// half of its bytes.
fn draw<W: Word>(prg: &Prg, address: Address, first: u64, bits: u32, out: &mut [W]) {
    if bits > u16::BITS {
        return prg.fill_bits(address, first, bits, out);
    }
    let mut short = [0u16; LANES];
    let short = &mut short[..out.len()];
    prg.fill_bits(address, first, bits, short);
    for (out, &short) in out.iter_mut().zip(short.iter()) {
        *out = W::from_u64(short.into());
    }
}

/// Receives and unpacks corrections of `bits` bits.
fn receive_corrections<W: Word, O: Online>(
    cx: &mut O,
    bits: u32,
    out: &mut [W],
) -> Result<(), LinkError> {
    let mut room = [W::ZERO; LANES];
    let bytes = bytemuck::cast_slice_mut(&mut room);
    cx.corrections(&mut bytes[..packed_len(out.len(), bits)])?;
    unpack(bits, bytes, out);
    Ok(())
}

/// This party's share in Z_2^bits of one entry of a dealt table of 2^index entries, at the public position `opened`.
/// The table's entries are dealt by [`deal`] in pieces of at most [`LANES`] from `first` of the stream on. P1 receives
/// the whole table and keeps this entry.
pub(crate) fn dealt_entry<O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    [index, bits]: [u32; 2],
    opened: u64,
) -> Result<u64, LinkError> {
    let mut values = [0u64; LANES];
    if cx.role() == Role::P0 {
        dealt(cx, address, first + opened, bits, &mut values[..1])?;
        return Ok(values[0]);
    }
    let (mut entry, mut found) = (0, 0);
    while entry < 1 << index {
        let count = (1usize << index).min(LANES);
        dealt(cx, address, first + entry, bits, &mut values[..count])?;
        if let Some(&value) = opened
            .checked_sub(entry)
            .and_then(|lane| values[..count].get(lane as usize))
        {
            found = value;
        }
        entry += count as u64;
    }
    Ok(found)
}

/// The dealer's part of [`dealt`]: sends corrections for `values`, and overwrites them.
pub(crate) fn deal<W: Word, D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    bits: u32,
    values: &mut [W],
) -> Result<(), LinkError> {
    let mut p0 = [W::ZERO; LANES];
    let p0 = &mut p0[..values.len()];
    if bits > 0 {
        #[cfg(test)]
        reuse::use_once(address, first, values.len());
        draw(cx.prg(Role::P0), address, first, bits, p0);
    }
    for (value, &p0) in values.iter_mut().zip(p0.iter()) {
        *value = value.minus(p0);
    }
    send_corrections(cx, bits, values)
}

/// The most planes that are dealt together.
pub(crate) const PLANES: usize = 16;

/// As [`dealt`], for a bit plane of `lanes` bits that is shared by exclusive or. `first` counts 64-bit words.
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

/// As [`dealt_plane`], for at most [`PLANES`] planes at consecutive offsets. Their corrections are packed without gaps.
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
            let mut bytes = [0; 8 * PLANES];
            let bytes = &mut bytes[..packed_len(out.len(), lanes as u32)];
            cx.corrections(bytes)?;
            unpack(lanes as u32, bytes, out);
        }
    }
    Ok(())
}

/// The dealer's part of [`dealt_planes`]. Overwrites the planes.
pub(crate) fn deal_planes<D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    lanes: usize,
    planes: &mut [u64],
) -> Result<(), LinkError> {
    #[cfg(test)]
    reuse::use_once(address, first, planes.len());
    let mut p0 = [0u64; PLANES];
    let p0 = &mut p0[..planes.len()];
    cx.prg(Role::P0).fill(address, first, p0);
    for (plane, p0) in planes.iter_mut().zip(p0) {
        *plane ^= *p0;
    }
    let mut bytes = [0; 8 * PLANES];
    let bytes = &mut bytes[..packed_len(planes.len(), lanes as u32)];
    pack(lanes as u32, planes, bytes);
    cx.corrections(bytes)
}

/// As [`deal`], for words whose `bits` low bits are shared by exclusive or.
pub(crate) fn deal_bits<W: Word, D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    bits: u32,
    values: &mut [W],
) -> Result<(), LinkError> {
    #[cfg(test)]
    reuse::use_once(address, first, values.len());
    let mut p0 = [W::ZERO; LANES];
    let p0 = &mut p0[..values.len()];
    draw(cx.prg(Role::P0), address, first, bits, p0);
    for (value, &p0) in values.iter_mut().zip(p0.iter()) {
        *value = value.xor(p0);
    }
    send_corrections(cx, bits, values)
}

/// Packs corrections of `bits` bits and sends them to P1.
pub(super) fn send_corrections<W: Word, D: Offline>(
    cx: &mut D,
    bits: u32,
    values: &[W],
) -> Result<(), LinkError> {
    let mut room = [W::ZERO; LANES];
    let bytes = bytemuck::cast_slice_mut(&mut room);
    pack(bits, values, bytes);
    cx.corrections(&bytes[..packed_len(values.len(), bits)])
}
