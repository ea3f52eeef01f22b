//! The roles that a simulation starts, and what they report to it.

use std::sync::mpsc::{Receiver, Sender};

use ringlet_core::{Role, net::Remote, session::Protocol};

use super::event::Event;
use crate::error::Failure;

/// The role that both parties need beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Deals ahead of the parties.
    Dealer,
    /// Takes part in the run: SecureNN's assistant.
    Assistant,
}

impl Helper {
    /// The helper of a protocol.
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Dealt { .. } => Helper::Dealer,
            Protocol::SecureNn { .. } => Helper::Assistant,
        }
    }

    /// Its name, which is also that of its command and of the option with its address.
    pub fn name(self) -> &'static str {
        match self {
            Helper::Dealer => "dealer",
            Helper::Assistant => "assistant",
        }
    }

    /// The helper as the other end of a party's link.
    pub fn remote(self) -> Remote {
        match self {
            Helper::Dealer => Remote::Dealer,
            Helper::Assistant => Remote::Assistant,
        }
    }
}

/// A role of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A computing party.
    Party(Role),
    /// The dealer or the assistant.
    Helper(Helper),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Party(role) => write!(f, "party {role}"),
            Actor::Helper(helper) => write!(f, "the {}", helper.name()),
        }
    }
}

/// An event, and the role that reports it.
pub type ActorEvent = (Actor, Event);

/// Takes the events of both parties.
pub type Take<'t> = &'t mut dyn FnMut(Role, Event) -> Result<(), Failure>;

/// Passes the parties' events to `take` until all roles are done. Returns the failure to show, if any.
pub fn follow(events: Receiver<ActorEvent>, take: Take<'_>) -> Result<(), Failure> {
    let mut failures: Vec<(Actor, Failure)> = Vec::new();
    for (actor, event) in events {
        match (actor, event) {
            (
                _,
                Event::Failed {
                    message,
                    consequence,
                },
            ) => {
                failures.push((actor, Failure::reported(message, consequence)));
            }
            (Actor::Party(role), event) => take(role, event)?,
            (Actor::Helper(_), _) => {}
        }
    }
    // A cause comes before its consequences.
    failures.sort_by_key(|(_, failure)| failure.is_consequence());
    match failures.into_iter().next() {
        Some((actor, failure)) => Err(failure.of(&actor.to_string())),
        None => Ok(()),
    }
}

/// Runs `role` and reports how it ended.
pub fn report_end(
    events: &Sender<ActorEvent>,
    actor: Actor,
    role: impl FnOnce() -> Result<(), Failure>,
) {
    let event = match role() {
        Ok(()) => Event::Done,
        Err(failure) => Event::from(&failure),
    };
    // Nobody listens only when the run has failed already.
    let _ = events.send((actor, event));
}
