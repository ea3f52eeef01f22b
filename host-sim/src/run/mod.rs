//! The roles of a run, from their links to their end, as threads or as processes.

pub mod actors;
pub mod audits;
pub mod beside_device;
pub mod board_session;
pub mod collect;
pub mod dealer;
pub mod dealer_relay;
pub mod dealer_source;
pub mod dealt_files;
pub mod device;
pub mod dispatch;
pub mod event;
pub mod handshakes;
pub mod inference;
pub mod lone_party;
pub mod meeting;
pub mod party;
pub mod processes;
pub mod ranges;
pub mod records;
pub mod relay;
pub mod role_time;
pub mod secrets;
pub mod securenn;
pub mod simulation;
pub mod supervision;
