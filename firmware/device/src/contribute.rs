//! A device that contributes its samples to a collection. A gateway passes the uploads on, and sees nothing of the samples.
//!
//! The task lies behind the samples in the device's flash: whoever could give the device another one would name the keys
//! to which the samples are sealed. The gateway only names the task that it serves. All secrets derive from the device's root
//! secret and from what they hide, so the device needs neither a generator nor a counter, and sends the same bytes again after a
//! reset.

use ringlet_core::{
    contribution::{SampleUploads, TaskImage, UploadError},
    data::sample_image::SampleImage,
    device::{
        Contributed, DeviceHello, GatewayHello, MemoryUsed, NotFresh, Record, Status, UploadAnswer,
        channel,
    },
    net::{Link, LinkError, MessageError, Remote},
};

use crate::{
    Stopped, carrier::Carrier, check::clamp, crash_report, links::introduction,
    programmed::Programmed, stack::Stack,
};

/// What a board brings to a contribution.
pub struct Contributor<'a> {
    /// The image of its samples, and behind it the task's, unchecked.
    pub image: &'a [u8],
    /// The device's record, unchecked. Only its secret is used.
    pub record: &'a [u8],
    /// The stack, if its use is measured.
    pub stack: Option<&'a Stack>,
}

impl From<UploadError> for Stopped {
    fn from(error: UploadError) -> Self {
        Stopped::Refused(Status::NoUpload(error))
    }
}

impl From<LinkError> for Stopped {
    fn from(error: LinkError) -> Self {
        MessageError::from(error).into()
    }
}

/// Contributes to one gateway after another, for as long as the board has power.
pub fn serve_all<C: Carrier>(carrier: &C, programmed: &Programmed, stack: &Stack) -> ! {
    let contributor = Contributor {
        image: programmed.image,
        record: programmed.record,
        stack: Some(stack),
    };
    loop {
        let _ = serve(carrier, &contributor);
    }
}

/// Waits for a gateway, and contributes all samples.
pub fn serve<C: Carrier>(carrier: &C, contributor: &Contributor<'_>) -> Result<(), Stopped> {
    let outcome = run(carrier, contributor);
    #[cfg(feature = "defmt")]
    match &outcome {
        Ok(()) => defmt::info!("all samples are contributed"),
        Err(stopped) => defmt::warn!("the contribution ended early: {}", stopped),
    }
    outcome
}

fn run<C: Carrier>(carrier: &C, contributor: &Contributor<'_>) -> Result<(), Stopped> {
    carrier.accept()?;
    let mut control = Link::new(carrier.channel(channel::CONTROL), Remote::Peer, 0);
    DeviceHello::new(crash_report::take()).send(&mut control)?;
    introduction(contributor.record, Err(NotFresh::Contributes)).send(&mut control)?;
    let contributed = contribute(carrier, &mut control, contributor);
    if let Err(Stopped::Refused(status)) = &contributed {
        // The gateway may be gone. The contribution is over in any case.
        let _ = status.send(&mut control);
        let _ = carrier.finish();
    }
    contributed
}

/// Sends the uploads, until one is not taken.
#[inline(never)]
fn contribute<C: Carrier>(
    carrier: &C,
    control: &mut Link<C::Channel<'_>>,
    contributor: &Contributor<'_>,
) -> Result<(), Stopped> {
    let refused = |status| Err(Stopped::Refused(status));
    let hello = GatewayHello::receive(control)?;
    let record = match Record::decode(contributor.record) {
        Ok(record) => record,
        Err(error) => return refused(Status::NoSecret(error)),
    };
    let samples = match SampleImage::new(contributor.image) {
        Ok(samples) => samples,
        Err(error) => return refused(Status::NoSamples(error)),
    };
    let behind = contributor.image.get(samples.image_len()..);
    let image = match TaskImage::decode(behind.unwrap_or_default()) {
        Ok(image) => image,
        Err(error) => return refused(Status::NoTask(error)),
    };
    let own = image.task.id();
    if hello.task != own {
        return refused(Status::OtherTask(own));
    }
    let uploads = SampleUploads::new(&image, samples, &record.root)?;
    let offer = Status::Offers {
        uploads: uploads.count(),
        samples: samples.len(),
    };
    offer.send(control)?;
    let (mut taken, mut repeated, mut ended) = (0, 0, None);
    let mut line = Link::new(carrier.channel(channel::UPLOADS), Remote::Peer, 0);
    for number in 0..uploads.count() {
        let written = uploads.write(number, |piece| Ok::<_, Stopped>(line.send(piece)?));
        written?;
        line.flush()?;
        let answer = UploadAnswer::receive(control)?;
        #[cfg(feature = "defmt")]
        defmt::info!("upload {=u32}: {}", number, answer);
        match answer {
            UploadAnswer::Taken => taken += 1,
            UploadAnswer::Repeated => repeated += 1,
            not_taken => {
                ended = Some(not_taken);
                break;
            }
        }
    }
    let contributed = Contributed {
        taken,
        repeated,
        used: MemoryUsed {
            // All that it takes is on the stack.
            memory: 0,
            stack: clamp(contributor.stack.map_or(0, Stack::used)),
        },
    };
    Status::Contributed(contributed).send(control)?;
    carrier.finish()?;
    match ended {
        None => Ok(()),
        Some(answer) => Err(Stopped::NotTaken(answer)),
    }
}
