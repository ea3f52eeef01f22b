//! Joins the reports of both parties of a simulation: records of iterations, and the model that their shares add up to.

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
    half_iteration: Option<(Role, IterationRecord)>,
    half_shares: Option<Vec<StageValues>>,
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
            half_iteration: None,
            half_shares: None,
            sums: Traffic::default(),
            parameters: Vec::new(),
        }
    }

    /// Takes an event of one party. Returns a record if the event completes one. `elapsed` is in seconds.
    pub fn take(&mut self, role: Role, event: Event, elapsed: f64) -> Option<Record> {
        match event {
            Event::Iteration {
                iteration,
                samples,
                seconds,
                traffic,
                audit,
            } => {
                self.add(role, &traffic);
                let record = party_record(
                    role,
                    iteration,
                    seconds,
                    (self.session, self.network),
                    &traffic,
                );
                let Some((_, other)) = self.half_iteration.take() else {
                    self.half_iteration = Some((role, record));
                    return None;
                };
                if let Some(twin) = &mut self.twin {
                    twin.iterate(self.session, self.train, iteration, samples);
                }
                let joined = IterationRecord {
                    online_bytes_p0: record.online_bytes_p0.or(other.online_bytes_p0),
                    online_bytes_p1: record.online_bytes_p1.or(other.online_bytes_p1),
                    dealer_bytes_p0: record.dealer_bytes_p0.or(other.dealer_bytes_p0),
                    dealer_bytes_p1: record.dealer_bytes_p1.or(other.dealer_bytes_p1),
                    seconds: record.seconds.max(other.seconds),
                    ..record
                };
                // Both parties learn the same counts.
                let audit = audit.map(|counts| {
                    AuditRecord::new(iteration, (self.session, self.network), &counts)
                });
                Some(Record::Iteration(joined, audit))
            }
            Event::Shares { epoch, stages } => {
                let Some(other) = self.half_shares.take() else {
                    self.half_shares = Some(stages);
                    return None;
                };
                self.parameters = join(self.network, self.session, &stages, &other);
                self.epoch(epoch, elapsed)
            }
            Event::OutsideRange { iteration, counts } => {
                let parameters = (self.session, self.network);
                let record = AuditRecord::seen(iteration, parameters, &counts);
                Some(Record::OutsideRange(record))
            }
            Event::Listening(_) | Event::Done | Event::Failed { .. } => None,
        }
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
