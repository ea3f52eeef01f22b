//! The search finds what is planted: a mask that is used twice, a constant bit, a biased bit, and a sum of bits.

use bytemuck::TransparentWrapper;
use ringlet_core::{
    Role,
    gate::{At, Online, widen::Widen},
    net::{LinkError, Segment},
    prg::{Address, Prg},
    share::{Masked, Share},
};

use crate::{
    affine::{Bit, Finding, Law, View, findings, runs_for},
    dealt::AT,
    roles::{Dealing, Party, dealt_gate, key, share},
};

/// Elements of a list.
const LEN: usize = 8;
/// Bits of an element: the lists take 16 bytes each.
const BITS: u32 = 16;

/// What is found in `bits` bits that a party receives.
fn found_in(
    role: Role,
    bits: usize,
    deal: impl Fn(&mut Dealing) -> Result<(), LinkError> + Sync,
    party: impl Fn(&mut Party<'_>, usize) -> Result<(), LinkError> + Sync,
) -> Vec<Finding> {
    findings(&dealt_gate(role, [runs_for(bits), 0], &deal, &party))
}

/// What is found in the opening of two lists. The second list's masks begin at word `second` of the stream of the
/// first one's; `change` changes them.
fn found_in_openings(role: Role, second: u64, change: fn(&mut [u16; LEN])) -> Vec<Finding> {
    let values: Vec<i64> = (0..LEN as i64).map(|i| 77 * i - 200).collect();
    let others: Vec<i64> = values.iter().map(|value| 3 * value + 1000).collect();
    let shares = [&values, &others].map(|values| share::<u16>(values, BITS));
    let bits = 2 * LEN * BITS as usize;
    found_in(
        role,
        bits,
        |_| Ok(()),
        |cx, inputs| {
            let mut lists = [0, second].map(|first| {
                let mut masks = [0; LEN];
                cx.prg().fill(address(), first, &mut masks);
                masks
            });
            change(&mut lists[1]);
            for (masks, shares) in lists.iter_mut().zip(&shares) {
                let shares = &shares[inputs][cx.role().index()];
                let pairs = masks.iter_mut().zip(shares);
                pairs.for_each(|(mask, &share)| *mask = mask.wrapping_add(share));
            }
            let [first, second] = lists.each_mut().map(|list| &mut list[..]);
            cx.open(
                &mut [first, second].map(|list| Segment::words(Masked::wrap_slice_mut(list), BITS)),
            )
        },
    )
}

fn address() -> Address {
    Address {
        iteration: 0,
        gate: 1,
        wire: 0,
    }
}

fn bit(byte: usize, bit: usize) -> Bit {
    Bit { link: 0, byte, bit }
}

#[test]
fn fresh_masks_obey_no_law() {
    for role in Role::BOTH {
        assert_eq!(found_in_openings(role, LEN as u64, |_| ()), []);
    }
}

#[test]
fn a_mask_that_is_used_twice_is_found() {
    for role in Role::BOTH {
        // The lists' masks overlap by half: elements 0 to 3 of the second have the masks of elements 4 to 7 of the first.
        let found = found_in_openings(role, LEN as u64 / 2, |_| ());
        for element in 0..LEN / 2 {
            // The difference of the openings is constant, and so is the exclusive or of their lowest bits.
            let (first, second) = (8 + 2 * element, 16 + 2 * element);
            let named = found.iter().find(|found| found.bit == bit(second, 0));
            let named = named.expect("the lowest bit is named");
            assert!(
                matches!(&named.law, Law::Function { of, .. } if of[..] == [bit(first, 0)]),
                "{named:?}"
            );
        }
        assert!(found.iter().all(|found| found.bit.byte >= 16), "{found:?}");
    }
}

#[test]
fn a_gate_that_runs_twice_at_one_position_is_found() {
    let widen = Widen { from: 8, to: 15 };
    let lists = [[5, -9, 0, 60, 1, 2, 3, 4], [4, 7, -31, 2, -3, 9, 9, 0]]
        .map(|values| share::<u32>(&values, widen.from));
    let run = |role, second: At| {
        let deal = |cx: &mut Dealing| {
            widen.deal::<u32, _>(cx, AT, 1, 8)?;
            widen.deal::<u32, _>(cx, second, 1, 8)
        };
        let party = |cx: &mut Party<'_>, inputs: usize| {
            [AT, second]
                .iter()
                .zip(&lists)
                .try_for_each(|(&at, shares)| {
                    let mut x = shares[inputs][cx.role().index()].clone();
                    widen.run(cx, at, 1, 8, Share::wrap_slice_mut(&mut x))
                })
        };
        let one: usize = dealt_gate(role, [1, 0], &deal, &party)[0]
            .iter()
            .map(Vec::len)
            .sum();
        found_in(role, 8 * one, deal, party)
    };
    for role in Role::BOTH {
        assert_eq!(run(role, At { gate: 90, ..AT }), []);
        let found = run(role, AT);
        for element in 0..8 {
            let lowest = bit(8 + element, 0);
            assert!(found.iter().any(|found| found.bit == lowest), "{found:?}");
        }
    }
}

#[test]
fn constant_and_biased_bits_are_found() {
    for role in Role::BOTH {
        // The highest bit of a sum is as uniform as the mask's, so the masks' low bytes are changed.
        let found = found_in_openings(role, LEN as u64, |masks| masks[2] &= 0xFFFE);
        let law = found.iter().find(|found| found.bit == bit(20, 0));
        let law = law.map(|found| &found.law);
        assert!(matches!(law, Some(Law::Constant(_))), "{found:?}");
        let found = found_in_openings(role, LEN as u64, |masks| {
            masks[3] &= 0xFFFE | masks[4] >> 3;
        });
        let law = found.iter().find(|found| found.bit == bit(22, 0));
        let law = law.map(|found| &found.law);
        assert!(matches!(law, Some(Law::Biased { .. })), "{found:?}");
    }
}

/// Views of `len` random bytes.
fn random(len: usize, runs: usize) -> Vec<View> {
    let view = |run| {
        let mut bytes = vec![0u8; len];
        let mut words = vec![0u32; len];
        Prg::new(key(1, false, run)).fill(address(), 0, &mut words);
        bytes.iter_mut().zip(words).for_each(|(b, w)| *b = w as u8);
        vec![bytes]
    };
    (0..runs).map(view).collect()
}

#[test]
fn sums_of_many_bits_are_found_in_a_window_and_repeats_everywhere() {
    let len = 600;
    let mut views = random(len, runs_for(8 * len));
    assert_eq!(findings(&views), []);
    for view in &mut views {
        let bytes = &mut view[0];
        // Bit 3 of byte 130 is the complement of the sum of the bits 5 of 40 bytes before it.
        let sum = (90..130).fold(1, |sum, byte| sum ^ bytes[byte] >> 5 & 1);
        bytes[130] = bytes[130] & !8 | sum << 3;
        // Bit 0 of the last byte is the complement of that of the first.
        bytes[len - 1] = bytes[len - 1] & !1 | !bytes[0] & 1;
    }
    let found = findings(&views);
    assert_eq!(found.len(), 2, "{found:?}");
    let law = |at| {
        let found = found.iter().find(|found| found.bit == at);
        found.map(|found| found.law.clone())
    };
    let of = (90..130).map(|byte| bit(byte, 5)).collect();
    let inverted = true;
    assert_eq!(law(bit(130, 3)), Some(Law::Function { of, inverted }));
    let of = vec![bit(0, 0)];
    assert_eq!(law(bit(len - 1, 0)), Some(Law::Function { of, inverted }));
}
