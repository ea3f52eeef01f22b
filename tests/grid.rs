//! Models, settings, rings and protocols beside their float32 twins: where a twin learns, the private run does, or it says why
//! not.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use ringlet::data::{Part, load};
use ringlet_tests::{metrics, ringlet, text};

/// Models for 8x8 images: name and layers.
const MODELS: [(&str, &str); 5] = [
    ("linear", r#""flatten", {"dense": {"units": 10}}"#),
    (
        "mlp",
        r#""flatten", {"dense": {"units": 32}}, "relu", {"dense": {"units": 10}}"#,
    ),
    (
        "conv1",
        r#"{"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 0}}, "relu", "flatten", {"dense": {"units": 10}}"#,
    ),
    (
        "conv2-pooled",
        r#"{"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, {"avg_pool": {"window": 2}}, "relu",
           {"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, {"max_pool": {"window": 2}}, "relu",
           "flatten", {"dense": {"units": 10}}"#,
    ),
    (
        "conv4",
        r#"{"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, "relu",
           {"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, "relu",
           {"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, "relu",
           {"conv2d": {"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}, "relu",
           "flatten", {"dense": {"units": 10}}"#,
    ),
];

/// Rings and protocols.
const ARITHMETIC: [(&str, &[&str]); 3] = [
    ("u32", &[]),
    ("u64", &["--ring", "u64"]),
    ("securenn", &["--protocol", "securenn"]),
];

/// Inputs: the built-in digits, and the same inverted, as they are and normalised.
const INPUTS: [(&str, &str); 3] = [
    ("digits", "none"),
    ("inverted", "none"),
    ("inverted, normalised", ""),
];

const RATES: [&str; 3] = ["0.015625", "0.0625", "0.25"];
const MOMENTA: [&str; 3] = ["0", "0.9", "0.99"];
/// Batch sizes, and iterations for each.
const BATCHES: [(&str, &str); 2] = [("8", "150"), ("128", "48")];

/// A model is behind if it is so much less accurate than its twin.
const BEHIND: f64 = 0.02;
/// How many seeds a cell is run on that is behind on fewer. Where learning is chaos, three tell little.
const SEEDS: [usize; 3] = [1, 3, 12];

/// One combination.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    arithmetic: usize,
    model: usize,
    input: usize,
    rate: usize,
    momentum: usize,
    batch: usize,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// Accuracy of the private model and of its twin.
    Trained(f64, f64),
    /// It ended with an error that names the reason.
    Refused,
}

impl Cell {
    fn all() -> Vec<Cell> {
        let mut cells = Vec::new();
        for arithmetic in 0..ARITHMETIC.len() {
            for model in 0..MODELS.len() {
                for input in 0..INPUTS.len() {
                    for rate in 0..RATES.len() {
                        for momentum in 0..MOMENTA.len() {
                            for batch in 0..BATCHES.len() {
                                cells.push(Cell {
                                    arithmetic,
                                    model,
                                    input,
                                    rate,
                                    momentum,
                                    batch,
                                });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    fn name(self) -> String {
        format!(
            "{}, {}, {}, lr {}, momentum {}, batch {}",
            ARITHMETIC[self.arithmetic].0,
            MODELS[self.model].0,
            INPUTS[self.input].0,
            RATES[self.rate],
            MOMENTA[self.momentum],
            BATCHES[self.batch].0
        )
    }

    /// Trains, with files in `dir`.
    fn run(self, dir: &Path, seed: &str, number: usize) -> Outcome {
        let file = |name: String| dir.join(name).to_string_lossy().into_owned();
        let model = file(format!("{}.json", MODELS[self.model].0));
        let out = file(format!("{number}.jsonl"));
        let (batch, limit) = BATCHES[self.batch];
        let mut arguments = vec!["train", "--twin", "--model", &model, "--seed", seed];
        arguments.extend([
            "--lr",
            RATES[self.rate],
            "--momentum",
            MOMENTA[self.momentum],
        ]);
        arguments.extend(["--batch", batch, "--limit", limit, "--metrics", &out]);
        arguments.extend(ARITHMETIC[self.arithmetic].1);
        let inverted = file("inverted".to_owned());
        let (data, normalise) = INPUTS[self.input];
        if data != "digits" {
            arguments.extend(["--data", &inverted]);
        }
        if !normalise.is_empty() {
            arguments.extend(["--normalise", normalise]);
        }
        let output = ringlet(&arguments);
        if !output.status.success() {
            let error = text(&output.stderr);
            let named = [
                "values left the range contract",
                "leaves the range of floats",
                "values come near the end of the range",
            ];
            assert!(
                named.iter().any(|reason| error.contains(reason)),
                "{}: {error}",
                self.name()
            );
            return Outcome::Refused;
        }
        let epochs = metrics(Path::new(&out), "epoch");
        let last = epochs.last().expect("a record of the last epoch");
        let accuracy = |name: &str| last[name].as_f64().expect("an accuracy");
        Outcome::Trained(accuracy("accuracy"), accuracy("twin_accuracy"))
    }
}

/// Writes the models and the inverted digits.
fn files(dir: &Path) {
    for (name, layers) in MODELS {
        let model = format!(r#"{{"name": "{name}", "input": [8, 8, 1], "layers": [{layers}]}}"#);
        fs::write(dir.join(format!("{name}.json")), model).expect("a file");
    }
    let inverted = dir.join("inverted");
    fs::create_dir(&inverted).expect("a directory");
    for (part, name) in [(Part::Train, "train"), (Part::Test, "t10k")] {
        let images = load(None, part).expect("built-in digits");
        let count = images.len() as u32;
        let head = |numbers: &[u32]| -> Vec<u8> {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        };
        let mut bytes = head(&[0x803, count, 8, 8]);
        bytes.extend(images.pixels.iter().map(|pixel| 255 - pixel));
        fs::write(inverted.join(format!("{name}-images-idx3-ubyte")), bytes).expect("a file");
        let mut bytes = head(&[0x801, count]);
        bytes.extend(&images.labels);
        fs::write(inverted.join(format!("{name}-labels-idx1-ubyte")), bytes).expect("a file");
    }
}

/// Mean and standard deviation.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (
        mean,
        (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt(),
    )
}

/// Whether a cell is behind, given its runs: on average so much behind its twin and further than twice the twin's own
/// spread, or on all seeds further than twice the standard error of that difference.
fn is_behind(outcomes: &[Outcome]) -> bool {
    let mut trained = [Vec::new(), Vec::new()];
    for outcome in outcomes {
        if let Outcome::Trained(own, twin) = *outcome {
            trained[0].push(own);
            trained[1].push(twin);
        }
    }
    let runs = trained[0].len();
    if runs == 0 {
        return false;
    }
    let [(own, deviation), (twin, of_twins)] = trained.map(|values| spread(&values));
    let by_chance = match outcomes.len() {
        count if count == SEEDS[0] => 0.0,
        count if count == SEEDS[1] => 2.0 * of_twins,
        _ => 2.0 * ((deviation.powi(2) + of_twins.powi(2)) / runs as f64).sqrt(),
    };
    twin - own > BEHIND.max(by_chance)
}

/// Runs the cells with the first seed, and those that are behind with more. Returns the outcomes.
fn run(cells: &[Cell]) -> BTreeMap<Cell, Vec<Outcome>> {
    let dir = tempfile::tempdir().expect("a directory");
    files(dir.path());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&cell) = cells.get(number) else {
                return;
            };
            let mut outcomes = Vec::new();
            for seeds in SEEDS {
                let more = outcomes.len() + 1..=seeds;
                outcomes.extend(more.map(|seed| cell.run(dir.path(), &seed.to_string(), number)));
                if !is_behind(&outcomes) {
                    break;
                }
            }
            done.lock().expect("no panic").insert(cell, outcomes);
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    done.into_inner().expect("no panic")
}

/// A table of the outcomes, by arithmetic and model, and the cells that are behind.
fn table(outcomes: &BTreeMap<Cell, Vec<Outcome>>) -> (String, Vec<String>) {
    let names = "| ring or protocol | model | cells | as good as the twin | behind on one seed alone | ended with the reason | twin did not learn |";
    let mut table = format!("{names}\n|---|---|--:|--:|--:|--:|--:|\n");
    let mut behind = Vec::new();
    for (arithmetic, (name, _)) in ARITHMETIC.iter().enumerate() {
        for (model, (layers, _)) in MODELS.iter().enumerate() {
            let mut counts = [0; 5];
            let own = |cell: &Cell| cell.arithmetic == arithmetic && cell.model == model;
            for (cell, outcomes) in outcomes.iter().filter(|(cell, _)| own(cell)) {
                counts[0] += 1;
                match outcomes[0] {
                    _ if is_behind(outcomes) => behind.push(cell.name()),
                    Outcome::Refused => counts[3] += 1,
                    Outcome::Trained(own, twin) if twin < 0.2 && own < 0.2 => counts[4] += 1,
                    Outcome::Trained(..) if outcomes.len() > 1 => counts[2] += 1,
                    Outcome::Trained(..) => counts[1] += 1,
                }
            }
            if counts[0] == 0 {
                continue;
            }
            let numbers = counts.map(|count| count.to_string()).join(" | ");
            let _ = writeln!(table, "| {name} | {layers} | {numbers} |");
        }
    }
    (table, behind)
}

#[test]
fn a_part_of_the_grid_learns_or_says_why_not() {
    // Every arithmetic, model and input once, with settings that differ.
    let mut cells = Cell::all();
    cells.retain(|cell| {
        let number = 2 * cell.model + cell.input + cell.arithmetic;
        cell.arithmetic == (cell.model + cell.input) % 3
            && cell.rate == number % 3
            && cell.momentum == (number / 3 + cell.input) % 3
            && cell.batch == 1
    });
    assert_eq!(cells.len(), 15);
    let (table, behind) = table(&run(&cells));
    assert_eq!(behind, [""; 0], "{table}");
}

/// Runs all cells of an arithmetic, model by model, and prints a table of each.
fn all_cells_of(arithmetic: usize) {
    let cells = Cell::all();
    assert!(cells.len() >= 600);
    let mut all_behind = Vec::new();
    for model in 0..MODELS.len() {
        let mut cells = cells.clone();
        cells.retain(|cell| cell.arithmetic == arithmetic && cell.model == model);
        let (table, behind) = table(&run(&cells));
        println!("{table}");
        all_behind.extend(behind);
    }
    assert_eq!(all_behind, [""; 0]);
}

#[test]
#[ignore = "takes minutes"]
fn all_cells_at_u32_learn_or_say_why_not() {
    all_cells_of(0);
}

#[test]
#[ignore = "takes minutes"]
fn all_cells_at_u64_learn_or_say_why_not() {
    all_cells_of(1);
}

#[test]
#[ignore = "takes minutes"]
fn all_cells_by_securenn_learn_or_say_why_not() {
    all_cells_of(2);
}
