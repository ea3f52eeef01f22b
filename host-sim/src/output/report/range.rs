//! How much of its range each layer used, and what audits found outside it.

use ringlet_core::{
    network::Network,
    session::{Session, cost_row_names},
};

use super::page::{Bar, Bars, Block, Cell, Colour, Drawing, Figure, Key, Section, Table};
use crate::run::{audits::AuditRecord, ranges::Ranges};

/// The names of the passes.
const PASSES: [&str; 2] = ["forward", "backward"];

/// What audits and observers found outside the range, by layer.
#[derive(Clone, Debug, Default)]
pub struct Audits {
    audits: u32,
    /// The layers, and their values outside, forward and backward.
    layers: Vec<(String, [u64; 2])>,
}

impl Audits {
    /// Adds what an iteration's audit found, or what an observer saw in it.
    pub fn add(&mut self, record: &AuditRecord) {
        self.audits += u32::from(record.kind == "audit");
        if self.layers.is_empty() {
            let names = record
                .layers
                .iter()
                .map(|layer| (layer.name.clone(), [0; 2]));
            self.layers = names.collect();
        }
        for ((_, outside), layer) in self.layers.iter_mut().zip(&record.layers) {
            outside[0] += u64::from(layer.outside_forward);
            outside[1] += u64::from(layer.outside_backward);
        }
    }

    /// Values outside in all.
    pub fn outside(&self) -> u64 {
        self.layers.iter().flat_map(|(_, outside)| outside).sum()
    }

    /// What the page says of them; none if nobody looked, or if it found nothing to tell.
    fn blocks(&self) -> Vec<Block> {
        let outside = self.outside();
        let text = match (self.audits, outside) {
            (0, 0) => return Vec::new(),
            (1, 0) => "The audit found every value in its range.".to_owned(),
            (audits, 0) => format!("All {audits} audits found every value in its range."),
            (_, outside) => format!(
                "{outside} values were outside their range, so the result is not to be trusted."
            ),
        };
        let mut blocks = vec![Block::Text {
            text,
            bad: outside > 0,
        }];
        if outside > 0 {
            let row = |(name, outside): &(String, [u64; 2])| {
                let counts = outside.map(|count| match count {
                    0 => Cell::number(0),
                    count => Cell::verdict(count.to_string(), false),
                });
                [Cell::words(name.clone())]
                    .into_iter()
                    .chain(counts)
                    .collect()
            };
            blocks.push(Block::Table(Table {
                id: "table-outside",
                heads: ["values outside", PASSES[0], PASSES[1]]
                    .map(str::to_owned)
                    .to_vec(),
                rows: self.layers.iter().map(row).collect(),
                total: false,
            }));
        }
        blocks
    }
}

/// The section of the range that the layers used; none if nobody looked. Only a simulation has seen `ranges`.
pub fn section(
    (session, network): (&Session, &Network),
    ranges: Option<&Ranges>,
    audits: &Audits,
) -> Option<Section> {
    let mut blocks = audits.blocks();
    if let Some(ranges) = ranges {
        blocks.push(Block::Figure(used((session, network), ranges)));
    }
    (!blocks.is_empty()).then(|| Section {
        id: "range",
        title: "Range of values".to_owned(),
        blocks,
    })
}

/// How much of its range each layer used at most.
fn used((session, network): (&Session, &Network), ranges: &Ranges) -> Figure {
    let mut bars = Vec::new();
    for (name, passes) in cost_row_names(session, network).iter().zip(ranges) {
        for (pass, range) in PASSES.into_iter().zip(passes) {
            if range.largest == 0.0 && range.outside == 0 {
                continue;
            }
            let percent = 100.0 * range.largest;
            bars.push(Bar {
                name: format!("{name} {pass}"),
                parts: vec![(
                    match (range.outside, pass) {
                        (1.., _) => Colour::Bad,
                        (0, "forward") => Colour::First,
                        (0, _) => Colour::Second,
                    },
                    percent,
                )],
                label: match range.outside {
                    0 => format!("{percent:.0} %"),
                    outside => format!("{outside} outside"),
                },
            });
        }
    }
    let key = |name: &str, colour| Key {
        name: name.to_owned(),
        colour,
    };
    Figure {
        id: "figure-range",
        caption: "The largest magnitude in the run, in percent of the limit, which the line marks"
            .to_owned(),
        keys: vec![
            key("forward", Colour::First),
            key("backward", Colour::Second),
            key("outside", Colour::Bad),
        ],
        drawing: Drawing::Bars(Bars {
            bars,
            mark: Some(100.0),
        }),
    }
}
