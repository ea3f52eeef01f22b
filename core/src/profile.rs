//! Instruction profile of a party: counts by kind of work and cost row.
//!
//! Guards mark sections of code by kind of work. With the feature `profile`, a program that runs one party
//! provides an instruction counter and reads the sums (see the module `counted`). Without the feature a guard
//! compiles to nothing.

/// A kind of work. Sections nest; instructions count for the innermost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Gates: everything outside the other sections. No guard marks them.
    Gates,
    /// Matrix products, and the rearranging of their operands.
    Kernels,
    /// Generation of pseudo-random streams: masks and P0's dealt shares.
    Prg,
    /// Packing of values for the link, and adding up of the shares that arrive.
    Packing,
    /// The link without its transport.
    Link,
    /// Sealing and opening of a secure link's frames, and its handshake.
    Sealing,
    /// Work of the surrounding program, such as a simulated transport.
    Program,
}

impl Section {
    /// All sections with their names.
    pub const ALL: [(Section, &'static str); 7] = [
        (Section::Gates, "gates"),
        (Section::Kernels, "kernels"),
        (Section::Prg, "prg"),
        (Section::Packing, "packing"),
        (Section::Link, "link"),
        (Section::Sealing, "sealing"),
        (Section::Program, "outside"),
    ];
}

#[cfg(feature = "profile")]
pub use counted::*;
#[cfg(not(feature = "profile"))]
pub use uncounted::*;

#[cfg(not(feature = "profile"))]
mod uncounted {
    use super::Section;

    /// Ends its section when dropped.
    pub struct Guard;

    /// Starts a section, which lasts until the guard is dropped.
    #[inline(always)]
    pub fn section(_: Section) -> Guard {
        Guard
    }

    /// Attributes the instructions that follow to a cost row's forward or backward pass.
    #[inline(always)]
    pub(crate) fn cost_row(_: usize, _: bool) {}

    /// Counts a draw of so many bytes of a stream.
    #[inline(always)]
    pub(crate) fn draw(_: usize) {}
}

/// The sums, for one party on one thread. The program defines the counter:
///
/// ```ignore
/// #[unsafe(no_mangle)]
/// fn _ringlet_instructions() -> u32 { ... }
/// ```
///
/// It returns the number of instructions so far (or of any other event) modulo 2^32. Instructions spent in
/// this module are not counted.
#[cfg(feature = "profile")]
pub mod counted {
    use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

    use super::Section;
    use crate::model::cost_rows::MAX_COST_ROWS;

    unsafe extern "Rust" {
        safe fn _ringlet_instructions() -> u32;
    }

    const SECTIONS: usize = Section::ALL.len();

    /// One sum per section, for the forward and the backward pass of each cost row.
    static SUMS: [AtomicU32; MAX_COST_ROWS * 2 * SECTIONS] =
        [const { AtomicU32::new(0) }; MAX_COST_ROWS * 2 * SECTIONS];
    /// Index in `SUMS` of the current cost row and pass; `SECTION` is the current section's offset from it.
    static ROW: AtomicUsize = AtomicUsize::new(0);
    static SECTION: AtomicUsize = AtomicUsize::new(0);
    /// Bytes of streams.
    static DRAWN: AtomicUsize = AtomicUsize::new(0);
    /// Draws of them, on hosts: on a device each count is instructions of the gate that draws.
    #[cfg(target_pointer_width = "64")]
    static DRAWS: AtomicUsize = AtomicUsize::new(0);
    /// The counter's value when the current section was entered.
    static SINCE: AtomicU32 = AtomicU32::new(0);

    /// Index in `SUMS` of a cost row's first section.
    fn row_start(cost_row: usize, backward: bool) -> usize {
        (2 * cost_row + usize::from(backward)) * SECTIONS
    }

    /// Adds the instructions since the last switch to the current sum, then sets `selector` ([`ROW`] or
    /// [`SECTION`]) to `to`. Returns the selector's old value.
    fn switch(selector: &AtomicUsize, to: usize) -> usize {
        let passed = _ringlet_instructions().wrapping_sub(SINCE.load(Relaxed));
        let sum = &SUMS[ROW.load(Relaxed) + SECTION.load(Relaxed)];
        sum.store(sum.load(Relaxed).wrapping_add(passed), Relaxed);
        let previous = selector.load(Relaxed);
        selector.store(to, Relaxed);
        SINCE.store(_ringlet_instructions(), Relaxed);
        previous
    }

    /// Ends its section when dropped.
    pub struct Guard(usize);

    impl Drop for Guard {
        fn drop(&mut self) {
            switch(&SECTION, self.0);
        }
    }

    /// Starts a section, which lasts until the guard is dropped.
    pub fn section(section: Section) -> Guard {
        Guard(switch(&SECTION, section as usize))
    }

    /// Attributes the instructions that follow to a cost row's forward or backward pass.
    pub(crate) fn cost_row(cost_row: usize, backward: bool) {
        switch(&ROW, row_start(cost_row, backward));
    }

    /// Counts a draw of so many bytes of a stream.
    pub(crate) fn draw(bytes: usize) {
        DRAWN.store(DRAWN.load(Relaxed).wrapping_add(bytes), Relaxed);
        #[cfg(target_pointer_width = "64")]
        DRAWS.store(DRAWS.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Bytes of streams that were drawn, modulo what a `usize` counts.
    pub fn drawn() -> usize {
        DRAWN.load(Relaxed)
    }

    /// Draws that these bytes were.
    #[cfg(target_pointer_width = "64")]
    pub fn draws() -> usize {
        DRAWS.load(Relaxed)
    }

    /// Resets all sums to zero.
    pub fn reset() {
        DRAWN.store(0, Relaxed);
        #[cfg(target_pointer_width = "64")]
        DRAWS.store(0, Relaxed);
        for sum in &SUMS {
            sum.store(0, Relaxed);
        }
        SINCE.store(_ringlet_instructions(), Relaxed);
    }

    /// The sum of a section in one pass of a cost row, modulo 2^32.
    pub fn sum(cost_row: usize, backward: bool, section: Section) -> u32 {
        SUMS[row_start(cost_row, backward) + section as usize].load(Relaxed)
    }
}
