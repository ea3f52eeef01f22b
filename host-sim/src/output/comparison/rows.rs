//! The rows of the comparison, as the CSV file has them.

use ringlet_core::{cost::Cost, dealt::CostRow};
use serde::Serialize;

use super::costs::{Compared, both};
use crate::links::traffic_shaper::TrafficShape;

/// A row of the comparison: the cost of a layer in one pass by one protocol, or a total.
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
    /// Opened values.
    pub opened_values: u64,
    /// Their bytes as words of the published protocol; none if some of them are bits.
    pub published_bytes: Option<u64>,
    /// Bytes that a party sends.
    pub online_bytes: u64,
    /// Rounds: times that a party waits for its peer.
    pub rounds: u64,
    /// Bytes of corrections from the dealer to P1.
    pub dealer_bytes_p1: u64,
    /// Estimated seconds on a LAN link between the parties.
    pub lan_seconds: f64,
    /// The same on a WAN link.
    pub wan_seconds: f64,
    /// Measured seconds of a whole iteration.
    pub measured_seconds: Option<f64>,
}

/// The name of the rows of whole iterations.
pub const TOTAL: &str = "total";

/// The name of totals without the softmax, in whose place the published protocol reveals the logits.
pub const NO_SOFTMAX: &str = "no softmax";

/// The rows of all protocols: for each layer and direction, then for totals, one for each protocol.
/// `measured` has the seconds of an iteration of the first epoch, if they were measured.
pub fn rows(protocols: &[Compared], measured: Option<&[f64]>) -> Vec<Row> {
    // A polynomial has the name of the ReLU that it replaces.
    let exact = protocols.last().map_or(&[][..], |exact| &exact.first);
    let Some((softmax, layers)) = exact.split_last() else {
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
    for (index, layer) in exact.iter().enumerate() {
        group(&layer.name, "forward", "first", &|protocol| {
            protocol.first[index].forward
        });
        group(&layer.name, "backward", "first", &|protocol| {
            protocol.first[index].backward
        });
    }
    group(NO_SOFTMAX, "forward", "first", &|protocol| {
        let layers = protocol.first[..before].iter();
        layers.map(|row| row.forward).sum()
    });
    group(NO_SOFTMAX, "backward", "first", &|protocol| {
        let layers = protocol.first[..before].iter();
        layers.map(|row| row.backward).sum()
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

fn total(rows: &[CostRow]) -> Cost {
    rows.iter().map(both).sum()
}

fn row(
    protocol: &Compared,
    layer: &str,
    direction: &'static str,
    epoch: &'static str,
    cost: Cost,
) -> Row {
    let seconds = |shape: TrafficShape| {
        // To the microsecond, since digits below are rounding errors.
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
