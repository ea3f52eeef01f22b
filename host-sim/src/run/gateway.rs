//! A gateway passes the uploads of a device on to the leader of a collection. They are sealed, so it sees no sample: it checks
//! their form, posts them, and tells the device what the leader says.

use std::time::Duration;

use embedded_io::{Read, Write};
use ringlet_core::{
    contribution::{Header, Received, SIGNED_LEN, UploadId},
    device::{Contributed, GatewayHello, NotFresh, RefusalCode, Status, UploadAnswer, channel},
    net::{Link, Remote, serial::mux::Channel},
};

use super::device::{
    DeviceChannel, DeviceMux, THE_DEVICE, crash_report, end_line, open_device, refusal, wake,
};
use crate::{
    collection::{owner_link::Answer, posting::Posting, refusal::Refusal},
    config::task_file::{Contributors, TaskFile},
    error::Failure,
    links::device_address::DeviceAddress,
};

/// How long a device may be silent while it makes uploads.
const IDLE: Duration = Duration::from_secs(60);

/// What a gateway has passed on for a device.
pub struct PassedOn {
    /// The names of the uploads, with which they can be withdrawn.
    pub uploads: Vec<UploadId>,
    /// How many of them were there before.
    pub repeated: u32,
    /// Samples in them.
    pub samples: u32,
    /// Bytes of the uploads.
    pub bytes: u64,
    /// The most bytes of its stack that the device has used; 0 if it does not measure them.
    pub stack: u32,
}

/// Passes on what the device at an address contributes to a task. Waits so long for the device and for the leader.
pub fn pass_on(
    device: &DeviceAddress,
    task: &TaskFile,
    wait: Duration,
) -> Result<PassedOn, Failure> {
    let mux = open_device(device, wait, IDLE)?;
    let gateway = Gateway { mux: &mux, task };
    let passed_on = Posting::new(task, wait).and_then(|mut posting| gateway.run(&mut posting));
    passed_on.map_err(|failure| crash_report(&mux, device, failure))
}

/// A gateway with the line of its device.
struct Gateway<'a> {
    mux: &'a DeviceMux,
    task: &'a TaskFile,
}

impl Gateway<'_> {
    fn run(&self, posting: &mut Posting) -> Result<PassedOn, Failure> {
        let introduction = wake(self.mux)?;
        if introduction.fresh != Err(NotFresh::Contributes) {
            return Err(Failure::new(
                "the device's firmware is a party's, and does not contribute to collections",
                "program firmware that is built with the feature `contribute`",
            ));
        }
        let mut control = self.link(channel::CONTROL);
        let task = self.task.id;
        GatewayHello { task }.send(&mut control)?;
        let (uploads, samples) = match Status::receive(&mut control)? {
            Status::Offers { uploads, samples } => (uploads, samples),
            status => return Err(refusal(status)),
        };
        let mut passed_on = PassedOn {
            uploads: Vec::new(),
            repeated: 0,
            samples,
            bytes: 0,
            stack: 0,
        };
        let mut line = self.link(channel::UPLOADS);
        for _ in 0..uploads {
            let (id, upload) = self.receive(&mut line)?;
            // The device would think that nobody is here any more.
            let meanwhile = || {
                let polled = self.mux.borrow_mut().poll();
                polled.map(drop).map_err(|_| gone())
            };
            let answer = posting.send(&upload, meanwhile)?;
            told(&answer).send(&mut control)?;
            if let Some(failure) = answer.failure() {
                self.end(&mut control)?;
                return Err(beside(&answer, failure, passed_on.uploads.len(), uploads));
            }
            passed_on.repeated += u32::from(matches!(answer, Answer::Repeated));
            passed_on.bytes += upload.len() as u64;
            passed_on.uploads.push(id);
        }
        let heard = self.end(&mut control)?;
        if (heard.taken + heard.repeated, heard.repeated) != (uploads, passed_on.repeated) {
            return Err(Failure::new(
                "the device has heard other answers than this gateway gave",
                "update the device's firmware, or this program",
            ));
        }
        passed_on.stack = heard.used.stack;
        Ok(passed_on)
    }

    fn link(&self, number: usize) -> Link<DeviceChannel<'_>> {
        Link::new(Channel::new(self.mux, number), Remote::Peer, 0)
    }

    /// Receives an upload and checks its form.
    fn receive<T: Read + Write>(&self, line: &mut Link<T>) -> Result<(UploadId, Vec<u8>), Failure> {
        let malformed = |why: &dyn std::fmt::Display| {
            Failure::new(
                format!("what the device sends is not taken: {why}"),
                "pack its samples again with the newest task file, and use firmware of this program's version",
            )
        };
        let mut upload = vec![0; Header::LEN];
        line.receive(&mut upload)?;
        let header = Header::read(&upload).map_err(|error| malformed(&error))?;
        if header.count > self.task.terms.most_contributions {
            return Err(malformed(
                &"an upload has more contributions than the task allows",
            ));
        }
        if header.task != self.task.id {
            return Err(malformed(&"an upload is for another task"));
        }
        upload.resize(header.upload_len(&self.task.task), 0);
        line.receive(&mut upload[Header::LEN..])?;
        let received = Received::read(&self.task.task, &upload);
        received.map_err(|error| malformed(&error))?;
        if self.task.terms.contributors != Contributors::Anybody {
            let mut signed = [0; SIGNED_LEN];
            line.receive(&mut signed)?;
            upload.extend(signed);
        }
        Ok((header.id, upload))
    }

    /// Receives what the device has heard, and ends its session.
    fn end<T: Read + Write>(&self, control: &mut Link<T>) -> Result<Contributed, Failure> {
        match Status::receive(control)? {
            Status::Contributed(contributed) => {
                end_line(self.mux, THE_DEVICE)?;
                Ok(contributed)
            }
            status => Err(refusal(status)),
        }
    }
}

/// What the device is told of the leader's answer.
fn told(answer: &Answer) -> UploadAnswer {
    match answer {
        Answer::Done => UploadAnswer::Taken,
        Answer::Repeated => UploadAnswer::Repeated,
        Answer::Refused(refusal) => {
            let code = RefusalCode::try_from(refusal.code());
            UploadAnswer::Refused(code.unwrap_or_default())
        }
        Answer::Later(..) => UploadAnswer::Later,
    }
}

/// The line has failed, which its mux knows more of.
fn gone() -> Failure {
    Failure::new("the device is gone", "start it again")
}

/// The failure of an upload with this answer, beside those that were taken.
fn beside(answer: &Answer, failure: Failure, taken: usize, all: u32) -> Failure {
    if let Answer::Refused(refusal @ Refusal::UnknownOwner) = answer {
        return Failure::new(
            format!("the leader refuses: {refusal}"),
            "ask whoever makes the task to name the key that `ringlet data secret` printed for this device",
        );
    }
    match taken {
        0 => failure,
        taken => failure.with_remedy(format!(
            "{taken} of {all} uploads were taken; the same command sends the rest"
        )),
    }
}
