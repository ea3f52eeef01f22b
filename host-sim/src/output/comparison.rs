//! The same training by every protocol: what a session would cost elsewhere.

use ringlet_core::{
    cost::Cost,
    dealt::{CostRow, Plan},
    model::{Model, TripleScheme},
    num::{Format, Ring},
    session::{Protocol, RATE_FRACTION, Session, SessionError, Task},
};
use serde::Serialize;

use crate::{
    config::{activation::Activation, settings::EXACT_MOMENTUM},
    error::Failure,
    links::traffic_shaper::TrafficShape,
};

/// Bytes of one value in the published protocol.
pub const PUBLISHED_VALUE_BYTES: u64 = 16;

/// Fraction bits where the published protocol is run in a ring of 64 bits.
const PUBLISHED_FRACTION_BITS: u32 = 12;

/// Fraction bits of exact ReLU in a ring of 32 bits.
const EXACT_FRACTION_BITS: u32 = 12;

/// The same training with polynomials, as "Image recognition without disclosing your data" (2018) has it:
/// no momentum, so that an update opens nothing.
pub fn with_polynomials(
    session: &Session,
    triples: TripleScheme,
    activation: &Activation,
) -> Result<Session, Failure> {
    Ok(Session {
        model: activation.replace_relu(&session.model)?,
        format: Format::direct(PUBLISHED_FRACTION_BITS)?,
        protocol: Protocol::Dealt { triples },
        momentum: 0,
        ..session.clone()
    })
}

/// The lines of a session's plan for a whole batch of one owner's data that is used for the first time,
/// or of data that has been used before.
pub fn lines<R: Ring>(session: &Session, first: bool) -> Result<Vec<CostRow>, Failure> {
    let network = ringlet_core::dealt::check::<R>(session)?;
    let plan = Plan::new(session, &network);
    let mut lines: Vec<CostRow> = plan.cost_rows::<R>(session.batch).into_iter().collect();
    if first {
        lines[0].forward += plan.data::<R>(session.batch, session.batch);
    }
    Ok(lines)
}

/// Values that the published protocol opens at each layer of the same network, forward and backward;
/// none if its polynomials do not fit, or the network has layers that it lacks.
pub fn published_values(session: &Session) -> Option<Vec<[u64; 2]>> {
    let published = with_polynomials(session, TripleScheme::Seed, &Activation::default()).ok()?;
    let lines = lines::<u64>(&published, true).ok()?;
    let values = |line: &CostRow| [line.forward, line.backward].map(|cost| cost.opened_values);
    Some(lines.iter().map(values).collect())
}

/// A protocol by which a network is trained, and what an iteration of it costs.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What it is called.
    pub name: &'static str,
    /// The training by it.
    pub session: Session,
    /// What an iteration of the first epoch costs, layer by layer; the softmax comes last.
    pub first: Vec<CostRow>,
    /// The same in later epochs.
    pub later: Vec<CostRow>,
    /// Whether all that it opens before the softmax are words, so that they can be counted in the
    /// published protocol's.
    in_words: bool,
}

/// Costs do not depend on the learning rate; this one, 1, can be written in every ring.
const LEARNING_RATE: u32 = 1 << RATE_FRACTION;

/// The protocols that are compared, the published ones first, training `model` with batches of `batch`
/// and with `activation` where exact ReLU is not to be had.
pub fn protocols(
    model: &Model,
    batch: u32,
    activation: &Activation,
) -> Result<Vec<Compared>, Failure> {
    let exact = Session {
        model: model.clone(),
        format: Format::new::<u32>(EXACT_FRACTION_BITS)?,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [batch, 0],
        batch,
        micro_batch: batch,
        epochs: 1,
        limit: 0,
        learning_rate: LEARNING_RATE,
        momentum: (EXACT_MOMENTUM * f64::from(1u32 << RATE_FRACTION)) as u32,
        shuffle_seed: 0,
        receiver: None,
        audit: 0,
    };
    [
        ("seed baseline", Some(TripleScheme::Baseline)),
        ("seed optimised", Some(TripleScheme::Seed)),
        ("fused", Some(TripleScheme::Fused)),
        ("exact", None),
    ]
    .into_iter()
    .map(|(name, triples)| match triples {
        Some(triples) => {
            Compared::new::<u64>(name, with_polynomials(&exact, triples, activation)?, true)
        }
        None => Compared::new::<u32>(name, exact.clone(), false),
    })
    .collect()
}

impl Compared {
    fn new<R: Ring>(name: &'static str, session: Session, in_words: bool) -> Result<Self, Failure> {
        ringlet_core::dealt::check::<R>(&session).map_err(|error| match error {
            SessionError::Model(_) | SessionError::Zero(_) => Failure::from(error),
            // What the protocol makes of the model is more than the model.
            SessionError::TooLarge => Failure::new(
                format!("a batch of {} has too many values", session.batch),
                "choose a smaller --batch",
            )
            .of(name),
            error => Failure::from(error).of(name),
        })?;
        Ok(Compared {
            name,
            first: lines::<R>(&session, true)?,
            later: lines::<R>(&session, false)?,
            session,
            in_words,
        })
    }

    /// Bytes in the published protocol's words of what is opened before the softmax; none where that
    /// is no word.
    pub fn published_bytes(&self, cost: Cost) -> Option<u64> {
        self.in_words
            .then_some(cost.opened_values * PUBLISHED_VALUE_BYTES)
    }
}

/// A line of the comparison: what a layer costs in one direction by one protocol, or a total.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The layer, or [`TOTAL`], or [`NO_SOFTMAX`].
    pub layer: String,
    /// "forward", "backward" or, of totals, "both".
    pub direction: &'static str,
    /// The epoch that the iteration is in: "first" or "later".
    pub epoch: &'static str,
    /// The protocol.
    pub protocol: &'static str,
    /// Values that are opened.
    pub opened_values: u64,
    /// Bytes of them in the published protocol's words; none where some of them are bits.
    pub published_bytes: Option<u64>,
    /// Bytes that a party sends.
    pub online_bytes: u64,
    /// Times that a party waits for its peer.
    pub rounds: u64,
    /// Bytes of corrections from the dealer to P1.
    pub dealer_bytes_p1: u64,
    /// Estimated seconds on a local network's link between the parties.
    pub lan_seconds: f64,
    /// The same on a wide one's.
    pub wan_seconds: f64,
    /// Measured seconds of a whole iteration.
    pub measured_seconds: Option<f64>,
}

/// What the rows of whole iterations are called.
pub const TOTAL: &str = "total";

/// What totals without the softmax are called: the published protocol reveals the logits instead.
pub const NO_SOFTMAX: &str = "no softmax";

/// The rows of all protocols: for each layer and direction, then for totals, one for each protocol.
/// `measured` has the seconds of an iteration of the first epoch, if they were measured.
pub fn rows(protocols: &[Compared], measured: Option<&[f64]>) -> Vec<Row> {
    // A polynomial goes by the name of the ReLU whose place it takes.
    let lines = protocols.last().map_or(&[][..], |exact| &exact.first);
    let Some((softmax, layers)) = lines.split_last() else {
        return Vec::new();
    };
    let before = layers.len();
    let mut rows = Vec::new();
    let mut group = |layer: &str, direction, epoch, cost: &dyn Fn(&Compared) -> Cost| {
        if protocols
            .iter()
            .all(|protocol| cost(protocol) == Cost::ZERO)
        {
            return;
        }
        for (index, protocol) in protocols.iter().enumerate() {
            let mut row = row(protocol, layer, direction, epoch, cost(protocol));
            if layer == softmax.name || layer == TOTAL {
                row.published_bytes = None;
            }
            if (layer, epoch) == (TOTAL, "first") {
                row.measured_seconds = measured.map(|seconds| seconds[index]);
            }
            rows.push(row);
        }
    };
    for (index, line) in lines.iter().enumerate() {
        group(&line.name, "forward", "first", &|protocol| {
            protocol.first[index].forward
        });
        group(&line.name, "backward", "first", &|protocol| {
            protocol.first[index].backward
        });
    }
    group(NO_SOFTMAX, "forward", "first", &|protocol| {
        let layers = protocol.first[..before].iter();
        layers.map(|line| line.forward).sum()
    });
    group(NO_SOFTMAX, "backward", "first", &|protocol| {
        let layers = protocol.first[..before].iter();
        layers.map(|line| line.backward).sum()
    });
    group(NO_SOFTMAX, "both", "first", &|protocol| {
        total(&protocol.first[..before])
    });
    group(TOTAL, "both", "first", &|protocol| total(&protocol.first));
    group(NO_SOFTMAX, "both", "later", &|protocol| {
        total(&protocol.later[..before])
    });
    group(TOTAL, "both", "later", &|protocol| total(&protocol.later));
    rows
}

fn total(lines: &[CostRow]) -> Cost {
    lines.iter().map(both).sum()
}

/// What a layer costs both ways.
pub fn both(line: &CostRow) -> Cost {
    line.forward + line.backward
}

fn row(
    protocol: &Compared,
    layer: &str,
    direction: &'static str,
    epoch: &'static str,
    cost: Cost,
) -> Row {
    let seconds = |shape: TrafficShape| {
        // To the microsecond, or the sum of rounding errors would show.
        (shape.seconds(cost.rounds, cost.online_bytes) * 1e6).round() / 1e6
    };
    Row {
        layer: layer.to_owned(),
        direction,
        epoch,
        protocol: protocol.name,
        opened_values: cost.opened_values,
        published_bytes: protocol.published_bytes(cost),
        online_bytes: cost.online_bytes,
        rounds: cost.rounds,
        dealer_bytes_p1: cost.dealer_bytes,
        lan_seconds: seconds(TrafficShape::LAN),
        wan_seconds: seconds(TrafficShape::WAN),
        measured_seconds: None,
    }
}
