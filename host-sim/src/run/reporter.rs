//! What a party in a process of its own makes, and who gets its reports.

use super::{
    classes::Classes,
    event::{Evaluated, Event, StageValues},
};
use crate::{error::Failure, links::wait_time::WaitTime};

/// The result of a party.
pub enum Made {
    /// The model, if this party receives it.
    Model(Option<Vec<StageValues>>),
    /// The classes of its images.
    Classes(Classes),
    /// What it sees of the evaluation of a model that both parties share.
    Evaluated(Box<Evaluated>),
}

/// Gets the reports of a party.
pub trait Reporter {
    /// The party waits for its peer at this address.
    fn listening(&mut self, address: String) -> Result<(), Failure>;
    /// All handshakes are complete, and the iteration `first` comes first. The times count the waiting for the peer and
    /// for the helper.
    fn connected(&mut self, wait_times: [WaitTime; 2], first: u32) -> Result<(), Failure>;
    /// Something happened.
    fn event(&mut self, event: Event) -> Result<(), Failure>;
    /// The party has its result, which counts only when the other roles have confirmed the end of the session. Whatever
    /// can fail when the result is kept should fail here.
    fn made(&mut self, made: Made) -> Result<(), Failure>;
    /// All roles are done, and the result counts.
    fn finished(&mut self) -> Result<(), Failure>;
}
