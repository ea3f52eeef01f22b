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
    error::Failure,
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
    with_twin_loss: bool,
    twin: Option<Twin<'a>>,
    /// Events of either party that wait for the other's, in their order.
    waiting: [VecDeque<Event>; 2],
    /// What both parties together sent, by cost row.
    pub sums: Traffic,
    /// The loss that the last iteration revealed to both parties.
    epoch_loss: Option<f64>,
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
            with_twin_loss: false,
            twin: None,
            waiting: Default::default(),
            sums: Traffic::default(),
            epoch_loss: None,
            parameters: Vec::new(),
        }
    }

    /// The same collector, which finds the twin's losses too if they are `wanted`. Not where samples are drawn in secret.
    pub fn with_twin_loss(self, wanted: bool) -> Self {
        Collector {
            with_twin_loss: wanted && self.session.privacy().is_none(),
            ..self
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

    /// The next record that is complete. `elapsed` is in seconds. Fails if the parties' reports do not fit together.
    pub fn next(&mut self, elapsed: f64) -> Result<Option<Record>, Failure> {
        let seen = |event: &Event| matches!(event, Event::OutsideRange { .. });
        for waiting in &mut self.waiting {
            // One party's observer tells of both parties' values.
            if waiting.front().is_some_and(seen)
                && let Some(Event::OutsideRange { iteration, counts }) = waiting.pop_front()
            {
                let parameters = (self.session, self.network);
                let record = AuditRecord::seen(iteration, parameters, &counts);
                return Ok(Some(Record::OutsideRange(record)));
            }
        }
        if self.waiting.iter().any(VecDeque::is_empty) {
            return Ok(None);
        }
        let [p0, p1] = self.waiting.each_mut().map(VecDeque::pop_front);
        match (p0, p1) {
            (
                Some(Event::Shares { epoch, stages }),
                Some(Event::Shares {
                    epoch: same,
                    stages: other,
                }),
            ) if epoch == same => {
                self.parameters = join(self.network, self.session, &stages, &other);
                match self.epoch(epoch, elapsed) {
                    None => self.next(elapsed),
                    record => Ok(record),
                }
            }
            (Some(p0), Some(p1)) => match self.joined(p0, p1) {
                None => Err(unfit()),
                record => Ok(record),
            },
            _ => Err(unfit()),
        }
    }

    /// Checks at the end of a run that no report of one party waits for the other's.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.waiting.iter().all(VecDeque::is_empty) {
            true => Ok(()),
            false => Err(unfit()),
        }
    }

    /// The record of an iteration that both parties have done; none if these are not both parties' reports of one.
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
        if one.iteration != other.iteration {
            return None;
        }
        let Event::Iteration {
            iteration,
            samples,
            audit,
            loss,
            epoch_loss,
            ..
        } = p0
        else {
            return None;
        };
        self.epoch_loss = epoch_loss;
        let twin_loss = match self.with_twin_loss {
            true => self.twin_loss(iteration, samples),
            false => None,
        };
        if let Some(twin) = &mut self.twin {
            twin.follow(self.session, self.train, iteration, samples);
        }
        let joined = IterationRecord {
            online_bytes_p1: other.online_bytes_p1,
            dealer_bytes_p1: other.dealer_bytes_p1,
            seconds: one.seconds.max(other.seconds),
            loss,
            twin_loss,
            ..one
        };
        // Both parties learn the same counts.
        let audit = audit.map(|counts| AuditRecord::new(iteration, parameters, &counts));
        Some(Record::Iteration(joined, audit))
    }

    /// The twin's loss on the samples of an iteration; none where the parties' is of other labels or of dropped values.
    fn twin_loss(&self, iteration: u32, samples: u32) -> Option<f64> {
        let (twin, session) = (self.twin.as_ref()?, self.session);
        let drops = self
            .network
            .stages
            .iter()
            .any(|stage| stage.dropout.is_some());
        let differs = session.training.label_smoothing > 0 || session.class_weights.is_given();
        if drops || differs {
            return None;
        }
        let mut indices = vec![0; samples as usize];
        session.batch_samples(session.batch(iteration), 0, &mut indices);
        let indices: Vec<usize> = indices.into_iter().map(|index| index as usize).collect();
        let pixels = indices
            .iter()
            .flat_map(|&index| twin.floats(self.train.image(index)));
        let labels: Vec<u8> = indices
            .iter()
            .map(|&index| self.train.labels[index])
            .collect();
        Some(twin.loss(pixels.collect(), &labels, samples).into())
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
            whole: epoch * self.session.iterations_per_epoch() <= self.session.iterations(),
            accuracy: Some(accuracy),
            twin_accuracy: self.twin.as_ref().map(|twin| twin.accuracy(self.test)),
            loss: self.epoch_loss,
            seconds: elapsed,
        }))
    }
}

fn unfit() -> Failure {
    Failure::new(
        "the reports of the parties do not fit together",
        "report this, and trust nothing of this run",
    )
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

#[cfg(test)]
mod tests {
    use ringlet_core::{
        data::Normalisation,
        model::Model,
        num::Format,
        session::{ClassList, Headroom, KnownBackbone, Protocol, Task},
    };

    use super::*;
    use crate::data::{Part, load};

    fn session() -> Session {
        Session {
            model: Model::built_in("digits8").expect("built in"),
            format: Format::new::<u32>(12).expect("widths that fit"),
            headroom: Headroom::NONE,
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol: Protocol::DEALT,
            samples: [8, 0],
            contributions: None,
            batch: 4,
            micro_batch: 4,
            epochs: 1,
            limit: 0,
            learning_rate: 1 << 19,
            momentum: 0,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 3,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: 1,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    fn iteration(iteration: u32) -> Event {
        Event::Iteration {
            iteration,
            samples: 4,
            seconds: 0.0,
            traffic: Box::default(),
            audit: Some(vec![[iteration, 0]]),
            loss: None,
            epoch_loss: None,
        }
    }

    /// What is collected of events in this order: the numbers of iterations, from 0.
    fn collected(events: &[(Role, u32)]) -> (Result<Vec<u32>, ()>, bool) {
        let session = session();
        let network = ringlet_core::dealt::check::<u32>(&session).expect("sound");
        let images = load(None, Part::Test).expect("built in");
        let mut collector = Collector::new(&session, &network, [&images, &images], false);
        let mut numbers = Vec::new();
        for &(role, number) in events {
            collector.take(role, iteration(number));
            loop {
                match collector.next(0.0) {
                    Ok(Some(Record::Iteration(record, audit))) => {
                        let audit = audit.expect("an audit");
                        assert_eq!(audit.iteration, record.iteration);
                        numbers.push(record.iteration - 1);
                    }
                    Ok(None) => break,
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => return (Err(()), collector.finish().is_ok()),
                }
            }
        }
        (Ok(numbers), collector.finish().is_ok())
    }

    #[test]
    fn reports_are_paired_whichever_comes_first() {
        let [p0, p1] = Role::BOTH;
        let in_turn = [(p0, 0), (p1, 0), (p1, 1), (p0, 1)];
        let ahead = [(p0, 0), (p0, 1), (p1, 0), (p1, 1)];
        for order in [in_turn, ahead] {
            assert_eq!(collected(&order), (Ok(vec![0, 1]), true), "{order:?}");
        }
        // One party has done more than the other, and one has left an iteration out.
        assert_eq!(collected(&ahead[..3]), (Ok(vec![0]), false));
        assert_eq!(collected(&[(p0, 0), (p1, 1)]).0, Err(()));
    }
}
