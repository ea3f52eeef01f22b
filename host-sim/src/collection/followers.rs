//! The leader's links to helper and dealer. A link that breaks is made again in the background.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ringlet_core::{contribution::TaskId, session::handshake::Actor};

use super::{
    link::{CollectionLink, FOLLOWERS, reach},
    messages::{self, Reply, Request},
    stop::Stop,
};
use crate::{
    console,
    error::Failure,
    links::{connect::Endpoint, reception::is_alive},
    resources::spawn,
};

/// Pause between two looks at a link.
const LOOK: Duration = Duration::from_millis(250);

/// Pause between two notices that a follower is away.
const NOTICE_PAUSE: Duration = Duration::from_secs(5);

/// A link to a follower that is here.
struct Here {
    link: CollectionLink,
    stream: TcpStream,
}

/// A follower: its link if it is here.
struct Slot {
    actor: Actor,
    here: Mutex<Option<Here>>,
}

fn locked(slot: &Slot) -> MutexGuard<'_, Option<Here>> {
    slot.here.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Helper and dealer as the leader sees them.
pub struct Followers {
    slots: [Arc<Slot>; 2],
    keepers: Vec<JoinHandle<()>>,
}

impl Followers {
    /// Connects to both at their addresses, again and again until `stop`.
    pub fn new(
        endpoint: &Endpoint,
        task: TaskId,
        addresses: [String; 2],
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let slots = FOLLOWERS.map(|actor| {
            Arc::new(Slot {
                actor,
                here: Mutex::new(None),
            })
        });
        let mut keepers = Vec::new();
        for (slot, address) in slots.iter().zip(addresses) {
            let (slot, endpoint, stop) = (slot.clone(), endpoint.clone(), stop.clone());
            keepers.push(spawn(move || {
                keep(&slot, &address, &endpoint, task, &stop)
            })?);
        }
        Ok(Followers { slots, keepers })
    }

    /// Whether each is here, as far as is known.
    pub fn are_here(&self) -> [bool; 2] {
        // A link that is locked is in use.
        self.slots.each_ref().map(|slot| {
            let here = slot.here.try_lock();
            here.map_or(true, |here| here.is_some())
        })
    }

    /// Asks both at the same time. If either breaks off or answers that it cannot, both links end, so that no answer is left in
    /// one. If either is away, nothing is asked, and the other's link stays.
    pub fn ask(&self, requests: [&Request<'_>; 2]) -> Result<[Reply; 2], Failure> {
        let mut slots = self.slots.each_ref().map(|slot| locked(slot));
        for (slot, actor) in slots.iter().zip(FOLLOWERS) {
            if slot.is_none() {
                return Err(Failure::new(
                    format!("{actor} of the collection is away"),
                    "start `ringlet collect` there",
                ));
            }
        }
        let asked = exchange(&mut slots, requests);
        if asked.is_err() {
            slots.iter_mut().for_each(|slot| **slot = None);
        }
        asked
    }

    /// Waits until no thread uses the links. `stop` has been made.
    pub fn end(self) {
        for keeper in self.keepers {
            let _ = keeper.join();
        }
    }
}

fn exchange(
    slots: &mut [MutexGuard<'_, Option<Here>>; 2],
    requests: [&Request<'_>; 2],
) -> Result<[Reply; 2], Failure> {
    for (slot, request) in slots.iter_mut().zip(requests) {
        if let Some(here) = &mut **slot {
            messages::send(&mut here.link, request)?;
        }
    }
    let [helper, dealer] = slots;
    Ok([reply(helper)?, reply(dealer)?])
}

fn reply(slot: &mut MutexGuard<'_, Option<Here>>) -> Result<Reply, Failure> {
    let Some(here) = &mut **slot else {
        return Ok(Reply::Failed(String::new()));
    };
    let mut bytes = Vec::new();
    messages::receive(&mut here.link, &mut bytes)?;
    match messages::read(&here.link, &bytes)? {
        Reply::Failed(why) => Err(Failure::new(format!("{}: {why}", here.link.remote()), "")),
        reply => Ok(reply),
    }
}

/// Keeps the link to a follower up until `stop`.
fn keep(slot: &Slot, address: &str, endpoint: &Endpoint, task: TaskId, stop: &Stop) {
    let own = endpoint.own;
    let mut told: Option<Instant> = None;
    while !stop.is_made() {
        let mut here = locked(slot);
        here.take_if(|here| !is_alive(&here.stream));
        let is_here = here.is_some();
        drop(here);
        if !is_here {
            match reach(endpoint, task, (slot.actor, address)) {
                Ok((link, stream)) => {
                    *locked(slot) = Some(Here { link, stream });
                    console::note(&format!("{own}: {} is here", slot.actor));
                    told = None;
                }
                Err(failure) if told.is_none_or(|told| told.elapsed() >= NOTICE_PAUSE) => {
                    console::note(&format!("{own}: waiting for {}: {failure}", slot.actor));
                    told = Some(Instant::now());
                }
                Err(_) => {}
            }
        }
        stop.wait_for(LOOK);
    }
}
