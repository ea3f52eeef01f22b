//! The classes that inference has found.

use std::fmt::Write as _;

use crate::run::inference::Classes;

/// Images and their classes in order, as CSV. The first classified image is number `first` of its file.
pub fn classes_table(mut classes: Classes, first: usize) -> String {
    classes.sort_unstable();
    let mut text = "image,class\n".to_owned();
    for (image, class) in classes {
        let _ = writeln!(text, "{},{class}", first + image as usize);
    }
    text
}
