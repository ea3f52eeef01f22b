//! With what settings a run can be repeated.

use ringlet_core::{
    network::Network,
    session::{Protocol, RATE_FRACTION, Session, Task, handshake::VERSION},
};

use super::page::{Block, Cell, Section, Table};
use crate::data::range_bits::RangeBits;

/// Options whose values are nobody else's business: secrets, and where they lie.
const SECRET: [&str; 2] = ["--secret-seed", "--identity"];

/// What stands for a value that is nobody else's business.
const HIDDEN: &str = "HIDDEN";

/// The settings of a run.
pub struct Settings<'a> {
    /// The arguments of the program, after its name.
    pub arguments: &'a [String],
    /// The session; none of a command that has several or none.
    pub session: Option<(&'a Session, &'a Network)>,
    /// What else there is to say.
    pub more: &'a [(String, String)],
}

impl Settings<'_> {
    /// The section of the page.
    pub fn section(&self) -> Section {
        let mut rows = vec![
            (
                "program".to_owned(),
                format!("ringlet {}", env!("CARGO_PKG_VERSION")),
            ),
            ("protocol version".to_owned(), VERSION.to_string()),
        ];
        if let Some((session, network)) = self.session {
            rows.extend(of_session(session, network));
        }
        rows.extend(self.more.iter().cloned());
        let cells = |(name, value): (String, String)| vec![Cell::words(name), Cell::words(value)];
        Section {
            id: "settings",
            title: "Settings".to_owned(),
            blocks: vec![
                Block::text("To run it again:"),
                Block::Code {
                    text: command_line(self.arguments),
                },
                Block::Table(Table {
                    id: "table-settings",
                    heads: Vec::new(),
                    rows: rows.into_iter().map(cells).collect(),
                    total: false,
                }),
            ],
        }
    }
}

fn of_session(session: &Session, network: &Network) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    let rate = |units: u32| (f64::from(units) / f64::from(1u32 << RATE_FRACTION)).to_string();
    let [height, width, channels] = session.model.input;
    row(
        "model",
        format!(
            "{}: {} parameters, images of {height}x{width}x{channels}, {} classes",
            session.model.name,
            network.parameters(),
            network.classes
        ),
    );
    let protocol = match session.protocol {
        Protocol::SecureNn { loss, .. } => format!("securenn, {loss}"),
        Protocol::Dealt { .. } => format!("with a dealer, {} triples", session.protocol.triples()),
    };
    row("protocol", protocol);
    row(
        "numbers",
        format!(
            "ring of {} bits, {} fraction bits, range bits {}",
            session.format.ring,
            session.format.fraction,
            RangeBits::of(session, network)
        ),
    );
    let [p0, p1] = session.samples;
    row("images of p0 and p1", format!("{p0} and {p1}"));
    row(
        "batch",
        match session.micro_batch == session.batch {
            true => session.batch.to_string(),
            false => format!("{}, {} at a time", session.batch, session.micro_batch),
        },
    );
    if session.task == Task::Train {
        row(
            "iterations",
            format!(
                "{}, {} in an epoch",
                session.planned_iterations(),
                session.iterations_per_epoch()
            ),
        );
        row("learning rate", rate(session.learning_rate));
        row("momentum", rate(session.momentum));
        row(
            "seed of the public order of images",
            session.shuffle_seed.to_string(),
        );
        let receiver = session.receiver.map(|role| role.to_string());
        row(
            "the model is revealed to",
            receiver.unwrap_or("no party".to_owned()),
        );
    }
    if session.has_audits() {
        row("audited", format!("one iteration in {}", session.audit));
    }
    rows
}

/// The command line with these arguments, as a shell takes it, without secrets.
fn command_line(arguments: &[String]) -> String {
    let mut line = String::from("ringlet");
    let mut hides = false;
    for argument in arguments {
        line.push(' ');
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (argument.as_str(), None),
        };
        let secret = SECRET.contains(&name);
        match (hides, secret, value) {
            (true, ..) => line.push_str(HIDDEN),
            (_, true, Some(_)) => line.push_str(&format!("{name}={HIDDEN}")),
            _ => line.push_str(&quoted(argument)),
        }
        hides = !hides && secret && value.is_none();
    }
    line
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.to_owned(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_can_be_run_again_and_holds_no_secret() {
        let line = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
            command_line(&arguments)
        };
        assert_eq!(
            line(&["train", "--data", "my images", "--seed=3", "it's"]),
            "ringlet train --data 'my images' --seed=3 'it'\\''s'"
        );
        assert_eq!(
            line(&[
                "party",
                "--identity",
                "p0.key",
                "--secret-seed=7",
                "--role",
                "p0"
            ]),
            "ringlet party --identity HIDDEN --secret-seed=HIDDEN --role p0"
        );
    }
}
