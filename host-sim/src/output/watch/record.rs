//! The records of metrics files, as far as the dashboard shows them. Unknown kinds and fields are passed over, so files of
//! other versions can be watched too.

use serde::Deserialize;

/// The most characters of a text of a file that is shown.
const LONGEST: usize = 400;

/// A line of a metrics file.
#[derive(Debug)]
pub enum Record {
    /// What the run is.
    Run(RunFacts),
    /// An iteration, or a batch that is classified.
    Iteration(Iteration),
    /// An epoch.
    Epoch(Epoch),
    /// An audit, or what a simulation saw.
    Audit(Audit),
    /// An evaluation of the shared model.
    Validation(Validation),
    /// How the run ended.
    End(End),
    /// A kind that this version does not know.
    Other,
}

/// What a run is.
#[derive(Clone, Debug, Deserialize)]
pub struct RunFacts {
    pub version: String,
    pub role: String,
    pub task: String,
    pub model: String,
    pub iterations: u32,
    pub iterations_per_epoch: u32,
    pub batch: u32,
    pub samples: [u32; 2],
    /// Iterations that were done before.
    pub done: u32,
}

/// An iteration. What a lone party cannot see is none.
#[derive(Clone, Debug, Deserialize)]
pub struct Iteration {
    pub iteration: u32,
    pub seconds: f64,
    pub online_bytes_p0: Option<u64>,
    pub online_bytes_p1: Option<u64>,
    pub dealer_bytes_p0: Option<u64>,
    pub dealer_bytes_p1: Option<u64>,
    pub loss: Option<f64>,
    pub rounds: u64,
}

/// An epoch.
#[derive(Clone, Debug, Deserialize)]
pub struct Epoch {
    pub epoch: u32,
    pub whole: bool,
    pub accuracy: Option<f64>,
    pub twin_accuracy: Option<f64>,
}

/// The values that left their range in an iteration, by layer.
#[derive(Clone, Debug, Deserialize)]
pub struct Audit {
    /// "audit" or "range".
    pub kind: String,
    pub iteration: u32,
    pub layers: Vec<Outside>,
}

/// The values of a layer that left their range.
#[derive(Clone, Debug, Deserialize)]
pub struct Outside {
    pub name: String,
    pub outside_forward: u32,
    pub outside_backward: u32,
}

/// An evaluation of the shared model.
#[derive(Clone, Debug, Deserialize)]
pub struct Validation {
    pub iteration: u32,
    pub owner: String,
    pub accuracy: Option<f64>,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize)]
pub struct End {
    pub well: bool,
    pub message: Option<String>,
    pub seconds: f64,
}

impl Record {
    /// The record of a line, or why it is none.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }

        let why = |error: serde_json::Error| plain(&error.to_string());
        let Kind { kind } = serde_json::from_slice(line).map_err(why)?;
        let read = match kind.as_str() {
            "run" => serde_json::from_slice(line).map(Record::Run),
            "iteration" => serde_json::from_slice(line).map(Record::Iteration),
            "epoch" => serde_json::from_slice(line).map(Record::Epoch),
            "audit" | "range" => serde_json::from_slice(line).map(Record::Audit),
            "validation" => serde_json::from_slice(line).map(Record::Validation),
            "end" => serde_json::from_slice(line).map(Record::End),
            _ => Ok(Record::Other),
        };
        read.map(Record::plain).map_err(why)
    }

    /// The same record, with texts that cannot steer a terminal.
    fn plain(mut self) -> Self {
        match &mut self {
            Record::Run(run) => {
                for text in [
                    &mut run.version,
                    &mut run.role,
                    &mut run.task,
                    &mut run.model,
                ] {
                    *text = plain(text);
                }
            }
            Record::Audit(audit) => {
                for layer in &mut audit.layers {
                    layer.name = plain(&layer.name);
                }
            }
            Record::Validation(validation) => validation.owner = plain(&validation.owner),
            Record::End(end) => end.message = end.message.as_deref().map(plain),
            Record::Iteration(_) | Record::Epoch(_) | Record::Other => {}
        }
        self
    }
}

/// A text of a file or of the system, without characters that steer a terminal, and not too long.
pub fn plain(text: &str) -> String {
    let shown = text.chars().take(LONGEST);
    shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use ringlet_core::{
        cost::Traffic,
        model::Model,
        network::Network,
        session::{Session, Task},
    };

    use super::*;
    use crate::{
        config::session::one_batch,
        error::Failure,
        run::{
            audits::AuditRecord,
            event::Evaluated,
            records::{
                EndRecord, EpochRecord, IterationRecord, RunRecord, ValidationRecord, party_record,
            },
        },
    };

    fn session() -> (Session, Network) {
        let model = Model::built_in("digits8").expect("a built-in model");
        let network = Network::new(&model).expect("a network");
        (one_batch(model, 4).expect("a session"), network)
    }

    fn read(record: &impl serde::Serialize) -> Record {
        let line = serde_json::to_vec(record).expect("JSON");
        Record::parse(&line).expect("a record")
    }

    #[test]
    fn all_records_that_runs_write_are_read() {
        let (session, network) = session();
        let role = ringlet_core::Role::P1;
        let traffic = Traffic::default();
        let Record::Run(run) = read(&RunRecord::new("p1".to_owned(), &session, 0)) else {
            panic!("another record");
        };
        assert_eq!((run.role.as_str(), run.model.as_str()), ("p1", "digits8"));
        assert_eq!((run.iterations, run.batch, run.done), (1, 4, 0));
        let record: IterationRecord = party_record(role, 6, 0.5, (&session, &network), &traffic);
        let Record::Iteration(iteration) = read(&record) else {
            panic!("another record");
        };
        assert_eq!((iteration.iteration, iteration.seconds), (7, 0.5));
        assert_eq!(iteration.online_bytes_p0, None);
        let record = EpochRecord {
            kind: "epoch",
            epoch: 2,
            whole: true,
            accuracy: Some(0.5),
            twin_accuracy: None,
            loss: None,
            seconds: 3.0,
        };
        let Record::Epoch(epoch) = read(&record) else {
            panic!("another record");
        };
        assert_eq!((epoch.epoch, epoch.accuracy), (2, Some(0.5)));
        let rows = ringlet_core::session::cost_row_names(&session, &network).into_iter();
        let counts: Vec<[u32; 2]> = rows.map(|_| [1, 2]).collect();
        for record in [AuditRecord::new, AuditRecord::seen] {
            let Record::Audit(audit) = read(&record(4, (&session, &network), &counts)) else {
                panic!("another record");
            };
            assert_eq!((audit.iteration, audit.layers.len()), (5, counts.len()));
        }
        let evaluated = Evaluated {
            done: 9,
            owner: role,
            images: 3,
            classes: Vec::new(),
            seconds: 0.0,
            traffic,
            audit: None,
            stops: false,
        };
        let found: (f64, &[Vec<u32>]) = (0.75, &[]);
        let Record::Validation(validation) = read(&ValidationRecord::new(&evaluated, Some(found)))
        else {
            panic!("another record");
        };
        assert_eq!((validation.owner.as_str(), validation.iteration), ("p1", 9));
        let failure = Failure::new("why", "what to do");
        let Record::End(end) = read(&EndRecord::new(Some(&failure), 1.0)) else {
            panic!("another record");
        };
        assert_eq!(
            (end.well, end.message.as_deref()),
            (false, Some("why: what to do"))
        );
        let evaluation = Session {
            task: Task::Evaluate,
            ..session
        };
        assert!(matches!(
            read(&RunRecord::new("p0".to_owned(), &evaluation, 3)),
            Record::Run(run) if run.task == "evaluate" && run.done == 3
        ));
    }

    #[test]
    fn unknown_kinds_and_fields_are_passed_over_and_damage_is_named() {
        let parse = |line: &str| Record::parse(line.as_bytes());
        assert!(matches!(parse(r#"{"kind":"weather"}"#), Ok(Record::Other)));
        let more = r#"{"kind":"end","well":true,"message":null,"seconds":1,"mood":{"x":[1]}}"#;
        assert!(matches!(parse(more), Ok(Record::End(_))));
        for damaged in [
            "",
            "{",
            "7",
            r#"{"kind":"end"}"#,
            r#"{"kind":"iteration","iteration":-1}"#,
            "{\"kind\":\"run\u{1b}[2J",
        ] {
            let why = parse(damaged).expect_err(damaged);
            assert!(!why.is_empty() && !why.contains(char::is_control), "{why}");
        }
        assert!(Record::parse(&[0xff; 9]).is_err());
    }

    #[test]
    fn texts_cannot_steer_a_terminal() {
        let line = r#"{"kind":"end","well":false,"message":"\u001b[2Jx\n","seconds":1}"#;
        let Ok(Record::End(end)) = Record::parse(line.as_bytes()) else {
            panic!("another record");
        };
        let message = end.message.expect("a message");
        assert_eq!(message, "\u{fffd}[2Jx\u{fffd}");
        assert_eq!(plain(&"x".repeat(2 * LONGEST)).len(), LONGEST);
    }
}
