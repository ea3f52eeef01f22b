//! The assistant's whole view of a derivative: it is uniform for every input, and a bit masks the answers.

extern crate std;

use std::{vec, vec::Vec};

use super::{
    Computing,
    modular::{P, field},
    sign::Derivative,
    tests::{AT, share},
};
use crate::securenn::harness::{run, with_scratch};

/// Equal numbers in a run.
const LEN: usize = 20_000;
/// Bits of the ring, so that a word is one byte.
const BITS: u32 = 8;

/// Deviation of the chi-squared statistic of counts from that of a uniform distribution, in standard deviations.
fn deviation(counts: &[u32]) -> f64 {
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let chi: f64 = counts
        .iter()
        .map(|&count| (f64::from(count) - mean).powi(2) / mean)
        .sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn the_assistants_view_of_a_derivative_is_uniform_for_every_input() {
    for number in [0i64, 1, -1, 63, -64, 21] {
        let shares = share(BITS, &vec![number; LEN], 5);
        let ran = run(
            (number + 100) as u64,
            |cx| {
                let mut own = shares[cx.role().index()].clone();
                with_scratch(LEN, BITS, |scratch| {
                    Derivative { bits: BITS }.run(cx, AT, &mut own, scratch)
                })
            },
            |cx| {
                with_scratch(LEN, BITS, |scratch| {
                    Derivative { bits: BITS }.assist(cx, AT, LEN, scratch)
                })
            },
        );
        let pairs = ran.received[0].iter().zip(&ran.received[1]);
        let mut opened = vec![0u32; 1 << BITS];
        for (&a, &b) in pairs.clone().take(LEN) {
            opened[usize::from(a.wrapping_add(b))] += 1;
        }
        assert!(deviation(&opened) < 5.0, "{number}");
        for received in &ran.received {
            let mut entries = vec![0u32; P as usize];
            for &entry in &received[LEN..] {
                entries[usize::from(entry)] += 1;
            }
            assert!(deviation(&entries) < 5.0, "{number}");
        }
        let sums: Vec<u8> = pairs.skip(LEN).map(|(&a, &b)| field::plus(a, b)).collect();
        assert_eq!(sums.len(), 2 * LEN * BITS as usize);
        // The conversion's comparisons, then those of the top bit.
        for lists in sums.chunks_exact(LEN * BITS as usize) {
            let (mut answers, mut positions) = ([0u32; 2], [0u32; BITS as usize]);
            let mut entries = vec![0u32; P as usize];
            for list in lists.chunks_exact(BITS as usize) {
                let zero = list.iter().position(|&entry| entry == 0);
                answers[usize::from(zero.is_some())] += 1;
                zero.iter().for_each(|&position| positions[position] += 1);
                list.iter()
                    .for_each(|&entry| entries[usize::from(entry)] += 1);
            }
            assert!(deviation(&answers) < 5.0, "{number} {answers:?}");
            assert!(deviation(&positions) < 5.0, "{number} {positions:?}");
            assert!(deviation(&entries[1..]) < 5.0, "{number}");
        }
    }
}
