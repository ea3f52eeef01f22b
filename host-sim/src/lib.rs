//! Ringlet on hosts.
pub mod data;
pub mod error;
pub mod links;
pub mod ranges;
pub mod roles;
pub mod twin;
