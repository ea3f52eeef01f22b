//! The predicted time of a session, from measured iterations of this machine.

use ringlet_core::session::{Protocol, Session, Task};
use serde::Serialize;

use super::links::LinkBytes;
use crate::{
    links::traffic_shaper::TrafficShape,
    measure::{course::Course, roles::RoleSeconds},
    output::{
        amounts::{counted, steps},
        bench::amount,
    },
    run::actors::Helper,
};

/// What a prediction is made of.
pub struct Figures {
    /// Where they come from, in a line.
    pub source: String,
    /// Measured iterations of the session's work.
    pub course: Course,
    /// Processor seconds of a byte on a secure link, of sender and receiver together.
    pub link_seconds_per_byte: f64,
    /// Delay and rate of every link.
    pub links: TrafficShape,
}

/// The processor time of a role.
#[derive(Clone, Copy, Debug, Serialize)]
struct RoleTime {
    /// Core-seconds of computing in an iteration.
    computing: f64,
    /// Core-seconds of its links in an iteration.
    links: f64,
    /// Core-seconds of the whole run.
    run: f64,
}

impl RoleTime {
    fn iteration(self) -> f64 {
        self.computing + self.links
    }
}

/// Seconds that have passed at the end.
#[derive(Clone, Copy, Debug, Serialize)]
struct Passed {
    iteration: f64,
    run: f64,
}

/// The predicted time of a session.
#[derive(Clone, Debug, Serialize)]
pub struct Seconds {
    #[serde(skip)]
    source: String,
    #[serde(skip)]
    helper_name: &'static str,
    iterations: u32,
    measured_to_batch: u32,
    p0: RoleTime,
    p1: RoleTime,
    helper: RoleTime,
    /// Each role on a machine like this one, with links of the given delay and rate.
    apart: Passed,
    /// Core-seconds of an iteration of `train`, or a batch of `predict`, which run all roles on this machine and watch ranges.
    whole_core_seconds: f64,
    /// The same in seconds that pass, with such links.
    whole: Passed,
    #[serde(skip)]
    task: Task,
    #[serde(skip)]
    are_shaped: bool,
}

impl Seconds {
    /// Predicts. An iteration has so many `rounds`; `bytes` are of the whole session.
    pub fn new(figures: &Figures, session: &Session, bytes: &LinkBytes, rounds: u64) -> Self {
        let iterations = session.iterations();
        let computing = figures.course.seconds(session.batch_rows());
        let whole = sum(session, |len| figures.course.seconds(len));
        // Half of a byte's time is the sender's.
        let links = bytes
            .of_roles()
            .map(|bytes| bytes as f64 * figures.link_seconds_per_byte / 2.0);
        let [p0, p1, helper] = [0, 1, 2].map(|role| RoleTime {
            computing: computing[role],
            links: links[role] / f64::from(iterations),
            run: whole[role] + links[role],
        });
        let [to_peer, from_helper] = bytes.longest().map(|bytes| bytes / u64::from(iterations));
        let shape = figures.links;
        let links_take = |iterations| shape.seconds(rounds * iterations, to_peer * iterations);
        let passed = |[p0, p1, helper]: RoleSeconds, iterations: u64| {
            let parties = p0.max(p1) + links_take(iterations);
            match session.protocol {
                // The dealer runs ahead.
                Protocol::Dealt { .. } => {
                    parties.max(helper + shape.seconds(0, from_helper * iterations))
                }
                // The parties wait for what the assistant computes.
                Protocol::SecureNn { .. } => parties + helper,
            }
        };
        let roles = [p0, p1, helper];
        let apart = Passed {
            iteration: passed(roles.map(RoleTime::iteration), 1),
            run: passed(roles.map(|role| role.run), iterations.into()),
        };
        let [whole_core_seconds, whole] = figures.course.whole(session.batch_rows());
        let whole = Passed {
            iteration: whole + links_take(1),
            run: sum(session, |len| figures.course.whole(len))[1] + links_take(iterations.into()),
        };
        Seconds {
            source: figures.source.clone(),
            helper_name: Helper::of(session.protocol).name(),
            iterations,
            measured_to_batch: figures.course.largest(),
            p0,
            p1,
            helper,
            apart,
            whole_core_seconds,
            whole,
            task: session.task,
            are_shaped: figures.links != TrafficShape::default(),
        }
    }

    /// The lines of a table.
    pub fn lines(&self) -> String {
        let (program, one) = match self.task {
            Task::Train => ("train", "an iteration"),
            Task::Infer | Task::Evaluate => ("predict", "a batch"),
        };
        let steps = steps(self.task, self.iterations);
        let mut text = format!(
            "\nTime, from {}, by batches of up to {}:\n{:<14}{:>11}{:>11}{:>14}{:>16}\n",
            self.source,
            counted(self.measured_to_batch.into(), "image"),
            "core-seconds",
            "computing",
            "links",
            one,
            steps,
        );
        let roles = [
            ("p0", self.p0),
            ("p1", self.p1),
            (self.helper_name, self.helper),
        ];
        for (name, role) in roles {
            text += &format!(
                "{name:<14}{:>11}{:>11}{:>14}{:>16}\n",
                amount(role.computing),
                amount(role.links),
                amount(role.iteration()),
                amount(role.run)
            );
        }
        let links = match self.are_shaped {
            true => "links of the given delay and rate",
            false => "links without delay (--profile, --delay and --rate give others)",
        };
        text + &format!(
            "Links: what sealing, opening, sending and receiving take, between processes.\n\
             Seconds with each role on a machine like this, and {links}:\n\
             about {} {one}, {} in all. `{program}` on this machine, which also watches ranges, in memory: {} core-seconds\n\
             {one}, about {} seconds, {} in all. Starting, reading data, checkpoints and accuracies are not in it.\n",
            amount(self.apart.iteration),
            amount(self.apart.run),
            amount(self.whole_core_seconds),
            amount(self.whole.iteration),
            amount(self.whole.run)
        )
    }
}

/// The sum over the whole run of what an iteration of so many samples takes; epochs may end with smaller batches.
fn sum<const N: usize>(session: &Session, of: impl Fn(u32) -> [f64; N]) -> [f64; N] {
    let mut counts: Vec<(u32, u32)> = Vec::new();
    for iteration in 0..session.iterations() {
        let len = session.batch(iteration).len;
        match counts.iter_mut().find(|(of, _)| *of == len) {
            Some((_, count)) => *count += 1,
            None => counts.push((len, 1)),
        }
    }
    let mut sum = [0.0; N];
    for (len, count) in counts {
        for (sum, seconds) in sum.iter_mut().zip(of(len)) {
            *sum += f64::from(count) * seconds;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use ringlet_core::{model::Model, network::Network};

    use super::*;
    use crate::{config::session::one_batch, measure::course::Point};

    fn seconds(links: TrafficShape) -> Seconds {
        let model = Model::built_in("digits8").expect("a built-in model");
        let session = one_batch(model, 10).expect("a session");
        let network = Network::new(&session.model).expect("a network");
        let point = |batch: u32, scale: f64| Point {
            batch,
            seconds: [1.0, 2.0, 4.0].map(|of| of * scale),
            whole: [8.0, 5.0].map(|of| of * scale),
        };
        let figures = Figures {
            source: "a test".to_owned(),
            course: Course(vec![point(5, 0.5), point(10, 1.0)]),
            link_seconds_per_byte: 0.0,
            links,
        };
        let bytes = LinkBytes::dealt::<u32>(&session, &network);
        let session = Session {
            samples: [25, 0],
            ..session
        };
        Seconds::new(&figures, &session, &bytes, 10)
    }

    #[test]
    fn a_short_batch_at_the_end_takes_its_part() {
        let seconds = seconds(TrafficShape::default());
        assert_eq!(seconds.iterations, 3);
        assert!((seconds.whole.run - 12.5).abs() < 1e-6, "{seconds:?}");
        for (role, one) in [(seconds.p0, 1.0), (seconds.p1, 2.0), (seconds.helper, 4.0)] {
            assert!((role.iteration() - one).abs() < 1e-6, "{role:?}");
            assert!((role.run - 2.5 * one).abs() < 1e-6, "{role:?}");
        }
    }

    #[test]
    fn the_slowest_role_and_the_links_decide() {
        let near = seconds(TrafficShape::default());
        assert!((near.apart.iteration - 4.0).abs() < 1e-6, "{near:?}");
        // Ten rounds of a second, and two seconds of P1.
        let far = TrafficShape::new(Some(1000.0), None).expect("a shape");
        let far = seconds(far);
        assert!((far.apart.iteration - 12.0).abs() < 1e-6, "{far:?}");
        assert!(far.lines().contains("12.0 an iteration"), "{}", far.lines());
    }
}
