//! Wrapper types that say who may see a number: a share, a masked share, an opened tensor's value, or public.
//!
//! The wrappers have the layout of their word and no run-time cost. Only a [`Masked`] can be opened, and only
//! a [`Public`] can be read without unwrapping. Do not add `Debug` or `defmt::Format` to [`Share`] or
//! [`Masked`]: shares must not be printed or logged.

pub(crate) mod observer;
mod truncation;

pub use observer::{Factor, NoObserver, Observer, Values};
pub use truncation::truncate;

use bytemuck::TransparentWrapper;
use serde::{Deserialize, Serialize};
use zeroize::DefaultIsZeroes;

use crate::num::ring::Word;

/// One of the two computing parties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// The party that receives only a 32-byte key from the dealer; it can be a microcontroller.
    P0,
    /// The party that receives corrections from the dealer.
    P1,
}

impl Role {
    /// Both parties, in order.
    pub const BOTH: [Role; 2] = [Role::P0, Role::P1];

    /// The other party.
    pub fn other(self) -> Role {
        match self {
            Role::P0 => Role::P1,
            Role::P1 => Role::P0,
        }
    }

    /// 0 or 1.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Role::P0 => "p0",
            Role::P1 => "p1",
        })
    }
}

/// One party's additive share of a secret: the two shares add up to it modulo 2^b.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Share<W>(W);

impl<W: Word> DefaultIsZeroes for Share<W> {}

impl<W> Share<W> {
    /// The bare share. Both shares together reveal the secret, so use this only to send a share to a role that
    /// may learn the secret, and in simulations.
    pub fn reveal(self) -> W {
        self.0
    }
}

/// One party's share of a secret plus its share of a fresh uniform mask. It is uniform, so it may be sent.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Masked<W>(W);

/// A value of an opened tensor X with mask A = A0 + A1, as a party stores it after the opening. P1 stores the
/// opening E = X + A. P0 stores E - A0, its share of X; P1's share is then -A1.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Held<W>(W);

/// A value that both parties know.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, TransparentWrapper)]
#[repr(transparent)]
pub struct Public<W>(W);
