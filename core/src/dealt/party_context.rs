//! A party's protocol context.

use embedded_io::{Read, Write};

use crate::{
    Role,
    audit::Counting,
    cost::{stopwatch::Stopwatch, traffic::Traffic},
    dealt::evaluations::Evaluations,
    gate::Online,
    net::link::{Link, LinkError, Remote, Segment},
    num::ring::Word,
    prg::{Key, Prg},
    profile,
    session::{Progress, RunError},
};

/// A party's protocol context: PRG key, links, traffic counters. It wipes its key when it is dropped.
pub struct PartyContext<P, D> {
    role: Role,
    prg: Prg,
    peer: Link<P>,
    dealer: Link<D>,
    traffic: Traffic,
    stopwatch: Stopwatch,
    cost_row: usize,
    backward: bool,
    /// The next iteration that may use the key's masks.
    progress: Progress,
    evaluations: Evaluations,
    /// Whether contributions were checked under this key.
    #[cfg(feature = "contributions")]
    checked: bool,
}

impl<P: Read + Write, D: Read + Write> PartyContext<P, D> {
    /// The context of `role`. `key` is the session key that the party shares with the dealer; each session needs a new
    /// one. P0 does not use its link to the dealer.
    pub fn new(role: Role, key: Key, peer: Link<P>, dealer: Link<D>) -> Self {
        PartyContext {
            role,
            prg: Prg::new(key),
            peer,
            dealer,
            traffic: Traffic::default(),
            stopwatch: Stopwatch::NONE,
            cost_row: 0,
            backward: false,
            progress: Progress::Any,
            evaluations: Evaluations::default(),
            #[cfg(feature = "contributions")]
            checked: false,
        }
    }

    /// Begins the check of contributions, which a key's masks serve once. Fails with [`RunError::Spent`] after the first time.
    #[cfg(feature = "contributions")]
    pub(crate) fn begin_check(&mut self) -> Result<(), RunError> {
        match core::mem::replace(&mut self.checked, true) {
            true => Err(RunError::Spent),
            false => Ok(()),
        }
    }

    /// P1 tells the dealer which contributions break a bound.
    #[cfg(feature = "contributions")]
    pub(crate) fn tell_broken(&mut self, broken: &[u8]) -> Result<(), RunError> {
        if self.role == Role::P1 {
            self.dealer.send(broken)?;
            self.dealer.flush()?;
        }
        Ok(())
    }

    /// Evaluates the shared model between two iterations: `run` takes this context under a key of the evaluation's own,
    /// which is derived from the session key, so that no mask of the training serves and the training goes on as if there
    /// had been no evaluation. The peer and the dealer evaluate at the same place.
    ///
    /// Fails as `run` does, and then the context takes no iteration any more; and with [`RunError::Spent`] if it takes
    /// none already.
    pub fn evaluation<T, E: From<RunError>>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let progress = self.progress.pause()?;
        let [key] = self.evaluations.next([&self.prg])?;
        let prg = core::mem::replace(&mut self.prg, key);
        let outcome = run(self);
        self.prg = prg;
        self.progress = outcome.as_ref().map_or(Progress::Spent, |_| progress);
        outcome
    }

    /// Tells the peer whether this party wishes that the training stops early, and learns whether both do. P1 tells the dealer.
    ///
    /// The parties and the dealer do so between the same iterations. Fails if a link does, and with [`LinkError::Tampered`] if
    /// the peer says something else.
    pub fn agree_to_stop(&mut self, wishes: bool) -> Result<bool, RunError> {
        self.peer.send(&[wishes.into()])?;
        self.peer.flush()?;
        let mut theirs = [0];
        self.peer.receive(&mut theirs)?;
        let stops = wishes && said(theirs, Remote::Peer)?;
        if self.role == Role::P1 {
            self.dealer.send(&[stops.into()])?;
            self.dealer.flush()?;
        }
        Ok(stops)
    }

    /// Traffic since the start, or since the last [`PartyContext::take_traffic`].
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Measures the time of each cost row by a clock, which tells nanoseconds since any moment that stays. It is part of the
    /// traffic; what passes between iterations counts for no row.
    #[cfg(feature = "clock")]
    pub fn set_clock(&mut self, clock: fn() -> u64) {
        self.stopwatch = Stopwatch::new(clock);
    }

    /// Returns the traffic and resets the counters to zero.
    pub fn take_traffic(&mut self) -> Traffic {
        self.stopwatch.stop(&mut self.traffic);
        core::mem::take(&mut self.traffic)
    }

    /// Counts the traffic that follows under a cost row, forward or backward.
    pub(crate) fn set_cost_row(&mut self, cost_row: usize, backward: bool) {
        self.cost_row = cost_row;
        self.backward = backward;
        self.stopwatch.switch(&mut self.traffic, cost_row, backward);
        profile::cost_row(cost_row, backward);
    }

    /// Opens segments in one round. `row_of` gives each segment's cost row; the round counts for that of the first.
    pub(crate) fn open_rows<W: Word>(
        &mut self,
        segments: &mut [Segment<'_, W>],
        row_of: impl Fn(usize) -> usize,
    ) -> Result<(), LinkError> {
        let direction = usize::from(self.backward);
        self.traffic.cost_rows[row_of(0)][direction].rounds += 1;
        for (index, segment) in segments.iter().enumerate() {
            let cost = &mut self.traffic.cost_rows[row_of(index)][direction];
            cost.opened_values += segment.values();
            cost.online_bytes += segment.sent_len();
        }
        self.peer.open(self.role, segments)
    }

    /// Bytes sent to the peer and received from it so far.
    pub fn peer_bytes(&self) -> [u64; 2] {
        [self.peer.sent(), self.peer.received()]
    }

    /// Ends the session and returns the links to the peer and to the dealer, whose ends are still to be confirmed.
    pub fn into_links(self) -> (Link<P>, Link<D>) {
        (self.peer, self.dealer)
    }

    /// The next iteration that may use the key's masks.
    pub(crate) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// The link to the peer.
    pub(crate) fn peer(&mut self) -> &mut Link<P> {
        &mut self.peer
    }
}

/// Whether a byte says yes. Fails if it says neither yes nor no.
pub(super) fn said([byte]: [u8; 1], by: Remote) -> Result<bool, LinkError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(LinkError::Tampered(by)),
    }
}

impl<P: Read + Write, D: Read + Write> Counting for PartyContext<P, D> {
    fn count_under(&mut self, cost_row: usize, backward: bool) {
        self.set_cost_row(cost_row, backward);
    }
}

impl<P: Read + Write, D: Read + Write> Online for PartyContext<P, D> {
    fn role(&self) -> Role {
        self.role
    }

    fn prg(&self) -> &Prg {
        &self.prg
    }

    fn open<W: Word>(&mut self, segments: &mut [Segment<'_, W>]) -> Result<(), LinkError> {
        let cost_row = self.cost_row;
        self.open_rows(segments, |_| cost_row)
    }

    fn corrections(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.traffic.cost_rows[self.cost_row][usize::from(self.backward)].dealer_bytes +=
            bytes.len() as u64;
        self.dealer.receive(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_yes_or_no() {
        assert_eq!(said([0], Remote::Peer), Ok(false));
        assert_eq!(said([1], Remote::Peer), Ok(true));
        for byte in 2..=u8::MAX {
            let refused = Err(LinkError::Tampered(Remote::Peer));
            assert_eq!(said([byte], Remote::Peer), refused);
        }
    }
}
