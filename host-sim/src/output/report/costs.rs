//! What the layers have sent, beside what the plan says of the same iterations.

use ringlet_core::{
    Role,
    cost::{Cost, Traffic},
    network::Network,
    session::{Protocol, Session, cost_row_names},
};

use super::{
    page::{Bar, Bars, Block, Cell, Colour, Drawing, Figure, Key, Section, Table, grouped},
    planned::{Step, planned},
};
use crate::{error::Failure, output::amounts::bytes};

/// What the layers of a run have sent so far, and what the plan says of it.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// What each party has sent and got; none of a party that this process does not see.
    measured: [Option<Box<Traffic>>; 2],
    /// What the plan says of each, or at P0 of all three roles under SecureNN.
    planned: [Traffic; 2],
    /// Iterations that are counted.
    iterations: u64,
}

impl Costs {
    /// Adds what a party has measured in these iterations.
    pub fn add(
        &mut self,
        steps: &[Step],
        parameters: (&Session, &Network),
        traffic: &Traffic,
    ) -> Result<(), Failure> {
        let Some(index) = steps.first().map(|step| step.role.index()) else {
            return Ok(());
        };
        for &step in steps {
            self.planned[index].add(&planned(step, parameters)?);
        }
        if self.measured.iter().take(index).all(Option::is_none) {
            self.iterations += steps.len() as u64;
        }
        self.measured[index].get_or_insert_default().add(traffic);
        Ok(())
    }

    /// What each party has measured; none of a party that this process does not see.
    pub fn measured(&self) -> [Option<&Traffic>; 2] {
        self.measured.each_ref().map(Option::as_deref)
    }

    /// What all layers have sent and got: of the parties, those that are seen.
    pub fn totals(&self) -> [Option<Cost>; 2] {
        self.measured
            .each_ref()
            .map(|traffic| traffic.as_ref().map(|traffic| traffic.total()))
    }

    /// Iterations that are counted.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// The section of the page; none if nothing was sent yet.
    pub fn section(&self, (session, network): (&Session, &Network)) -> Option<Section> {
        if self.iterations == 0 {
            return None;
        }
        let names = cost_row_names(session, network);
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let table = match session.protocol {
            Protocol::Dealt { .. } => self.dealt_table(&names),
            Protocol::SecureNn { .. } => self.securenn_table(&names),
        };
        let (verdict, bad) = match table.differences {
            None => (
                "The plan of SecureNN counts all three roles together, so one party has nothing to hold its figures against."
                    .to_owned(),
                false,
            ),
            Some(0) => (
                "Equal to the plan: every layer sent and opened what the plan says, to the byte."
                    .to_owned(),
                false,
            ),
            Some(count) => (
                format!("{count} figures differ from the plan. This is a fault of the program: report it."),
                true,
            ),
        };
        Some(Section {
            id: "costs",
            title: "Bytes and rounds by layer".to_owned(),
            blocks: vec![
                self.figure(&names),
                Block::Text { text: verdict, bad },
                Block::Table(table.table),
            ],
        })
    }

    /// Bytes that an average party sent in an average iteration, by layer.
    fn figure(&self, names: &[String]) -> Block {
        let seen: Vec<&Traffic> = self
            .measured
            .iter()
            .flatten()
            .map(|traffic| &**traffic)
            .collect();
        let count = (self.iterations * seen.len() as u64).max(1) as f64;
        let bar = |(row, name): (usize, &String)| {
            let sent = [0, 1].map(|pass: usize| {
                let bytes = seen
                    .iter()
                    .map(|traffic| traffic.cost_rows[row][pass].online_bytes);
                bytes.sum::<u64>() as f64 / count
            });
            let [forward, backward] = sent;
            Bar {
                name: name.clone(),
                parts: vec![(Colour::First, forward), (Colour::Second, backward)],
                label: bytes((forward + backward).round() as u64),
            }
        };
        Block::Figure(Figure {
            id: "figure-bytes",
            caption: "What a party sent in an iteration, on average".to_owned(),
            keys: vec![
                Key {
                    name: "forward".to_owned(),
                    colour: Colour::First,
                },
                Key {
                    name: "backward and update".to_owned(),
                    colour: Colour::Second,
                },
            ],
            drawing: Drawing::Bars(Bars {
                bars: names.iter().enumerate().map(bar).collect(),
                mark: None,
            }),
        })
    }

    /// All counts of the whole run.
    fn dealt_table(&self, names: &[String]) -> Compared {
        let seen = || {
            Role::BOTH
                .into_iter()
                .filter(|role| self.measured[role.index()].is_some())
        };
        let mut heads = vec!["in all iterations".to_owned(), "pass".to_owned()];
        heads.extend(seen().map(|role| format!("sent by {role}")));
        heads.extend(["corrections to p1", "rounds", "opened values", "plan"].map(str::to_owned));
        let mut compared = Compared::new(heads);
        let mut sums = [[Cost::ZERO; 2]; 2];
        let row = |name: &str, pass: &str, costs: [[Cost; 2]; 2]| {
            let mut cells = vec![Cell::words(name), Cell::words(pass)];
            let mut differences = Vec::new();
            for role in seen() {
                let [measured, planned] = costs[role.index()];
                cells.push(compared_cell(measured.online_bytes, planned.online_bytes));
                differences.extend(difference(role, measured, planned));
            }
            let first = seen().next().unwrap_or(Role::P0).index();
            let [measured, planned] = costs[first];
            let [got, owed] = costs[Role::P1.index()];
            cells.push(match self.measured[Role::P1.index()].is_some() {
                true => compared_cell(got.dealer_bytes, owed.dealer_bytes),
                false => Cell::number("–"),
            });
            cells.push(compared_cell(measured.rounds, planned.rounds));
            cells.push(compared_cell(measured.opened_values, planned.opened_values));
            cells.push(match differences.is_empty() {
                true => Cell::verdict("equal", true),
                false => Cell::verdict(differences.join("; "), false),
            });
            (cells, differences.len())
        };
        for (index, name) in names.iter().enumerate() {
            for (pass, pass_name) in ["forward", "backward"].into_iter().enumerate() {
                let costs = [0, 1].map(|role: usize| {
                    let measured = self.measured[role].as_ref();
                    let measured =
                        measured.map_or(Cost::ZERO, |traffic| traffic.cost_rows[index][pass]);
                    [measured, self.planned[role].cost_rows[index][pass]]
                });
                if costs.as_flattened().iter().all(|&cost| cost == Cost::ZERO) {
                    continue;
                }
                for (sums, costs) in sums.iter_mut().zip(costs) {
                    sums[0] += costs[0];
                    sums[1] += costs[1];
                }
                let name = if pass == 0 { name } else { "" };
                compared.push(row(name, pass_name, costs));
            }
        }
        let (total, _) = row("total", "", sums);
        compared.push((total, 0));
        compared
    }

    /// Bytes of all three roles in all iterations.
    fn securenn_table(&self, names: &[String]) -> Compared {
        let [Some(p0), Some(p1)] = &self.measured else {
            return self.lone_securenn_table(names);
        };
        let heads = [
            "in all iterations",
            "pass",
            "sent by all three roles",
            "plan",
        ];
        let mut compared = Compared::new(heads.map(str::to_owned).to_vec());
        let row = |name: &str, pass: &str, [measured, planned]: [u64; 2]| {
            let equal = measured == planned;
            let verdict = match equal {
                true => "equal".to_owned(),
                false => format!("planned {}", bytes(planned)),
            };
            let cells = vec![
                Cell::words(name),
                Cell::words(pass),
                compared_cell(measured, planned),
                Cell::verdict(verdict, equal),
            ];
            (cells, usize::from(!equal))
        };
        let mut total = [0; 2];
        for (index, name) in names.iter().enumerate() {
            for (pass, pass_name) in ["forward", "backward"].into_iter().enumerate() {
                let of = |traffic: &Traffic| {
                    let cost = traffic.cost_rows[index][pass];
                    cost.online_bytes + cost.dealer_bytes
                };
                let sent = [
                    of(p0) + of(p1),
                    self.planned[0].cost_rows[index][pass].online_bytes,
                ];
                if sent == [0; 2] {
                    continue;
                }
                total = [total[0] + sent[0], total[1] + sent[1]];
                compared.push(row(if pass == 0 { name } else { "" }, pass_name, sent));
            }
        }
        let (cells, _) = row("total", "", total);
        compared.push((cells, 0));
        compared
    }

    /// Bytes that one party of SecureNN sent and got.
    fn lone_securenn_table(&self, names: &[String]) -> Compared {
        let heads = [
            "in all iterations",
            "pass",
            "sent",
            "from the assistant",
            "rounds",
        ];
        let mut compared = Compared::new(heads.map(str::to_owned).to_vec());
        compared.differences = None;
        let row = |name: &str, pass: &str, cost: Cost| {
            let cells = vec![
                Cell::words(name),
                Cell::words(pass),
                Cell::count(cost.online_bytes),
                Cell::count(cost.dealer_bytes),
                Cell::count(cost.rounds),
            ];
            (cells, 0)
        };
        for traffic in self.measured.iter().flatten() {
            for (name, costs) in names.iter().zip(&traffic.cost_rows) {
                for (pass, &cost) in ["forward", "backward"].into_iter().zip(costs) {
                    if cost != Cost::ZERO {
                        compared.push(row(name, pass, cost));
                    }
                }
            }
            compared.push(row("total", "", traffic.total()));
        }
        compared
    }
}

/// A table of what was measured, held against the plan.
struct Compared {
    table: Table,
    /// Figures that differ from the plan; none if there is nothing to hold them against.
    differences: Option<usize>,
}

impl Compared {
    fn new(heads: Vec<String>) -> Self {
        Compared {
            table: Table {
                id: "table-costs",
                heads,
                rows: Vec::new(),
                total: true,
            },
            differences: Some(0),
        }
    }

    fn push(&mut self, (cells, differences): (Vec<Cell>, usize)) {
        self.table.rows.push(cells);
        if let Some(sum) = &mut self.differences {
            *sum += differences;
        }
    }
}

/// A count, marked if it is not what was planned.
fn compared_cell(measured: u64, planned: u64) -> Cell {
    match measured == planned {
        true => Cell::count(measured),
        false => Cell::verdict(grouped(measured), false),
    }
}

/// In what a party's cost differs from its plan.
fn difference(role: Role, measured: Cost, planned: Cost) -> Vec<String> {
    let counts = [
        ("sent", measured.online_bytes, planned.online_bytes),
        ("corrections", measured.dealer_bytes, planned.dealer_bytes),
        ("rounds", measured.rounds, planned.rounds),
        (
            "opened values",
            measured.opened_values,
            planned.opened_values,
        ),
    ];
    let differing = counts
        .into_iter()
        .filter(|(_, measured, planned)| measured != planned);
    differing
        .map(|(what, measured, planned)| format!("{role} {what}: {measured}, planned {planned}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use ringlet_core::model::Model;

    use super::super::page::Look;
    use super::*;
    use crate::config::session::one_batch;

    /// The section after an iteration of P0 that sent as planned, and so many bytes more.
    fn section(more: u64) -> Section {
        let model = Model::built_in("digits8").expect("built in");
        let session = one_batch(model, 4).expect("a session");
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a network");
        let step = Step {
            role: Role::P0,
            start: 0,
            iteration: 0,
        };
        let mut traffic = planned(step, (&session, &network)).expect("a plan");
        traffic.cost_rows[0][1].online_bytes += more;
        let mut costs = Costs::default();
        assert!(costs.section((&session, &network)).is_none());
        costs
            .add(&[step], (&session, &network), &traffic)
            .expect("a plan");
        costs.section((&session, &network)).expect("a section")
    }

    fn bad_cells(section: &Section) -> Vec<&str> {
        let tables = section.blocks.iter().filter_map(|block| match block {
            Block::Table(table) => Some(table),
            _ => None,
        });
        let cells = tables.flat_map(|table| table.rows.iter().flatten());
        let bad = cells.filter(|cell| cell.look == Look::Bad);
        bad.map(|cell| cell.text.as_str()).collect()
    }

    #[test]
    fn what_differs_from_the_plan_is_told() {
        let equal = section(0);
        assert_eq!(bad_cells(&equal), [""; 0]);
        let is_bad = |section: &Section| {
            let mut blocks = section.blocks.iter();
            blocks.any(|block| matches!(block, Block::Text { bad: true, .. }))
        };
        assert!(!is_bad(&equal));
        let other = section(1);
        // The layer's cell and verdict, and the total's.
        let bad = bad_cells(&other);
        assert_eq!(bad.len(), 4, "{bad:?}");
        assert!(
            bad[1].starts_with("p0 sent: ") && bad[1].contains(", planned "),
            "{bad:?}"
        );
        assert!(is_bad(&other));
    }
}
