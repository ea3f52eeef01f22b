//! Joins the reports of both parties of a simulation: records of iterations, and the model that their shares add up to.

use std::collections::VecDeque;

use ringlet_core::{Role, cost::Traffic, network::Network, session::Session};

use super::{
    audits::AuditRecord,
    event::{Event, StageValues},
    records::{EpochRecord, IterationRecord, party_record},
};
use crate::{
    data::{
        Images,
        parameters::{Parameters, decode_model},
    },
    reference::twin::Twin,
};

/// A complete record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Both parties have done an iteration. If it was audited, the record of the audit comes with it.
    Iteration(IterationRecord, Option<AuditRecord>),
    /// A simulation saw values outside their range in an iteration.
    OutsideRange(AuditRecord),
    /// An epoch or the run has ended.
    Epoch(EpochRecord),
}

/// Joins the events of both parties.
pub struct Collector<'a> {
    session: &'a Session,
    network: &'a Network,
    train: &'a Images,
    test: &'a Images,
    with_twin: bool,
    twin: Option<Twin<'a>>,
    /// Events of either party that wait for the other's, in their order.
    waiting: [VecDeque<Event>; 2],
    /// What both parties together sent, by cost row.
    pub sums: Traffic,
    /// The model when it was last joined.
    pub parameters: Vec<Parameters>,
}

impl<'a> Collector<'a> {
    /// A collector for a simulation on these images.
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        [train, test]: [&'a Images; 2],
        with_twin: bool,
    ) -> Self {
        Collector {
            session,
            network,
            train,
            test,
            with_twin,
            twin: None,
            waiting: Default::default(),
            sums: Traffic::default(),
            parameters: Vec::new(),
        }
    }

    /// Takes an event of one party. Either party may be an iteration ahead of the other.
    pub fn take(&mut self, role: Role, event: Event) {
        let is_known = matches!(
            event,
            Event::Iteration { .. } | Event::Shares { .. } | Event::OutsideRange { .. }
        );
        if let Event::Iteration { traffic, .. } = &event {
            self.add(role, traffic);
        }
        if is_known {
            self.waiting[role.index()].push_back(event);
        }
    }

    /// The next record that is complete. `elapsed` is in seconds.
    pub fn next(&mut self, elapsed: f64) -> Option<Record> {
        let seen = |event: &Event| matches!(event, Event::OutsideRange { .. });
        for waiting in &mut self.waiting {
            // One party's observer tells of both parties' values.
            if waiting.front().is_some_and(seen)
                && let Some(Event::OutsideRange { iteration, counts }) = waiting.pop_front()
            {
                let parameters = (self.session, self.network);
                let record = AuditRecord::seen(iteration, parameters, &counts);
                return Some(Record::OutsideRange(record));
            }
        }
        if self.waiting.iter().any(VecDeque::is_empty) {
            return None;
        }
        let [p0, p1] = &mut self.waiting;
        match (p0.pop_front()?, p1.pop_front()?) {
            (Event::Shares { epoch, stages }, Event::Shares { stages: other, .. }) => {
                self.parameters = join(self.network, self.session, &stages, &other);
                self.epoch(epoch, elapsed)
                    .map_or_else(|| self.next(elapsed), Some)
            }
            (p0, p1) => self.joined(p0, p1),
        }
    }

    /// The record of an iteration that both parties have done.
    fn joined(&mut self, p0: Event, p1: Event) -> Option<Record> {
        let parameters = (self.session, self.network);
        let record = |role, event: &Event| match event {
            Event::Iteration {
                iteration,
                seconds,
                traffic,
                ..
            } => Some(party_record(
                role, *iteration, *seconds, parameters, traffic,
            )),
            _ => None,
        };
        let [one, other] = [record(Role::P0, &p0)?, record(Role::P1, &p1)?];
        let Event::Iteration {
            iteration,
            samples,
            audit,
            ..
        } = p0
        else {
            return None;
        };
        if let Some(twin) = &mut self.twin {
            twin.iterate(self.session, self.train, iteration, samples);
        }
        let joined = IterationRecord {
            online_bytes_p1: other.online_bytes_p1,
            dealer_bytes_p1: other.dealer_bytes_p1,
            seconds: one.seconds.max(other.seconds),
            ..one
        };
        // Both parties learn the same counts.
        let audit = audit.map(|counts| AuditRecord::new(iteration, parameters, &counts));
        Some(Record::Iteration(joined, audit))
    }

    /// Adds the bytes of both parties. Openings and rounds are the same for both, so they count once.
    fn add(&mut self, role: Role, traffic: &Traffic) {
        for (sum, row) in self.sums.cost_rows.iter_mut().zip(&traffic.cost_rows) {
            for (sum, cost) in sum.iter_mut().zip(row) {
                sum.online_bytes += cost.online_bytes;
                sum.dealer_bytes += cost.dealer_bytes;
                if role == Role::P0 {
                    sum.opened_values += cost.opened_values;
                    sum.rounds += cost.rounds;
                }
            }
        }
    }

    fn epoch(&mut self, epoch: u32, elapsed: f64) -> Option<Record> {
        let revealed = || Twin::new(self.network, self.session, self.parameters.clone());
        if epoch == 0 {
            self.twin = self.with_twin.then(revealed);
            return None;
        }
        let accuracy = revealed().accuracy(self.test);
        Some(Record::Epoch(EpochRecord {
            kind: "epoch",
            epoch,
            accuracy: Some(accuracy),
            twin_accuracy: self.twin.as_ref().map(|twin| twin.accuracy(self.test)),
            seconds: elapsed,
        }))
    }
}

/// The model that the shares of both parties add up to.
pub fn join(
    network: &Network,
    session: &Session,
    one: &[StageValues],
    other: &[StageValues],
) -> Vec<Parameters> {
    let stages = one.iter().zip(other);
    let sums: Vec<StageValues> = stages
        .map(|(one, other)| {
            let values = one.iter().zip(other);
            values.map(|(a, b)| a.wrapping_add(*b)).collect()
        })
        .collect();
    decode_model(network, session, &sums)
}
