//! What a host does for a device that is connected to it: it starts and ends a session, and finds out why a device failed.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use ringlet_core::{
    device::{
        Assignment, Breach, Crash, DeviceHello, Introduction, MemoryUsed, NotFresh, Status,
        channel, send_session,
    },
    net::{
        Link, Remote,
        serial::mux::{Channel, LineCounts, Mux, MuxError, Timeouts},
    },
    session::handshake::{HandshakeError, Hello, Mismatch, VERSION},
};

use crate::{
    console,
    error::Failure,
    links::{
        device_address::DeviceAddress,
        serial::{LineClock, SerialLine},
    },
};

/// The mux of a device's line, shared by its channels.
pub type DeviceMux = RefCell<Mux<SerialLine, LineClock>>;

/// One channel to a device.
pub type DeviceChannel<'a> = Channel<'a, SerialLine, LineClock>;

/// Milliseconds after which a frame is sent again on a line that has lost none.
const RESEND: u32 = 500;

/// Milliseconds in which a restarted device must report its crash.
const CRASH_REPORT_TIMEOUT: u32 = 5000;

/// How messages call the device of a host with one.
pub const THE_DEVICE: &str = "the device";

/// Pause between attempts to reach a device over a network.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the line of a device. The device must answer within `wait`; later it counts as gone after a silence of `idle`.
pub fn open_device(
    address: &DeviceAddress,
    wait: Duration,
    idle: Duration,
) -> Result<DeviceMux, Failure> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).map_err(|error| {
        Failure::new(
            format!("the operating system gives no random numbers: {error}"),
            "",
        )
    })?;
    let milliseconds = |time: Duration| time.as_millis().try_into().unwrap_or(u32::MAX);
    let deadline = Instant::now() + wait;
    loop {
        let line = address.open(deadline)?;
        let clock = line.clock();
        let left = deadline.saturating_duration_since(Instant::now());
        let timeouts = Timeouts {
            resend: RESEND,
            silence: milliseconds(left.max(PAUSE)),
        };
        let mut mux = Mux::new(line, clock, timeouts);
        let error = match mux.start(u16::from_le_bytes(number)) {
            Ok(()) => {
                mux.set_silence(milliseconds(idle));
                return Ok(RefCell::new(mux));
            }
            Err(error) => error,
        };
        // A network may accept a connection before the device is there.
        let early = matches!((address, error), (DeviceAddress::Tcp(_), MuxError::Line(_)));
        if !early || Instant::now() >= deadline {
            let failure = Failure::new(
                format!("the device at {address} does not answer: {error}"),
                "check that it runs Ringlet's firmware and serves nobody else, and the speed of a serial line",
            );
            return Err(beside_bad_line(failure, &mux.counts()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Receives the first messages of a device, and tells the user if the device has crashed before. Returns what the device
/// tells of itself.
pub fn wake(mux: &DeviceMux) -> Result<Introduction, Failure> {
    let mut control = control(mux);
    let awake = DeviceHello::receive(&mut control)?;
    if awake.version != VERSION {
        return Err(HandshakeError::from(Mismatch::Version(awake.version)).into());
    }
    if let Some(crash) = awake.crash {
        console::note(&format!(
            "the device has started anew since its last session: {crash}"
        ));
    }
    Ok(Introduction::receive(&mut control)?)
}

/// Receives the first messages of a device that is to be a party. Fails if its firmware contributes to collections instead.
pub fn wake_party(mux: &DeviceMux) -> Result<Introduction, Failure> {
    let introduction = wake(mux)?;
    match introduction.fresh {
        Err(error @ NotFresh::Contributes) => Err(refusal(Status::NotFresh(error))),
        _ => Ok(introduction),
    }
}

/// Gives a device that is awake the session and role of `hello`, and what comes with it. Fails if the device refuses
/// them.
pub fn start_session(
    mux: &DeviceMux,
    hello: &Hello,
    assignment: Assignment,
) -> Result<(), Failure> {
    send_session(&mut control(mux), hello, assignment)?;
    await_ready(mux)
}

/// Waits until a device reports that it is ready: first for the session, then with its key, and then with its state, if
/// it was given one.
pub fn await_ready(mux: &DeviceMux) -> Result<(), Failure> {
    match await_progress(mux)? {
        Status::Ready => Ok(()),
        status => Err(refusal(status)),
    }
}

/// Waits until a device gives its state.
pub fn await_saving(mux: &DeviceMux) -> Result<(), Failure> {
    match await_progress(mux)? {
        Status::Saving => Ok(()),
        status => Err(refusal(status)),
    }
}

/// Waits for what a device reports next: that it is ready or done, or that its state follows. Fails if it reports anything
/// else.
pub fn await_progress(mux: &DeviceMux) -> Result<Status, Failure> {
    match Status::receive(&mut control(mux))? {
        status @ (Status::Ready | Status::Saving | Status::Done(_)) => Ok(status),
        status => Err(refusal(status)),
    }
}

/// Whether a device has reported something that was not received yet.
pub fn has_reported(mux: &DeviceMux) -> bool {
    mux.borrow().readable(channel::CONTROL) > 0
}

fn control(mux: &DeviceMux) -> Link<DeviceChannel<'_>> {
    Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0)
}

/// The failure of a session that a device refuses, or has ended early.
pub(super) fn refusal(status: Status) -> Failure {
    let remedy = match status {
        Status::NoSecret(_) => "program a record from `ringlet data secret`",
        Status::NotFresh(NotFresh::Contributes) => {
            "program firmware that is built without the feature `contribute`"
        }
        #[cfg(feature = "collect")]
        Status::OtherTask(_) => {
            "give the task that the device's samples were packed with, or pack them again with `ringlet data pack --task`"
        }
        #[cfg(feature = "collect")]
        Status::NoTask(_) | Status::NoUpload(_) => {
            "program samples that are packed with `ringlet data pack --task`"
        }
        Status::NotFresh(NotFresh::Damaged) => {
            "erase it, and program a new record from `ringlet data secret`"
        }
        Status::NotFresh(_) => "see the chapter on devices for what a board needs",
        Status::Policy(breach) => match breach {
            Breach::Peer => {
                "give `ringlet data secret` this party's public identity, and program the new record"
            }
            Breach::Sessions(_) | Breach::Uncounted => {
                "program a new record, with another --most-sessions"
            }
            _ => "choose other options, or program a record with another policy",
        },
        Status::Mismatch(_, mismatch) => mismatch.remedy(),
        Status::Unauthentic(_) => {
            "check that the device's record names this very role, and that nobody alters or repeats what passes the line"
        }
        Status::Tampered(_) => {
            "something damages the link or somebody alters it; nothing of this run may be used"
        }
        Status::Memory { .. } => "give a smaller --micro-batch, or a smaller model",
        Status::Samples { .. } => "correct --samples, or program other samples",
        Status::Backbone | Status::NoBackbone(_) => {
            "give the device's --backbone, --freeze and --feature-range, or program the samples again with `ringlet data pack --with-backbone`"
        }
        Status::Task => "let a host predict instead",
        Status::Checkpoint => {
            "give the directory and the device of the run that was cut off, or an empty directory"
        }
        _ => "choose other options",
    };
    Failure::new(status.to_string(), remedy)
}

/// Receives the memory use of the device, and waits until the device has received everything. Tells the user if the line
/// to the device, which messages call `name`, was bad.
pub fn end_session(mux: &DeviceMux, name: &str) -> Result<MemoryUsed, Failure> {
    let taken = match await_progress(mux)? {
        Status::Done(taken) => taken,
        status => return Err(refusal(status)),
    };
    end_line(mux, name)?;
    Ok(taken)
}

/// Waits until a device that is done has received everything. Tells the user if the line to the device, which messages call
/// `name`, was bad.
pub fn end_line(mux: &DeviceMux, name: &str) -> Result<(), Failure> {
    // The device has everything only when it has acknowledged it.
    mux.borrow_mut().finish().map_err(|error| {
        Failure::new(format!("the device left early: {error}"), "look at its log")
    })?;
    if let Some(bad) = line_report(name, &mux.borrow().counts()) {
        console::note(&format!("{bad} ({LINE_REMEDY})"));
    }
    Ok(())
}

/// What helps against a line that damages frames.
const LINE_REMEDY: &str = "shorten the cable, lower the baud rate";

/// A line is bad if it damages more than so many thousandths of frames, and more than so many frames: a device that is
/// switched on or reset sends a few bytes that are no frame.
const BAD_PERMILLE: u32 = 10;
const BAD_FRAMES: u32 = 5;

/// Says how many frames a bad line to a device damaged.
fn line_report(device: &str, counts: &LineCounts) -> Option<String> {
    let permille = counts.damaged_permille();
    let damaged = counts.damaged.saturating_add(counts.repeated);
    (permille > BAD_PERMILLE && damaged > BAD_FRAMES).then(|| {
        let (percent, tenth) = (permille / 10, permille % 10);
        format!("the line to {device} damaged {percent}.{tenth} % of frames")
    })
}

/// Explains the `failure` of a session if the device failed, or gave a reason, and adds whether the line was bad. A device
/// that is gone or has started anew is a broken link.
pub fn crash_report(mux: &DeviceMux, address: &DeviceAddress, failure: Failure) -> Failure {
    let counts = mux.borrow().counts();
    beside_bad_line(explain(mux, address, failure), &counts)
}

/// A `failure` of a session, and whether the line was bad.
fn beside_bad_line(failure: Failure, counts: &LineCounts) -> Failure {
    match line_report(THE_DEVICE, counts) {
        Some(bad) => failure.beside(&bad, LINE_REMEDY),
        None => failure,
    }
}

fn explain(mux: &DeviceMux, address: &DeviceAddress, failure: Failure) -> Failure {
    // A device that has failed begins anew, so its reason comes before the end of the line's session.
    if has_reported(mux)
        && let Some(status) = last_status(mux)
    {
        return refusal(status);
    }
    let error = mux.borrow().failure();
    match error {
        Some(MuxError::Line(_)) => Failure::new(
            format!("the device at {address} is gone: it was unplugged or switched off"),
            "plug it in and start again",
        )
        .of_broken_link(),
        Some(MuxError::Reset) => {
            let why = last_crash(mux).map_or_else(
                || "it was reset, or unplugged and plugged in again".to_owned(),
                |crash| crash.to_string(),
            );
            Failure::new(
                format!("the device at {address} has started anew: {why}"),
                "start again",
            )
            .of_broken_link()
        }
        Some(MuxError::Silent) => Failure::new(
            format!("the device at {address} has been silent for too long"),
            "see whether it still runs, then start again",
        )
        .of_broken_link(),
        None => failure,
    }
}

/// What a device has reported of its failure.
fn last_status(mux: &DeviceMux) -> Option<Status> {
    let status = Status::receive(&mut control(mux)).ok()?;
    (!matches!(status, Status::Ready | Status::Saving | Status::Done(_))).then_some(status)
}

/// The crash that a restarted device remembers.
fn last_crash(mux: &DeviceMux) -> Option<Crash> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).ok()?;
    mux.borrow_mut().set_silence(CRASH_REPORT_TIMEOUT);
    mux.borrow_mut().start(u16::from_le_bytes(number)).ok()?;
    DeviceHello::receive(&mut control(mux)).ok()?.crash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(arrived: u32, damaged: u32, sent: u32, repeated: u32) -> LineCounts {
        let mut counts = LineCounts::default();
        (counts.arrived, counts.damaged) = (arrived, damaged);
        (counts.sent, counts.repeated) = (sent, repeated);
        counts
    }

    #[test]
    fn a_failure_tells_of_a_bad_line() {
        let failure = || Failure::new("it is gone", "start again");
        let beside = beside_bad_line(failure(), &counts(0, 9, 4, 0));
        let said = "it is gone, and the line to the device damaged 69.2 % of frames: shorten the cable, lower the baud rate; \
                    start again";
        assert_eq!(beside.to_string(), said);
        let alone = beside_bad_line(failure(), &counts(900, 1, 900, 1));
        assert_eq!(alone.to_string(), "it is gone: start again");
    }

    #[test]
    fn a_bad_line_is_told_and_a_good_one_is_not() {
        let said = line_report(THE_DEVICE, &counts(900, 20, 969, 39)).expect("3.1 % is bad");
        assert_eq!(said, "the line to the device damaged 3.1 % of frames");
        // Few frames, or a small share.
        assert_eq!(line_report(THE_DEVICE, &counts(40, 5, 40, 0)), None);
        assert_eq!(line_report(THE_DEVICE, &counts(9000, 60, 9000, 60)), None);
        assert_eq!(line_report(THE_DEVICE, &LineCounts::default()), None);
    }
}
