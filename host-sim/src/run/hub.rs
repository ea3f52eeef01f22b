//! Two devices that train with each other over this process, from their addresses to the end of the session, and again from a
//! checkpoint after a break.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use ringlet_core::{Role, session::Session};

use super::{
    checkpoints::CheckpointPlan,
    dealer::corrections_before,
    device::open_device,
    hub_states::HubStates,
    relay::{DeviceTotals, Relay},
    stop_request,
};
use crate::{
    console,
    error::Failure,
    links::{capture::transcript, connect::reach_dealer, device_address::DeviceAddress},
};

/// Pause before the roles meet again.
const PAUSE: Duration = Duration::from_millis(200);

/// Two devices, and where their dealer is.
pub struct Hub<'a> {
    /// The parameters of the session.
    pub session: &'a Session,
    /// Where the devices are, P0 first.
    pub addresses: [DeviceAddress; 2],
    /// The dealer's address.
    pub dealer: &'a str,
    /// How long to wait for the devices and the dealer.
    pub wait: Duration,
    /// How long all may be silent during the run.
    pub idle: Duration,
    /// Where checkpoints are, if the devices keep any.
    pub checkpoints: Option<CheckpointPlan>,
    /// The files for what each device sends to the other, if they are wanted.
    pub transcripts: Option<[PathBuf; 2]>,
}

impl Hub<'_> {
    /// Runs the session, and goes on from a checkpoint each time a link breaks, until no attempt gets any further for as
    /// long as the hub waits for others. `progress` gets the bytes from the dealer to P1, from the beginning of the session
    /// on, and the bytes between the devices since the last break.
    pub fn run(&self, mut progress: impl FnMut(u64, u64)) -> Result<[DeviceTotals; 2], Failure> {
        let Some(plan) = &self.checkpoints else {
            return self.attempt(&mut None, false, &mut progress);
        };
        stop_request::watch()?;
        let mut states = Some(HubStates::open(plan, self.session)?);
        let (mut moved_at, mut furthest, mut dealt) = (Instant::now(), 0, 0);
        loop {
            let attempted = self.attempt(&mut states, furthest > 0, &mut |now, exchanged| {
                dealt = dealt.max(now);
                progress(now, exchanged);
            });
            let failure = match (attempted, &states) {
                (Ok(totals), _) => return Ok(totals),
                // The user wants no further attempt.
                (Err(failure), Some(states))
                    if stop_request::is_made() && failure.is_broken_link() =>
                {
                    return Err(states.stopped());
                }
                (Err(failure), _) if stop_request::is_made() => return Err(failure),
                (Err(failure), _) => failure,
            };
            if dealt > furthest {
                (moved_at, furthest) = (Instant::now(), dealt);
            }
            if !failure.is_broken_link() || moved_at.elapsed() >= self.wait {
                return Err(failure.with_remedy(plan.remedy()));
            }
            console::note(&format!("hub: {failure}; meeting the others again"));
            std::thread::sleep(PAUSE);
        }
    }

    /// `again` after a break.
    fn attempt(
        &self,
        states: &mut Option<HubStates>,
        again: bool,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<[DeviceTotals; 2], Failure> {
        let kept = self.transcript_files()?;
        let open = |role: Role| {
            let address = &self.addresses[role.index()];
            let opened = open_device(address, self.wait, self.idle);
            let mux = opened.map_err(|failure| match again {
                // A device that does not answer after a break may do so later.
                true => failure.of_broken_link().of(&role.to_string()),
                false => failure.of(&role.to_string()),
            })?;
            console::note(&format!("hub: {role} at {address} answers"));
            Ok::<_, Failure>(mux)
        };
        let [p0, p1] = [open(Role::P0)?, open(Role::P1)?];
        let relay = Relay {
            session: self.session,
            muxes: [&p0, &p1],
            addresses: &self.addresses,
            idle: self.idle,
        };
        let first = states.as_ref().map_or(0, HubStates::first);
        relay.start(states)?;
        let dealer = || reach_dealer(self.dealer, self.wait);
        let dealers = [dealer()?, dealer()?];
        if first > 0 {
            console::note(&format!("hub: the run goes on after {first} iterations"));
        }
        let before = corrections_before(self.session, first)?;
        relay.run(dealers, kept, states, |dealt, exchanged| {
            progress(before + dealt, exchanged);
        })
    }

    fn transcript_files(&self) -> Result<[Option<File>; 2], Failure> {
        let file = |role: Role| {
            let paths = self.transcripts.as_ref();
            transcript(paths.map(|paths| paths[role.index()].as_path()))
        };
        Ok([file(Role::P0)?, file(Role::P1)?])
    }
}
