//! Data sets: what a user names as the images, and which of them are for training.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ringlet_core::session::Shuffle;

use super::{
    backbone::Backbone,
    classes::Classes,
    conversion::{Conversion, Size},
    feature_range::FeatureRange,
    gather::{Gathered, Gathering, gather},
    images::{Images, Part},
    sources::{self, FilePart, Source},
};
use crate::error::Failure;

/// What a user says of the images.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    /// Where they lie; none for the built-in digits.
    pub path: Option<PathBuf>,
    /// The size that all get.
    pub resize: Option<Size>,
    /// Colours become grey.
    pub greyscale: bool,
    /// The part of the images to hold out, if the files hold none out.
    pub test_part: Option<f64>,
    /// Leave out images that cannot be used.
    pub skip_bad: bool,
    /// The classes, as `--classes` gives them.
    pub classes: Option<String>,
    /// The column of the labels in tables.
    pub label_column: Option<String>,
    /// The layers that make features of the images, which are the samples then.
    pub backbone: Option<Arc<Backbone>>,
}

/// Images to classify.
pub struct ToClassify {
    /// The images. They have labels only if `labelled`.
    pub images: Images,
    /// Whether their classes are known.
    pub labelled: bool,
    /// The names of their files, if they are files.
    pub names: Vec<String>,
}

/// The most images whose features are measured.
const MEASURED: usize = 1000;

/// Loads a part of the data set at `path` as it is, or of the built-in digits.
pub fn load(path: Option<&Path>, part: Part) -> Result<Images, Failure> {
    let path = path.map(Path::to_owned);
    let set = DataSet {
        path,
        ..DataSet::default()
    };
    set.load(part)
}

/// Which images of which part of the files make up a part of a data set.
#[derive(Clone, Copy)]
enum Selection {
    /// All of them.
    Whole(FilePart),
    /// Those that are held out, or the others.
    Split(FilePart, Part),
}

impl DataSet {
    /// The name of its place, for messages.
    pub fn place(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the built-in digits".to_owned(),
        }
    }

    /// The classes of `--classes`, if it is given.
    pub fn given_classes(&self) -> Result<Option<Classes>, Failure> {
        self.classes.as_deref().map(Classes::given).transpose()
    }

    /// What lies there.
    pub fn open(&self) -> Result<Box<dyn Source>, Failure> {
        match &self.path {
            Some(path) => sources::open(path, self.label_column.as_deref()),
            None => sources::built_in(),
        }
    }

    /// Loads a part.
    pub fn load(&self, part: Part) -> Result<Images, Failure> {
        let source = self.open()?;
        let selection = self.select(&*source, part)?;
        Ok(self.gather(&*source, selection, false)?.images)
    }

    /// Loads the images to train on and those that are held out.
    pub fn load_both(&self) -> Result<[Images; 2], Failure> {
        let source = self.open()?;
        // What is missing is told before anything is read.
        let train = self.select(&*source, Part::Train)?;
        let test = self.select(&*source, Part::Test)?;
        let train = self.gather(&*source, train, false)?;
        Ok([train.images, self.gather(&*source, test, false)?.images])
    }

    /// Loads images to classify: the held-out ones, or all if none are held out.
    pub fn load_to_classify(&self) -> Result<ToClassify, Failure> {
        let source = self.open()?;
        let labelled = *source.classes() != Classes::Unknown;
        let all = source
            .parts()
            .iter()
            .find(|(part, _)| *part == FilePart::All)
            .copied();
        let selection = match (all, self.test_part) {
            (Some((all, _)), None) => Selection::Whole(all),
            _ => self.select(&*source, Part::Test)?,
        };
        let is_file = source.channels().is_some();
        let Gathered { images, names } = self.gather(&*source, selection, is_file)?;
        Ok(ToClassify {
            images,
            labelled,
            names,
        })
    }

    /// The range in which the features of up to 1,000 training images lie, from all over them.
    pub fn measure(&self, backbone: &Backbone) -> Result<FeatureRange, Failure> {
        let source = self.open()?;
        let parts = source.parts();
        let trained = [FilePart::Train, FilePart::All];
        let part = trained
            .iter()
            .find_map(|part| parts.iter().find(|(own, _)| own == part));
        let Some(&(part, len)) = part.or(parts.first()) else {
            return Err(Failure::new(
                format!("{} has no images", self.place()),
                "give others",
            ));
        };
        let step = len.div_ceil(MEASURED).max(1);
        let gathering = Gathering {
            place: &self.place(),
            conversion: self.conversion(),
            classes: None,
            skip_bad: self.skip_bad,
            named: false,
            shape: Some(backbone.input()),
            backbone: None,
        };
        let wanted = |index: usize| index.is_multiple_of(step);
        let gathered = gather(&*source, part, (&wanted, len.div_ceil(step)), &gathering)?;
        backbone.measured(&gathered.images.pixels)
    }

    /// What of the source makes up `part`.
    fn select(&self, source: &dyn Source, part: Part) -> Result<Selection, Failure> {
        let place = self.place();
        if *source.classes() == Classes::Unknown {
            return Err(Failure::new(
                format!("{place} has images without classes, which can only be classified"),
                "give a folder with a folder for each class, or files with labels",
            ));
        }
        let parts = source.parts();
        let has = |part: FilePart| parts.iter().any(|(own, _)| *own == part);
        let held_out = [FilePart::Test, FilePart::Validation]
            .into_iter()
            .find(|&part| has(part));
        if let (Some(test_part), Some(_)) = (self.test_part, held_out) {
            return Err(Failure::new(
                format!(
                    "{place} holds images out already, so --test-part {test_part} has none to choose"
                ),
                "leave out --test-part",
            ));
        }
        let trained = [FilePart::Train, FilePart::All]
            .into_iter()
            .find(|&part| has(part));
        match (part, trained, held_out) {
            (Part::Train, Some(trained), _) => Ok(match self.test_part {
                Some(_) => Selection::Split(trained, part),
                None => Selection::Whole(trained),
            }),
            (Part::Train, None, _) => Err(Failure::new(
                format!("{place} has no images to train on"),
                "call their folder or file `train`",
            )),
            (Part::Test, _, Some(held_out)) => Ok(Selection::Whole(held_out)),
            (Part::Test, Some(trained), None) if self.test_part.is_some() => {
                Ok(Selection::Split(trained, part))
            }
            (Part::Test, ..) => Err(Failure::new(
                format!("{place} holds no images out, to test a model on"),
                "add a part `test`, or hold some out with --test-part 0.1",
            )),
        }
    }

    fn gather(
        &self,
        source: &dyn Source,
        selection: Selection,
        named: bool,
    ) -> Result<Gathered, Failure> {
        let backbone = self.backbone.as_deref();
        let given = self.given_classes()?;
        let gathering = Gathering {
            place: &self.place(),
            conversion: self.conversion(),
            classes: given.as_ref(),
            skip_bad: self.skip_bad,
            named,
            shape: backbone.map(Backbone::input),
            backbone,
        };
        let len = |part: FilePart| {
            let parts = source.parts();
            parts
                .iter()
                .find(|(own, _)| *own == part)
                .map_or(0, |&(_, len)| len)
        };
        match selection {
            Selection::Whole(part) => gather(source, part, (&|_| true, len(part)), &gathering),
            Selection::Split(part, side) => {
                let total = len(part);
                let held_out = held_out(total, self.test_part.unwrap_or(0.0))?;
                let count = held_out.iter().filter(|&&held_out| held_out).count();
                let (is_test, count) = match side {
                    Part::Test => (true, count),
                    Part::Train => (false, total - count),
                };
                gather(
                    source,
                    part,
                    (&|index| held_out[index] == is_test, count),
                    &gathering,
                )
            }
        }
    }

    /// What is done to each image.
    pub fn conversion(&self) -> Conversion {
        Conversion {
            resize: self.resize,
            greyscale: self.greyscale,
        }
    }
}

/// Which of `total` images are held out: the same ones each time, from all over them.
fn held_out(total: usize, part: f64) -> Result<Vec<bool>, Failure> {
    let count = u32::try_from(total)
        .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))?;
    let shuffle = Shuffle::new(count.max(1), 1);
    let mut held_out = vec![false; total];
    let wanted = (f64::from(count) * part).round() as u32;
    for place in 0..wanted.min(count) {
        held_out[shuffle.sample(0, place) as usize] = true;
    }
    Ok(held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_digits_are_whole() {
        let train = load(None, Part::Train).expect("the digits");
        let test = load(None, Part::Test).expect("the digits");
        assert_eq!((train.len(), test.len()), (1498, 299));
        assert_eq!(train.shape, [8, 8, 1]);
        for class in 0..10 {
            assert!(train.labels.iter().filter(|&&label| label == class).count() > 100);
            assert!(test.labels.iter().filter(|&&label| label == class).count() > 20);
        }
    }

    #[test]
    fn held_out_images_come_from_all_over_and_are_the_same_each_time() {
        let chosen = held_out(1000, 0.1).expect("a choice");
        assert_eq!(chosen.iter().filter(|&&held_out| held_out).count(), 100);
        assert_eq!(chosen, held_out(1000, 0.1).expect("a choice"));
        assert!(chosen[..500].contains(&true) && chosen[500..].contains(&true));
    }
}
