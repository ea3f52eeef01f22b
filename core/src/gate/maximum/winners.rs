//! What the winner of each part brings, by tables rotated by the masks of the wins.
//!
//! The count of a value's wins is opened under a mask, and a table rotated by this mask holds shares of the winner's bit. What a
//! value brings is its public number, or was opened under a mask too. Then a second table holds shares of the bit times the
//! mask's difference to that of the part's last value. Bit times difference, added up, is the difference of what the winner brings
//! to what the last value brings, which needs no table.

use super::{
    label::is_equal,
    level::{Level, MAX_LEN, WINS_BITS},
};
use crate::{
    Role,
    cost::{Cost, LANES},
    gate::{At, Group, Offline, Online, deal, dealt, groups, lift::Lift},
    net::link::LinkError,
    num::ring::Word,
};

/// Entries of a table of winners.
const TABLE: usize = 1 << WINS_BITS;

/// The stream of the masks of wins, at the position of a level's winners.
pub(super) const WINS: u8 = 1;

/// The masks of the wins.
pub(super) const WINS_MASK: Lift = Lift {
    from: WINS_BITS,
    to: WINS_BITS,
};

/// What the winner of each part brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Winners {
    /// Its ring in bits.
    pub bits: u32,
    /// The level.
    pub level: Level,
    /// The stream of the masks under which it was opened, or none if it is the value's number.
    pub masks: Option<u8>,
    /// The stream of the tables.
    pub tables: u8,
}

impl Winners {
    /// Tables of a value.
    fn table_count(self) -> usize {
        1 + usize::from(self.masks.is_some())
    }

    /// Where the tables of a value begin in their stream.
    fn entry(stream: u64) -> u64 {
        stream * 2 * TABLE as u64
    }

    /// The masks of what is opened.
    fn mask(self) -> Lift {
        Lift {
            from: self.bits,
            to: self.bits,
        }
    }

    /// Cost for `rows` rows, without an opening.
    pub fn cost(self, rows: usize) -> Cost {
        let part = |part: core::ops::Range<usize>| {
            let most = part.len() - 1;
            Cost::dealt(1, self.table_count() * most, self.bits) * (rows * most) as u64
        };
        self.level.parts().map(part).sum()
    }

    /// Sends the corrections for `rows` rows at the position of the level's winners.
    pub fn deal<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        for row in 0..rows as u64 {
            let at = At {
                row: at.row + row,
                ..at
            };
            let mut masks = [0u64; MAX_LEN];
            let masks = &mut masks[..self.level.len];
            if let Some(wire) = self.masks {
                for group in groups(at, 1, self.level.len) {
                    let masks = &mut masks[group.range()];
                    self.mask().masks(cx, at.wire(wire), group.stream, masks);
                }
            }
            for group in groups(at, 1, self.level.len) {
                self.deal_group(cx, at, &group, masks)?;
            }
        }
        Ok(())
    }

    /// Sends the corrections for the values of a group of the row with these masks.
    fn deal_group<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        group: &Group,
        masks: &[u64],
    ) -> Result<(), LinkError> {
        let mut wins_masks = [0u64; LANES];
        let wins_masks = &mut wins_masks[..group.lanes];
        WINS_MASK.masks(cx, at.wire(WINS), group.stream, wins_masks);
        for ((value, &wins_mask), stream) in group.range().zip(&*wins_masks).zip(group.stream..) {
            let (last, most) = self.level.last_and_most_wins(value);
            if value == last {
                continue;
            }
            let difference = masks[value].minus(masks[last]);
            let table = winner_table(most, wins_mask);
            let mut entries = [0u64; 2 * TABLE];
            let (bits, masks) = entries.split_at_mut(most);
            for ((bit, mask), entry) in bits.iter_mut().zip(masks).zip(table) {
                (*bit, *mask) = (entry, entry.times(difference));
            }
            let entries = &mut entries[..self.table_count() * most];
            let (wire, first) = (at.wire(self.tables), Self::entry(stream));
            deal(cx, wire, first, self.bits, entries)?;
        }
        Ok(())
    }

    /// Writes shares of what the winner of each part brings to `found`, from the openings of the values' wins and of what they
    /// bring, which is empty if that is their number.
    #[inline(never)]
    pub fn find<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        [opened, wins]: [&[u64]; 2],
        found: &mut [u64],
    ) -> Result<(), LinkError> {
        let Level { len, parts, .. } = self.level;
        found[..rows * parts].fill(0);
        for group in groups(at, rows, len) {
            let (row, first) = (group.first / len, group.first % len);
            let public = |value: usize| match self.masks {
                Some(_) => opened[row * len + value],
                None => value as u64,
            };
            // This party's share of what a value brings.
            let share = |cx: &O, value: usize| {
                let mut mask = [0u64];
                if let Some(wire) = self.masks {
                    let stream = group.stream - first as u64 + value as u64;
                    cx.prg().fill(at.wire(wire), stream, &mut mask);
                }
                match cx.role() {
                    Role::P0 => public(value).minus(mask[0]),
                    Role::P1 => 0u64.minus(mask[0]),
                }
            };
            for (lane, element) in group.range().enumerate() {
                let (value, part) = (first + lane, self.level.part_of(first + lane));
                let (last, most) = self.level.last_and_most_wins(value);
                let mut brought = share(cx, last);
                if value != last {
                    let mut entries = [0u64; 2 * TABLE];
                    let shares = &mut entries[..self.table_count() * most];
                    let first = Self::entry(group.stream + lane as u64);
                    dealt(cx, at.wire(self.tables), first, self.bits, shares)?;
                    // Where there are no masks, zeros are in their place.
                    let (bits, masks) = entries.split_at(most);
                    let difference = public(value).minus(public(last));
                    let mut terms = [0u64; TABLE];
                    for ((term, bit), mask) in terms.iter_mut().zip(bits).zip(masks) {
                        *term = bit.times(difference).minus(*mask);
                    }
                    extend(&mut terms, most, share(cx, value).minus(brought));
                    brought = terms[wins[element] as usize];
                }
                let sum = &mut found[row * parts + part];
                *sum = sum.plus(brought).low(self.bits);
            }
        }
        Ok(())
    }
}

/// The table of a value's winner's bit, which is 1 at the masked number of `most` wins and 0 at those of fewer.
fn winner_table(most: usize, wins_mask: u64) -> [u64; TABLE] {
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
fn extend(table: &mut [u64], most: usize, sum: u64) {
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
