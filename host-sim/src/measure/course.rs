//! How the processor time of an iteration grows with its samples: measured for a few batches, and told for any other.

use std::time::{Duration, Instant};

use ringlet_core::{network::Network, session::Session};
use serde::{Deserialize, Serialize};

use super::{
    clock::ProcessClock,
    roles::{RoleSeconds, iteration_seconds, memory},
    whole::whole_seconds,
};
use crate::error::Failure;

/// The processor seconds of an iteration over one number of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Samples of the iteration.
    pub batch: u32,
    /// Of P0, of P1, and of the dealer or the assistant.
    pub seconds: RoleSeconds,
    /// Of the whole of `train` or `predict`, all roles as threads and the watch over ranges: processor seconds, and seconds
    /// that pass.
    pub whole: [f64; 2],
}

/// Measured iterations of one session, with larger and larger batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course(pub Vec<Point>);

/// Samples of the smallest batch.
const FIRST: u32 = 2;
/// Larger batches tell nothing new: all that a role works on is beyond the caches.
const LARGEST: u32 = 512;
/// The most memory that a measurement takes.
const MEMORY: u64 = 1 << 30;
/// How much larger the next batch is, at best and at least.
const STEPS: [u32; 2] = [4, 2];
/// The part of the time for which a role, and the whole, repeat an iteration with each batch; they do at least two.
const REPEATED: f64 = 0.03;
const WHOLE: f64 = 0.06;
/// The fewest and the most iterations of the whole.
const ITERATIONS: [f64; 2] = [2.0, 30.0];

impl Course {
    /// Measures iterations of a session over more and more samples, as far as `time` goes and up to `most` samples. Each
    /// batch is told of when its turn comes.
    pub fn measure(
        (session, network): (&Session, &Network),
        most: u32,
        time: Duration,
        begins: &mut dyn FnMut(u32),
    ) -> Result<Self, Failure> {
        let start = Instant::now();
        let most = most.clamp(4 * FIRST, LARGEST);
        let mut course = Course::default();
        let time = time.as_secs_f64();
        let mut batch = FIRST;
        loop {
            begins(batch);
            let began = (Instant::now(), ProcessClock::start());
            let seconds = iteration_seconds(session, network, batch, REPEATED * time)?;
            let of_all: f64 = seconds.iter().sum();
            let [fewest, most_run] = ITERATIONS;
            let iterations = (WHOLE * time / of_all).clamp(fewest, most_run) as u32;
            let whole = whole_seconds(session, network, batch, iterations)?;
            course.0.push(Point {
                batch,
                seconds,
                whole,
            });
            // The fewest iterations of the next batch: three of each role, and two of all, as slow as other programs make them.
            let slower = began.0.elapsed().as_secs_f64() / began.1.seconds().max(f64::MIN_POSITIVE);
            let sample = (3.0 * of_all * slower + fewest * whole[1]) / f64::from(batch);
            let left = time - start.elapsed().as_secs_f64();
            let larger = STEPS.map(|step| batch.saturating_mul(step).min(most));
            let next = larger.into_iter().find(|&next| {
                let fits = f64::from(next) * sample < left;
                next > batch && fits && memory(session, network, next) <= MEMORY
            });
            match next {
                Some(next) => batch = next,
                None => return Ok(course),
            }
        }
    }

    /// The largest batch that was measured.
    pub fn largest(&self) -> u32 {
        self.0.last().map_or(0, |point| point.batch)
    }

    /// The processor seconds of each role by itself in an iteration over `batch` samples.
    pub fn seconds(&self, batch: u32) -> RoleSeconds {
        [0, 1, 2].map(|role| self.told(batch, |point| point.seconds[role]))
    }

    /// The processor seconds of all roles as threads of one process, and the seconds that pass, in such an iteration.
    pub fn whole(&self, batch: u32) -> [f64; 2] {
        [0, 1].map(|part| self.told(batch, |point| point.whole[part]))
    }

    fn told(&self, batch: u32, of: impl Fn(&Point) -> f64) -> f64 {
        let points = self.0.iter();
        let points = points.map(|point| (f64::from(point.batch), of(point)));
        line(&points.collect::<Vec<_>>(), batch.into())
    }

    /// Whether it can be used: it has points, in order, and their times are numbers above zero.
    pub fn is_sound(&self) -> bool {
        let sound = |point: &Point| {
            let mut times = point.seconds.iter().chain(&point.whole);
            point.batch > 0 && times.all(|time| time.is_finite() && *time > 0.0)
        };
        let rises = |pair: &[Point]| pair[0].batch < pair[1].batch;
        !self.0.is_empty() && self.0.iter().all(sound) && self.0.windows(2).all(rises)
    }
}

/// The value at `wanted` of the line through points (x, y) that is the best in relative terms, and among points near `wanted`
/// before all. What an iteration takes has a fixed part and one for each sample, neither below zero.
fn line(points: &[(f64, f64)], wanted: f64) -> f64 {
    let [mut w, mut wx, mut wy, mut wxx, mut wxy] = [0.0; 5];
    for &(x, y) in points {
        let near = 1.0 + (x / wanted).log2().abs();
        let weight = 1.0 / (y * near).powi(2).max(f64::MIN_POSITIVE);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    let determinant = w * wxx - wx * wx;
    let slope = (w * wxy - wx * wy) / determinant;
    let fixed = (wy - slope * wx) / w;
    // One point, or times that fall with the samples or more than double with them: in proportion.
    match slope.is_finite() && slope > 0.0 && fixed >= 0.0 {
        true => fixed + slope * wanted,
        false => wxy / wxx * wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(of: impl Fn(f64) -> f64) -> Course {
        let point = |batch: u32| Point {
            batch,
            seconds: [of(batch.into()); 3],
            whole: [of(batch.into()); 2],
        };
        Course([4, 8, 16, 32].map(point).into())
    }

    #[test]
    fn a_fixed_part_and_one_for_each_sample_are_told_apart() {
        let course = course(|batch| 0.01 + 0.002 * batch);
        for batch in [1, 4, 20, 512] {
            let told = [course.seconds(batch).to_vec(), course.whole(batch).to_vec()].concat();
            let right = 0.01 + 0.002 * f64::from(batch);
            assert!(
                told.iter().all(|s| (s / right - 1.0).abs() < 1e-6),
                "{told:?}"
            );
        }
    }

    #[test]
    fn times_that_are_no_line_are_in_proportion() {
        for course in [
            course(|batch| 0.001 * batch.powf(1.2)),
            Course(vec![Point {
                batch: 8,
                seconds: [0.02; 3],
                whole: [0.02; 2],
            }]),
        ] {
            assert!(course.is_sound());
            let told = course.seconds(64)[1];
            assert!((0.08..0.2).contains(&told), "{told}");
        }
    }

    #[test]
    fn points_without_order_or_time_are_unsound() {
        let sound = course(|batch| batch);
        let mut turned = sound.clone();
        turned.0.reverse();
        let mut frozen = sound.clone();
        frozen.0[1].seconds[2] = 0.0;
        assert!(sound.is_sound());
        for unsound in [turned, frozen, Course::default()] {
            assert!(!unsound.is_sound());
        }
    }
}
