//! Requests of owners to the leader, which are made again while it is away or busy.

use std::time::{Duration, Instant};

use ringlet_core::contribution::UploadId;
use tokio::runtime::{Builder, Runtime};

use super::owner_link::{Answer, OwnerLink};
use crate::{config::task_file::TaskFile, console, error::Failure, links::connect::broken};

/// Pause between two notices that the leader does not take uploads.
const NOTICE_PAUSE: Duration = Duration::from_secs(5);

/// Requests to the leader of a task.
pub struct Posting {
    runtime: Runtime,
    link: OwnerLink,
    wait: Duration,
}

impl Posting {
    /// Requests that are made again for the time `wait`.
    pub fn new(task: &TaskFile, wait: Duration) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(broken)?;
        Ok(Posting {
            runtime,
            link: OwnerLink::new(task)?,
            wait,
        })
    }

    /// Sends an upload. `meanwhile` is called while the leader is away or busy.
    pub fn send(
        &mut self,
        upload: &[u8],
        meanwhile: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Answer, Failure> {
        self.ask(upload, meanwhile, |runtime, link, upload| {
            runtime.block_on(link.send(upload.to_vec()))
        })
    }

    /// Withdraws an upload.
    pub fn withdraw(&mut self, id: UploadId) -> Result<Answer, Failure> {
        self.ask(
            &id,
            || Ok(()),
            |runtime, link, &id| runtime.block_on(link.withdraw(id)),
        )
    }

    /// Asks until the answer is another than that the leader is away or busy, or until the time is over.
    fn ask<T: ?Sized>(
        &mut self,
        what: &T,
        mut meanwhile: impl FnMut() -> Result<(), Failure>,
        ask: impl Fn(&Runtime, &mut OwnerLink, &T) -> Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        let (start, mut told) = (Instant::now(), None::<Instant>);
        loop {
            let (why, after) = match ask(&self.runtime, &mut self.link, what)? {
                Answer::Later(why, after) => (why, after),
                answer => return Ok(answer),
            };
            if start.elapsed() + after > self.wait {
                return Ok(Answer::Later(why, after));
            }
            if told.is_none_or(|told| told.elapsed() >= NOTICE_PAUSE) {
                console::note(&format!("owner: waiting for the leader ({why})"));
                told = Some(Instant::now());
            }
            meanwhile()?;
            std::thread::sleep(after);
        }
    }
}
