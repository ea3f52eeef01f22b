//! `ringlet data inspect`: what is in a data set.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;

use crate::{
    config::args::LogArgs,
    console,
    data::{Classes, DataSet, conversion::Conversion, survey::Survey},
    error::Failure,
};

/// Options of `data inspect`.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The images, as for --data of other commands. The built-in digits when left out.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Turn colours to grey before mean and deviation are taken.
    #[arg(long)]
    pub greyscale: bool,
    /// The column of the labels in CSV files: its name, or its number from 1.
    #[arg(long, value_name = "NAME|N")]
    pub label_column: Option<String>,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Prints what is there.
pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let set = DataSet {
        path: args.path.clone(),
        label_column: args.label_column.clone(),
        ..DataSet::default()
    };
    let source = set.open()?;
    let conversion = Conversion {
        greyscale: args.greyscale,
        ..Conversion::default()
    };
    let survey = Survey::of(&*source, conversion)?;
    console::print(&text(&set.place(), &survey))
}

/// The survey as text.
fn text(place: &str, survey: &Survey) -> String {
    let mut text = format!("{place}: {}\n", survey.kind);
    let _ = match &survey.classes {
        Classes::Unknown => writeln!(
            text,
            "classes: none, so these images can only be classified"
        ),
        Classes::Numbered => writeln!(text, "classes: numbers without names"),
        Classes::Named(names) => writeln!(text, "classes: {}", names.join(",")),
    };
    table(&mut text, survey);
    let shapes = survey
        .shapes
        .iter()
        .map(|([rows, columns, channels], count)| {
            format!("{count} of {rows}x{columns}x{channels}")
        });
    let shapes: Vec<String> = shapes.collect();
    let _ = writeln!(text, "rows x columns x channels: {}", shapes.join(", "));
    let sizes: Vec<_> = survey
        .shapes
        .keys()
        .map(|[rows, columns, _]| [rows, columns])
        .collect();
    if sizes.array_windows().any(|[one, next]| one != next) {
        text += "  they differ in size, so --resize WIDTHxHEIGHT is needed\n";
    }
    if survey.count() > 0 {
        let [least, most] = survey.range;
        let _ = writeln!(text, "values: {least} to {most}");
        let _ = writeln!(text, "mean and deviation: --normalise {}", survey.normalise);
    }
    if !survey.bad.is_empty() {
        let _ = writeln!(
            text,
            "cannot be used, and left out with --skip-bad: {}",
            survey.bad.len()
        );
        for bad in &survey.bad {
            let _ = writeln!(text, "  {bad}");
        }
    }
    text
}

/// The numbers of images, by class and part.
fn table(text: &mut String, survey: &Survey) {
    let labels = 0..survey.parts.first().map_or(0, |part| part.by_label.len());
    let is_there = |&label: &usize| {
        let named = survey
            .classes
            .names()
            .is_some_and(|names| label < names.len());
        named || survey.parts.iter().any(|part| part.by_label[label] > 0)
    };
    let names: Vec<(usize, String)> = labels
        .filter(is_there)
        .map(|label| (label, survey.classes.name(label)))
        .collect();
    let lens = names.iter().map(|(_, name)| name.chars().count());
    let width = lens.chain(["images".len()]).max().unwrap_or(0);
    let mut line = |name: &str, cells: Vec<String>| {
        let _ = write!(text, "{name:<width$}");
        for cell in cells {
            let _ = write!(text, "{cell:>12}");
        }
        text.push('\n');
    };
    let of_parts = |cell: &dyn Fn(&crate::data::survey::PartSurvey) -> String| {
        survey.parts.iter().map(cell).collect()
    };
    line("", of_parts(&|part| part.name.to_string()));
    for (label, name) in &names {
        line(name, of_parts(&|part| part.by_label[*label].to_string()));
    }
    line("images", of_parts(&|part| part.count.to_string()));
}
