//! A party whose peer is a device: it is the device's host, and keeps the device's states beside its own.

use ringlet_core::{
    Role,
    device::MemoryUsed,
    net::{Link, Remote},
    session::handshake::Checkpoints,
};

use super::{
    beside_device::{self, BesideDevice},
    checkpoints::Keeper,
    device::{DeviceMux, THE_DEVICE, crash_report, end_session, open_device},
    device_states::DeviceStates,
    lone_party::LoneParty,
    reporter::Reporter,
};
use crate::{
    console,
    error::Failure,
    links::{
        any_end::AnyEnd,
        capture::{Capture, transcript},
        connect::{UNBOUNDED, broken},
        device_address::DeviceAddress,
        wait_time::WaitTime,
    },
};

impl LoneParty<'_> {
    /// Runs with the device at an address to the end. Returns its memory use.
    pub(super) fn run_with_device(
        &self,
        device: &DeviceAddress,
        dealer: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<MemoryUsed, Failure> {
        let mut taken = MemoryUsed {
            memory: 0,
            stack: 0,
        };
        self.go_on(reporter, &mut |keeper, reporter| {
            taken = self.attempt_with_device(device, dealer, keeper, reporter)?;
            Ok(())
        })?;
        Ok(taken)
    }

    fn attempt_with_device(
        &self,
        device: &DeviceAddress,
        dealer: &str,
        keeper: Option<&mut Keeper>,
        reporter: &mut dyn Reporter,
    ) -> Result<MemoryUsed, Failure> {
        // A device that does not answer after a break may do so later.
        let again = keeper
            .as_ref()
            .is_some_and(|keeper| keeper.furthest().is_some());
        let opened = open_device(device, self.endpoint.wait, self.idle);
        let mux = opened.map_err(|failure| match again {
            true => failure.of_broken_link(),
            false => failure,
        })?;
        console::note(&format!("{}: the device at {device} answers", self.role));
        let outcome = self.train_beside(&mux, dealer, keeper, reporter);
        outcome.map_err(|failure| crash_report(&mux, device, failure))
    }

    fn train_beside(
        &self,
        mux: &DeviceMux,
        dealer: &str,
        mut keeper: Option<&mut Keeper>,
        reporter: &mut dyn Reporter,
    ) -> Result<MemoryUsed, Failure> {
        let kept = transcript(self.transcript.as_deref())?;
        let mut states = match &keeper {
            Some(keeper) => Some(DeviceStates::open(
                keeper.plan().dir.clone(),
                Role::P0,
                self.session,
            )?),
            None => None,
        };
        let (mut common, mut every) = (None, 0);
        let mut checkpoints = Checkpoints::default();
        if let (Some(keeper), Some(states)) = (&keeper, &states) {
            common = states.common(&keeper.checkpoints());
            every = keeper.plan().every;
            checkpoints.durable = true;
            checkpoints.kept.extend(common);
        }
        // Before the dealer, which does not wait long: a device may be slow to answer.
        let keeping = (checkpoints, every);
        let device = BesideDevice::start(mux, self.session, &self.endpoint, keeping, self.idle)?;
        let beside_device::Met {
            peer,
            mut dealer,
            key,
            hash,
            ending,
        } = device.meet(dealer, |channel| channel)?;
        let mut setup = self.setup(key)?;
        if let (Some(keeper), Some(states)) = (keeper.take(), &mut states) {
            let mut run = [0; 16];
            run.copy_from_slice(&hash[..16]);
            let first = keeper.begin(common, run)?;
            states.begin(common, mux)?;
            setup.durable = Some((keeper, first));
            setup.beside = Some(Box::new(|id, len| states.keep(id, len, mux)));
        }
        let mut peer = Capture::new(peer, &kept).map_err(broken)?;
        let wait_times = [WaitTime::default(), dealer.wait_time()];
        let links = (
            Link::new(AnyEnd::new(&mut peer), Remote::Peer, 0),
            Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, UNBOUNDED),
        );
        let made = self.compute(links, setup, wait_times, reporter)?;
        reporter.made(made)?;
        ending.finish(&mut dealer, &mut peer)?;
        let taken = end_session(mux, THE_DEVICE)?;
        reporter.finished()?;
        Ok(taken)
    }
}
