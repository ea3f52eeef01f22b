//! The comparison as a chart.

use ringlet_core::model::Model;

use super::costs::{Compared, both};
use crate::{
    error::Failure,
    output::chart::{self, Bar, Panel},
};

/// The bar chart: bytes of an iteration of the first epoch.
pub fn picture(model: &Model, batch: u32, protocols: &[Compared]) -> Result<String, Failure> {
    let exact = protocols.last().map_or(&[][..], |exact| &exact.first);
    let layers: Vec<&str> = exact.iter().map(|row| row.name.as_str()).collect();
    let sent = protocols.iter().map(|protocol| {
        let parts = protocol.first.iter().map(|row| both(row).online_bytes);
        Bar {
            name: protocol.name,
            parts: parts.collect(),
        }
    });
    let published = protocols.iter().filter_map(|protocol| {
        let (_, layers) = protocol.first.split_last()?;
        let parts = layers.iter().map(|row| protocol.published_bytes(both(row)));
        Some(Bar {
            name: protocol.name,
            parts: parts.collect::<Option<_>>()?,
        })
    });
    chart::draw(
        &format!(
            "{} with batches of {batch}: an iteration of the first epoch",
            model.name
        ),
        "sent by a party",
        &[
            Panel {
                title: "as sent here",
                bars: sent.collect(),
            },
            Panel {
                title: "in words of 16 bytes, without softmax",
                bars: published.collect(),
            },
        ],
        &layers,
    )
}
