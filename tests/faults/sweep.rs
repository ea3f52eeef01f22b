//! Seeded sweeps of faults over links, directions and positions.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{
    byte_faults::{self, ByteFault},
    message_faults::{Lengths, Recorder},
    proxy::Direction,
    session::{Kind, Place, run},
    side_by_side,
    verdict::{Verdict, Wrong, account, judge},
};

/// A session without faults.
pub struct Clean {
    /// Which session.
    pub kind: Kind,
    /// Its result.
    pub result: Vec<u8>,
    /// Lengths of the messages of each link in each direction.
    pub lengths: [[Vec<usize>; 2]; 3],
}

impl Clean {
    fn new(kind: Kind) -> Self {
        let mut results = Vec::new();
        let lengths = Place::ALL.map(|place| {
            Direction::BOTH.map(|direction| {
                let lengths = Lengths::default();
                let outcome = run(kind, place, direction, &|| {
                    lengths.lock().expect("no panic").clear();
                    Box::new(Recorder::new(direction, lengths.clone()))
                });
                let well = outcome.roles.iter().all(|role| role.well());
                assert!(well, "{kind:?}: {}", account(&outcome));
                results.push(outcome.result.expect("a result"));
                let lengths = lengths.lock().expect("no panic").clone();
                assert!(lengths.len() > 3, "{kind:?}, {place:?}: {lengths:?}");
                lengths
            })
        });
        assert!(results.iter().all(|result| *result == results[0]));
        Clean {
            kind,
            result: results.swap_remove(0),
            lengths,
        }
    }

    /// One session of each kind.
    pub fn all(least: bool) -> &'static [Clean] {
        static CLEAN: [OnceLock<Vec<Clean>>; 2] = [OnceLock::new(), OnceLock::new()];
        CLEAN[usize::from(least)]
            .get_or_init(|| side_by_side(&Kind::all(least), |kind| Clean::new(*kind)))
    }
}

/// Where in a direction a fault comes.
const PHASES: [&str; 5] = ["greeting", "handshake", "early", "middle", "end"];

/// The bytes of a phase: the first one and the number.
fn bytes_of(phase: usize, lengths: &[usize]) -> (usize, usize) {
    let total: usize = lengths.iter().sum();
    let head = lengths[0] + lengths[1];
    // The end of the session, and its confirmation if this direction has one.
    let tail: usize = lengths[lengths.len() - 2..].iter().sum();
    let tail = tail.min(64);
    let body = (total - head).saturating_sub(tail).max(1);
    match phase {
        0 => (0, lengths[0]),
        1 => (lengths[0], lengths[1]),
        2 => (head, body.div_ceil(10)),
        3 => (head + body / 10, body.div_ceil(2)),
        _ => (total - tail, tail),
    }
}

/// One run of the sweep.
#[derive(Clone, Copy, Debug)]
struct Trial {
    session: usize,
    place: Place,
    direction: Direction,
    fault: byte_faults::Kind,
    phase: usize,
    draw: u64,
}

/// A generator of numbers that look random (SplitMix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// `count` runs. They go through all combinations of fault, link, direction, phase and session in a seeded order, and
/// begin again when all were there.
fn trials(count: usize, seed: u64) -> Vec<Trial> {
    let mut draws = Draws(seed);
    let mut all = Vec::new();
    while all.len() < count {
        let mut round = Vec::new();
        for session in 0..Kind::all(false).len() {
            for place in Place::ALL {
                for direction in Direction::BOTH {
                    for fault in byte_faults::Kind::ALL {
                        round.extend((0..PHASES.len()).map(|phase| Trial {
                            session,
                            place,
                            direction,
                            fault,
                            phase,
                            draw: 0,
                        }));
                    }
                }
            }
        }
        for place in (1..round.len()).rev() {
            round.swap(place, draws.next() as usize % (place + 1));
        }
        for trial in &mut round {
            trial.draw = draws.next();
        }
        all.extend(round);
    }
    all.truncate(count);
    all
}

/// The first trials in which each fault comes once in each phase.
fn few(seed: u64) -> Vec<Trial> {
    let mut seen = Vec::new();
    let mut all = trials(4 * 6 * 5 * byte_faults::Kind::ALL.len(), seed);
    all.retain(|trial| {
        let key = (trial.fault, trial.phase);
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    all
}

/// What became of a trial.
struct Row {
    fault: byte_faults::Kind,
    link: String,
    verdict: Result<Verdict, Wrong>,
    story: String,
}

fn attempt(trial: &Trial) -> Row {
    let clean = &Clean::all(false)[trial.session];
    let lengths = &clean.lengths[trial.place as usize][trial.direction as usize];
    let (first, count) = bytes_of(trial.phase, lengths);
    let at = first + trial.draw as usize % count;
    let size = 1 + (trial.draw >> 32) as usize % 256;
    let outcome = run(clean.kind, trial.place, trial.direction, &|| {
        Box::new(ByteFault::new(trial.fault, at, size))
    });
    let mut verdict = judge(clean.kind, &outcome, &clean.result);
    let total: usize = lengths.iter().sum();
    // A piece of two bytes or more may begin one byte earlier.
    let last = total - lengths[lengths.len() - 1] - 1;
    // The last message of a link goes from the role that connects.
    let damaged = match trial.fault {
        // The first of two copies is right.
        byte_faults::Kind::Duplicate => at + size,
        _ => at,
    };
    let is_last = trial.direction == Direction::Out && damaged >= last;
    if verdict == Ok(Verdict::Unconfirmed) && !is_last {
        verdict = Err(Wrong::Success);
    }
    // Copies behind the end hurt nobody, nor do equal pieces that change places.
    let may_be_right = trial.fault.is_harmless()
        || [byte_faults::Kind::Duplicate, byte_faults::Kind::Swap].contains(&trial.fault);
    if verdict == Ok(Verdict::Right) && !may_be_right {
        verdict = Err(Wrong::Success);
    }
    Row {
        fault: trial.fault,
        link: trial.place.name(clean.kind),
        verdict,
        story: format!(
            "{:?}, {trial:?}, {} bytes from byte {at} of {total}\n{}",
            clean.kind,
            size,
            account(&outcome)
        ),
    }
}

/// A table with the number of runs by outcome.
fn table(rows: &[Row], name: impl Fn(&Row) -> String) -> String {
    let mut counts = BTreeMap::<String, [usize; 5]>::new();
    for row in rows {
        let place = match row.verdict {
            Ok(Verdict::Right) => 1,
            Ok(Verdict::Failed) => 2,
            Ok(Verdict::Unconfirmed) => 3,
            Err(_) => 4,
        };
        let counts = counts.entry(name(row)).or_default();
        counts[0] += 1;
        counts[place] += 1;
    }
    let mut text = "| | runs | right result | no result, all roles failed | right result, last message lost | wrong |\n|---|---|---|---|---|---|\n".to_owned();
    for (name, counts) in counts {
        let counts = counts.map(|count| count.to_string()).join(" | ");
        text += &format!("| {name} | {counts} |\n");
    }
    text
}

/// Runs trials. Fails with what the roles said if one of them did not end as it should.
fn sweep(trials: &[Trial], tells: bool) {
    let (begun, done) = (Instant::now(), AtomicUsize::new(0));
    let progress = Arc::new(Mutex::new(()));
    Clean::all(false);
    let rows = side_by_side(trials, |trial| {
        let row = attempt(trial);
        let done = 1 + done.fetch_add(1, Ordering::Relaxed);
        let _one_at_a_time = progress.lock();
        if tells && (done.is_multiple_of(50) || row.verdict.is_err()) {
            eprintln!("{done} runs in {:.0} s", begun.elapsed().as_secs_f64());
        }
        if let (true, Err(wrong)) = (tells, row.verdict) {
            eprintln!("{wrong:?}: {}", row.story);
        }
        row
    });
    if tells {
        eprintln!("{}", table(&rows, |row| format!("{:?}", row.fault)));
        eprintln!("{}", table(&rows, |row| row.link.clone()));
    }
    let harmless = rows.iter().filter(|row| row.fault.is_harmless());
    let right = harmless.filter(|row| row.verdict == Ok(Verdict::Right));
    assert!(right.count() > 0, "no session goes well");
    let bad: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            row.verdict
                .err()
                .map(|wrong| format!("{wrong:?}: {}", row.story))
        })
        .collect();
    assert!(
        bad.is_empty(),
        "{} of {}:\n{}",
        bad.len(),
        rows.len(),
        bad.join("\n")
    );
}

#[test]
fn every_fault_at_every_phase_ends_in_the_right_result_or_in_errors() {
    sweep(&few(1), false);
}

/// More of the same: RINGLET_FAULTS runs (1,320 go through all combinations), seeded by RINGLET_FAULTS_SEED.
#[test]
#[ignore = "takes minutes"]
fn all_faults_on_all_links_end_in_the_right_result_or_in_errors() {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    };
    let count = number("RINGLET_FAULTS", 1320) as usize;
    sweep(&trials(count, number("RINGLET_FAULTS_SEED", 1)), true);
}
