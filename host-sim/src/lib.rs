//! Ringlet on hosts: the roles of private training over memory and TCP links, the data they load, and
//! the plaintext twin they are held against.

pub mod activation;
pub mod assisted;
pub mod board;
pub mod chart;
pub mod cli;
pub mod collect;
pub mod command;
pub mod comparison;
pub mod console;
pub mod data;
pub mod dealt;
pub mod error;
pub mod event;
pub mod firmware;
pub mod inference;
pub mod links;
pub mod model_file;
pub mod ranges;
pub mod report;
pub mod roles;
pub mod secrets;
pub mod settings;
pub mod supervision;
pub mod twin;
