//! What the user sees and keeps: progress, tables, charts, metrics.

pub mod chart;
pub mod comparison;
pub mod console;
pub mod report;
pub mod securenn;
