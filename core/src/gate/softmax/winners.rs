//! Tables that tell the winner of a row's comparisons, by the masked number of its wins.

use super::label::is_equal;
use crate::num::ring::Word;

/// Width in bits of the ring of wins, of which there are at most 15.
pub(super) const WINS_BITS: u32 = 4;

/// Entries of a table of winners.
pub(super) const TABLE: usize = 1 << WINS_BITS;

/// The table of a value's winner's bit, which is 1 at the masked number of `most` wins and 0 at those of fewer.
pub(super) fn winner_table(most: usize, wins_mask: u64) -> [u64; TABLE] {
    let mut by_wins = [0; TABLE];
    by_wins[most] = 1;
    extend(&mut by_wins[1..], most, 1);
    let mut table = [0u64; TABLE];
    for (opened, entry) in (0..).zip(&mut table) {
        for (wins, value) in (0..).zip(by_wins) {
            let is_meant = is_equal(opened, wins.plus(wins_mask).low(WINS_BITS));
            *entry = entry.plus(value.times(is_meant));
        }
    }
    table
}

/// Writes the entries of a table from number `most` on, which follow from those before.
///
/// A table is read at `most` + 1 adjacent places alone, so other entries are free. The entries of any `most` + 1 places at the
/// distances whose bits are among those of `most` have the sum `sum`, around the table's end too, because the product of
/// x - 1 and of x^(2^i) + 1 for these bits i divides x^16 - 1.
pub(super) fn extend(table: &mut [u64], most: usize, sum: u64) {
    for last in most..table.len() {
        let first = last - most;
        let others = (0..most).filter(|distance| distance & !most == 0);
        table[last] = others.fold(sum, |sum, distance| sum.minus(table[first + distance]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_winners_follow_from_their_first_entries() {
        for most in 1..TABLE {
            for mask in 0..1 << WINS_BITS {
                let want = winner_table(most, mask);
                for wins in 0..=most {
                    let entry = want[(wins + mask as usize) % TABLE];
                    assert_eq!(entry, u64::from(wins == most), "{most} {mask} {wins}");
                }
                let mut table = want;
                table[most..].fill(7);
                extend(&mut table, most, 1);
                assert_eq!(table, want, "{most} {mask}");
            }
        }
    }
}
