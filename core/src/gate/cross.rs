//! Cross: dealt products of masks (Beaver, CRYPTO 1991). For opened values, (p - a)(q - b) = pq - p b - q a + ab, in
//! which ab is the only term that is not linear in secrets.
//!
//! A mask a, uniform in Z_2^n, stands for a or for a - 2^n, depending on the public opening (see `lift::Opened`). So a
//! product is dealt in parts, and public bits select the parts to add.

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::Word,
    prg::Address,
};

use super::{Offline, Online, deal, dealt, lift::Opened};

/// The product of two independent masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cross {
    /// Ring in which the left mask is uniform.
    pub left: u32,
    /// Ring in which the right mask is uniform.
    pub right: u32,
    /// Ring of the product.
    pub to: u32,
}

impl Cross {
    /// log2 of each part's factor. Parts: mask x mask, mask x right carry, left carry x mask, carry x carry.
    fn shifts(self) -> [u32; 4] {
        [0, self.right, self.left, self.left + self.right]
    }

    /// Dealer traffic for `rows` x `len` products.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let part = |shift| Cost::dealt(rows, len, self.to.saturating_sub(shift));
        self.shifts().into_iter().map(part).sum()
    }

    /// Sends the corrections for one group's parts.
    pub(crate) fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        wires: [Address; 4],
        first: u64,
        left: &[W],
        right: &[W],
    ) -> Result<(), LinkError> {
        for (which, (shift, wire)) in self.shifts().into_iter().zip(wires).enumerate() {
            let bits = self.to.saturating_sub(shift);
            if bits == 0 {
                continue;
            }
            let mut part = [W::ZERO; LANES];
            for (part, (&left, &right)) in part.iter_mut().zip(left.iter().zip(right)) {
                let left = if which & 2 == 0 {
                    left
                } else {
                    left.right(self.left - 1)
                };
                let right = if which & 1 == 0 {
                    right
                } else {
                    right.right(self.right - 1)
                };
                *part = left.times(right);
            }
            deal(cx, wire, first, bits, &mut part[..left.len()])?;
        }
        Ok(())
    }

    /// This party's shares in Z_2^to of the products of two opened values, for one group.
    pub(crate) fn product<W: Word, O: Online>(
        self,
        cx: &mut O,
        wires: [Address; 4],
        first: u64,
        lanes: usize,
        [left, right]: [&Opened<W>; 2],
    ) -> Result<[W; LANES], LinkError> {
        let mut parts = [[W::ZERO; LANES]; 4];
        for ((part, shift), wire) in parts.iter_mut().zip(self.shifts()).zip(wires) {
            let bits = self.to.saturating_sub(shift);
            dealt(cx, wire, first, bits, &mut part[..lanes])?;
            for part in &mut part[..lanes] {
                *part = part.left(shift);
            }
        }
        let public_select = public_select(cx.role());
        let mut products = [W::ZERO; LANES];
        for (lane, product) in products[..lanes].iter_mut().enumerate() {
            let (p, q) = (left.public[lane], right.public[lane]);
            let (left_carry, right_carry) = (left.carry_select[lane], right.carry_select[lane]);
            let masks = parts[0][lane]
                .minus(right_carry.and(parts[1][lane]))
                .minus(left_carry.and(parts[2][lane]))
                .plus(left_carry.and(right_carry).and(parts[3][lane]));
            *product = p
                .times(q)
                .and(public_select)
                .minus(p.times(right.mask[lane]))
                .minus(q.times(left.mask[lane]))
                .plus(masks)
                .low(self.to);
        }
        Ok(products)
    }
}

/// The square of a mask, for which a value is opened once instead of twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Square {
    /// Ring in which the mask is uniform.
    pub from: u32,
    /// Ring of the square.
    pub to: u32,
}

impl Square {
    /// log2 of the factor of the second part, which is added where the carry applies:
    /// (a - 2^n)^2 = a^2 + 2^(n+1) (2^(n-1) - a).
    fn shift(self) -> u32 {
        self.from + 1
    }

    /// Dealer traffic for `rows` x `len` squares.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.to)
            + Cost::dealt(rows, len, self.to.saturating_sub(self.shift()))
    }

    /// Sends the corrections for one group's parts.
    pub(crate) fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        wires: [Address; 2],
        first: u64,
        masks: &[W],
    ) -> Result<(), LinkError> {
        let mut part = [W::ZERO; LANES];
        for (part, &a) in part.iter_mut().zip(masks) {
            *part = a.times(a);
        }
        deal(cx, wires[0], first, self.to, &mut part[..masks.len()])?;
        let bits = self.to.saturating_sub(self.shift());
        if bits == 0 {
            return Ok(());
        }
        for (part, &a) in part.iter_mut().zip(masks) {
            let top = a.right(self.from - 1);
            *part = W::ONE.left(self.from - 1).minus(a).times(top);
        }
        deal(cx, wires[1], first, bits, &mut part[..masks.len()])
    }

    /// This party's shares in Z_2^to of the squares of opened values, for one group.
    pub(crate) fn square<W: Word, O: Online>(
        self,
        cx: &mut O,
        wires: [Address; 2],
        first: u64,
        lanes: usize,
        opened: &Opened<W>,
    ) -> Result<[W; LANES], LinkError> {
        let (mut square, mut carry) = ([W::ZERO; LANES], [W::ZERO; LANES]);
        dealt(cx, wires[0], first, self.to, &mut square[..lanes])?;
        let bits = self.to.saturating_sub(self.shift());
        dealt(cx, wires[1], first, bits, &mut carry[..lanes])?;
        let public_select = public_select(cx.role());
        for (lane, square) in square[..lanes].iter_mut().enumerate() {
            let p = opened.public[lane];
            let carry = opened.carry_select[lane].and(carry[lane].left(self.shift()));
            *square = p
                .times(p)
                .and(public_select)
                .minus(p.times(opened.mask[lane]).left(1))
                .plus(*square)
                .plus(carry)
                .low(self.to);
        }
        Ok(square)
    }
}

/// All ones for P0, which adds public terms; zero for P1.
fn public_select<W: Word>(role: Role) -> W {
    match role {
        Role::P0 => W::MAX,
        Role::P1 => W::ZERO,
    }
}
