//! What the gates reach of the machine's limits.

use std::{collections::BTreeMap, env, sync::Mutex, time::Duration};

use ringlet::measure::rates::{Limit, Rates};
use ringlet_core::num::Ring;

/// A run of a gate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gate {
    name: &'static str,
    ring: u32,
    elements: usize,
    /// Multiply-accumulates of all roles.
    products: usize,
}

impl Gate {
    /// A gate in ring `R` on so many elements.
    pub fn new<R: Ring>(name: &'static str, elements: usize) -> Self {
        Gate {
            name,
            ring: R::BITS,
            elements,
            products: 0,
        }
    }

    /// The same gate, whose roles multiply and accumulate so many times.
    pub fn with_products(self, products: usize) -> Self {
        Gate { products, ..self }
    }
}

/// What the roles of a gate have taken in all runs.
#[derive(Clone, Copy, Default)]
struct Sum {
    seconds: f64,
    sent: u64,
    roles: u64,
}

static SUMS: Mutex<BTreeMap<Gate, Sum>> = Mutex::new(BTreeMap::new());

/// Roles of a gate.
const ROLES: u64 = 3;

/// Adds what a role has taken in a run: processor seconds, and bytes sent.
pub fn add(gate: Gate, seconds: f64, sent: u64) {
    let mut sums = SUMS.lock().expect("no role has panicked");
    let sum = sums.entry(gate).or_default();
    sum.seconds += seconds;
    sum.sent += sent;
    sum.roles += 1;
}

/// Prints the closing table of `cargo bench`, and nothing after tests and lists.
pub fn print() {
    let sums = SUMS.lock().expect("no role has panicked");
    if sums.is_empty() || !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rates = Rates::measure(Duration::from_millis(100), || {});
    println!(
        "\nShare: of the processor time of all roles, what the limits would take for a byte of stream for each byte\n\
         sent, and for the multiply-accumulates. The limits: streams {:.2} GB/s, products {:.2} and {:.2} G a second.\n",
        rates.limit(Limit::Stream) / 1e9,
        rates.limit(Limit::Products32) / 1e9,
        rates.limit(Limit::Products64) / 1e9,
    );
    println!(
        "{:<30}{:>5}{:>10}{:>18}{:>14}{:>9}",
        "gate", "ring", "elements", "M a core-second", "bytes each", "share"
    );
    for (gate, sum) in &*sums {
        let runs = sum.roles as f64 / ROLES as f64;
        let (elements, products) = (gate.elements as f64 * runs, gate.products as f64 * runs);
        let of_products = match gate.ring {
            32 => Limit::Products32,
            _ => Limit::Products64,
        };
        let least =
            sum.sent as f64 / rates.limit(Limit::Stream) + products / rates.limit(of_products);
        println!(
            "{:<30}{:>5}{:>10}{:>18.3}{:>14.1}{:>7.0} %",
            gate.name,
            gate.ring,
            gate.elements,
            elements / sum.seconds / 1e6,
            sum.sent as f64 / elements,
            100.0 * least / sum.seconds
        );
    }
}
