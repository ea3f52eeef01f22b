//! The leader's one thread that changes what is kept: it passes uploads on in groups, and makes lists and withdrawals.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ringlet_core::contribution::{Received, UploadId};
use tokio::sync::{mpsc, oneshot};

use super::{
    followers::Followers,
    lists::List,
    messages::{Offer, Reply, Request},
    metrics::Metrics,
    refusal::Refusal,
    store::{Found, Kept, Seeds, Store},
};
use crate::{
    config::task_file::{Contributors, OwnerName, TaskFile},
    console,
    error::Failure,
};

/// The most uploads of a group, and their most bytes beyond the first.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 8 << 20;

/// Names of uploads in a message of a list.
const LIST_PART: usize = 4096;

/// An upload that the leader has checked by itself.
pub struct Checked {
    /// Its bytes, the signature included.
    pub bytes: Vec<u8>,
    /// How many of them come before the signature.
    pub len: usize,
    /// Its name.
    pub id: UploadId,
    /// Its contributions.
    pub count: u16,
    /// Hash of all its bytes.
    pub digest: [u8; 32],
    /// The owner that has signed it.
    pub owner: Option<OwnerName>,
    /// P0's seed.
    pub seeds: Seeds,
    /// The commitment to it.
    pub commitment: [u8; 16],
}

/// Whether an upload is new; if not, it has been acknowledged before or by another request.
pub type Taken = Result<bool, Refusal>;

/// Something for the leader to do, and where the answer goes.
pub enum Job {
    /// Take an upload.
    Take(Checked, oneshot::Sender<Taken>),
    /// Withdraw an upload.
    Withdraw(UploadId, oneshot::Sender<Result<(), Refusal>>),
    /// Make a list of all uploads.
    List(oneshot::Sender<Result<(u32, List), Failure>>),
}

/// The leader.
pub struct Leader {
    /// The task.
    pub task: Arc<TaskFile>,
    /// What it keeps.
    pub store: Arc<Store>,
    /// The others.
    pub followers: Arc<Followers>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

/// An upload that waits for its group, and where the answer goes.
type Waiting = (Checked, oneshot::Sender<Taken>);

impl Leader {
    /// Does what comes until nobody can ask any more.
    pub fn run(&self, mut jobs: mpsc::Receiver<Job>) {
        let mut held = VecDeque::new();
        while let Some(job) = held.pop_front().or_else(|| jobs.blocking_recv()) {
            match job {
                Job::Take(first, answer) => {
                    let group = gather((first, answer), &mut held, &mut jobs);
                    self.take(group);
                }
                // Whoever asked may be gone.
                Job::Withdraw(id, answer) => drop(answer.send(self.withdraw(id))),
                Job::List(answer) => drop(answer.send(self.list())),
            }
        }
    }

    /// Takes a group of uploads, and answers.
    fn take(&self, group: Vec<Waiting>) {
        let mut to_keep = Vec::new();
        let mut added: HashMap<OwnerName, u64> = HashMap::new();
        for (upload, answer) in group {
            match self.judge(&upload, &mut added) {
                Ok(true) => to_keep.push((upload, answer)),
                other => {
                    let _ = answer.send(other);
                }
            }
        }
        if to_keep.is_empty() {
            return;
        }
        let outcomes = self.keep(&to_keep).unwrap_or_else(|failure| {
            console::note(&format!("warning: the leader took no uploads: {failure}"));
            vec![Err(Refusal::NotAvailable); to_keep.len()]
        });
        let kept = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        if kept > 0 {
            self.metrics.group(kept);
        }
        for ((_, answer), outcome) in to_keep.into_iter().zip(outcomes) {
            let _ = answer.send(outcome);
        }
    }

    /// Whether an upload is new, and its owner may send so much.
    fn judge(&self, upload: &Checked, added: &mut HashMap<OwnerName, u64>) -> Taken {
        let unavailable = |failure: Failure| {
            console::note(&format!("warning: {failure}"));
            Refusal::NotAvailable
        };
        match self.store.find(upload.id).map_err(unavailable)? {
            Found::Withdrawn => return Err(Refusal::Withdrawn),
            Found::Upload(there) if there.digest == upload.digest => return Ok(false),
            Found::Upload(_) => return Err(Refusal::OtherBytes),
            Found::Nothing => {}
        }
        if let (Some(name), Contributors::Registered(owners)) =
            (&upload.owner, &self.task.terms.contributors)
        {
            let owner = owners.get(name).ok_or(Refusal::UnknownOwner)?;
            let more = added.get(name).copied().unwrap_or(0) + u64::from(upload.count);
            let before = self.store.contributed_by(name).map_err(unavailable)?;
            if before + more > u64::from(owner.quota) {
                return Err(Refusal::OverQuota);
            }
            added.insert(*name, more);
        }
        Ok(true)
    }

    /// Keeps new uploads at all three roles.
    fn keep(&self, uploads: &[Waiting]) -> Result<Vec<Taken>, Failure> {
        let task = &self.task.task;
        let received = uploads.iter().map(|(upload, _)| {
            Received::read(task, &upload.bytes[..upload.len])
                .map_err(|error| Failure::new(error.to_string(), ""))
        });
        let received = received.collect::<Result<Vec<_>, _>>()?;
        let whole = uploads
            .iter()
            .map(|(upload, _)| Offer::Whole(&upload.bytes));
        let sealed = uploads
            .iter()
            .zip(&received)
            .map(|((upload, _), received)| Offer::Sealed {
                id: upload.id.0,
                count: upload.count,
                hash: received.hash,
                digest: upload.digest,
                seal: received.dealer_seal,
                signed: &upload.bytes[upload.len..],
            });
        let whole = Request::Check(whole.collect());
        let sealed = Request::Check(sealed.collect());
        let [Reply::Checked(helper), Reply::Checked(dealer)] =
            self.followers.ask([&whole, &sealed])?
        else {
            return Err(confused());
        };
        if helper.len() != uploads.len() || dealer.len() != uploads.len() {
            return Err(confused());
        }
        let mut outcomes = Vec::new();
        let (mut wanted, mut kept) = (Vec::new(), Vec::new());
        for (index, (upload, _)) in uploads.iter().enumerate() {
            let agreed = match (helper[index], dealer[index]) {
                (Some([_, Some(own)]), Some([Some(p0), Some(p1)])) => {
                    (p0 == upload.commitment && p1 == own).then_some([p0, p1])
                }
                _ => None,
            };
            let Some(commitments) = agreed else {
                outcomes.push(Err(Refusal::SealsDiffer));
                continue;
            };
            outcomes.push(Ok(true));
            wanted.push((index as u32, commitments));
            kept.push(Kept {
                id: upload.id,
                digest: upload.digest,
                owner: upload.owner,
                count: upload.count,
                seeds: upload.seeds.clone(),
                masked: Some(received[index].contributions),
            });
        }
        if !kept.is_empty() {
            let keep = Request::Keep(wanted);
            done(self.followers.ask([&keep, &keep])?)?;
            // The others have them on their disks: from here on they count.
            self.store.keep(&kept)?;
        }
        Ok(outcomes)
    }

    /// Withdraws an upload at all roles. It is forgotten here first: then no list has it, even if the others are away.
    fn withdraw(&self, id: UploadId) -> Result<(), Refusal> {
        let unavailable = |failure: Failure| {
            console::note(&format!("warning: a withdrawal is not done yet: {failure}"));
            Refusal::NotAvailable
        };
        if !self.store.withdraw(id).map_err(unavailable)? {
            return Err(Refusal::UnknownUpload);
        }
        self.remove_withdrawn().map_err(unavailable)?;
        self.metrics.withdraw();
        Ok(())
    }

    /// Lets the others remove what was withdrawn while they were away.
    fn remove_withdrawn(&self) -> Result<(), Failure> {
        let ids = self.store.unconfirmed()?;
        for part in ids.chunks(LIST_PART) {
            let remove = Request::Remove(part.iter().map(|id| id.0).collect());
            done(self.followers.ask([&remove, &remove])?)?;
            self.store.confirm(part)?;
        }
        Ok(())
    }

    /// Makes a list of all uploads, which the others confirm to have.
    fn list(&self) -> Result<(u32, List), Failure> {
        self.remove_withdrawn()?;
        let number = self.store.lists()?.last().map_or(1, |(last, _)| last + 1);
        let mut draft = self.store.begin_list(number)?;
        let begin = Request::BeginList(number);
        done(self.followers.ask([&begin, &begin])?)?;
        let mut owners = HashSet::new();
        let mut part = Vec::with_capacity(LIST_PART);
        let send = |part: &mut Vec<[u8; 16]>| {
            let listed = Request::Listed(std::mem::take(part));
            done(self.followers.ask([&listed, &listed])?)
        };
        self.store.each(|id| {
            if let Some(owner) = draft.add(id)?.and_then(|record| record.owner) {
                owners.insert(owner);
            }
            part.push(id.0);
            match part.len() {
                LIST_PART => send(&mut part),
                _ => Ok(()),
            }
        })?;
        send(&mut part)?;
        let list = draft.list();
        if list.uploads == 0 {
            return Err(Failure::new("there are no uploads yet", "wait for owners"));
        }
        let too_few = |owners: u64| {
            let least = self.task.terms.least_owners;
            Failure::new(
                format!("{owners} owners have contributed, and the task asks for {least}"),
                "wait for more",
            )
        };
        if !self.task.terms.enough(owners.len() as u64) {
            return Err(too_few(owners.len() as u64));
        }
        let end = Request::EndList(list);
        let missing = self.followers.ask([&end, &end])?;
        for (reply, role) in missing.iter().zip(["P1", "the dealer"]) {
            if let Reply::TooFewOwners(owners) = reply {
                return Err(too_few(*owners));
            }
            if let Reply::Missing(count) = reply {
                return Err(Failure::new(
                    format!("{role} does not have {count} of the uploads"),
                    "give it back the store that it had",
                ));
            }
        }
        draft.finish()?;
        Ok((number, list))
    }
}

/// All uploads that wait, up to the size of a group. What does not belong to it is held for later.
fn gather(
    first: Waiting,
    held: &mut VecDeque<Job>,
    jobs: &mut mpsc::Receiver<Job>,
) -> Vec<Waiting> {
    let mut bytes = first.0.bytes.len();
    let mut names = HashSet::from([first.0.id]);
    let mut group = vec![first];
    // A job that was held before keeps its place.
    while group.len() < GROUP && bytes < GROUP_BYTES && held.is_empty() {
        match jobs.try_recv() {
            // Two of one name: the second is answered when the first is on the disk.
            Ok(Job::Take(upload, answer)) if names.insert(upload.id) => {
                bytes += upload.bytes.len();
                group.push((upload, answer));
            }
            Ok(job) => held.push_back(job),
            Err(_) => break,
        }
    }
    group
}

fn done(replies: [Reply; 2]) -> Result<(), Failure> {
    match replies {
        [Reply::Done, Reply::Done] => Ok(()),
        _ => Err(confused()),
    }
}

fn confused() -> Failure {
    Failure::new(
        "helper or dealer gave an answer to another question",
        "run the same version of the program at all roles",
    )
}
