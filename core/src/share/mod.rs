//! What a number is to the party that holds it: a share, a masked share, or public.
//!
//! The wrappers cost nothing and change no bytes; they exist so that only a [`Masked`] can be sent
//! to the peer and only a [`Public`] can be looked at. None but [`Public`] prints, and none
//! can be logged: no `Debug` or `defmt::Format` may be added to [`Share`] and [`Masked`].

pub(crate) mod observer;
mod truncation;

pub use observer::{NoObserver, Observer};
pub use truncation::truncate;

use bytemuck::TransparentWrapper;
use serde::{Deserialize, Serialize};
use zeroize::DefaultIsZeroes;

use crate::num::ring::Word;

/// Which of the two computing parties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// The party that receives nothing from the dealer but a key: the small device.
    P0,
    /// The party that receives the dealer's corrections.
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

/// One party's additive share of a secret.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Share<W>(W);

impl<W: Word> DefaultIsZeroes for Share<W> {}

impl<W> Share<W> {
    /// The bare share. Whoever holds both parties' knows the secret: for sending a share to the one
    /// who may know it, and for simulations.
    pub fn reveal(self) -> W {
        self.0
    }
}

/// One party's share of a secret plus that of a fresh mask: uniform, and so fit to be sent.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Masked<W>(W);

/// A value of an opened tensor as a party holds it from then on: P1 the opening E = X + A, and P0 the share
/// E - A0 of X, which makes the other's share -A1.
#[derive(Clone, Copy, Default, TransparentWrapper)]
#[repr(transparent)]
pub struct Held<W>(W);

/// A value that both parties know.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, TransparentWrapper)]
#[repr(transparent)]
pub struct Public<W>(W);
