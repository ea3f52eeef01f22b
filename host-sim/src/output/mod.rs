//! What the user sees and keeps: progress, metrics, tables, plans, charts, reports.

pub mod amounts;
pub mod bench;
pub mod chart;
pub mod classes;
pub mod comparison;
pub mod confusion;
mod metrics;
#[cfg(feature = "collect")]
pub mod passed_on;
pub mod plan;
pub mod progress;
pub mod report;
pub mod tables;
#[cfg(feature = "watch")]
pub mod watch;
