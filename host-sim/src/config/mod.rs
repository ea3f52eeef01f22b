//! From arguments to a session: parsed once, at the edge.

pub mod activation;
pub mod args;
pub mod settings;
