//! A role of a collection from its start to its end.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ringlet_core::{contribution::UploadId, session::handshake::Actor};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{
    certificate,
    control::{Ask, Control},
    export::export,
    follower::{self, Follower},
    followers::Followers,
    http,
    intake::Intake,
    leader::{Job, Leader},
    link::LEADER,
    lists::List,
    metrics::Metrics,
    stop::Stop,
    store::Store,
};
use crate::{
    config::task_file::TaskFile, console, data::hexadecimal, error::Failure,
    links::connect::Endpoint, resources::spawn,
};

/// Uploads that may wait for their group.
const MOST_WAITING: usize = 1024;

/// Pause between two lines of progress.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

/// A role that is to be run.
pub struct Serving {
    /// How it meets the others.
    pub endpoint: Endpoint,
    /// The task.
    pub task: Arc<TaskFile>,
    /// The file that it keeps uploads in.
    pub store: PathBuf,
    /// Where it listens.
    pub listener: TcpListener,
    /// The same as the user gave it.
    pub listens_at: String,
}

impl Serving {
    /// Tells that the role is ready.
    fn tell(&self, whom: &str) {
        console::note(&format!(
            "{}: waiting for {whom} at {}, task {}",
            self.endpoint.own,
            self.listens_at,
            self.task.id_text()
        ));
    }
}

/// The store of a role.
pub fn open_store(path: &Path, role: Actor, task: &TaskFile) -> Result<Arc<Store>, Failure> {
    Store::open(path, &role.to_string(), task.id).map(Arc::new)
}

/// What a store holds, as JSON.
pub fn status(store: &Store) -> Result<Value, Failure> {
    let totals = store.totals()?;
    let lists = store.lists()?;
    let lists = lists.iter().map(|(number, list)| listed(*number, list));
    Ok(json!({
        "uploads": totals.uploads,
        "contributions": totals.contributions,
        "owners": store.owners()?,
        "bytes": totals.bytes,
        "lists": lists.collect::<Vec<_>>(),
    }))
}

fn listed(number: u32, list: &List) -> Value {
    json!({
        "list": number,
        "uploads": list.uploads,
        "contributions": list.contributions,
        "digest": hexadecimal::digits(&list.digest),
    })
}

/// Tells now and then how far the collection is, until `stop`.
fn tell_progress(own: Actor, store: &Arc<Store>, stop: &Stop) -> Result<(), Failure> {
    let (store, stop) = (store.clone(), stop.clone());
    spawn(move || {
        let (mut last, start) = (0, Instant::now());
        while !stop.is_made() {
            let Ok(totals) = store.totals() else { return };
            if totals.uploads != last {
                console::note(&format!(
                    "{own}: {} contributions in {} uploads ({:.0} s)",
                    totals.contributions,
                    totals.uploads,
                    start.elapsed().as_secs_f64()
                ));
                last = totals.uploads;
            }
            stop.wait_for(PROGRESS_PAUSE);
        }
    })?;
    Ok(())
}

/// Runs a follower until the user ends it.
pub fn follow(serving: Serving) -> Result<(), Failure> {
    let own = serving.endpoint.own;
    let store = open_store(&serving.store, own, &serving.task)?;
    let stop = Stop::watch()?;
    serving.tell("the leader");
    let (kept, task) = (store.clone(), serving.task.clone());
    let control = Control::open(&serving.store, &stop, move |ask| {
        local(ask, &kept, (own, &task))
    })?;
    tell_progress(own, &store, &stop)?;
    let follower = Arc::new(Follower {
        endpoint: serving.endpoint,
        task: serving.task,
        store,
    });
    follower::run(&follower, &serving.listener, &stop)?;
    drop(control);
    Ok(())
}

/// Runs the leader, whose followers are at these addresses, until the user ends it.
pub fn lead(serving: Serving, certificate: &Path, followers: [String; 2]) -> Result<(), Failure> {
    let tls = certificate::server(certificate, serving.task.terms.certificate)?;
    let store = open_store(&serving.store, LEADER, &serving.task)?;
    let stop = Stop::watch()?;
    serving.tell("owners");
    let Serving {
        endpoint,
        task,
        store: path,
        listener,
        ..
    } = serving;
    let followers = Arc::new(Followers::new(&endpoint, task.id, followers, &stop)?);
    let metrics = Arc::new(Metrics::default());
    let (jobs, asked) = mpsc::channel(MOST_WAITING);
    let leader = Leader {
        task: task.clone(),
        store: store.clone(),
        followers: followers.clone(),
        metrics: metrics.clone(),
    };
    let working = spawn(move || leader.run(asked))?;
    let (kept, own_task, to_leader) = (store.clone(), task.clone(), jobs.downgrade());
    let control = Control::open(&path, &stop, move |ask| {
        lead_command(ask, (&kept, &own_task), &to_leader)
    })?;
    tell_progress(LEADER, &store, &stop)?;
    let intake = Intake {
        task,
        credentials: endpoint.credentials,
        store,
        followers,
        metrics,
        jobs,
    };
    http::serve(listener, tls, Arc::new(intake), &stop)?;
    drop(control);
    // Nobody can ask any more, so the thread ends when all is answered.
    let _ = working.join();
    Ok(())
}

fn lead_command(
    ask: Ask,
    (store, task): (&Store, &TaskFile),
    jobs: &mpsc::WeakSender<Job>,
) -> Result<Value, Failure> {
    let ending = || Failure::new("the leader is ending", "start it again");
    match ask {
        Ask::List => {
            let (answer, made) = oneshot::channel();
            let jobs = jobs.upgrade().ok_or_else(ending)?;
            jobs.blocking_send(Job::List(answer))
                .map_err(|_| ending())?;
            let (number, list) = made.blocking_recv().map_err(|_| ending())??;
            Ok(listed(number, &list))
        }
        Ask::Withdraw(name) => {
            let id = hexadecimal::bytes(&name).ok_or_else(|| {
                Failure::new(
                    format!("{name} is no name of an upload"),
                    "give its 32 hexadecimal digits",
                )
            })?;
            let (answer, done) = oneshot::channel();
            let jobs = jobs.upgrade().ok_or_else(ending)?;
            let job = Job::Withdraw(UploadId(id), answer);
            jobs.blocking_send(job).map_err(|_| ending())?;
            let done = done.blocking_recv().map_err(|_| ending())?;
            let refused = |refusal: super::refusal::Refusal| {
                Failure::new(format!("not withdrawn: {refusal}"), refusal.remedy())
            };
            done.map_err(refused)?;
            Ok(json!({ "withdrawn": name }))
        }
        ask => local(ask, store, (LEADER, task)),
    }
}

/// Does what a role can do by itself.
fn local(ask: Ask, store: &Store, (own, task): (Actor, &TaskFile)) -> Result<Value, Failure> {
    match ask {
        Ask::Status => status(store),
        Ask::Export(list, path) => {
            let (count, name) = export(store, list, (own, &task.task), &path)?;
            Ok(json!({
                "list": list,
                "contributions": count,
                "name": hexadecimal::digits(&name.0),
                "file": path,
            }))
        }
        Ask::List | Ask::Withdraw(_) => Err(Failure::new(
            "the leader alone makes lists and withdraws uploads",
            "give the command at P0, while its `ringlet collect` runs",
        )),
    }
}
