//! The comparison as a section of a report.

use super::rows::Row;
use crate::output::report::page::{Block, Cell, Drawing, Figure, Section, Table};

/// The chart, the rows as a table, and what its columns are.
pub fn section(rows: &[Row], chart: &str, notes: &str) -> Section {
    let measured = rows.iter().any(|row| row.measured_seconds.is_some());
    let mut heads = vec![
        "layer",
        "direction",
        "protocol",
        "opened",
        "16-byte MB",
        "sent MB",
        "rounds",
        "dealer MB",
        "LAN s",
        "WAN s",
    ];
    if measured {
        heads.push("measured s");
    }
    let mut group = None;
    let row = |row: &Row| {
        let megabytes = |bytes: u64| Cell::number(format!("{:.3}", bytes as f64 / 1e6));
        let seconds = |seconds: f64| Cell::number(format!("{seconds:.3}"));
        let missing = || Cell::number("–");
        let direction = match row.epoch {
            "later" => format!("{}, later", row.direction),
            _ => row.direction.to_owned(),
        };
        // A row does not repeat what it has in common with the row above.
        let same = group.replace((row.layer.clone(), direction.clone()));
        let named = same != group;
        let name = |text: String| Cell::words(if named { text } else { String::new() });
        let mut cells = vec![
            name(row.layer.clone()),
            name(direction),
            Cell::words(row.protocol),
            Cell::count(row.opened_values),
            row.published_bytes.map_or_else(missing, megabytes),
            megabytes(row.online_bytes),
            Cell::number(row.rounds),
            megabytes(row.dealer_bytes_p1),
            seconds(row.lan_seconds),
            seconds(row.wan_seconds),
        ];
        if measured {
            cells.push(row.measured_seconds.map_or_else(missing, seconds));
        }
        cells
    };
    Section {
        id: "comparison",
        title: "An iteration by each protocol".to_owned(),
        blocks: vec![
            Block::Figure(Figure {
                id: "figure-comparison",
                caption: "Bytes that a party sends in an iteration of the first epoch".to_owned(),
                keys: Vec::new(),
                drawing: Drawing::Svg(chart.to_owned()),
            }),
            Block::Table(Table {
                id: "table-comparison",
                heads: heads.into_iter().map(str::to_owned).collect(),
                rows: rows.iter().map(row).collect(),
                total: false,
            }),
            Block::text(notes),
        ],
    }
}
