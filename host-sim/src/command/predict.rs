//! `ringlet predict`: private inference, all roles on this machine.

use std::path::PathBuf;

use clap::Args;

use super::classification::{Classified, classify, load};
use crate::{
    config::args::{ClassificationArgs, positive},
    console,
    data::{
        Classes, DataSet, Images,
        dataset::ToClassify,
        file::{check_writable, write_whole},
    },
    error::Failure,
    output::{
        classes::{Names, classes_table},
        confusion::Confusion,
        report::{
            Report,
            page::Section,
            results::{classified, counts, wrong},
        },
    },
};

/// The most images whose classes are printed.
const PRINTED: usize = 20;

/// Options of `predict`.
#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// The model and the images. Of images with classes, the held-out ones are used if some are held out.
    #[command(flatten)]
    pub classification: ClassificationArgs,
    /// Classify only this image, counted from 0.
    #[arg(long, value_name = "N", conflicts_with = "count")]
    pub image: Option<usize>,
    /// Classify the first so many images; all when left out.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<usize>,
    /// Write the classes to this file, as CSV; up to 20 are printed when left out.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The chosen images, and the number of the first one.
fn images(args: &PredictArgs, set: &DataSet) -> Result<(ToClassify, usize), Failure> {
    let ToClassify {
        images,
        labelled,
        mut names,
    } = set.load_to_classify()?;
    let range = match (args.image, args.count) {
        (Some(image), _) => image..image.saturating_add(1),
        (None, Some(count)) => 0..count,
        (None, None) => 0..images.len(),
    };
    if range.end > images.len() || range.is_empty() {
        return Err(Failure::new(
            format!("there are {} images, numbered from 0", images.len()),
            "correct --image or --count",
        ));
    }
    names.drain(..range.start.min(names.len()));
    let chosen = ToClassify {
        images: images.slice(range.clone()),
        labelled,
        names,
    };
    Ok((chosen, range.start))
}

/// Classifies.
pub fn run(args: &PredictArgs) -> Result<(), Failure> {
    let heading = "Private inference, all roles on one machine";
    let report = Report::new(&args.classification.report, heading)?;
    report.end(predict(args, &report))
}

/// Classifies, and tells the report of it.
fn predict(args: &PredictArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    let loaded = load(&args.classification)?;
    let (chosen, first) = images(args, &loaded.set)?;
    let images = &chosen.images;
    let Classified {
        found,
        names: known,
        costs,
        classes: count,
    } = classify(&args.classification, &loaded, images, report)?;
    let classes: Vec<u8> = found.iter().map(|&(_, class)| class).collect();
    // What frozen layers make of images is no picture.
    let pictured = |section: Option<Section>| section.filter(|_| loaded.set.backbone.is_none());
    if chosen.labelled {
        let pairs = images.labels.iter().copied().zip(classes.iter().copied());
        report.confusion(&Confusion::new(count, pairs), &known);
        report.section(|| pictured(wrong(images, &classes, &known)));
    } else {
        report.section(|| Some(counts(&found, count, &known)));
        report.section(|| pictured(classified(images, &classes, (first, &known))));
    }
    let names = Names {
        files: &chosen.names,
        classes: &known,
    };
    let table = classes_table(found, first, names)?;
    if let Some(path) = &args.out {
        write_whole(path, table.as_bytes())?;
        console::line(&format!("the classes are in {}", path.display()))?;
    } else if classes.len() <= PRINTED {
        console::print(&table)?;
    }
    if chosen.labelled {
        console::line(&verdict(&classes, images, &known))?;
    }
    console::print(&costs)
}

/// How many of the classes are right.
fn verdict(classes: &[u8], images: &Images, known: &Classes) -> String {
    let labels = &images.labels;
    if let ([class], [label]) = (classes, &labels[..]) {
        let right = if class == label { "right" } else { "wrong" };
        return format!("{right}: its label is {}", known.name((*label).into()));
    }
    let pairs = classes.iter().zip(labels);
    let right = pairs.filter(|(class, label)| class == label).count();
    format!(
        "{:.2} % of them right",
        100.0 * right as f64 / classes.len() as f64
    )
}
