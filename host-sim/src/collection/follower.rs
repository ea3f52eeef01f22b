//! Helper and dealer: they answer the leader, and keep what it passes on.

use std::{
    collections::{HashSet, VecDeque},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ring::digest::{SHA256, digest};
use ringlet_core::{
    contribution::{Commitment, Header, Received, UploadId, open_dealer_seal, open_party_seal},
    net::secure::Identity,
    session::handshake::Actor,
};

use super::{
    link::{CollectionLink, admit},
    lists::ListDraft,
    messages::{self, Offer, Reply, Request},
    signature,
    stop::Stop,
    store::{Kept, Seeds, Store},
};
use crate::{
    config::task_file::{OwnerName, TaskFile},
    console,
    error::Failure,
    links::{connect::Endpoint, tcp::accept},
    resources::spawn,
};

/// Pause between two looks for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The most handshakes that are under way. A further one ends the oldest.
const MOST_HANDSHAKES: usize = 256;

/// A follower of a collection.
pub struct Follower {
    /// How it meets the leader.
    pub endpoint: Endpoint,
    /// The task.
    pub task: Arc<TaskFile>,
    /// What it keeps.
    pub store: Arc<Store>,
}

/// The hash of all bytes of an upload.
pub fn digest_of(upload: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, upload).as_ref());
    hash
}

/// An upload whose seal this role has opened.
struct Opened {
    id: UploadId,
    digest: [u8; 32],
    owner: Option<OwnerName>,
    count: u16,
    seeds: Seeds,
    masked: Option<Vec<u8>>,
    commitments: [Option<[u8; 16]>; 2],
}

impl Opened {
    fn new(file: &TaskFile, identity: &Identity, offer: &Offer<'_>) -> Option<Self> {
        let TaskFile {
            task, id, terms, ..
        } = file;
        // The leader cannot add uploads of its own where owners sign.
        let owner =
            |hash: &[u8; 32], signed| signature::owner(&terms.contributors, *id, hash, signed).ok();
        let commitment = |id, seed| Some(Commitment::new(id, seed).0);
        match *offer {
            Offer::Whole(bytes) => {
                let len = Header::read(bytes).ok()?.upload_len(task);
                let (bytes, signed) = bytes.split_at_checked(len)?;
                let received = Received::read(task, bytes).ok()?;
                let seed = open_party_seal(identity, &received.hash, received.party_seals[1]);
                let (seed, id) = (seed.ok()?, received.header.id);
                Some(Opened {
                    id,
                    digest: digest_of(bytes),
                    owner: owner(&received.hash, signed)?,
                    count: received.header.count,
                    commitments: [None, commitment(id, &seed)],
                    seeds: Seeds::Party(*seed.reveal()),
                    masked: Some(received.contributions.to_vec()),
                })
            }
            Offer::Sealed {
                id,
                count,
                ref hash,
                digest,
                seal,
                signed,
            } => {
                let seeds = open_dealer_seal(identity, hash, seal).ok()?;
                let id = UploadId(id);
                Some(Opened {
                    id,
                    digest,
                    owner: owner(hash, signed)?,
                    count,
                    commitments: seeds.each_ref().map(|seed| commitment(id, seed)),
                    seeds: Seeds::Both(seeds.each_ref().map(|seed| *seed.reveal())),
                    masked: None,
                })
            }
        }
    }

    /// Whether the dealer's commitments are to the seeds of this role.
    fn agrees(&self, dealt: &[[u8; 16]; 2]) -> bool {
        let mut pairs = self.commitments.iter().zip(dealt);
        pairs.all(|(own, dealt)| own.is_none_or(|own| own == *dealt))
    }
}

/// One connection with the leader.
struct Session<'a> {
    follower: &'a Follower,
    checked: Vec<Option<Opened>>,
    draft: Option<Draft<'a>>,
}

/// A list that the leader makes, the uploads of it that are not here, and its owners.
struct Draft<'a> {
    list: ListDraft<'a>,
    missing: u64,
    owners: HashSet<OwnerName>,
}

impl<'a> Session<'a> {
    /// Answers until the leader goes.
    fn serve(&mut self, link: &mut CollectionLink) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        loop {
            messages::receive(link, &mut bytes)?;
            let request = messages::read(link, &bytes)?;
            let reply = self.answer(request).unwrap_or_else(|failure| {
                self.draft = None;
                console::note(&format!(
                    "warning: {}: {failure}",
                    self.follower.endpoint.own
                ));
                Reply::Failed(failure.to_string())
            });
            messages::send(link, &reply)?;
        }
    }

    fn answer(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let Follower {
            endpoint,
            task,
            store,
        } = self.follower;
        if !matches!(request, Request::Listed(_) | Request::EndList(_)) {
            // The leader has given its list up. Whatever writes next would wait for the draft's transaction.
            self.draft = None;
        }
        match request {
            Request::Check(offers) => {
                let identity = endpoint.credentials.own();
                let is_whole = |offer: &Offer<'_>| matches!(offer, Offer::Whole(_));
                let is_helper = endpoint.own != Actor::Dealer;
                if offers.iter().any(|offer| is_whole(offer) != is_helper) {
                    return Err(confused());
                }
                let opened = offers
                    .iter()
                    .map(|offer| Opened::new(task, identity, offer));
                self.checked = opened.collect();
                let commitments = self.checked.iter();
                let commitments =
                    commitments.map(|opened| opened.as_ref().map(|opened| opened.commitments));
                Ok(Reply::Checked(commitments.collect()))
            }
            Request::Keep(wanted) => {
                let mut kept = Vec::new();
                for (index, dealt) in &wanted {
                    let opened = self.checked.get(*index as usize).and_then(Option::as_ref);
                    let opened = opened.filter(|opened| opened.agrees(dealt));
                    let opened = opened.ok_or_else(confused)?;
                    kept.push(Kept {
                        id: opened.id,
                        digest: opened.digest,
                        owner: opened.owner,
                        count: opened.count,
                        seeds: opened.seeds.clone(),
                        masked: opened.masked.as_deref(),
                    });
                }
                store.keep(&kept)?;
                Ok(Reply::Done)
            }
            Request::BeginList(number) => {
                self.draft = Some(Draft {
                    list: store.begin_list(number)?,
                    missing: 0,
                    owners: HashSet::new(),
                });
                Ok(Reply::Done)
            }
            Request::Listed(ids) => {
                let draft = self.draft.as_mut().ok_or_else(confused)?;
                for id in ids {
                    match draft.list.add(UploadId(id))? {
                        Some(record) => draft.owners.extend(record.owner),
                        None => draft.missing += 1,
                    }
                }
                Ok(Reply::Done)
            }
            Request::EndList(list) => {
                let draft = self.draft.take().ok_or_else(confused)?;
                let owners = draft.owners.len() as u64;
                if draft.missing > 0 || draft.list.list() != list {
                    return Ok(Reply::Missing(draft.missing));
                }
                if !task.terms.enough(owners) {
                    return Ok(Reply::TooFewOwners(owners));
                }
                draft.list.finish()?;
                Ok(Reply::Done)
            }
            Request::Remove(ids) => {
                for id in ids {
                    store.remove(UploadId(id))?;
                }
                Ok(Reply::Done)
            }
        }
    }
}

fn confused() -> Failure {
    Failure::new(
        "the leader asked for what it may not",
        "run the same version of the program at all roles",
    )
}

/// The connection that serves the leader, and handshakes under way.
#[derive(Default)]
struct Open {
    leader: Option<TcpStream>,
    handshakes: VecDeque<(u64, TcpStream)>,
}

/// Serves the leader at `listener` until the user wants it to stop.
pub fn run(follower: &Arc<Follower>, listener: &TcpListener, stop: &Stop) -> Result<(), Failure> {
    let open = Arc::new(Mutex::new(Open::default()));
    let locked = || open.lock().unwrap_or_else(PoisonError::into_inner);
    // One answer at a time; a leader that comes again waits for the end of its old connection.
    let serving = Arc::new(Mutex::new(()));
    for number in 0.. {
        let stream = loop {
            match accept(listener) {
                _ if stop.is_made() => break None,
                Ok(Some(stream)) => break Some(stream),
                Ok(None) | Err(_) => stop.wait_for(ACCEPT_PAUSE),
            }
        };
        let Some(stream) = stream else { break };
        let Ok(handle) = stream.try_clone() else {
            continue;
        };
        let mut now = locked();
        now.handshakes.push_back((number, handle));
        if now.handshakes.len() > MOST_HANDSHAKES
            && let Some((_, oldest)) = now.handshakes.pop_front()
        {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        drop(now);
        let (follower, open, serving) = (follower.clone(), open.clone(), serving.clone());
        let stop = stop.clone();
        let serve = move || {
            let from = stream.peer_addr();
            let admitted = admit(&follower.endpoint, follower.task.id, stream);
            let own = follower.endpoint.own;
            let mut now = open.lock().unwrap_or_else(PoisonError::into_inner);
            let place = now.handshakes.iter().position(|(own, _)| *own == number);
            // One that is not there any more has been ended.
            let Some((_, handle)) = place.and_then(|place| now.handshakes.remove(place)) else {
                return;
            };
            let mut link = match admitted {
                Ok(link) => link,
                Err(failure) => {
                    let from = from.map_or_else(|_| "nowhere".to_owned(), |from| from.to_string());
                    console::note(&format!(
                        "{own}: turned away a connection from {from}: {failure}"
                    ));
                    return;
                }
            };
            // The leader has come again: its old connection is of no use to it.
            if let Some(old) = now.leader.replace(handle) {
                let _ = old.shutdown(Shutdown::Both);
            }
            drop(now);
            let _serving = serving.lock().unwrap_or_else(PoisonError::into_inner);
            console::note(&format!("{own}: the leader is here"));
            let mut session = Session {
                follower: &follower,
                checked: Vec::new(),
                draft: None,
            };
            if let Err(failure) = session.serve(&mut link)
                && !stop.is_made()
            {
                console::note(&format!("{own}: waiting for the leader again ({failure})"));
            }
        };
        if spawn(serve).is_err() {
            // The connection closes, and may come again.
            locked().handshakes.retain(|(own, _)| *own != number);
        }
    }
    if let Some(leader) = &locked().leader {
        let _ = leader.shutdown(Shutdown::Both);
    }
    // What is being written is written.
    drop(serving.lock());
    Ok(())
}
