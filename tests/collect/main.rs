//! Collections: three roles, owners, and everything that can go wrong between them.

mod boards;
mod crashes;
mod end_to_end;
mod figures;
mod growing;
mod https;
#[path = "../mpirun.rs"]
mod mpirun;
mod ranks;
mod refusals;
mod servers;
mod uploads;
