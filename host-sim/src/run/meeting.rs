//! How the roles of a session meet over TCP: a helper waits for both parties, a party for its peer.

use std::{
    net::{Shutdown, TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    net::{Finish, Link, Remote},
    prg::Key,
    session::{
        ContributionList, Contributions, Session, Task,
        handshake::{
            Actor, Checkpoints, Greeting, HandshakeError, Hello, Mismatch, Parameter, Start,
            refuse, send_key,
        },
    },
};

use super::{actors::Helper, ranks::Closer};
use crate::{
    error::Failure,
    links::{
        connect::{Endpoint, Reached, UNBOUNDED, broken},
        reception::{Greeted, MakeEnd, Reception, is_alive},
        secure::SecureEnd,
        tcp::TcpEnd,
    },
};

/// Both parties of a session, as a helper has met them.
pub struct Parties {
    /// What they have said, P0 first.
    pub hellos: [Hello; 2],
    /// The links to them.
    pub ends: [SecureEnd; 2],
}

impl Parties {
    /// Their session.
    pub fn session(&self) -> &Session {
        &self.hellos[0].session
    }

    /// Refuses both parties unless each has as many processes as the helper, which has `own`.
    pub fn check_processes(&mut self, own: u16) -> Result<(), Failure> {
        let [p0, p1] = &self.hellos;
        let Err(mismatch) = p0.check_processes(p1, own) else {
            return Ok(());
        };
        for (end, role) in self.ends.iter_mut().zip(Role::BOTH) {
            // A party that is gone needs no answer.
            let _ = refuse(
                &mut Link::new(end, Remote::Party(role), UNBOUNDED),
                mismatch,
            );
        }
        Err(HandshakeError::from(mismatch).into())
    }

    /// Whether both go on from a checkpoint when a link breaks.
    pub fn are_durable(&self) -> bool {
        self.hellos.iter().all(|hello| hello.checkpoints.durable)
    }

    /// The iteration that comes first: that of the latest checkpoint that both have. An evaluation of one begins at 0.
    pub fn first(&self) -> u32 {
        let [p0, p1] = &self.hellos;
        if p0.session.task != Task::Train {
            return 0;
        }
        let common = p0.checkpoints.common(&p1.checkpoints);
        common.map_or(0, |id| id.iteration)
    }
}

/// Time between two looks at who has been refused.
const LOOK: Duration = Duration::from_millis(200);

/// A party that waits for the other one.
struct Waiting {
    hello: Hello,
    end: SecureEnd,
    stream: TcpStream,
}

/// What is known of the parties that have come: for greetings that come later.
type Come = Arc<Mutex<[Option<(Hello, TcpStream)>; 2]>>;

fn locked(come: &Come) -> MutexGuard<'_, [Option<(Hello, TcpStream)>; 2]> {
    come.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The contributions that the sessions of a helper have to be on.
#[derive(Clone, Copy, Debug)]
pub enum Needed {
    /// None.
    None,
    /// This list, in all epochs.
    List(ContributionList),
    /// Any list in one epoch.
    Store,
}

impl Needed {
    fn fits(self, heard: Option<Contributions>) -> bool {
        match self {
            Needed::None => heard.is_none(),
            Needed::List(list) => heard == Some(Contributions::fixed(list)),
            Needed::Store => heard.is_some_and(|heard| heard.earlier.is_some()),
        }
    }
}

/// Whether a party's session fits this helper, and the parties that have come. If it is the epoch after that of the other party,
/// the other has to come again: it has missed that the epoch has ended.
fn judge((helper, needed): (Helper, Needed), come: &Come, heard: &Hello) -> Result<(), Mismatch> {
    heard.check_rank(None)?;
    let wanted = Helper::of(heard.session.protocol);
    match helper {
        Helper::Dealer if wanted != helper => return Err(Mismatch::Dealer),
        Helper::Assistant if wanted != helper => return Err(Mismatch::Assistant),
        _ => {}
    }
    if !needed.fits(heard.session.contributions) {
        return Err(Mismatch::Differs(Parameter::Contributions));
    }
    let mut come = locked(come);
    for party in come.iter_mut() {
        party.take_if(|(_, stream)| !is_alive(stream));
    }
    if come[heard.role.index()].is_some() {
        return Err(Mismatch::Role(heard.role));
    }
    let other = &mut come[heard.role.other().index()];
    let Some((hello, stream)) = other else {
        return Ok(());
    };
    if heard.session.goes_on_from(&hello.session) {
        // It may be gone already.
        let _ = stream.shutdown(Shutdown::Both);
        *other = None;
        return Ok(());
    }
    heard.compare(hello)
}

/// Waits for both parties of a session, in any order, on contributions that the helper has. A party that does not fit is
/// refused, and the waiting goes on.
pub fn meet_parties(
    helper: (Helper, Needed),
    listener: &TcpListener,
    endpoint: &Endpoint,
    make_end: MakeEnd,
) -> Result<Parties, Failure> {
    let come = Come::default();
    let judged = come.clone();
    let fits = move |greeting: &Greeting| {
        judge(helper, &judged, &greeting.hello).map(|()| Checkpoints::default())
    };
    let reception = Reception::open(listener, endpoint, make_end, Arc::new(fits))?;
    let deadline = Instant::now() + endpoint.wait;
    let mut waiting: [Option<Waiting>; 2] = [None, None];
    let missing = |waiting: &[Option<Waiting>; 2]| match waiting {
        [None, None] => "both parties",
        [None, _] => "party p0",
        [_, None] => "party p1",
        _ => "",
    };
    while waiting.iter().any(Option::is_none) {
        let who = missing(&waiting);
        let mut notices = endpoint.notices(who).said();
        let Some(greeted) = reception.next(deadline, || notices.say()) else {
            return Err(absent(who, endpoint));
        };
        let role = greeted.hello.role;
        // Two may have been welcomed at the same time; the second one's link closes.
        if judge(helper, &come, &greeted.hello).is_err() {
            continue;
        }
        let Greeted {
            hello, end, stream, ..
        } = greeted;
        if let Ok(handle) = stream.try_clone() {
            locked(&come)[role.index()] = Some((hello.clone(), handle));
            waiting[role.index()] = Some(Waiting { hello, end, stream });
        }
        for party in &mut waiting {
            party.take_if(|party| !is_alive(&party.stream));
        }
    }
    match waiting {
        [Some(p0), Some(p1)] => Ok(Parties {
            hellos: [p0.hello, p1.hello],
            ends: [p0.end, p1.end],
        }),
        _ => Err(absent("both parties", endpoint)),
    }
}

/// Further ranks of one party or of both.
pub struct FurtherRanksOf<'r> {
    /// The parties.
    pub roles: &'r [Role],
    /// How many ranks each has.
    pub count: u16,
    /// The numbers of these ranks.
    pub indices: Range<u16>,
}

/// What waits for further ranks.
pub struct RankReception<'a> {
    reception: Reception,
    endpoint: &'a Endpoint,
    /// Who is to come: each of these ranks of each of these parties.
    roles: Vec<Role>,
    indices: Range<u16>,
}

impl<'a> RankReception<'a> {
    /// Waits from now on at `listener` for the further ranks `of` parties. They run the same session as `hello`. Anybody
    /// else is refused.
    pub fn open(
        (listener, endpoint): (&TcpListener, &'a Endpoint),
        hello: &Hello,
        of: FurtherRanksOf<'_>,
        make_end: MakeEnd,
    ) -> Result<Self, Failure> {
        let own = hello.clone();
        let FurtherRanksOf {
            roles,
            count,
            indices,
        } = of;
        let roles = roles.to_vec();
        let (wanted, awaited) = (indices.clone(), roles.clone());
        let fits = move |greeting: &Greeting| {
            let heard = &greeting.hello;
            if !awaited.contains(&heard.role) {
                return Err(Mismatch::Role(heard.role));
            }
            heard.check_rank(Some(count))?;
            if !wanted.contains(&heard.rank.index()) {
                return Err(Mismatch::Rank(wanted.start));
            }
            own.compare(heard).map(|()| Checkpoints::default())
        };
        Ok(RankReception {
            reception: Reception::open(listener, endpoint, make_end, Arc::new(fits))?,
            endpoint,
            roles,
            indices,
        })
    }

    /// The links to these ranks, in their order: those of one party after those of the other.
    pub fn all(self) -> Result<Vec<SecureEnd>, Failure> {
        let roles: Vec<String> = self.roles.iter().map(Role::to_string).collect();
        let what = format!("the further ranks of {}", roles.join(" and "));
        let mut notices = self.endpoint.notices(&what).said();
        let deadline = Instant::now() + self.endpoint.wait;
        let each = self.indices.len();
        let awaited = 0..self.roles.len() * each;
        let mut ends: Vec<Option<SecureEnd>> = awaited.map(|_| None).collect();
        while ends.iter().any(Option::is_none) {
            let greeted = self.reception.next(deadline, || notices.say());
            let greeted = greeted.ok_or_else(|| absent(&what, self.endpoint))?;
            let Hello { role, rank, .. } = greeted.hello;
            let party = self.roles.iter().position(|&awaited| awaited == role);
            let index = rank.index().checked_sub(self.indices.start);
            let place = party.zip(index);
            let place = place.map(|(party, index)| party * each + usize::from(index));
            // A rank that has come already keeps its link; the second one's closes.
            if let Some(end @ None) = place.and_then(|place| ends.get_mut(place)) {
                *end = Some(greeted.end);
            }
        }
        Ok(ends.into_iter().flatten().collect())
    }
}

/// Gives both parties their keys for a session of so many `ranks` from the iteration `first` on, and receives the links to
/// those further ranks for which the `reception` has been opened: a party's ranks come once it has its key. A party may be
/// silent, or take nothing, for as long as `idle`.
pub fn start_parties(
    ends: &mut [SecureEnd; 2],
    (keys, first, ranks): (&[Key; 2], u32, u16),
    reception: Option<RankReception<'_>>,
    (idle, closer): (Duration, &mut Closer),
) -> Result<Vec<SecureEnd>, Failure> {
    for ((end, key), role) in ends.iter_mut().zip(keys).zip(Role::BOTH) {
        end.tcp().set_patience(idle).map_err(broken)?;
        closer.add(end)?;
        let start = Start {
            key: key.clone(),
            first,
            ranks,
        };
        send_key(&mut Link::new(end, Remote::Party(role), UNBOUNDED), &start)?;
    }
    let further = reception.map_or(Ok(Vec::new()), RankReception::all)?;
    for end in &further {
        end.tcp().set_patience(idle).map_err(broken)?;
        closer.add(end)?;
    }
    Ok(further)
}

/// Ends a session with both parties, or with a rank of each. Each confirms its end only after the parties have ended theirs with
/// each other, so a helper succeeds only when both parties have.
pub fn finish_with_parties<E: Read + Write + Finish>(ends: [&mut E; 2]) -> Result<(), Failure> {
    let [p0, p1] = ends;
    let mut links = [(Role::P0, p0), (Role::P1, p1)]
        .map(|(role, end)| Link::new(end, Remote::Party(role), UNBOUNDED));
    for link in links.iter_mut().rev() {
        link.end(true)?;
    }
    for link in links.iter_mut().rev() {
        link.confirm(true)?;
    }
    Ok(())
}

/// Waits for the peer of the party with this `hello`. A stranger is refused, and the waiting goes on; if the peer is at the
/// epoch after this one, the waiting ends. None if another link that the party needs `is_lost` meanwhile.
pub fn await_peer(
    listener: &TcpListener,
    endpoint: &Endpoint,
    hello: &Hello,
    is_lost: &dyn Fn() -> bool,
) -> Result<Option<Reached>, Failure> {
    let own = hello.clone();
    let elsewhere = Arc::new(OnceLock::new());
    let seen = elsewhere.clone();
    let fits = move |greeting: &Greeting| {
        greeting.hello.check_rank(None)?;
        own.check_peer(&greeting.hello).inspect_err(|mismatch| {
            if greeting.hello.session.goes_on_from(&own.session) {
                let _ = seen.set(*mismatch);
            }
        })?;
        Ok(own.checkpoints.clone())
    };
    let reception = Reception::open(listener, endpoint, TcpEnd::free, Arc::new(fits))?;
    let peer = Actor::Party(hello.role.other());
    let mut notices = endpoint.notices(peer).said();
    let deadline = Instant::now() + endpoint.wait;
    let greeted = loop {
        let look = deadline.min(Instant::now() + LOOK);
        if let Some(greeted) = reception.next(look, || notices.say()) {
            break greeted;
        }
        if let Some(mismatch) = elsewhere.get() {
            return Err(HandshakeError::from(*mismatch).into());
        }
        if is_lost() {
            return Ok(None);
        }
        if look == deadline || Instant::now() < look {
            return Err(absent(&peer.to_string(), endpoint));
        }
    };
    Ok(Some(Reached {
        end: greeted.end,
        checkpoints: greeted.hello.checkpoints,
        hash: greeted.hash,
    }))
}

/// Nobody came in time.
fn absent(who: &str, endpoint: &Endpoint) -> Failure {
    Failure::new(
        format!("{who} did not come within {} s", endpoint.wait.as_secs()),
        "start it, or wait longer with --wait",
    )
}
