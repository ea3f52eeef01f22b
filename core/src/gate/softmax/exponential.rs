//! The exponentials of arguments that are clipped below: b * e^(x - 15.25), where b = [x >= 0].
//!
//! One opening of x in its ring serves both the comparison with 0 and the lookup of the exponential, which reads the
//! opening modulo 16. The looked-up exponential is opened under a mask together with the masked sign, and its product
//! with the sign is then a combination of dealt shares.

use bytemuck::TransparentWrapper;

use super::fit::{DERIVATIVE_FRACTION, Fit};
use crate::{
    cost::{Cost, LANES},
    gate::{
        At, Offline, Online, groups,
        lift::Lift,
        load_plane,
        lookup::Lookup,
        plane_len,
        relu::{Relu, SelectionBuffers, SignOpening, deal_hidden, select_group},
    },
    net::link::{LinkError, Segment},
    prg::Address,
    share::{Masked, Share, truncate},
};

/// 15.25 in quarters: what is added to z - max, so that arguments below -15.25 are clipped.
pub(super) const CLIP_QUARTERS: u64 = 61;
/// Bits before the binary point of arguments that are looked up.
const ARGUMENT_BITS: u32 = 4;
/// Fraction bits of the table's index.
const INDEX_FRACTION: u32 = 3;
/// Fraction bits of the exponential's slope.
const SLOPE_FRACTION: u32 = 10;
/// Fraction bits of the exponentials.
pub(super) const FRACTION: u32 = 14;
/// Fraction bits of a sum of exponentials, as its lookups take it.
pub(super) const SUM_FRACTION: u32 = 12;

/// Number of consecutive gate numbers.
pub(super) const GATES: u32 = 3;

const CLIP: u32 = 0;
const LOOKUP: u32 = 1;
const SELECT: u32 = 2;

const MASK: u8 = 0;
const CARRY: u8 = 1;
const HIDE_MASK: u8 = 2;
const HIDE_CARRY: u8 = 3;

/// The gate's public widths, in bits. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exponential {
    /// Ring of the arguments x = z - max + 15.25, read as signed; x <= 15.25. At least f + 4.
    pub from: u32,
    /// f, the arguments' fraction bits.
    pub fraction: u32,
    /// Ring of the exponentials, with [`FRACTION`] fraction bits.
    pub to: u32,
}

impl Exponential {
    /// Compares arguments with 0; none if the ring of the arguments has no room for values that are clipped.
    fn clip(self) -> Option<Relu> {
        let clips = self.from > self.fraction + ARGUMENT_BITS;
        clips.then(|| Relu::of_differences::<u64>(self.from, self.to))
    }

    /// Lookup of the exponential, with [`SLOPE_FRACTION`] + f fraction bits.
    fn lookup(self) -> Lookup {
        Lookup {
            index: INDEX_FRACTION + ARGUMENT_BITS,
            rest: self.fraction - INDEX_FRACTION,
            to: self.to + self.excess(),
        }
    }

    /// Bits by which looked-up exponentials are truncated.
    fn excess(self) -> u32 {
        SLOPE_FRACTION + self.fraction - FRACTION
    }

    /// Masks of the exponentials.
    fn mask(self) -> Lift {
        Lift {
            from: self.to,
            to: self.to,
        }
    }

    /// Entries of the table.
    pub fn table_len(self) -> usize {
        1 << self.lookup().index
    }

    /// Value and derivative for each index.
    pub fn table_entry(self, index: usize) -> [u64; 2] {
        let argument = index as f64 / f64::from(1 << INDEX_FRACTION) - CLIP_QUARTERS as f64 / 4.0;
        let value = libm::exp(argument);
        let fraction = SLOPE_FRACTION + self.fraction;
        [fraction, DERIVATIVE_FRACTION].map(|fraction| fixed(value, fraction))
    }

    /// The line for an entry of the table and a mask's low bits.
    fn line(self, [value, derivative]: [u64; 2], low: u64) -> [u64; 2] {
        let fit = Fit {
            lookup: self.lookup(),
            argument: self.fraction,
            slope: SLOPE_FRACTION,
        };
        let derivative = derivative as i64;
        fit.line([value as i64, derivative, derivative], low)
    }

    /// Cost for `rows` x `len` elements.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let Some(clip) = self.clip() else {
            return self.lookup().cost(rows, len);
        };
        clip.sign_cost(rows, len)
            + self.lookup().tables_cost(rows, len)
            + Cost::opening(rows * len, self.to)
            + Cost::dealt(rows, len, self.to)
    }

    /// Scratch that a party needs for `rows` x `len` elements, in words.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        let planes = |clip: Relu| rows * plane_len(len) + clip.scratch_len(rows, len);
        rows * len + self.clip().map_or(0, planes).div_ceil(8)
    }

    /// Positions of clip, lookup and selection.
    fn at(at: At) -> [At; 3] {
        [CLIP, LOOKUP, SELECT].map(|gate| At {
            gate: at.gate + gate,
            ..at
        })
    }

    fn select_wires(at: At) -> [Address; 4] {
        [MASK, CARRY, HIDE_MASK, HIDE_CARRY].map(|wire| at.wire(wire))
    }

    /// Sends the corrections for `rows` x `len` elements. `table` holds [`Exponential::table_entry`] for each index, and
    /// `rotated` is twice as long.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
        table: &[[u64; 2]],
        rotated: &mut [[u64; 2]],
    ) -> Result<(), LinkError> {
        let [clip_at, lookup_at, select_at] = Self::at(at);
        let lookup = self.lookup();
        let Some(clip) = self.clip() else {
            let line = |entry, low| self.line(entry, low);
            return lookup.deal(cx, lookup_at, [rows, len], table, rotated, line);
        };
        let masks = clip.mask_wire(clip_at);
        let (tables, line) = ((table, rotated), |entry, low| self.line(entry, low));
        lookup.deal_opened(cx, lookup_at, masks, [rows, len], tables, line)?;
        clip.deal_comparison::<u64, D>(cx, clip_at, rows, len, clip.input_masks(clip_at))?;
        let (wires, hide_wire) = (Self::select_wires(select_at), clip.hide_wire(clip_at));
        for group in groups(select_at, rows, len) {
            let (mut a, mut r) = ([0u64; LANES], [0u64; LANES]);
            let (a, r) = (&mut a[..group.lanes], &mut r[..group.lanes]);
            self.mask().masks(cx, wires[0], group.stream, a);
            clip.hide().masks(cx, hide_wire, group.stream, r);
            clip.hide().deal(cx, hide_wire, group.stream, r)?;
            deal_hidden(cx, self.mask(), wires, group.stream, a, r)?;
        }
        Ok(())
    }

    /// Replaces `rows` x `len` shares of arguments in Z_2^from by shares of exponentials in Z_2^to. `scratch` has at
    /// least [`Exponential::scratch_len`] words.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [u64],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let [clip_at, lookup_at, select_at] = Self::at(at);
        let (role, lookup) = (cx.role(), self.lookup());
        let round = |value| truncate(role, value, lookup.to, self.excess());
        let Some(clip) = self.clip() else {
            lookup.run(cx, lookup_at, [rows, len], Share::wrap_slice_mut(&mut *x))?;
            for value in x {
                *value = round(*value);
            }
            return Ok(());
        };
        clip.open_input(cx, clip_at, [rows, len], x)?;
        let (values, scratch) = scratch.split_at_mut(rows * len);
        let wires = Self::select_wires(select_at);
        for group in groups(select_at, rows, len) {
            let values = &mut values[group.range()];
            for ((value, &e), element) in
                values.iter_mut().zip(&x[group.range()]).zip(group.stream..)
            {
                *value = round(lookup.value(cx, lookup_at, element, e)?);
            }
            self.mask()
                .mask_values::<u64, u64, O>(cx, wires[0], group.stream, values);
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(scratch);
        let (hidden, bytes) = bytes.split_at_mut(rows * plane_len(len));
        let opening = SignOpening {
            e: x,
            hidden,
            beside: Some(Segment::words(
                Masked::wrap_slice_mut(&mut *values),
                self.to,
            )),
            at_once: false,
        };
        clip.hide_opened_signs(cx, clip_at, [rows, len], opening, bytes)?;
        let mut buffers = SelectionBuffers::new();
        for group in groups(select_at, rows, len) {
            clip.hiding_bits(cx, clip_at, group.stream, &mut buffers.r[..group.lanes])?;
            let m = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            let bits = (m, &mut buffers);
            let values = &mut values[group.range()];
            select_group(cx, self.mask(), wires, group.stream, bits, values, &mut [])?;
            x[group.range()].copy_from_slice(values);
        }
        Ok(())
    }
}

/// A real number in fixed point, as an integer modulo 2^64.
pub(super) fn fixed(value: f64, fraction: u32) -> u64 {
    libm::round(libm::scalbn(value, fraction as i32)) as i64 as u64
}
