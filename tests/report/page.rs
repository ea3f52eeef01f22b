//! A report's page, as a browser shows it.

use std::{fs, path::Path};

use serde_json::Value;

use super::chromium::{Scheme, measured};

/// What no page holds. Nothing comes from elsewhere: a page works offline, and tells nobody that it was read.
const FOREIGN: [&str; 8] = [
    "http:",
    "https:",
    "url(",
    "@import",
    "<script",
    "<link",
    "srcset",
    "javascript:",
];

/// The rows of a table by layer and pass, each with both. The name of a layer stands in its first row alone.
fn passes(rows: &[Vec<String>]) -> impl Iterator<Item = ([&str; 2], &[String])> {
    let mut name = "";
    rows.iter().map(move |row| {
        if !row[0].is_empty() {
            name = &row[0];
        }
        ([name, &row[1]], &row[..])
    })
}

/// A page that has been looked at in light.
pub struct Page {
    pub html: String,
    pub seen: Value,
}

impl Page {
    /// Looks at the page in this file, and checks what every page keeps.
    pub fn open(path: &Path) -> Self {
        let html = fs::read_to_string(path).expect("a page");
        for foreign in FOREIGN {
            assert!(!html.contains(foreign), "{foreign}");
        }
        let seen = look(path, &html, Scheme::Light);
        Page { html, seen }
    }

    /// Looks at the page in dark too.
    pub fn check_dark(&self, path: &Path) {
        let dark = look(path, &self.html, Scheme::Dark);
        assert_ne!(self.seen["paper"], dark["paper"]);
        assert_ne!(self.seen["ink"], dark["ink"]);
    }

    /// The anchors of the figures.
    pub fn figures(&self) -> Vec<&str> {
        let figures = self.seen["figures"].as_array().expect("figures");
        figures
            .iter()
            .map(|figure| figure["id"].as_str().expect("an anchor"))
            .collect()
    }

    /// The text in a figure.
    pub fn figure(&self, id: &str) -> Vec<String> {
        let figures = self.seen["figures"].as_array().expect("figures");
        let figure = figures.iter().find(|figure| figure["id"] == id);
        let figure = figure.unwrap_or_else(|| panic!("no {id}"));
        serde_json::from_value(figure["text"].clone()).expect("texts")
    }

    /// The rows of a table, if it is there.
    pub fn table(&self, id: &str) -> Option<Vec<Vec<String>>> {
        let tables = self.seen["tables"].as_array().expect("tables");
        let table = tables.iter().find(|table| table["id"] == id)?;
        let rows = table["rows"].to_string().replace('\u{202f}', "");
        Some(serde_json::from_str(&rows).expect("rows"))
    }

    /// Checks the time by layer: every layer that sends takes some, and all with what went elsewhere is the time of the role.
    pub fn check_time(&self) {
        let table = self.table("table-layer-time").expect("a table");
        let seconds = |row: &[String]| -> Vec<f64> {
            let cells = row[2..].iter();
            cells.map(|cell| cell.parse().expect("seconds")).collect()
        };
        let [heads, rows @ .., total] = &table[..] else {
            panic!("{table:?}");
        };
        let (names, total) = (&heads[2..], seconds(total));
        for (party, name) in names.iter().enumerate() {
            let sum: f64 = rows.iter().map(|row| seconds(row)[party]).sum();
            let rounding = 0.0005 * (rows.len() + 1) as f64;
            assert!((sum - total[party]).abs() <= rounding, "{table:?}");
            let roles = self.table("table-time").unwrap_or_default();
            let role = roles.iter().find(|row| row[0] == *name);
            // A role that waited all the time may have waited for its peer and its helper at once.
            if let Some(role) = role.filter(|role| role[1] != "0.00") {
                let kinds = role[1..].iter();
                let role: f64 = kinds
                    .map(|cell| cell.parse::<f64>().expect("seconds"))
                    .sum();
                assert!((role - total[party]).abs() < 0.02, "{role} {table:?}");
            }
        }
        let sends = self.table("table-costs").expect("a table");
        let timed: Vec<_> = passes(rows).map(|(place, _)| place).collect();
        for (place, sent) in passes(&sends[1..]) {
            if !place[1].is_empty() && sent[2] != "0" {
                assert!(timed.contains(&place), "{place:?} {table:?}");
            }
        }
    }

    /// The value and the note of a tile.
    pub fn tile(&self, name: &str) -> [String; 2] {
        let tiles = self.seen["tiles"].as_array().expect("tiles");
        let tile = tiles.iter().find(|tile| tile[0] == name);
        let tile = tile.unwrap_or_else(|| panic!("no {name}"));
        [1, 2].map(|part| tile[part].as_str().expect("a text").to_owned())
    }

    /// What the page says of how far the run got.
    pub fn state(&self) -> &str {
        self.seen["state"].as_str().expect("a text")
    }

    /// Checks that every figure of the table of costs is what was planned.
    pub fn check_costs(&self) {
        let rows = self.table("table-costs").expect("a table");
        assert!(rows.len() > 2, "{rows:?}");
        for row in &rows[1..] {
            assert_eq!(row.last().map(String::as_str), Some("equal"), "{row:?}");
        }
        assert!(self.html.contains("Equal to the plan"));
        assert!(!self.html.contains("class=\"bad\""));
    }
}

/// What a browser makes of the page in this file, which must be all that is on it.
fn look(path: &Path, html: &str, scheme: Scheme) -> Value {
    let seen = measured(path, scheme);
    let list = |name: &str| seen[name].as_array().expect("a list");
    let are_above = |sides: &Value, least: f64| {
        let mut sides = sides.as_array().expect("sides").iter();
        sides.all(|side| side.as_f64() > Some(least))
    };
    for figure in list("figures") {
        assert!(are_above(&figure["svg"], 20.0), "{figure}");
        assert!(figure["shapes"].as_u64() > Some(0), "{figure}");
        // Text has the colour of the page's text, light or dark.
        let colours = figure["colours"].as_array().expect("colours");
        assert!(colours.contains(&seen["ink"]), "{figure} {}", seen["ink"]);
    }
    assert!(
        list("pictures")
            .iter()
            .all(|picture| are_above(picture, 0.0))
    );
    assert!(
        list("tables")
            .iter()
            .all(|table| are_above(&table["size"], 0.0))
    );
    let sources = html.split("src=\"").skip(1);
    for source in sources.clone() {
        assert!(source.starts_with("data:image/png;base64,"));
    }
    assert_eq!(list("pictures").len(), sources.count());
    assert_eq!(list("figures").len(), html.matches("<svg").count());
    // The script that looks is the only one.
    assert_eq!(
        (&seen["scripts"], &seen["wide"]),
        (&1.into(), &false.into())
    );
    seen
}
