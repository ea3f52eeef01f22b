//! The dashboard over metrics files: what their records tell of each run, and how it is drawn.

mod chart;
pub mod dashboard;
mod detail;
mod overview;
mod record;
mod run_state;
pub mod screen;

#[cfg(test)]
mod tests;
