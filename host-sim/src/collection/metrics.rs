//! Counters of the leader, as text for Prometheus.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{refusal::Refusal, store::Totals};

/// Upper limits of the sizes of groups that are told apart.
const SIZES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// What has happened since the leader started.
#[derive(Default)]
pub struct Metrics {
    /// Uploads that were taken.
    accepted: AtomicU64,
    /// Uploads that had been taken before.
    repeated: AtomicU64,
    /// Uploads that were withdrawn.
    withdrawn: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    groups: [AtomicU64; SIZES.len()],
    grouped: AtomicU64,
}

impl Metrics {
    /// An upload was taken; `is_new` says whether for the first time.
    pub fn accept(&self, is_new: bool) {
        match is_new {
            true => self.accepted.fetch_add(1, Relaxed),
            false => self.repeated.fetch_add(1, Relaxed),
        };
    }

    /// An upload was refused.
    pub fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Relaxed);
    }

    /// An upload was withdrawn.
    pub fn withdraw(&self) {
        self.withdrawn.fetch_add(1, Relaxed);
    }

    /// A group of so many uploads is on all disks.
    pub fn group(&self, size: usize) {
        let place = SIZES.iter().position(|&limit| size as u64 <= limit);
        self.groups[place.unwrap_or(SIZES.len() - 1)].fetch_add(1, Relaxed);
        self.grouped.fetch_add(size as u64, Relaxed);
    }

    /// All of it as text, with what the store says and whether helper and dealer are here.
    pub fn text(&self, totals: Totals, owners: u64, followers: [bool; 2]) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, lines: &[(String, u64)]| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# TYPE ringlet_collection_{name} {kind}");
            for (label, value) in lines {
                let _ = writeln!(text, "ringlet_collection_{name}{label} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        let load = |value: &AtomicU64| value.load(Relaxed);
        add(
            "uploads_accepted_total",
            "counter",
            &one(load(&self.accepted)),
        );
        add(
            "uploads_repeated_total",
            "counter",
            &one(load(&self.repeated)),
        );
        add(
            "uploads_withdrawn_total",
            "counter",
            &one(load(&self.withdrawn)),
        );
        let refused = Refusal::ALL.map(|refusal| {
            let label = format!("{{reason=\"{}\"}}", refusal.code());
            (label, load(&self.refused[refusal as usize]))
        });
        add("uploads_refused_total", "counter", &refused);
        add("uploads", "gauge", &one(totals.uploads));
        add("contributions", "gauge", &one(totals.contributions));
        add("owners", "gauge", &one(owners));
        add("bytes", "gauge", &one(totals.bytes));
        let up = ["p1", "dealer"].map(|role| format!("{{role=\"{role}\"}}"));
        let up = up.into_iter().zip(followers.map(u64::from));
        add("follower_up", "gauge", &up.collect::<Vec<_>>());
        let mut below = 0;
        let _ = writeln!(text, "# TYPE ringlet_collection_group_size histogram");
        for (limit, count) in SIZES.iter().zip(&self.groups) {
            below += load(count);
            let _ = writeln!(
                text,
                "ringlet_collection_group_size_bucket{{le=\"{limit}\"}} {below}"
            );
        }
        let sum = load(&self.grouped);
        let _ = write!(
            text,
            "ringlet_collection_group_size_bucket{{le=\"+Inf\"}} {below}\n\
             ringlet_collection_group_size_sum {sum}\nringlet_collection_group_size_count {below}\n"
        );
        text
    }
}
