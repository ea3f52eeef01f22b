//! How a party in a process of its own meets its peer, and waits for its helper to begin.

use ringlet_core::{
    net::{Link, Remote},
    session::handshake::{Actor, Hello, Start, receive_key},
};

use super::{
    actors::Helper,
    lone_party::{LoneParty, Meeting, Met, Place},
    meeting::await_peer,
    reporter::Reporter,
};
use crate::{
    error::Failure,
    links::{
        capture::{Capture, transcript},
        connect::{Reached, UNBOUNDED, broken},
        reception::is_alive,
        secure::SecureEnd,
        tcp::TcpEnd,
        watched::while_alive,
    },
};

impl LoneParty<'_> {
    /// Waits for the key from the dealer or the assistant, which answers only when both parties are there. It has to
    /// begin at the iteration `first`, and may give no more than `most` ranks. If the peer is lost meanwhile, it is in vain.
    pub(super) fn await_start(
        &self,
        end: &mut SecureEnd,
        remote: Remote,
        (peer, first, most): (&SecureEnd, u32, u16),
    ) -> Result<Start, Failure> {
        let wait = 2 * self.endpoint.wait;
        end.tcp().set_patience(wait).map_err(broken)?;
        let what = format!("{remote}, which waits for both parties");
        let notices = self.endpoint.notices(what);
        let handle = [end.tcp().handle().map_err(broken)?];
        let mut link = Link::new(&mut *end, remote, UNBOUNDED);
        let wait = || while_alive(peer.tcp(), &handle, || receive_key(&mut link));
        let start = notices.during(wait)?;
        let theirs = start.first;
        if start.ranks == 0 || start.ranks > most {
            return Err(Failure::new(
                format!(
                    "{remote} wants {} ranks, and this party has {most}",
                    start.ranks
                ),
                "update the older program",
            ));
        }
        if theirs != first {
            return Err(Failure::new(
                format!("{remote} begins at iteration {theirs}, and the parties at {first}"),
                "start all roles again",
            ));
        }
        end.tcp().set_patience(self.idle).map_err(broken)?;
        Ok(start)
    }

    /// Listens for the peer, if it is to come.
    pub(super) fn place<'m>(
        &self,
        meeting: &'m Meeting,
        reporter: &mut dyn Reporter,
    ) -> Result<Place<'m>, Failure> {
        match meeting {
            Meeting::Connect(address) => Ok(Place::Connect(address)),
            Meeting::Listen(address) => {
                let listener = self.endpoint.listen(address)?;
                reporter.listening(listener.local_addr().map_err(broken)?.to_string())?;
                Ok(Place::Listen(listener))
            }
        }
    }

    /// Meets the peer and completes the handshake with it. If the link to the `helper` is lost meanwhile, it is in vain.
    pub(super) fn meet(
        &self,
        place: &Place<'_>,
        hello: &Hello,
        helper: Option<&mut SecureEnd>,
    ) -> Result<Met, Failure> {
        let kept = transcript(self.transcript.as_deref())?;
        let reached = self.reach_peer(place, hello, helper)?;
        Ok(Met {
            end: Capture::new(reached.end, &kept).map_err(broken)?,
            checkpoints: reached.checkpoints,
            hash: reached.hash,
        })
    }

    pub(super) fn reach_peer(
        &self,
        place: &Place<'_>,
        hello: &Hello,
        helper: Option<&mut SecureEnd>,
    ) -> Result<Reached, Failure> {
        match place {
            Place::Listen(listener) => {
                let handle = helper.as_ref().map(|end| end.tcp().handle());
                let handle = handle.transpose().map_err(broken)?;
                let is_lost = || handle.as_ref().is_some_and(|stream| !is_alive(stream));
                match (
                    await_peer(listener, &self.endpoint, hello, &is_lost)?,
                    helper,
                ) {
                    (Some(reached), _) => Ok(reached),
                    (None, Some(end)) => {
                        // The link says itself how it ended.
                        let remote = Helper::of(self.session.protocol).remote();
                        let mut link = Link::new(end, remote, UNBOUNDED);
                        Err(receive_key(&mut link).map_or_else(Into::into, |_| gone()))
                    }
                    (None, None) => Err(gone()),
                }
            }
            Place::Connect(address) => {
                let to = (Actor::Party(self.role.other()), "--peer");
                self.endpoint
                    .reach(address, to, hello, Remote::Peer, TcpEnd::free)
            }
        }
    }
}

/// A link ended in an unexpected way.
fn gone() -> Failure {
    broken(std::io::ErrorKind::UnexpectedEof.into())
}
