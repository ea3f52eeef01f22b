//! `ringlet compare`: the cost of an iteration by each protocol, side by side.

use std::path::{Path, PathBuf};

use clap::Args;
use ringlet_core::{
    Role,
    model::Model,
    network::Network,
    prg::{Address, Key, Prg},
    session::{Session, SessionError},
};

use crate::{
    config::{
        activation::Activation,
        args::{LogArgs, ProfileName, ReportArgs, SessionFileArgs},
        model::{check_shape, model},
        session::CheckedSession,
    },
    console::{self, bar::Bar},
    data::{
        Classes, Images, Part,
        file::{check_writable, write_whole},
        load,
        normalise::MeanAndDeviation,
    },
    error::Failure,
    links::traffic_shaper::TrafficShape,
    output::{
        comparison::{
            costs::{Compared, protocols},
            picture::picture,
            rows::rows,
            section::section,
            table::{csv, notes, table},
        },
        report::Report,
    },
    resources::reserved,
    run::{event::Event, secrets::Secrets, simulation::Simulation},
};

/// The most pixels of all images of a measurement: a party keeps a word for each.
const MAX_PIXELS: usize = 1 << 28;

/// Seed of the images and secrets of a measurement. Time does not depend on either.
const SEED: u64 = 1;

/// Options of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Model: convnet1, convnet2, digits8, securenn-a to securenn-d, or a JSON file.
    #[arg(long, value_name = "NAME|FILE", default_value = "convnet2")]
    pub model: String,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: u32,
    /// The polynomial that replaces ReLU in all protocols but exact: relu:DEGREE or relu:DEGREE:LOW:HIGH (the
    /// least-squares fit on an interval), pond-relu or pond-sigmoid.
    #[arg(long, value_name = "POLYNOMIAL", default_value_t)]
    pub activation: Activation,
    /// Directory for compare-MODEL-BATCH.csv and compare-MODEL-BATCH.svg.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Run so many iterations of each protocol on this machine, and print their time next to the estimate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub measure: Option<u32>,
    /// Kind of the links of --measure: lan (0.2 ms, 625 MB/s) or wan (40 ms, 40 MB/s); as fast as memory when left out.
    #[arg(long, value_enum, requires = "measure")]
    pub profile: Option<ProfileName>,
    /// Labelled images for --measure, as in `train`.
    ///
    /// The built-in digits when left out, or random images if the model takes another shape.
    #[arg(long, value_name = "PATH", requires = "measure")]
    pub data: Option<PathBuf>,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
    /// The report.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Prints and writes the comparison.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let report = Report::new(&args.report, "The cost of an iteration by each protocol")?;
    report.end(compare(args, &report))
}

/// Compares, and tells the report of it.
fn compare(args: &CompareArgs, report: &Report) -> Result<(), Failure> {
    let model = model(Some(&args.model), None)?;
    let protocols = protocols(&model, args.batch, &args.activation)?;
    let [csv_path, svg_path] = ["csv", "svg"].map(|kind| path(&args.out, &model, args.batch, kind));
    check_writable(&csv_path)?;
    check_writable(&svg_path)?;
    let measured = match args.measure {
        Some(iterations) => Some(measure_all(args, &model, &protocols, iterations)?),
        None => None,
    };
    let rows = rows(&protocols, measured.as_deref());
    let csv = csv(&rows)?;
    let svg = picture(&model, args.batch, &protocols)?;
    let measured = args.measure.map(|iterations| (iterations, args.profile));
    report.setting("model", model.name.as_str());
    report.setting("batch", args.batch.to_string());
    report.section(|| Some(section(&rows, &svg, &notes(&args.activation, measured))));
    console::print(&format!(
        "{} with batches of {}: an iteration by each protocol\n\n{}\n{}",
        model.name,
        args.batch,
        table(&rows),
        notes(&args.activation, measured)
    ))?;
    write_whole(&csv_path, &csv)?;
    write_whole(&svg_path, svg.as_bytes())?;
    console::note(&format!(
        "written: {} and {}",
        csv_path.display(),
        svg_path.display()
    ));
    Ok(())
}

/// The path of a file. Characters of the model's name that a file name cannot have become underscores.
fn path(dir: &Path, model: &Model, batch: u32, kind: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = model
        .name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    dir.join(format!("compare-{name}-{batch}.{kind}"))
}

/// Seconds of an iteration by each protocol.
fn measure_all(
    args: &CompareArgs,
    model: &Model,
    protocols: &[Compared],
    iterations: u32,
) -> Result<Vec<f64>, Failure> {
    let images = images(args, model, iterations)?;
    let shape = args
        .profile
        .map_or(TrafficShape::default(), TrafficShape::from);
    let total = u64::from(iterations) * protocols.len() as u64;
    let mut bar = Bar::of_steps("compare", "iteration", total);
    let mut done = 0;
    let measured = protocols
        .iter()
        .map(|protocol| {
            let session = Session {
                samples: [args.batch * iterations, 0],
                ..protocol.session.clone()
            };
            let mut advance = || {
                done += 1;
                bar.set(done, protocol.name.to_owned());
            };
            measure(session, &images, shape, &mut advance)
                .map_err(|failure| failure.of(protocol.name))
        })
        .collect();
    bar.finish();
    measured
}

/// Seconds of an iteration of a session.
fn measure(
    session: Session,
    images: &Images,
    shape: TrafficShape,
    advance: &mut dyn FnMut(),
) -> Result<f64, Failure> {
    let CheckedSession {
        session, network, ..
    } = CheckedSession::new(session, MeanAndDeviation::default(), Classes::default())?;
    let simulation = Simulation {
        session: &session,
        network: &network,
        images,
        shape,
        secrets: Secrets::Seed(SEED),
        checkpoints: None,
        initial: &[],
        on_range: None,
        threads: None,
    };
    // An iteration takes as long as the slower party.
    let mut times = vec![0f64; session.iterations() as usize];
    let (_, _) = simulation.train(&mut |role, event| {
        if let Event::Iteration {
            iteration, seconds, ..
        } = event
        {
            let time = &mut times[iteration as usize];
            *time = time.max(seconds);
            if role == Role::P0 {
                advance();
            }
        }
        Ok(())
    })?;
    Ok(times.iter().sum::<f64>() / times.len() as f64)
}

/// Images for so many iterations of a first epoch: those of the data, repeated if there are too few, or random ones if
/// none fit.
fn images(args: &CompareArgs, model: &Model, iterations: u32) -> Result<Images, Failure> {
    let shape = model.input.map(usize::from);
    let pixels = shape.iter().product::<usize>() as u64;
    let count = u64::from(args.batch) * u64::from(iterations);
    if count * pixels > MAX_PIXELS as u64 {
        return Err(Failure::new(
            format!("{count} images are more than memory can hold"),
            "give fewer iterations with --measure",
        ));
    }
    let count = count as usize;
    let classes = Network::new(model).map_err(SessionError::from)?.classes;
    let given = load(args.data.as_deref(), Part::Train)?;
    if args.data.is_some() {
        check_shape(model, &given)?;
        given.check_labels(classes)?;
    }
    if given.shape != shape || given.check_labels(classes).is_err() {
        return Ok(random_images(shape, count, classes));
    }
    let (mut pixels, mut labels) = (
        reserved(count * given.image_len(), "the images")?,
        reserved(count, "the labels")?,
    );
    for image in (0..count).map(|image| image % given.len()) {
        pixels.extend_from_slice(given.image(image));
        labels.push(given.labels[image]);
    }
    Ok(Images {
        shape,
        pixels,
        labels,
        classes: Classes::Numbered,
    })
}

/// Random images and labels, the same each time.
fn random_images(shape: [usize; 3], count: usize, classes: usize) -> Images {
    let stream = |wire: u8, len: usize| {
        let mut bytes = vec![0u8; len];
        let address = Address {
            iteration: 0,
            gate: 0,
            wire,
        };
        Prg::new(Key::new([SEED as u8; Key::LEN])).fill(address, 0, &mut bytes);
        bytes
    };
    let labels = stream(1, count).into_iter();
    Images {
        shape,
        pixels: stream(0, count * shape.iter().product::<usize>()),
        labels: labels
            .map(|byte| (usize::from(byte) % classes) as u8)
            .collect(),
        classes: Classes::Numbered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_directory() {
        let model = Model::new("../a b\\c", [8, 8, 1], &[]).expect("a short name");
        let made = path(Path::new("out"), &model, 4, "csv");
        assert_eq!(made, Path::new("out/compare-.._a_b_c-4.csv"));
    }

    #[test]
    fn random_images_are_whole_and_the_same_each_time() {
        let images = random_images([5, 4, 3], 7, 2);
        assert_eq!(images.pixels.len(), 7 * images.image_len());
        assert_eq!(images.len(), 7);
        images.check_labels(2).expect("classes");
        assert_eq!(images, random_images([5, 4, 3], 7, 2));
    }
}
