//! The `ringlet` program.
fn main() {}
