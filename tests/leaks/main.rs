//! What each role receives is uniform: over runs that differ in the keys and secrets that the role does not have, no
//! received bit is constant, biased, or an affine function over GF(2) of other received bits, but for those that the
//! protocol explains. Each of these is listed with the reason.
//!
//! Masks that are used twice show up: the lowest bits of two openings then differ by a constant. Other than affine laws
//! are not searched for.

mod affine;
mod dealt;
mod explained;
mod planted;
mod roles;
mod runs;
mod securenn;
