//! Where a party's instructions go: each kind of work under the cost row that it is done for.
//!
//! Guards mark sections of code by the kind of work they do. With the feature `count`, a program that
//! runs one party provides a counter (see the feature `count`) and reads the sums; without it a guard is nothing.

/// A kind of work. Sections nest, and what passes counts for the innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Gates, apart from what the others name: no guard marks them.
    Gates,
    /// Matrix products and what prepares them.
    Kernels,
    /// Streams of masks and dealt shares.
    Prg,
    /// Packing of values for the link, and the sums of what comes back.
    Packing,
    /// The link, apart from its transport.
    Link,
    /// What is not the party's: the program's own work, such as a transport that stands in for the line.
    Outside,
}

impl Section {
    /// Every kind with its name.
    pub const ALL: [(Section, &'static str); 6] = [
        (Section::Gates, "gates"),
        (Section::Kernels, "kernels"),
        (Section::Prg, "prg"),
        (Section::Packing, "packing"),
        (Section::Link, "link"),
        (Section::Outside, "outside"),
    ];
}

#[cfg(feature = "count")]
pub use counted::*;
#[cfg(not(feature = "count"))]
pub use uncounted::*;

#[cfg(not(feature = "count"))]
mod uncounted {
    use super::Section;

    /// Ends its section when it is dropped.
    pub struct Guard;

    /// Starts a section.
    #[inline(always)]
    pub fn section(_: Section) -> Guard {
        Guard
    }

    /// Counts what follows under a cost row.
    #[inline(always)]
    pub(crate) fn cost_row(_: usize, _: bool) {}
}

/// The sums, for one party on one thread. A program brings the counter:
///
/// ```ignore
/// #[unsafe(no_mangle)]
/// fn _ringlet_instructions() -> u32 { ... }
/// ```
///
/// It counts instructions, or anything else, modulo 2^32. What it costs to read is not counted.
#[cfg(feature = "count")]
pub mod counted {
    use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

    use super::Section;
    use crate::model::cost_rows::MAX_COST_ROWS;

    unsafe extern "Rust" {
        safe fn _ringlet_instructions() -> u32;
    }

    const SECTIONS: usize = Section::ALL.len();

    /// A sum for each section, of each way of each cost row.
    static SUMS: [AtomicU32; MAX_COST_ROWS * 2 * SECTIONS] =
        [const { AtomicU32::new(0) }; MAX_COST_ROWS * 2 * SECTIONS];
    /// First sum of the present cost row and way, and the section in it.
    static LINE: AtomicUsize = AtomicUsize::new(0);
    static SECTION: AtomicUsize = AtomicUsize::new(0);
    /// The counter when the section was entered.
    static SINCE: AtomicU32 = AtomicU32::new(0);

    fn first(cost_row: usize, backward: bool) -> usize {
        (2 * cost_row + usize::from(backward)) * SECTIONS
    }

    fn turn(place: &AtomicUsize, to: usize) -> usize {
        let passed = _ringlet_instructions().wrapping_sub(SINCE.load(Relaxed));
        let sum = &SUMS[LINE.load(Relaxed) + SECTION.load(Relaxed)];
        sum.store(sum.load(Relaxed).wrapping_add(passed), Relaxed);
        let before = place.load(Relaxed);
        place.store(to, Relaxed);
        SINCE.store(_ringlet_instructions(), Relaxed);
        before
    }

    /// Ends its section when it is dropped.
    pub struct Guard(usize);

    impl Drop for Guard {
        fn drop(&mut self) {
            turn(&SECTION, self.0);
        }
    }

    /// Starts a section.
    pub fn section(section: Section) -> Guard {
        Guard(turn(&SECTION, section as usize))
    }

    /// Counts what follows under a cost row.
    pub(crate) fn cost_row(cost_row: usize, backward: bool) {
        turn(&LINE, first(cost_row, backward));
    }

    /// Starts all sums again from zero.
    pub fn reset() {
        for sum in &SUMS {
            sum.store(0, Relaxed);
        }
        SINCE.store(_ringlet_instructions(), Relaxed);
    }

    /// The sum of a section on one way of a cost row, modulo 2^32.
    pub fn sum(cost_row: usize, backward: bool, section: Section) -> u32 {
        SUMS[first(cost_row, backward) + section as usize].load(Relaxed)
    }
}
