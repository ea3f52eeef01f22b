//! Laws of received bits over many runs: a bit that is constant or biased, or that is an affine function over GF(2) of
//! other bits.

use std::{collections::HashMap, fmt, ops::RangeInclusive};

/// What a role received in one run: the bytes of each of its links.
pub type View = Vec<Vec<u8>>;

/// A received bit; it prints as link:byte.bit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bit {
    /// Index of the link in the view.
    pub link: usize,
    /// Index of the byte in what the link brought.
    pub byte: usize,
    /// Bit in the byte; 0 is the lowest.
    pub bit: usize,
}

impl fmt::Debug for Bit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.link, self.byte, self.bit)
    }
}

/// What a bit obeys in all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Law {
    /// It has one value.
    Constant(bool),
    /// It is one in `ones` of `runs` runs: more than seven standard deviations from half of them.
    Biased { ones: usize, runs: usize },
    /// It is the exclusive or of other bits, or its complement.
    Function { of: Vec<Bit>, inverted: bool },
}

/// A bit that is not uniform and independent of the others.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// The bit. Of the bits of a function it comes last in the order of the search.
    pub bit: Bit,
    /// What it obeys.
    pub law: Law,
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is ", self.bit)?;
        match &self.law {
            Law::Constant(value) => write!(f, "always {}", u8::from(*value)),
            Law::Biased { ones, runs } => write!(f, "1 in {ones} of {runs} runs"),
            Law::Function { of, inverted } => {
                let shown = &of[..of.len().min(6)];
                let rest = of.len() - shown.len();
                let not = if *inverted { "not " } else { "" };
                write!(f, "{not}the sum of {shown:?} and {rest} others")
            }
        }
    }
}

/// Runs beyond the number of bits in a search: random bits obey an affine law with probability 2^-64.
const SPARE: usize = 64;
/// The most runs, for views of at most [`MANY`] bits and for larger ones. What has more bits than runs is searched in
/// windows.
const MOST_RUNS: [usize; 2] = [896, 320];
/// Bits of a large view.
const MANY: usize = 50_000;

/// Runs that [`findings`] needs for `bits` received bits: a multiple of 64.
pub fn runs_for(bits: usize) -> usize {
    let most = MOST_RUNS[usize::from(bits > MANY)];
    (bits + SPARE).next_multiple_of(64).min(most)
}

/// The values of a bit in all runs, 64 to a word.
struct Column {
    bit: Bit,
    values: Vec<u64>,
}

impl Column {
    /// Whether the bit is one in the first run.
    fn first(&self) -> bool {
        self.values[0] & 1 == 1
    }

    /// The values, complemented if the first is one.
    fn normalised(&self) -> Vec<u64> {
        let flip = 0u64.wrapping_sub(self.first().into());
        self.values.iter().map(|word| word ^ flip).collect()
    }
}

/// The columns of all bits, in the order of their place in their link, so that bits of all links that come at about the
/// same time are next to each other.
fn columns(views: &[View]) -> Vec<Column> {
    let mut columns = Vec::new();
    for (link, first) in views[0].iter().enumerate() {
        let len = first.len();
        for view in views {
            assert_eq!(view[link].len(), len, "the length of a message varies");
        }
        for byte in 0..len {
            let mut values = [const { Vec::new() }; 8];
            for views in views.chunks(64) {
                let mut words = [0u64; 8];
                for (run, view) in views.iter().enumerate() {
                    for (bit, word) in words.iter_mut().enumerate() {
                        *word |= u64::from(view[link][byte] >> bit & 1) << run;
                    }
                }
                values.iter_mut().zip(words).for_each(|(v, w)| v.push(w));
            }
            let place = byte as f64 / len as f64;
            for (bit, values) in values.into_iter().enumerate() {
                let bit = Bit { link, byte, bit };
                columns.push((place, Column { bit, values }));
            }
        }
    }
    columns.sort_by(|a, b| a.0.total_cmp(&b.0));
    columns.into_iter().map(|(_, column)| column).collect()
}

/// All bits that obey a law in the views of many runs.
///
/// Constant and biased bits, and bits that equal another one or its complement, are found among all bits. Other affine
/// functions are found among the bits of a window, which has [`SPARE`] bits less than there are runs.
///
/// # Panics
/// If the number of runs is not that of [`runs_for`], or if lengths differ.
pub fn findings(views: &[View]) -> Vec<Finding> {
    let runs = views.len();
    let columns = columns(views);
    assert_eq!(runs, runs_for(columns.len()));
    let mut found = Vec::new();
    let mut seen: HashMap<Vec<u64>, (Bit, bool)> = HashMap::new();
    let mut others = Vec::new();
    for column in columns {
        let ones: usize = column.values.iter().map(|w| w.count_ones() as usize).sum();
        let (bit, law) = (column.bit, column.normalised());
        if ones == 0 || ones == runs {
            let law = Law::Constant(ones > 0);
            found.push(Finding { bit, law });
            continue;
        }
        // Seven standard deviations, each half the root of the runs.
        if (2 * ones).abs_diff(runs).pow(2) > 49 * runs {
            let law = Law::Biased { ones, runs };
            found.push(Finding { bit, law });
        }
        match seen.get(&law) {
            Some(&(other, first)) => found.push(Finding {
                bit,
                law: Law::Function {
                    of: vec![other],
                    inverted: first != column.first(),
                },
            }),
            None => {
                seen.insert(law, (bit, column.first()));
                others.push(column);
            }
        }
    }
    let most = runs - SPARE;
    let mut first = 0;
    loop {
        let window = &others[first..others.len().min(first + most)];
        for finding in functions(window, runs) {
            // Windows overlap, and name what lies in both twice.
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        if first + most >= others.len() {
            break;
        }
        first += most / 2;
    }
    found
}

/// The bits of a window that are affine functions of those before them, by Gaussian elimination over GF(2).
fn functions(window: &[Column], runs: usize) -> Vec<Finding> {
    let words = runs / 64;
    // A row has a bit's values, then which bits were added; the last of these is the constant 1.
    let row = |values: &[u64], index: usize| {
        let mut row = values.to_vec();
        row.resize(words + window.len() / 64 + 1, 0);
        row[words + index / 64] |= 1 << (index % 64);
        row
    };
    let mut basis: Vec<Option<Vec<u64>>> = vec![None; runs];
    let one = row(&vec![u64::MAX; words], window.len());
    basis[0] = Some(one);
    let mut found = Vec::new();
    for (index, column) in window.iter().enumerate() {
        let mut row = row(&column.values, index);
        let mut word = 0;
        while word < words {
            if row[word] == 0 {
                word += 1;
                continue;
            }
            let pivot = 64 * word + row[word].trailing_zeros() as usize;
            match &basis[pivot] {
                Some(other) => {
                    let pairs = row[word..].iter_mut().zip(&other[word..]);
                    pairs.for_each(|(word, other)| *word ^= other);
                }
                None => break,
            }
        }
        if word < words {
            let pivot = 64 * word + row[word].trailing_zeros() as usize;
            basis[pivot] = Some(row);
            continue;
        }
        let added = |index: usize| row[words + index / 64] >> (index % 64) & 1 == 1;
        let of = (0..index).filter(|&index| added(index));
        found.push(Finding {
            bit: column.bit,
            law: Law::Function {
                of: of.map(|index| window[index].bit).collect(),
                inverted: added(window.len()),
            },
        });
    }
    found
}

/// Decides whether a finding is explained; the second argument is that of [`Allowed::is`].
pub type Test = Box<dyn Fn(&Finding, bool) -> bool>;

/// Findings that the protocol explains.
pub struct Allowed {
    /// Why they tell nothing.
    pub reason: &'static str,
    /// How many there are.
    pub counts: RangeInclusive<usize>,
    /// Whether a finding is one of them. The second argument is true if each of its bits is the same in runs with the
    /// same keys and other inputs.
    pub is: Test,
}

/// Runs with other inputs, which tell whether a bit depends on them.
const OTHER_INPUTS: usize = 64;

/// Runs a protocol as often as needed, and checks that all findings are allowed and all allowed ones are found.
/// `run(runs, inputs)` gives the views of that many runs with the inputs 0 or 1.
///
/// # Panics
/// If not. The message names the bits.
pub fn check(name: &str, allowed: &[Allowed], run: impl Fn(usize, usize) -> Vec<View>) {
    let bits: usize = run(1, 0)[0].iter().map(|bytes| 8 * bytes.len()).sum();
    assert!(bits > 0, "{name}: nothing is received");
    let (views, others) = (run(runs_for(bits), 0), run(OTHER_INPUTS, 1));
    let is_same = |at: &Bit| {
        let pairs = views.iter().zip(&others);
        let byte = |view: &View| view[at.link][at.byte];
        let changes = pairs.map(|(view, other)| byte(view) ^ byte(other));
        changes.fold(0, |all, change| all | change) >> at.bit & 1 == 0
    };
    let mut counts = vec![0; allowed.len()];
    let mut leaks = Vec::new();
    for finding in findings(&views) {
        let others: &[Bit] = match &finding.law {
            Law::Function { of, .. } => of,
            _ => &[],
        };
        let same = is_same(&finding.bit) && others.iter().all(is_same);
        match allowed
            .iter()
            .position(|allowed| (allowed.is)(&finding, same))
        {
            Some(index) => counts[index] += 1,
            None => leaks.push(finding),
        }
    }
    let shown = &leaks[..leaks.len().min(40)];
    assert!(
        leaks.is_empty(),
        "{name}: {} of {bits} bits, written as link:byte.bit: {shown:#?}",
        leaks.len()
    );
    for (allowed, count) in allowed.iter().zip(counts) {
        assert!(
            allowed.counts.contains(&count),
            "{name}: {count} instead of {:?}: {}",
            allowed.counts,
            allowed.reason
        );
    }
}
