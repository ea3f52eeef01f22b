//! Options that say which images are read, and how.

use std::path::PathBuf;

use clap::Args;

use super::BackboneArgs;
use crate::data::{DataSet, conversion::Size};

/// Options that say which images are read, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct DataArgs {
    /// The images: folders by class, or IDX, NumPy or CSV files.
    ///
    /// A folder holds a folder of PNG, JPEG, BMP or TIFF files for each class, within train/ and test/ or not; IDX files are named as
    /// MNIST's; NumPy's are .npy or .npz. To classify, also images without classes. The built-in digits when left out.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Bring all images to this size.
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub resize: Option<Size>,
    /// Turn colours to grey.
    #[arg(long)]
    pub greyscale: bool,
    /// Hold out this part of the images, always the same ones, where the files hold none out.
    #[arg(long, value_name = "PART", value_parser = part)]
    pub test_part: Option<f64>,
    /// Leave out images that are damaged or odd, and say how many, instead of ending.
    #[arg(long)]
    pub skip_bad: bool,
    /// The classes in the order of their numbers, as names or a file of them.
    ///
    /// Names are separated by commas; a file has a name on each line. Of folders and tables with names, those names in
    /// the order of the alphabet when left out.
    #[arg(long, value_name = "NAMES|FILE")]
    pub classes: Option<String>,
    /// The column of the labels in CSV files: its name, or its number from 1.
    ///
    /// The one called `label`, or the first, when left out.
    #[arg(long, value_name = "NAME|N")]
    pub label_column: Option<String>,
    /// The layers that make features of the images.
    #[command(flatten)]
    pub backbone: BackboneArgs,
}

/// Parses a part between 0 and 1.
fn part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if part > 0.0 && part < 1.0 => Ok(part),
        _ => Err("give a number above 0 and below 1, such as 0.1".to_owned()),
    }
}

impl DataArgs {
    /// The data set that they name, as images.
    pub fn images(&self) -> DataSet {
        DataSet {
            path: self.data.clone(),
            resize: self.resize,
            greyscale: self.greyscale,
            test_part: self.test_part,
            skip_bad: self.skip_bad,
            classes: self.classes.clone(),
            label_column: self.label_column.clone(),
            backbone: None,
        }
    }

    /// The options that give another process of this machine the same images.
    pub fn to_options(&self) -> Vec<String> {
        // The pattern names every field, so a new option does not compile until it is passed on.
        let DataArgs {
            data,
            resize,
            greyscale,
            test_part,
            skip_bad,
            classes,
            label_column,
            backbone,
        } = self;
        let BackboneArgs {
            freeze,
            backbone,
            feature_range,
        } = backbone;
        let backbone = backbone.as_ref().map(|path| path.display().to_string());
        let data = data.as_ref().map(|path| path.display().to_string());
        let values = [
            ("--data", data),
            ("--resize", resize.map(|size| size.to_string())),
            ("--test-part", test_part.map(|part| part.to_string())),
            ("--classes", classes.clone()),
            ("--label-column", label_column.clone()),
            ("--freeze", freeze.clone()),
            ("--backbone", backbone),
            (
                "--feature-range",
                feature_range.map(|range| range.to_string()),
            ),
        ];
        let flags = [("--greyscale", *greyscale), ("--skip-bad", *skip_bad)];
        let values = values
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let flags = flags.into_iter().filter(|(_, given)| *given);
        let flags = flags.map(|(name, _)| name.to_owned());
        values.flatten().chain(flags).collect()
    }
}
