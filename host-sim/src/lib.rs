//! Ringlet on hosts: the command line and what it is made of.
//!
//! Each module uses only modules above it in this list:
//!
//! - [`error`]: failures with their remedies.
//! - [`privacy`]: what a training with differentially private gradients tells about a sample.
//! - [`console`]: standard output, the notes beside it, and how far a run has got.
//! - [`resources`]: memory and threads, which a machine may refuse.
//! - [`data`]: images, trained models, keys and flash images in files.
//! - [`links`]: transports between roles.
//! - [`reference`](mod@reference): the plaintext twin.
//! - [`config`]: from arguments to a checked session.
//! - `collection`: how masked samples of many owners are collected.
//! - [`board`]: boards in QEMU and their firmware.
//! - [`run`]: the roles of a run.
//! - [`measure`]: how fast the machine is.
//! - [`output`]: progress, metrics, tables, plans, charts.
//! - [`command`]: the command line.

pub mod board;
#[cfg(feature = "collect")]
pub mod collection;
pub mod command;
pub mod config;
pub mod console;
pub mod data;
pub mod error;
pub mod links;
pub mod measure;
pub mod output;
pub mod privacy;
pub mod reference;
pub mod resources;
pub mod run;
