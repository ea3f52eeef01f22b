//! The speed of gates, in elements a second, with all roles of a protocol as threads of this process and links in memory.
//! Run `cargo bench -p ringlet`, with a part of a name to run only some of them.
//!
//! The time is from the start of the first role to the end of the last; the dealer deals while the parties run. The
//! shares are zeros, since the work of a gate does not depend on them. A closing table has elements a core-second, and the share
//! of the machine's limits that they are.

mod alone;
mod dealt;
mod harness;
mod securenn;
mod shares;

fn main() {
    divan::main();
    shares::print();
}

/// Elements of a run: few, to show the cost of a run, and many, to show the cost of an element.
const SIZES: [usize; 2] = [1 << 10, 1 << 14];
