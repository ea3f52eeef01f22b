//! The time that gates take, in elements a second: all roles of each protocol in threads of this process, over links in
//! memory. `cargo bench -p ringlet`, with a part of a name to run some of them only.
//!
//! What is timed is everything from the first role's start to the last one's end: the dealer deals while the parties
//! already run. The shares are zeros, since nothing that a gate does depends on them.

mod alone;
mod dealt;
mod harness;
mod securenn;

fn main() {
    divan::main();
}

/// Elements of a gate's run: few, for what each run costs, and many, for what each element does.
const SIZES: [usize; 2] = [1 << 10, 1 << 14];
