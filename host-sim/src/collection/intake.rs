//! What the leader checks of an upload by itself, before it passes it on.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ringlet_core::{
    contribution::{Commitment, Header, Received, UploadId, open_party_seal},
    net::secure::Identity,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    follower::digest_of,
    followers::Followers,
    leader::{Checked, Job, Taken},
    metrics::Metrics,
    refusal::Refusal,
    signature::{self, SIGNED_LEN},
    store::{Found, Seeds, Store},
};
use crate::{
    config::task_file::{Contributors, TaskFile},
    console,
    error::Failure,
    links::credentials::Credentials,
};

/// What takes uploads.
pub struct Intake {
    /// The task.
    pub task: Arc<TaskFile>,
    /// The leader's identity, to which P0's seals are.
    pub credentials: Arc<Credentials>,
    /// What is kept.
    pub store: Arc<Store>,
    /// The others.
    pub followers: Arc<Followers>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The way to the leader's thread.
    pub jobs: mpsc::Sender<Job>,
}

impl Intake {
    /// The most bytes of an upload, its signature included.
    pub fn most_bytes(&self) -> usize {
        self.task.most_bytes() + SIGNED_LEN
    }

    /// Takes an upload: when this returns, it is on the disks of all roles, or refused.
    pub async fn take(&self, bytes: &[u8]) -> Result<(UploadId, u16, bool), Refusal> {
        let (upload, header) = self.split(bytes)?;
        let digest = digest_of(upload);
        let (id, count) = (header.id, header.count);
        // An owner that was not answered sends it again, and later than the deadline perhaps.
        match self.store.find(id).map_err(unavailable)? {
            Found::Withdrawn => return Err(Refusal::Withdrawn),
            Found::Upload(there) if there.digest == digest => return Ok((id, count, false)),
            Found::Upload(_) => return Err(Refusal::OtherBytes),
            Found::Nothing => {}
        }
        let checked = self.check(bytes, upload.len(), digest)?;
        if self.followers.are_here() != [true; 2] {
            return Err(Refusal::NotAvailable);
        }
        let (answer, taken) = oneshot::channel();
        self.ask(Job::Take(checked, answer))?;
        let taken: Taken = taken.await.map_err(|_| Refusal::NotAvailable)?;
        taken.map(|is_new| (id, count, is_new))
    }

    /// Withdraws an upload.
    pub async fn withdraw(&self, id: UploadId) -> Result<(), Refusal> {
        let (answer, withdrawn) = oneshot::channel();
        self.ask(Job::Withdraw(id, answer))?;
        withdrawn.await.map_err(|_| Refusal::NotAvailable)?
    }

    fn ask(&self, job: Job) -> Result<(), Refusal> {
        self.jobs.try_send(job).map_err(|_| Refusal::NotAvailable)
    }

    /// The upload without its signature, if its length is what it says.
    fn split<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], Header), Refusal> {
        let header = Header::read(bytes)?;
        if header.task != self.task.id {
            return Err(Refusal::UnknownTask);
        }
        if header.count > self.task.terms.most_contributions {
            return Err(Refusal::TooLarge);
        }
        let signed = match self.task.terms.contributors {
            Contributors::Anybody => 0,
            Contributors::Registered(_) => SIGNED_LEN,
        };
        let len = header.upload_len(&self.task.task);
        match bytes.len().checked_sub(len) {
            Some(rest) if rest == 0 || rest == signed => Ok((&bytes[..len], header)),
            _ => Err(Refusal::Malformed),
        }
    }

    fn check(&self, bytes: &[u8], len: usize, digest: [u8; 32]) -> Result<Checked, Refusal> {
        let TaskFile {
            task, id, terms, ..
        } = &*self.task;
        let (upload, signed) = bytes.split_at(len);
        let received = Received::read(task, upload)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        if now > terms.deadline {
            return Err(Refusal::DeadlinePassed);
        }
        let owner = signature::owner(&terms.contributors, *id, &received.hash, signed)?;
        let identity: &Identity = self.credentials.own();
        let seed = open_party_seal(identity, &received.hash, received.party_seals[0])?;
        Ok(Checked {
            bytes: bytes.to_vec(),
            len,
            id: received.header.id,
            count: received.header.count,
            digest,
            owner,
            commitment: Commitment::new(received.header.id, &seed).0,
            seeds: Seeds::Party(*seed.reveal()),
        })
    }
}

fn unavailable(failure: Failure) -> Refusal {
    console::note(&format!("warning: {failure}"));
    Refusal::NotAvailable
}
