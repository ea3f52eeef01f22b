//! `ringlet compare`: what an iteration costs by each protocol, side by side.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use ringlet_core::{
    Role,
    model::Model,
    network::Network,
    num::Ring,
    prg::{Address, Key, Prg},
    session::{Session, SessionError},
    share::NoObserver,
};

use crate::run::simulation::Simulation;
use crate::{
    config::{
        args::{CompareArgs, ProfileName},
        settings::{self, InRing, in_ring},
    },
    data::{
        Images, Part,
        file::{check_writable, write_whole},
        load,
    },
    error::Failure,
    links::traffic_shaper::TrafficShape,
    output::{
        chart::{self, Bar, Panel},
        comparison::{Compared, Row, both, protocols, rows},
        console,
    },
    run::{event::Event, secrets::Secrets},
};

/// The most pixels of all images of a measurement: a party keeps a word for each.
const MAX_PIXELS: usize = 1 << 28;

/// Seed of a measurement's images and secrets: time does not depend on either.
const SEED: u64 = 1;

/// Prints and writes the comparison that the arguments ask for.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let model = settings::model(Some(&args.model), None)?;
    let protocols = protocols(&model, args.batch, &args.activation)?;
    let [csv_path, svg_path] =
        ["csv", "svg"].map(|kind| place(&args.out, &model, args.batch, kind));
    check_writable(&csv_path)?;
    check_writable(&svg_path)?;
    let measured = match args.measure {
        Some(iterations) => Some(measure_all(args, &model, &protocols, iterations)?),
        None => None,
    };
    let rows = rows(&protocols, measured.as_deref());
    let csv = csv(&rows)?;
    let svg = picture(&model, args.batch, &protocols)?;
    console::print(&format!(
        "{} with batches of {}: an iteration by each protocol\n\n{}\n{}",
        model.name,
        args.batch,
        table(&rows),
        notes(args)
    ))?;
    write_whole(&csv_path, &csv)?;
    write_whole(&svg_path, svg.as_bytes())?;
    eprintln!("written: {} and {}", csv_path.display(), svg_path.display());
    Ok(())
}

/// Where a file goes. A model's name is anything, and not all of it may stand in a file's.
fn place(dir: &Path, model: &Model, batch: u32, kind: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = model
        .name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    dir.join(format!("compare-{name}-{batch}.{kind}"))
}

/// Bytes in millions, to a thousand.
fn megabytes(bytes: u64) -> String {
    format!("{:.3}", bytes as f64 / 1e6)
}

/// The rows as a table.
fn table(rows: &[Row]) -> String {
    let measured = rows.iter().any(|row| row.measured_seconds.is_some());
    let longest = rows.iter().map(|row| row.layer.len()).max();
    let width = longest.unwrap_or(0).max("layer".len());
    let line = |labels: [&str; 3], cells: [&str; 8]| {
        let [layer, direction, protocol] = labels;
        let [opened, published, sent, rounds, dealer, lan, wan, time] = cells;
        let line = format!(
            "{layer:<width$}  {direction:<11}  {protocol:<14}  {opened:>10}  {published:>10}  {sent:>8}  \
             {rounds:>6}  {dealer:>9}  {lan:>6}  {wan:>6}"
        );
        if measured {
            line + &format!("  {time:>8}\n")
        } else {
            line + "\n"
        }
    };
    let mut table = line(
        ["layer", "direction", "protocol"],
        [
            "opened",
            "16-byte MB",
            "sent MB",
            "rounds",
            "dealer MB",
            "LAN s",
            "WAN s",
            "measured",
        ],
    );
    let mut group = None;
    for row in rows {
        let direction = match row.epoch {
            "later" => format!("{}, later", row.direction),
            _ => row.direction.to_owned(),
        };
        // What a row has in common with the one above it is not said again.
        let same = group.replace((row.layer.clone(), direction.clone()));
        let repeated = same == group;
        table += &line(
            [
                if repeated { "" } else { &row.layer },
                if repeated { "" } else { &direction },
                row.protocol,
            ],
            [
                &row.opened_values.to_string(),
                &row.published_bytes.map_or("-".to_owned(), megabytes),
                &megabytes(row.online_bytes),
                &row.rounds.to_string(),
                &megabytes(row.dealer_bytes_p1),
                &format!("{:.3}", row.lan_seconds),
                &format!("{:.3}", row.wan_seconds),
                &row.measured_seconds
                    .map_or("-".to_owned(), |seconds| format!("{seconds:.3}")),
            ],
        );
    }
    table
}

/// What the table's words mean.
fn notes(args: &CompareArgs) -> String {
    let mut notes = format!(
        "In all protocols but exact, {} stands in the place of ReLU.\n\
         opened: values that are opened. 16-byte MB: the same in the published protocol's words of 16 bytes; exact ReLU\n\
         and softmax open bits, which are no words. sent MB: what a party sends. dealer MB: corrections to p1.\n\
         no softmax: all but the softmax, in whose place the published protocol reveals the logits.\n\
         later: in later epochs. There fused and exact, which keep the masks of data, open no data again.\n\
         LAN s, WAN s: an estimate from the plan, of time on the link between the parties alone: rounds x 0.2 ms +\n\
         sent / 625 MB/s, and rounds x 40 ms + sent / 40 MB/s. Computing is not in it, nor is the dealer's link, which\n\
         takes dealer MB / rate or more where the dealer works during the run.\n",
        args.activation
    );
    if let Some(iterations) = args.measure {
        let links = match args.profile {
            Some(ProfileName::Lan) => "every link shaped as lan",
            Some(ProfileName::Wan) => "every link shaped as wan",
            None => "links as fast as memory",
        };
        notes += &format!(
            "measured: seconds of an iteration, computing and dealing included: mean of {iterations} in the first epoch,\n\
             with all roles on this machine and {links}.\n"
        );
    }
    notes
}

fn csv(rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = rows.iter().try_for_each(|row| writer.serialize(row));
    written
        .map_err(|error| error.to_string())
        .and_then(|()| writer.into_inner().map_err(|error| error.to_string()))
        .map_err(|error| Failure::new(format!("the CSV cannot be written: {error}"), ""))
}

/// The bar chart: bytes of an iteration of the first epoch.
fn picture(model: &Model, batch: u32, protocols: &[Compared]) -> Result<String, Failure> {
    let exact = protocols.last().map_or(&[][..], |exact| &exact.first);
    let layers: Vec<&str> = exact.iter().map(|line| line.name.as_str()).collect();
    let sent = protocols.iter().map(|protocol| {
        let parts = protocol.first.iter().map(|line| both(line).online_bytes);
        Bar {
            name: protocol.name,
            parts: parts.collect(),
        }
    });
    let published = protocols.iter().filter_map(|protocol| {
        let (_, layers) = protocol.first.split_last()?;
        let parts = layers
            .iter()
            .map(|line| protocol.published_bytes(both(line)));
        Some(Bar {
            name: protocol.name,
            parts: parts.collect::<Option<_>>()?,
        })
    });
    chart::draw(
        &format!(
            "{} with batches of {batch}: an iteration of the first epoch",
            model.name
        ),
        "sent by a party",
        &[
            Panel {
                title: "as sent here",
                bars: sent.collect(),
            },
            Panel {
                title: "in words of 16 bytes, without softmax",
                bars: published.collect(),
            },
        ],
        &layers,
    )
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
    let bar = ProgressBar::new(u64::from(iterations) * protocols.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} iteration {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    let measured = protocols
        .iter()
        .map(|protocol| {
            let session = Session {
                samples: [args.batch * iterations, 0],
                ..protocol.session.clone()
            };
            let task = Measurement {
                session: &session,
                images: &images,
                shape,
                bar: &bar,
            };
            bar.set_message(protocol.name);
            in_ring(&session, task).map_err(|failure| failure.of(protocol.name))
        })
        .collect();
    bar.finish_and_clear();
    measured
}

/// Images for so many iterations of a first epoch: the data's, again and again if there are too few,
/// or random ones if none fit.
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
        settings::check_shape(model, &given)?;
        given.check_labels(classes)?;
    }
    if given.shape != shape || given.check_labels(classes).is_err() {
        return Ok(random_images(shape, count, classes));
    }
    let chosen = || (0..count).map(|image| image % given.len());
    Ok(Images {
        shape,
        pixels: chosen()
            .flat_map(|image| given.image(image).iter().copied())
            .collect(),
        labels: chosen().map(|image| given.labels[image]).collect(),
    })
}

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
    }
}

/// A run of one protocol for its time alone.
struct Measurement<'a> {
    session: &'a Session,
    images: &'a Images,
    shape: TrafficShape,
    bar: &'a ProgressBar,
}

impl InRing for Measurement<'_> {
    type Output = f64;

    fn run<R: Ring>(self, network: Network) -> Result<f64, Failure> {
        let simulation = Simulation {
            session: self.session,
            network: &network,
            images: self.images,
            shape: self.shape,
            secrets: Secrets::Seed(SEED),
        };
        // An iteration takes as long as the party that takes longer.
        let mut times = vec![0f64; self.session.iterations() as usize];
        simulation.run::<R>((NoObserver, NoObserver), |role, event| {
            if let Event::Iteration {
                iteration, seconds, ..
            } = event
            {
                let time = &mut times[iteration as usize];
                *time = time.max(seconds);
                self.bar.inc(u64::from(role == Role::P0));
            }
            Ok(())
        })?;
        Ok(times.iter().sum::<f64>() / times.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_hold_nothing_that_leads_elsewhere() {
        let model = Model::new("../a b\\c", [8, 8, 1], &[]).expect("a short name");
        let path = place(Path::new("out"), &model, 4, "csv");
        assert_eq!(path, Path::new("out/compare-.._a_b_c-4.csv"));
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
