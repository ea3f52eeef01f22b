//! The roles of a run, from their links to their end, as threads or as processes.

pub mod actors;
pub mod audits;
pub mod beginning;
pub mod beside_device;
pub mod board_session;
pub mod checkpoints;
pub mod collect;
pub mod contribution_check;
pub mod contribution_lists;
pub mod dealer;
pub mod dealer_relay;
pub mod dealer_source;
pub mod dealt_corrections;
pub mod dealt_files;
pub mod dealt_positions;
pub mod device;
pub mod device_at_hub;
pub mod device_host;
pub mod device_states;
pub mod dispatch;
pub mod dry_run;
pub mod early_stopping;
pub mod event;
pub mod further_ranks;
#[cfg(feature = "collect")]
pub mod gateway;
pub mod handshakes;
pub mod hub;
pub mod hub_states;
pub mod inference;
mod lone_dealt_files;
mod lone_evaluation;
mod lone_meeting;
pub mod lone_party;
mod lone_securenn;
mod losses;
pub mod meeting;
mod monotonic_clock;
#[cfg(feature = "mpi")]
pub mod mpi_ranks;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi_ranks.rs"]
pub mod mpi_ranks;
pub mod nobody;
pub mod party;
pub mod party_ranks;
pub mod processes;
mod products;
pub mod ranges;
pub mod rank_processes;
pub mod ranks;
pub mod records;
pub mod relay;
pub mod reporter;
pub mod role_ranks;
pub mod role_time;
pub mod secrets;
pub mod securenn;
pub mod simulated_helpers;
pub mod simulated_training;
pub mod simulation;
pub mod stop_request;
mod sums;
pub mod supervision;
pub mod validation;
