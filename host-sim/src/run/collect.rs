//! Joins what both parties of a simulation report: iterations, and the model that their shares make.

use ringlet_core::{
    Role,
    cost::Traffic,
    network::Network,
    prg::Key,
    session::{RATE_FRACTION, Session, cost_row_names},
};
use serde::Serialize;

use crate::{
    data::{Images, parameters::Parameters},
    reference::twin::{Twin, floats},
    run::{
        audits::AuditRecord,
        event::{Event, StageValues},
    },
};

/// One iteration, as `--metrics` writes it. Counts are of that iteration alone; what a lone party
/// cannot see of the others is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IterationRecord {
    /// "iteration".
    pub kind: &'static str,
    /// From 1.
    pub iteration: u32,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes that P0 sent to P1, and to the assistant if there is one.
    pub online_bytes_p0: Option<u64>,
    /// Bytes that P1 sent to P0, and to the assistant if there is one.
    pub online_bytes_p1: Option<u64>,
    /// Bytes that the dealer sent to P0: its key, in the first iteration; or what the assistant sent to it.
    pub dealer_bytes_p0: Option<u64>,
    /// Bytes of corrections that the dealer sent to P1, or of what the assistant sent to it.
    pub dealer_bytes_p1: Option<u64>,
    /// Times that a party waited for the other.
    pub rounds: u64,
    /// Values that were opened.
    pub opened_values: u64,
    /// The same, layer by layer.
    pub layers: Vec<LayerRecord>,
}

/// Values that one layer opened in an iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerRecord {
    /// The layer's name in the plan.
    pub name: String,
    /// Values opened on the way forward.
    pub opened_values_forward: u64,
    /// Values opened on the way back, the update included.
    pub opened_values_backward: u64,
}

/// One epoch, as `--metrics` writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochRecord {
    /// "epoch".
    pub kind: &'static str,
    /// From 1.
    pub epoch: u32,
    /// Share of held-out images whose class the revealed model finds; null where nothing is revealed.
    pub accuracy: Option<f64>,
    /// The same for the plaintext twin.
    pub twin_accuracy: Option<f64>,
    /// Seconds since the run began.
    pub seconds: f64,
}

/// A record and what comes with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An iteration is done on both sides, with what its audit found if it was audited.
    Iteration(IterationRecord, Option<AuditRecord>),
    /// An epoch is done, or the run.
    Epoch(EpochRecord),
}

/// What one party alone can record of an iteration.
pub fn own_record(
    role: Role,
    iteration: u32,
    seconds: f64,
    (session, network): (&Session, &Network),
    traffic: &Traffic,
) -> IterationRecord {
    let cost = traffic.total();
    let layers = cost_row_names(session, network)
        .into_iter()
        .zip(&traffic.cost_rows);
    let own = |of: Role, bytes: u64| (of == role).then_some(bytes);
    let key = if iteration == 0 { Key::LEN as u64 } else { 0 };
    IterationRecord {
        kind: "iteration",
        iteration: iteration + 1,
        seconds,
        online_bytes_p0: own(Role::P0, cost.online_bytes),
        online_bytes_p1: own(Role::P1, cost.online_bytes),
        dealer_bytes_p0: own(Role::P0, key + cost.dealer_bytes),
        dealer_bytes_p1: own(Role::P1, cost.dealer_bytes),
        rounds: cost.rounds,
        opened_values: cost.opened_values,
        layers: layers
            .map(|(name, [forward, backward])| LayerRecord {
                name: name.to_string(),
                opened_values_forward: forward.opened_values,
                opened_values_backward: backward.opened_values,
            })
            .collect(),
    }
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
    /// What both parties together sent, by line of the plan.
    pub sums: Traffic,
    /// The model as last revealed.
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

    /// Takes an event of one party; returns a record when it completes one. `elapsed` is in seconds.
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
                let own = own_record(
                    role,
                    iteration,
                    seconds,
                    (self.session, self.network),
                    &traffic,
                );
                let Some((_, other)) = self.half_iteration.take() else {
                    self.half_iteration = Some((role, own));
                    return None;
                };
                if let Some(twin) = &mut self.twin {
                    step(twin, self.session, self.train, iteration, samples);
                }
                let joined = IterationRecord {
                    online_bytes_p0: own.online_bytes_p0.or(other.online_bytes_p0),
                    online_bytes_p1: own.online_bytes_p1.or(other.online_bytes_p1),
                    dealer_bytes_p0: own.dealer_bytes_p0.or(other.dealer_bytes_p0),
                    dealer_bytes_p1: own.dealer_bytes_p1.or(other.dealer_bytes_p1),
                    seconds: own.seconds.max(other.seconds),
                    ..own
                };
                // Both parties have learnt the same counts.
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
            Event::Listening(_) | Event::Done | Event::Failed { .. } => None,
        }
    }

    /// Counts openings once, and bytes of both parties.
    fn add(&mut self, role: Role, traffic: &Traffic) {
        for (sum, line) in self.sums.cost_rows.iter_mut().zip(&traffic.cost_rows) {
            for (sum, cost) in sum.iter_mut().zip(line) {
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

    /// The learning rate and momentum in use, as fractions.
    pub fn rates(&self) -> [f64; 2] {
        [self.session.learning_rate, self.session.momentum]
            .map(|rate| f64::from(rate) / f64::from(1u32 << RATE_FRACTION))
    }
}

/// The model that both parties' shares make.
pub fn join(
    network: &Network,
    session: &Session,
    one: &[StageValues],
    other: &[StageValues],
) -> Vec<Parameters> {
    let stages = network.stages.iter().zip(one.iter().zip(other));
    stages
        .map(|(stage, (one, other))| {
            let sums: Vec<u128> = one
                .iter()
                .zip(other)
                .map(|(a, b)| a.wrapping_add(*b))
                .collect();
            Parameters::decode(stage, session, &sums)
        })
        .collect()
}

/// Takes the twin through the batch of `iteration`, which has `samples` images.
pub fn step(twin: &mut Twin<'_>, session: &Session, train: &Images, iteration: u32, samples: u32) {
    let mut indices = vec![0; samples as usize];
    let batch = session.batch(iteration);
    session.batch_samples(batch, 0, &mut indices);
    let images = indices.iter().map(|&index| index as usize);
    let x = images.clone().flat_map(|i| floats(train.image(i)));
    let labels: Vec<u8> = images.clone().map(|i| train.labels[i]).collect();
    twin.step(x.collect(), &labels, session.batch);
}
