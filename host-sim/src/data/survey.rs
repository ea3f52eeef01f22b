//! What is in a data set: its images by class, their sizes and values, and what cannot be used.

use std::collections::BTreeMap;

use super::{
    classes::{Classes, MAX_CLASSES},
    conversion::Conversion,
    normalise::{MeanAndDeviation, PixelSums},
    sources::{FilePart, Source},
};
use crate::{console::bar::Bar, error::Failure};

/// What is in a data set.
pub struct Survey {
    /// What it is, in a few words.
    pub kind: String,
    /// The classes of its labels.
    pub classes: Classes,
    /// Its parts.
    pub parts: Vec<PartSurvey>,
    /// Images of each shape: rows, columns and channels.
    pub shapes: BTreeMap<[usize; 3], usize>,
    /// The smallest and the largest byte.
    pub range: [u8; 2],
    /// Mean and deviation of the images to train on, or of all if none are.
    pub normalise: MeanAndDeviation,
    /// What cannot be used, and why.
    pub bad: Vec<String>,
}

/// The images of a part.
pub struct PartSurvey {
    /// The part.
    pub name: FilePart,
    /// Images that can be used.
    pub count: usize,
    /// Images of each label.
    pub by_label: Vec<usize>,
}

impl Survey {
    /// Looks at every image of a source, as it is after the conversion. Sizes are those before it.
    pub fn of(source: &dyn Source, conversion: Conversion) -> Result<Self, Failure> {
        let parts = source.parts();
        let for_training = |part: FilePart| [FilePart::Train, FilePart::All].contains(&part);
        let some_are = parts.iter().any(|&(part, _)| for_training(part));
        let total: usize = parts.iter().map(|(_, count)| count).sum();
        let mut bar = Bar::of_things("data", "image", total as u64);
        let mut seen = 0;
        let mut survey = Survey {
            kind: source.kind(),
            classes: source.classes().clone(),
            parts: Vec::new(),
            shapes: BTreeMap::new(),
            range: [u8::MAX, 0],
            normalise: MeanAndDeviation::default(),
            bad: Vec::new(),
        };
        let mut sums = PixelSums::default();
        let mut pixels = Vec::new();
        for (name, _) in parts {
            let mut part = PartSurvey {
                name,
                count: 0,
                by_label: vec![0; MAX_CLASSES],
            };
            source.read(name, &|_| true, &mut |entry| {
                seen += 1;
                bar.set(seen, String::new());
                let raw = match entry.image {
                    Ok(raw) => raw,
                    Err(why) => {
                        survey.bad.push(format!("{} {why}", entry.name));
                        return Ok(());
                    }
                };
                part.count += 1;
                if let Some(label) = entry.label {
                    part.by_label[label] += 1;
                }
                *survey.shapes.entry(raw.shape).or_default() += 1;
                let [least, most] = &mut survey.range;
                *least = raw
                    .pixels
                    .iter()
                    .fold(*least, |least, &pixel| least.min(pixel));
                *most = raw
                    .pixels
                    .iter()
                    .fold(*most, |most, &pixel| most.max(pixel));
                let channels = source.channels().unwrap_or(raw.shape[2]);
                if (for_training(name) || !some_are)
                    && let Some(shape) = conversion.apply(raw, channels, &mut pixels)
                {
                    sums.add(shape[2], &pixels);
                }
                Ok(())
            })?;
            survey.parts.push(part);
        }
        bar.finish();
        survey.normalise = sums.mean_and_deviation();
        Ok(survey)
    }

    /// Images that can be used.
    pub fn count(&self) -> usize {
        self.parts.iter().map(|part| part.count).sum()
    }
}
