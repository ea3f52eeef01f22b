//! `ringlet predict`: private inference, all roles on this machine.

use std::{fmt::Write as _, sync::Mutex};

use indicatif::ProgressBar;
use ringlet_core::{
    Role,
    cost::Cost,
    network::Network,
    num::Ring,
    session::{Protocol, Session},
};

use crate::run::simulation::{Emit, Seat, Simulation};
use crate::{
    config::{
        args::PredictArgs,
        settings::{self, InRing, in_ring},
    },
    data::{
        Images,
        file::{check_writable, write_whole},
        load_to_classify, model_file,
        parameters::Parameters,
    },
    error::Failure,
    links::traffic_shaper::TrafficShape,
    output::{
        console,
        report::{bytes, counted, work},
    },
    run::{
        event::{Event, StageValues},
        inference::{Classes, encode, run_assisted_party, run_party},
        secrets::Secrets,
    },
};

/// Images up to which each is printed.
const PRINTED: usize = 20;

struct Predict<'a> {
    session: &'a Session,
    images: &'a Images,
    shape: TrafficShape,
    secrets: Secrets,
    parameters: &'a [Parameters],
}

/// What came of it.
struct Outcome {
    classes: Classes,
    batches: Vec<Batch>,
}

/// What one batch took.
#[derive(Clone, Copy, Default)]
struct Batch {
    samples: u32,
    seconds: f64,
    rounds: u64,
    /// Bytes that P0 and P1 sent, and that the dealer or the assistant sent.
    sent: [u64; 3],
}

impl Predict<'_> {
    /// Runs `simulate`, which gets where classes go and what takes the parties' events.
    fn run(
        &self,
        network: &Network,
        simulate: impl FnOnce(
            &Simulation<'_>,
            &[StageValues],
            &Mutex<Classes>,
            &mut dyn FnMut(Role, Event) -> Result<(), Failure>,
        ) -> Result<(), Failure>,
    ) -> Result<Outcome, Failure> {
        let simulation = Simulation {
            session: self.session,
            network,
            images: self.images,
            shape: self.shape,
            secrets: self.secrets,
        };
        let model = encode(self.session, network, self.parameters);
        let classes = Mutex::new(Classes::new());
        let mut batches = vec![Batch::default(); self.session.iterations() as usize];
        let bar = ProgressBar::new(self.session.iterations().into());
        let mut take = |role: Role, event: Event| {
            if let Event::Iteration {
                iteration,
                samples,
                seconds,
                traffic,
                ..
            } = event
            {
                let cost: Cost = traffic.total();
                let batch = &mut batches[iteration as usize];
                batch.samples = samples;
                batch.seconds = batch.seconds.max(seconds);
                batch.rounds = batch.rounds.max(cost.rounds);
                batch.sent[role.index()] += cost.online_bytes;
                batch.sent[2] += cost.dealer_bytes;
                bar.set_position(u64::from(iteration) + 1);
            }
            Ok(())
        };
        let outcome = simulate(&simulation, &model, &classes, &mut take);
        bar.finish_and_clear();
        outcome?;
        let mut classes = classes.into_inner().map_err(|_| interrupted())?;
        classes.sort_unstable();
        Ok(Outcome { classes, batches })
    }
}

fn interrupted() -> Failure {
    Failure::new("a party was interrupted", "report this")
}

/// Keeps the classes of the party that has any, and gives the model to its owner alone.
fn keep(kept: &Mutex<Classes>, classes: Classes) -> Result<(), Failure> {
    kept.lock().map_err(|_| interrupted())?.extend(classes);
    Ok(())
}

fn own_model<'m>(session: &Session, role: Role, model: &'m [StageValues]) -> &'m [StageValues] {
    if session.asking() == role { &[] } else { model }
}

impl InRing for Predict<'_> {
    type Output = Outcome;

    fn run<R: Ring>(self, network: Network) -> Result<Outcome, Failure> {
        Predict::run(&self, &network, |simulation, model, kept, take| {
            let party = |mut seat: Seat<'_>, emit: Emit<'_>| {
                let model = own_model(self.session, seat.setup.role, model);
                let links = (seat.peer, seat.helper);
                keep(
                    kept,
                    run_party::<R, _, _>(seat.setup, model, links, &mut seat.data, emit)?,
                )
            };
            simulation.with_dealer::<R>(party, party, take).map(drop)
        })
    }

    fn run_assisted(self, network: Network) -> Result<Outcome, Failure> {
        Predict::run(&self, &network, |simulation, model, kept, take| {
            let party = |mut seat: Seat<'_>, pair, emit: Emit<'_>| {
                let model = own_model(self.session, seat.setup.role, model);
                let links = (seat.peer, seat.helper);
                let classes =
                    run_assisted_party(seat.setup, (pair, model), links, &mut seat.data, emit)?;
                keep(kept, classes)
            };
            simulation.with_assistant(party, take).map(drop)
        })
    }
}

/// The images that the arguments ask for, the number of the first, and whether their classes are known.
fn images(args: &PredictArgs) -> Result<(Images, usize, bool), Failure> {
    let (all, labelled) = load_to_classify(args.data.as_deref())?;
    let range = match (args.image, args.count) {
        (Some(image), _) => image..image.saturating_add(1),
        (None, Some(count)) => 0..count,
        (None, None) => 0..all.len(),
    };
    if range.end > all.len() || range.is_empty() {
        return Err(Failure::new(
            format!("there are {} images, numbered from 0", all.len()),
            "correct --image or --count",
        ));
    }
    Ok((all.slice(range.clone()), range.start, labelled))
}

/// Classifies as the arguments say.
pub fn run(args: &PredictArgs) -> Result<(), Failure> {
    let (model, _, parameters) = model_file::load(&args.model_file)?;
    let (images, first, labelled) = images(args)?;
    settings::check_shape(&model, &images)?;
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    let asking = Role::from(args.asking);
    let secrets = Secrets::new(args.seed);
    let count = u32::try_from(images.len())
        .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))?;
    let mut samples = [0; 2];
    samples[asking.index()] = count;
    let session = settings::session(&args.session(), model, samples, secrets.order()?, None)?;
    let session = settings::inference(session)?;
    console::line(&format!(
        "classifying {} of {asking} by the model of {} ({}), {}",
        counted(count.into(), "image"),
        asking.other(),
        session.model.name,
        work(&session)
    ))?;
    let task = Predict {
        session: &session,
        images: &images,
        shape: args.shape.shape()?,
        secrets,
        parameters: &parameters,
    };
    let outcome = in_ring(&session, task)?;
    let classes: Vec<u8> = outcome.classes.iter().map(|&(_, class)| class).collect();
    if let Some(path) = &args.out {
        write_whole(
            path,
            classes_table(outcome.classes.clone(), first).as_bytes(),
        )?;
        console::line(&format!("the classes are in {}", path.display()))?;
    } else if classes.len() <= PRINTED {
        console::print(&classes_table(outcome.classes.clone(), first))?;
    }
    if let ([class], [label], true) = (&classes[..], &images.labels[..], labelled) {
        let right = if class == label { "right" } else { "wrong" };
        console::line(&format!("{right}: its label is {label}"))?;
    } else if labelled {
        let right = classes.iter().zip(&images.labels);
        let right = right.filter(|(class, label)| class == label).count();
        console::line(&format!(
            "{:.2} % of them right",
            100.0 * right as f64 / classes.len() as f64
        ))?;
    }
    console::print(&costs(&session, &outcome.batches))
}

/// Images and their classes in order, as CSV; the first of the classified is number `first` in its file.
pub(super) fn classes_table(mut classes: Classes, first: usize) -> String {
    classes.sort_unstable();
    let mut text = "image,class\n".to_owned();
    for (image, class) in classes {
        let _ = writeln!(text, "{},{class}", first + image as usize);
    }
    text
}

/// What batches took: the first, which opens the model under a dealer, the other whole ones on average, and a shorter
/// last one.
fn costs(session: &Session, batches: &[Batch]) -> String {
    let helper = match session.protocol {
        Protocol::SecureNn { .. } => "assistant",
        Protocol::Dealt { .. } => "dealer",
    };
    let mut text = format!(
        "\n{:<18}{:>12}{:>14}{:>14}{:>16}{:>9}\n",
        "",
        "seconds",
        "p0 sent",
        "p1 sent",
        format!("{helper} sent"),
        "rounds"
    );
    let mut row = |name: &str, batches: &[Batch]| {
        let count = batches.len() as u64;
        if count == 0 {
            return;
        }
        let seconds: f64 = batches.iter().map(|batch| batch.seconds).sum();
        let rounds: u64 = batches.iter().map(|batch| batch.rounds).sum();
        let [p0, p1, other] = [0, 1, 2].map(|role| {
            let sent: u64 = batches.iter().map(|batch| batch.sent[role]).sum();
            bytes(sent / count)
        });
        let _ = writeln!(
            text,
            "{name:<18}{:>12.4}{p0:>14}{p1:>14}{other:>16}{:>9}",
            seconds / count as f64,
            rounds / count
        );
    };
    let whole = batches.partition_point(|batch| batch.samples == session.batch);
    let (whole, last) = batches.split_at(whole);
    if matches!(session.protocol, Protocol::SecureNn { .. }) {
        row("a batch", whole);
    } else {
        let (first, later) = whole.split_at(1.min(whole.len()));
        row("first, with model", first);
        row("a later batch", later);
    }
    for last in last {
        row(&format!("the last, of {}", last.samples), &[*last]);
    }
    text
}
