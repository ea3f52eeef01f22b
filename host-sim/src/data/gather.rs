//! Images of a source as samples: converted, with their labels, and without those that cannot be used.

use std::fmt::Write as _;

use super::{
    backbone::Backbone,
    classes::Classes,
    conversion::Conversion,
    images::Images,
    sources::{Entry, FilePart, Source},
};
use crate::{
    console::{self, bar::Bar},
    error::Failure,
    resources::reserved,
};

/// The most images that an error names.
const NAMED: usize = 10;

/// Images whose features are computed together, on all processors.
const AT_ONCE: usize = 256;

/// The part of all features outside their range from which on there is a warning.
const CLIPPED: f64 = 0.01;

/// How images become samples.
pub struct Gathering<'a> {
    /// What lies where, for messages.
    pub place: &'a str,
    /// What is done to each image.
    pub conversion: Conversion,
    /// The classes that labels are to stand for; none for the source's own.
    pub classes: Option<&'a Classes>,
    /// Leave out what cannot be used.
    pub skip_bad: bool,
    /// Keep the names of files.
    pub named: bool,
    /// Rows, columns and channels that all images have to have; none for those of the first.
    pub shape: Option<[usize; 3]>,
    /// The layers that make features of them.
    pub backbone: Option<&'a Backbone>,
}

/// Samples, and what they are called.
pub struct Gathered {
    /// The samples.
    pub images: Images,
    /// The names of their files, if they were kept and there are any.
    pub names: Vec<String>,
}

/// An image that cannot be used, and why.
struct Bad {
    what: String,
    remedy: &'static str,
}

/// What has been gathered so far.
struct State<'a> {
    gathering: &'a Gathering<'a>,
    source: &'a dyn Source,
    /// Images that are still to come at first.
    wanted: usize,
    gathered: Gathered,
    /// The first ones that cannot be used, and the number of all.
    bad: (Vec<Bad>, usize),
    pixels: Vec<u8>,
    /// Images whose features are still to be computed, and how many features were outside their range so far.
    pending: (Vec<u8>, u64),
}

/// Gathers the images of a part whose numbers are `wanted`, `count` of them.
pub fn gather(
    source: &dyn Source,
    part: FilePart,
    (wanted, count): (&dyn Fn(usize) -> bool, usize),
    gathering: &Gathering<'_>,
) -> Result<Gathered, Failure> {
    let mut bar = Bar::of_things("data", "image", count as u64);
    let mut seen = 0;
    let mut state = State {
        gathering,
        source,
        wanted: count,
        gathered: Gathered {
            images: Images {
                shape: [0; 3],
                pixels: Vec::new(),
                labels: reserved(count, "the labels")?,
                classes: gathering.classes.unwrap_or(source.classes()).clone(),
            },
            names: Vec::new(),
        },
        bad: (Vec::new(), 0),
        pixels: Vec::new(),
        pending: (Vec::new(), 0),
    };
    if *source.classes() == Classes::Unknown {
        state.gathered.images.classes = Classes::Unknown;
    }
    let read = source.read(part, wanted, &mut |entry| {
        seen += 1;
        bar.set(seen, String::new());
        state.take(entry)
    });
    bar.finish();
    read?;
    state.end()
}

impl State<'_> {
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Failure> {
        let gathering = self.gathering;
        let label = match (entry.label, gathering.classes) {
            (Some(label), Some(given)) => {
                let own = self.source.classes();
                let translated = given.translate(own, label);
                translated.ok_or_else(|| {
                    Failure::new(
                        format!(
                            "{} has a class {}, which is not among --classes {given}",
                            gathering.place,
                            own.name(label)
                        ),
                        "add it there, at both parties",
                    )
                })?
            }
            (label, _) => label.unwrap_or(0),
        };
        let raw = match entry.image {
            Ok(raw) => raw,
            Err(why) => {
                let what = format!("{} {why}", entry.name);
                self.put_aside(what, "mend or remove what is damaged");
                return Ok(());
            }
        };
        let first = self.gathered.images.shape;
        let channels = match (gathering.shape, self.source.channels()) {
            (Some([.., channels]), _) | (None, Some(channels)) => channels,
            (None, None) if first[0] == 0 => raw.shape[2],
            (None, None) => first[2],
        };
        let shape = gathering.conversion.apply(raw, channels, &mut self.pixels);
        let Some(shape) = shape else {
            let what = match gathering.shape {
                Some(_) => format!("{} has other channels than the backbone takes", entry.name),
                None => format!("{} is in colour, and others are not", entry.name),
            };
            self.put_aside(what, "give --greyscale");
            return Ok(());
        };
        if let Some(wanted) = gathering.shape.filter(|&wanted| wanted != shape) {
            let [[rows, columns, _], [own_rows, own_columns, _]] = [shape, wanted];
            let what = format!(
                "{} has {columns}x{rows} pixels, and the backbone takes {own_columns}x{own_rows}",
                entry.name
            );
            self.put_aside(what, "give --resize WIDTHxHEIGHT");
            return Ok(());
        }
        let images = &mut self.gathered.images;
        if images.is_empty() {
            images.shape = gathering.backbone.map_or(shape, Backbone::output);
            images.pixels = reserved(self.wanted * images.image_len(), "the images")?;
        }
        if gathering.backbone.is_none() && images.shape != shape {
            let [[rows, columns, _], [first_rows, first_columns, _]] = [shape, images.shape];
            let what = format!(
                "{} has {columns}x{rows} pixels, and the first image {first_columns}x{first_rows}",
                entry.name
            );
            self.put_aside(what, "give --resize WIDTHxHEIGHT");
            return Ok(());
        }
        match gathering.backbone {
            None => images.pixels.extend_from_slice(&self.pixels),
            Some(_) => self.pending.0.extend_from_slice(&self.pixels),
        }
        // A source has at most 256 classes.
        images.labels.push(label as u8);
        if gathering.named {
            self.gathered.names.push(entry.name.to_string());
        }
        match self.pending.0.len() >= AT_ONCE * self.pixels.len().max(1) {
            true => self.compute(),
            false => Ok(()),
        }
    }

    /// Computes the features of the images that wait for it.
    fn compute(&mut self) -> Result<(), Failure> {
        let (pending, outside) = &mut self.pending;
        if let Some(backbone) = self.gathering.backbone {
            *outside += backbone.features(pending, &mut self.gathered.images.pixels)?;
        }
        pending.clear();
        Ok(())
    }

    /// Warns if many features had to be brought into their range.
    fn warn_of_range(&self) {
        let (outside, all) = (self.pending.1, self.gathered.images.pixels.len());
        let part = outside as f64 / all.max(1) as f64;
        if part > CLIPPED {
            console::note(&format!(
                "warning: {:.1} % of the features of {} lie outside --feature-range, and were brought to its ends",
                100.0 * part,
                self.gathering.place
            ));
        }
    }

    fn put_aside(&mut self, what: String, remedy: &'static str) {
        let (first, count) = &mut self.bad;
        *count += 1;
        if first.len() < NAMED {
            first.push(Bad { what, remedy });
        }
    }

    /// Ends with the samples, or tells which images cannot be used.
    fn end(mut self) -> Result<Gathered, Failure> {
        self.compute()?;
        self.warn_of_range();
        let State {
            gathering,
            gathered,
            bad: (first, count),
            wanted,
            ..
        } = self;
        let Some(bad) = first.first() else {
            return match gathered.images.is_empty() {
                false => Ok(gathered),
                true => Err(Failure::new(
                    format!("{} leaves no images", gathering.place),
                    "give other --data, or another --test-part",
                )),
            };
        };
        let mut list = String::new();
        for (index, bad) in first.iter().enumerate() {
            let _ = match index {
                0 => write!(list, "{}", bad.what),
                _ => write!(list, ", {}", bad.what),
            };
        }
        if count > first.len() {
            let _ = write!(list, " and {} more", count - first.len());
        }
        let told = format!(
            "{count} of {wanted} images of {} cannot be used: {list}",
            gathering.place
        );
        // If most are left out, then something else is wrong than a few files.
        match gathering.skip_bad && 2 * count <= wanted {
            true => {
                console::note(&format!("warning: left out, as --skip-bad says: {told}"));
                Ok(gathered)
            }
            false if gathering.skip_bad => Err(Failure::new(
                told,
                format!(
                    "{}; --skip-bad leaves out half of them at the most",
                    bad.remedy
                ),
            )),
            false => Err(Failure::new(
                told,
                format!("{}, or leave such images out with --skip-bad", bad.remedy),
            )),
        }
    }
}
