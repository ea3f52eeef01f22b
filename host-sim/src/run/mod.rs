//! The roles of a run, from their connected links to their end.

pub mod audits;
pub mod collect;
pub mod dealt_files;
pub mod device;
pub mod event;
pub mod inference;
pub mod ranges;
pub mod roles;
pub mod secrets;
pub mod securenn;
pub mod simulation;
pub mod supervision;
