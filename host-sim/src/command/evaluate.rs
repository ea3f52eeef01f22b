//! `ringlet evaluate`: how well a model classifies held-out images, by private inference, all roles on this machine.

use clap::Args;

use super::classification::{Classified, classify, load};
use crate::{
    config::args::{ClassificationArgs, positive},
    console,
    data::Part,
    error::Failure,
    output::{
        amounts::counted,
        confusion::Confusion,
        report::{Report, results::wrong},
    },
};

/// Options of `evaluate`.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// The model, and the images with their classes, of which the held-out ones are used.
    #[command(flatten)]
    pub classification: ClassificationArgs,
    /// Evaluate on the first so many held-out images; all when left out.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<usize>,
}

/// Classifies the held-out images, and prints how many are right and which are mistaken.
pub fn run(args: &EvaluateArgs) -> Result<(), Failure> {
    let heading = "Private evaluation, all roles on one machine";
    let report = Report::new(&args.classification.report, heading)?;
    report.end(evaluate(args, &report))
}

/// Evaluates, and tells the report of it.
fn evaluate(args: &EvaluateArgs, report: &Report) -> Result<(), Failure> {
    let loaded = load(&args.classification)?;
    let all = loaded.set.load(Part::Test)?;
    let (there, count) = (all.len(), args.count.unwrap_or(all.len()));
    if count > there {
        return Err(Failure::new(
            format!("--count is {count}, but there are {there} held-out images"),
            "correct --count, or give other --data",
        ));
    }
    let images = all.slice(0..count);
    images.check_labels(loaded.classes())?;
    let Classified {
        found,
        classes,
        names,
        costs,
    } = classify(&args.classification, &loaded, &images, report)?;
    let found: Vec<u8> = found.into_iter().map(|(_, class)| class).collect();
    let pairs = images.labels.iter().copied().zip(found.iter().copied());
    let confusion = Confusion::new(classes, pairs);
    report.confusion(&confusion, &names);
    // What frozen layers make of images is no picture.
    if loaded.set.backbone.is_none() {
        report.section(|| wrong(&images, &found, &names));
    }
    console::line(&format!(
        "{:.2} % of {} right",
        100.0 * confusion.accuracy(),
        counted(confusion.total().into(), "held-out image")
    ))?;
    console::print(&confusion.table(&names))?;
    console::print(&costs)
}
