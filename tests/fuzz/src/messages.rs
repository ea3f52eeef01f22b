//! Any bytes as the messages of the handshake, and any session that they describe.

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    contribution::TaskImage,
    dealt::Plan,
    device,
    net::{Link, Remote},
    num::Ring,
    securenn,
    session::{
        Session, Task,
        handshake::{self, Hello, VERSION},
    },
};

use super::allocation;

/// What arrives, and nothing after it. What is sent is lost.
struct Arriving<'a>(&'a [u8]);

impl ErrorType for Arriving<'_> {
    type Error = Infallible;
}

impl Read for Arriving<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let count = bytes.len().min(self.0.len());
        let (now, later) = self.0.split_at(count);
        bytes[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

impl Write for Arriving<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn link(bytes: &[u8]) -> Link<Arriving<'_>> {
    Link::new(Arriving(bytes), Remote::Peer, 0)
}

/// The input as it is, as a message's body, and as that of a role of this version.
pub fn check(input: &[u8]) {
    hear(input);
    let len = input.len().min(u16::MAX.into());
    let mut message = b"RNGL".to_vec();
    message.extend((len as u16).to_le_bytes());
    message.extend(&input[..len]);
    hear(&message);
    if let Some(version) = message.get_mut(6) {
        *version = VERSION as u8;
        hear(&message);
    }
}

fn hear(bytes: &[u8]) {
    allocation::none_in(|| {
        let _ = device::Status::receive(&mut link(bytes));
        let _ = handshake::receive_key(&mut link(bytes));
        let _ = device::DeviceHello::receive(&mut link(bytes));
        let _ = device::Introduction::receive(&mut link(bytes));
        let _ = device::Record::decode(bytes);
        let _ = device::GatewayHello::receive(&mut link(bytes));
        let _ = device::UploadAnswer::receive(&mut link(bytes));
        if let Ok(image) = TaskImage::decode(bytes) {
            assert_eq!(image.task.check(), Ok(()));
            assert!(image.per_upload > 0);
        }
        if let Ok(heard) = handshake::receive_hello(&mut link(bytes)) {
            assert_eq!(heard.compare(&heard), Ok(()));
            let role = heard.role.other();
            let own = Hello {
                role,
                ..heard.clone()
            };
            assert_eq!(own.reply_to_peer(&mut link(&[]), &heard), Ok(()));
            session::<u32>(&heard.session);
            session::<u64>(&heard.session);
            securenn_session(&heard.session);
        }
    });
}

/// A session that passes its check can be planned and walked through in whole numbers.
fn session<R: Ring>(session: &Session) {
    let Ok(network) = ringlet_core::dealt::check::<R>(session) else {
        return;
    };
    let plan = Plan::new(session, &network);
    let last = session.iterations() - 1;
    for iteration in [0, last / 2, last] {
        let batch = session.batch(iteration);
        assert!(batch.len >= 1 && batch.len <= session.batch);
        assert!(batch.epoch < session.epochs);
        match session.task {
            Task::Train => {
                let cost = plan.iteration::<R>(batch.len);
                assert!(cost.opened_values > 0 && cost.online_bytes > 0 && cost.rounds > 0);
                plan.data::<R>(batch.len, batch.len);
                plan.audit::<R>(batch.len);
            }
            Task::Infer | Task::Evaluate => {
                let lines = plan.inference::<R>(session.samples_owner(), batch.len);
                assert!(lines.iter().any(|line| line.forward.online_bytes > 0));
                plan.model_opening(session.samples_owner().other());
            }
        }
        let mut samples = [0; 1];
        if batch.len < 1000 {
            session.batch_samples(batch, batch.len - 1, &mut samples);
            assert!(session.local_index(samples[0]) < session.total_samples());
        }
        assert!(session.shuffle().sample(batch.epoch, batch.first) < session.total_samples());
    }
    for role in Role::BOTH {
        assert!(plan.arena_words::<R>(role) > 0);
        plan.opened_data_words(role);
    }
    assert!(plan.dealer_arena_words::<R>() > 0);
    for ranged in plan.ranges::<R>() {
        let is_row = ranged.cost_row < plan.cost_rows::<R>(1).len();
        assert!(is_row && ranged.bits.unsigned_abs() < R::BITS);
    }
    for stage in 0..network.stages.len() {
        let learns = session
            .rates(&network, stage, last)
            .iter()
            .all(|&rate| rate > 0);
        assert!(learns || session.task != Task::Train);
    }
}

/// The same for a session with an assistant.
fn securenn_session(session: &Session) {
    let Ok(network) = ringlet_core::securenn::check(session) else {
        return;
    };
    let last = session.batch(session.iterations() - 1);
    for len in [session.batch, last.len] {
        let lines = securenn::plan::cost_rows(session, &network, len);
        assert!(lines.iter().any(|line| line.forward.bytes > 0));
    }
    assert!(securenn::party_words(session, &network) > 0);
    assert!(securenn::assistant_words(session, &network) > 0);
}
