//! Ringlet on hosts: the roles of private training over memory and TCP links, the data they load, and
//! the plaintext twin they are held against.

pub mod board;
pub mod command;
pub mod config;
pub mod data;
pub mod error;
pub mod links;
pub mod output;
pub mod reference;
pub mod run;
