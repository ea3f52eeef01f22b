//! Half of a narrow discrete Gaussian: integers x >= 0 with probability proportional to 2^(-x^2).

use super::compare::long_below;

/// The largest x that is drawn. A larger one has a probability below 2^-143.
pub(super) const LARGEST: u32 = TAILS.len() as u32;

/// The probability of x >= 1, x >= 2, ..., in units of 2^-128, rounded to the nearest.
pub(super) const TAILS: [u128; 11] = [
    0x5c5d_bb93_6a4a_4ff6_7a24_4a9b_386e_0075,
    0x0a8c_995d_1f6f_77f1_b736_6fe8_d4a5_00af,
    0x0052_7516_5614_1cf1_1ed8_b492_882b_e0b7,
    0x0000_a3f4_1fc9_4219_1a15_c6b7_d5c8_17b7,
    0x0000_0051_db5c_ac63_6a0c_40dc_2063_5025,
    0x0000_0000_0a3a_7618_8f34_3c19_3288_9dc1,
    0x0000_0000_0000_51d1_c5d8_e118_9a2a_e26b,
    0x0000_0000_0000_0000_a3a2_963d_c226_1f7d,
    0x0000_0000_0000_0000_0000_51d1_2c70_6f73,
    0x0000_0000_0000_0000_0000_0000_0a3a_2499,
    0x0000_0000_0000_0000_0000_0000_0000_0052,
];

/// The same as words, the lowest first.
const TAIL_WORDS: [[u32; 4]; TAILS.len()] = {
    let mut words = [[0; 4]; TAILS.len()];
    let mut at = 0;
    while at < 4 * TAILS.len() {
        words[at / 4][at % 4] = (TAILS[at / 4] >> (32 * (at % 4))) as u32;
        at += 1;
    }
    words
};

/// The x that uniform words select, the lowest word first.
#[inline(always)]
pub(super) fn sample(words: [u32; 4]) -> u32 {
    TAIL_WORDS.iter().map(|&tail| long_below(words, tail)).sum()
}
