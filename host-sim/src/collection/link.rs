//! The secure links between the leader and its followers. Both ends prove their identities, and that they have the same task.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    contribution::TaskId,
    net::{
        Link, Remote,
        secure::{self, Prologue, Suite},
    },
    session::handshake::Actor,
};

use crate::{
    error::Failure,
    links::{
        connect::{Endpoint, GREETING_TIMEOUT, UNBOUNDED, broken, ephemeral},
        secure::{AesGcm, SecureEnd},
        tcp::{self, TcpEnd},
        traffic_shaper::TrafficShape,
    },
};

/// The leader of a collection.
pub const LEADER: Actor = Actor::Party(Role::P0);

/// Its followers: the helper and the dealer.
pub const FOLLOWERS: [Actor; 2] = [Actor::Party(Role::P1), Actor::Dealer];

/// How long the leader waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to connect to a follower.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A link of a collection.
pub type CollectionLink = Link<SecureEnd>;

fn prologue(task: TaskId, follower: Actor) -> Prologue {
    let mut prologue = Prologue::new("ringlet collection 1");
    prologue.add(&task.0);
    prologue.add(follower.to_string().as_bytes());
    prologue
}

/// Connects to a follower, once. Returns the connection below too.
pub fn reach(
    endpoint: &Endpoint,
    task: TaskId,
    (follower, address): (Actor, &str),
) -> Result<(CollectionLink, TcpStream), Failure> {
    let remote = match follower {
        Actor::Dealer => Remote::Dealer,
        _ => Remote::Peer,
    };
    let connected = tcp::connect(address, Duration::ZERO, |_| true, || ());
    let stream = connected.map_err(|error| {
        Failure::new(
            format!("cannot reach {follower} at {address} ({error})"),
            "start it there, or correct the roster",
        )
    })?;
    let handle = stream.try_clone().map_err(broken)?;
    let mut end = TcpEnd::bounded(stream, TrafficShape::default()).map_err(broken)?;
    end.set_patience(CONNECT_TIMEOUT).map_err(broken)?;
    end.set_deadline(Some(Instant::now() + GREETING_TIMEOUT));
    let mut link = Link::new(end, remote, UNBOUNDED);
    let keys = secure::connect::<AesGcm, _>(
        &mut link,
        endpoint.credentials.own(),
        endpoint.identity_of(follower)?,
        prologue(task, follower),
        ephemeral()?,
    )?;
    let mut end = link.into_inner();
    end.set_deadline(None);
    end.set_patience(ANSWER_TIMEOUT).map_err(broken)?;
    let end = SecureEnd::new(end, Suite::Host, &keys);
    Ok((Link::new(end, remote, UNBOUNDED), handle))
}

/// At a follower: the link over a connection that has come, if it comes from the leader.
pub fn admit(
    endpoint: &Endpoint,
    task: TaskId,
    stream: TcpStream,
) -> Result<CollectionLink, Failure> {
    let remote = Remote::Party(Role::P0);
    let handle = stream.try_clone().map_err(broken)?;
    let mut end = TcpEnd::bounded(stream, TrafficShape::default()).map_err(broken)?;
    end.set_deadline(Some(Instant::now() + GREETING_TIMEOUT));
    let mut link = Link::new(end, remote, UNBOUNDED);
    let keys = secure::accept::<AesGcm, _>(
        &mut link,
        endpoint.credentials.own(),
        endpoint.identity_of(LEADER)?,
        prologue(task, endpoint.own),
        ephemeral()?,
    )?;
    let mut end = link.into_inner();
    end.set_deadline(None);
    // The leader is silent while nothing is sent to it.
    handle.set_read_timeout(None).map_err(broken)?;
    let end = SecureEnd::new(end, Suite::Host, &keys);
    Ok(Link::new(end, remote, UNBOUNDED))
}
