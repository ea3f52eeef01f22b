//! Time that a party spends in each cost row, by a clock that the program brings.
//!
//! What is read is when public steps begin and end. Without the feature `clock` a stopwatch is nothing.

#[cfg(feature = "clock")]
pub(crate) use running::Stopwatch;
#[cfg(not(feature = "clock"))]
pub(crate) use standing::Stopwatch;

#[cfg(not(feature = "clock"))]
mod standing {
    use crate::cost::traffic::Traffic;

    /// Measures nothing.
    pub(crate) struct Stopwatch;

    impl Stopwatch {
        /// A stopwatch without a clock.
        pub(crate) const NONE: Self = Stopwatch;

        /// What follows is in a cost row, forward or backward.
        #[inline(always)]
        pub(crate) fn switch(&mut self, _: &mut Traffic, _: usize, _: bool) {}

        /// What follows is in no cost row.
        #[inline(always)]
        pub(crate) fn stop(&mut self, _: &mut Traffic) {}
    }
}

#[cfg(feature = "clock")]
mod running {
    use crate::cost::traffic::Traffic;

    /// Adds to a party's traffic the time between its switches.
    pub(crate) struct Stopwatch {
        clock: Option<fn() -> u64>,
        /// When it was last switched, and to which cost row and pass. None while what runs is in no row.
        running: Option<(u64, usize, bool)>,
    }

    impl Stopwatch {
        /// A stopwatch without a clock.
        pub(crate) const NONE: Self = Stopwatch {
            clock: None,
            running: None,
        };

        /// A stopwatch by a clock, which tells nanoseconds since any moment that stays.
        pub(crate) fn new(clock: fn() -> u64) -> Self {
            Stopwatch {
                clock: Some(clock),
                running: None,
            }
        }

        /// What follows is in a cost row, forward or backward.
        pub(crate) fn switch(&mut self, traffic: &mut Traffic, cost_row: usize, backward: bool) {
            if let Some(now) = self.lap(traffic) {
                self.running = Some((now, cost_row, backward));
            }
        }

        /// What follows is in no cost row.
        pub(crate) fn stop(&mut self, traffic: &mut Traffic) {
            self.lap(traffic);
        }

        /// Adds the time since the last switch, and returns that of now.
        fn lap(&mut self, traffic: &mut Traffic) -> Option<u64> {
            let now = self.clock?();
            if let Some((since, cost_row, backward)) = self.running.take() {
                let sum = &mut traffic.nanoseconds[cost_row][usize::from(backward)];
                *sum = sum.saturating_add(now.saturating_sub(since));
            }
            Some(now)
        }
    }

    #[cfg(test)]
    mod tests {
        use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

        use super::*;

        /// Tells 10, 20, 30 and so on.
        fn clock() -> u64 {
            static TIME: AtomicU64 = AtomicU64::new(10);
            TIME.fetch_add(10, Relaxed)
        }

        #[test]
        fn time_counts_for_the_row_and_pass_that_it_is_spent_in() {
            let (mut watch, mut traffic) = (Stopwatch::new(clock), Traffic::default());
            // Before the first switch, and after a stop, it counts for none.
            watch.stop(&mut traffic);
            watch.switch(&mut traffic, 0, false);
            watch.switch(&mut traffic, 1, false);
            watch.switch(&mut traffic, 1, false);
            watch.switch(&mut traffic, 1, true);
            watch.stop(&mut traffic);
            watch.stop(&mut traffic);
            watch.switch(&mut traffic, 0, false);
            watch.stop(&mut traffic);
            assert_eq!(traffic.nanoseconds[..2], [[20, 0], [20, 10]]);
            assert!(
                traffic.nanoseconds[2..]
                    .iter()
                    .all(|passes| *passes == [0; 2])
            );
        }

        #[test]
        fn without_a_clock_there_is_no_time() {
            let (mut watch, mut traffic) = (Stopwatch::NONE, Traffic::default());
            watch.switch(&mut traffic, 0, false);
            watch.stop(&mut traffic);
            assert_eq!(traffic, Traffic::default());
        }

        #[test]
        fn a_clock_that_goes_back_adds_nothing() {
            fn clock() -> u64 {
                static TIME: AtomicU64 = AtomicU64::new(100);
                TIME.fetch_sub(10, Relaxed)
            }
            let (mut watch, mut traffic) = (Stopwatch::new(clock), Traffic::default());
            watch.switch(&mut traffic, 0, false);
            watch.stop(&mut traffic);
            assert_eq!(traffic, Traffic::default());
        }
    }
}
