//! How fast this machine is: the rates of streams, memory and products, and the processor time of each role's own work.

pub mod clock;
pub mod course;
pub mod kept;
pub mod machine;
pub mod rates;
pub mod roles;
pub mod secure_link;
pub mod threads;
pub mod whole;
