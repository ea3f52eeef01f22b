//! Where the time went: of each role by what it did, and of the parties by layer and pass.

use ringlet_core::{
    Role,
    cost::Traffic,
    network::Network,
    session::{Protocol, Session, cost_row_names},
};

use super::page::{Bar, Bars, Block, Cell, Colour, Drawing, Figure, Key, Section, Table};
use crate::run::role_time::RoleTime;

/// The names of the passes.
const PASSES: [&str; 2] = ["forward", "backward"];

/// The section of where the time went; none if nothing is known of it yet. `measured` is the traffic of the parties that
/// this process sees; `times` are those of the roles, once they are over.
pub fn section(
    (session, network): (&Session, &Network),
    times: &[RoleTime],
    measured: [Option<&Traffic>; 2],
) -> Option<Section> {
    let mut blocks = Vec::new();
    if !times.is_empty() {
        blocks.extend(by_kind(session, times));
    }
    let names = cost_row_names(session, network);
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    blocks.extend(by_layer(&names, times, measured));
    (!blocks.is_empty()).then(|| Section {
        id: "time",
        title: "Where the time went".to_owned(),
        blocks,
    })
}

fn key(name: &str, colour: Colour) -> Key {
    Key {
        name: name.to_owned(),
        colour,
    }
}

/// What each role did with its time.
fn by_kind(session: &Session, times: &[RoleTime]) -> [Block; 2] {
    let helper = match session.protocol {
        Protocol::SecureNn { .. } => "waiting for the assistant",
        Protocol::Dealt { .. } => "waiting for dealing",
    };
    let seconds = |role: &RoleTime| {
        let computing = role.total.saturating_sub(role.peer + role.helper);
        [computing, role.peer, role.helper].map(|time| time.as_secs_f64())
    };
    let bar = |role: &RoleTime| {
        let [computing, peer, helper] = seconds(role);
        Bar {
            name: role.name.to_owned(),
            parts: vec![
                (Colour::First, computing),
                (Colour::Second, peer),
                (Colour::Third, helper),
            ],
            label: format!("{:.2} s", role.total.as_secs_f64()),
        }
    };
    let row = |role: &RoleTime| {
        let cells = seconds(role).map(|seconds| Cell::number(format!("{seconds:.2}")));
        [Cell::words(role.name)].into_iter().chain(cells).collect()
    };
    [
        Block::Figure(Figure {
            id: "figure-time",
            caption: "Seconds of each role, from its start to its end".to_owned(),
            keys: vec![
                key("computing", Colour::First),
                key("waiting for the peer", Colour::Second),
                key(helper, Colour::Third),
            ],
            drawing: Drawing::Bars(Bars {
                bars: times.iter().map(bar).collect(),
                mark: None,
            }),
        }),
        Block::Table(Table {
            id: "table-time",
            heads: ["seconds", "computing", "waiting for the peer", helper]
                .map(str::to_owned)
                .to_vec(),
            rows: times.iter().map(row).collect(),
            total: false,
        }),
    ]
}

/// A party whose time by layer is known.
struct Party<'a> {
    name: String,
    traffic: &'a Traffic,
    /// All its seconds, once they are known.
    total: Option<f64>,
}

impl Party<'_> {
    /// Seconds in a cost row and pass.
    fn seconds(&self, row: usize, pass: usize) -> f64 {
        self.traffic.nanoseconds[row][pass] as f64 / 1e9
    }

    /// Seconds in all cost rows.
    fn in_layers(&self) -> f64 {
        let all = self.traffic.nanoseconds.as_flattened();
        all.iter().sum::<u64>() as f64 / 1e9
    }
}

/// The time of the parties by layer and pass; nothing if no clock has measured it.
fn by_layer(names: &[String], times: &[RoleTime], measured: [Option<&Traffic>; 2]) -> Vec<Block> {
    let party = |role: Role| {
        let name = role.to_string();
        let time = times.iter().find(|time| time.name == name);
        Some(Party {
            traffic: measured[role.index()]?,
            total: time.map(|time| time.total.as_secs_f64()),
            name,
        })
    };
    let parties = Role::BOTH.into_iter().filter_map(party);
    let parties: Vec<Party<'_>> = parties.filter(|party| party.in_layers() > 0.0).collect();
    match parties.is_empty() {
        true => Vec::new(),
        false => vec![figure(names, &parties), table(names, &parties)],
    }
}

/// Seconds of an average party.
fn figure(names: &[String], parties: &[Party<'_>]) -> Block {
    let mean = |row: usize, pass: usize| {
        let sum: f64 = parties.iter().map(|party| party.seconds(row, pass)).sum();
        sum / parties.len() as f64
    };
    let bar = |(row, name): (usize, &String)| {
        let [forward, backward] = [mean(row, 0), mean(row, 1)];
        Bar {
            name: name.clone(),
            parts: vec![(Colour::First, forward), (Colour::Second, backward)],
            label: format!("{:.2} s", forward + backward),
        }
    };
    let whose = match parties {
        [party] => party.name.clone(),
        _ => "a party, on average".to_owned(),
    };
    Block::Figure(Figure {
        id: "figure-layer-time",
        caption: format!(
            "Seconds of {whose}, by layer and gate: computing, and waiting for the other roles; of several threads or \
             processes, their mean"
        ),
        keys: vec![
            key("forward", Colour::First),
            key("backward and update", Colour::Second),
        ],
        drawing: Drawing::Bars(Bars {
            bars: names.iter().enumerate().map(bar).collect(),
            mark: None,
        }),
    })
}

/// Seconds of each party. What is left of its time, if that is known, went elsewhere.
fn table(names: &[String], parties: &[Party<'_>]) -> Block {
    let row = |name: &str, pass: &str, seconds: &dyn Fn(&Party<'_>) -> Option<f64>| {
        let cell = |party: &Party<'_>| match seconds(party) {
            Some(seconds) => Cell::number(format!("{seconds:.3}")),
            None => Cell::number("–"),
        };
        let cells = parties.iter().map(cell);
        [Cell::words(name), Cell::words(pass)]
            .into_iter()
            .chain(cells)
            .collect()
    };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        for (pass, pass_name) in PASSES.into_iter().enumerate() {
            if parties.iter().any(|party| party.seconds(index, pass) > 0.0) {
                let seconds = |party: &Party<'_>| Some(party.seconds(index, pass));
                let name = if pass == 0 { name } else { "" };
                rows.push(row(name, pass_name, &seconds));
            }
        }
    }
    if parties.iter().any(|party| party.total.is_some()) {
        rows.push(row("elsewhere", "", &|party| {
            let left = party.total? - party.in_layers();
            Some(left.max(0.0))
        }));
    }
    rows.push(row("total", "", &|party| {
        let in_layers = party.in_layers();
        Some(party.total.unwrap_or(in_layers).max(in_layers))
    }));
    let mut heads = vec!["seconds".to_owned(), "pass".to_owned()];
    heads.extend(parties.iter().map(|party| party.name.clone()));
    Block::Table(Table {
        id: "table-layer-time",
        heads,
        rows,
        total: true,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringlet_core::model::Model;

    use super::*;
    use crate::config::session::one_batch;

    /// The rows of the table by layer of P0, which spent 1.5 s in the first layer and 0.25 s in what follows it.
    fn rows(times: &[RoleTime]) -> Vec<Vec<String>> {
        let model = Model::built_in("digits8").expect("built in");
        let session = one_batch(model, 4).expect("a session");
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a network");
        assert!(section((&session, &network), &[], [None; 2]).is_none());
        let mut traffic = Traffic::default();
        let untimed = section((&session, &network), &[], [Some(&traffic), None]);
        assert!(untimed.is_none());
        traffic.nanoseconds[0] = [1_000_000_000, 500_000_000];
        traffic.nanoseconds[1][0] = 250_000_000;
        let made = section((&session, &network), times, [Some(&traffic), None]);
        let blocks = made.expect("a section").blocks;
        let Some(Block::Table(table)) = blocks.last() else {
            panic!("{blocks:?}");
        };
        let texts = |row: &Vec<Cell>| row.iter().map(|cell| cell.text.clone()).collect();
        table.rows.iter().map(texts).collect()
    }

    #[test]
    fn layers_and_elsewhere_make_the_time_of_a_role() {
        let time = RoleTime {
            name: "p0",
            total: Duration::from_secs(2),
            peer: Duration::ZERO,
            helper: Duration::ZERO,
        };
        let rows_of_run = rows(&[time]);
        let [forward, backward, gate, elsewhere, total] = &rows_of_run[..] else {
            panic!("{rows_of_run:?}");
        };
        assert_eq!(forward[1..], ["forward", "1.000"]);
        assert_eq!(backward[1..], ["backward", "0.500"]);
        assert_eq!(gate[1..], ["forward", "0.250"]);
        assert_eq!(elsewhere[..], ["elsewhere", "", "0.250"]);
        assert_eq!(total[..], ["total", "", "2.000"]);
        // While a run goes on, the time of its roles is not known.
        let under_way = rows(&[]);
        assert_eq!(under_way[..3], rows_of_run[..3]);
        assert_eq!(under_way[3..], [["total", "", "1.750"]]);
    }
}
