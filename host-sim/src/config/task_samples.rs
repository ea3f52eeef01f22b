//! Samples as the task of a collection wants them.

use super::{args::DataArgs, task_file::TaskFile};
use crate::{
    data::{Classes, Images, Part},
    error::Failure,
};

/// The training samples of a data set, in the shape and with the numbers of classes that the task has.
///
/// Fails if they are others.
pub fn load(data: &DataArgs, task: &TaskFile) -> Result<Images, Failure> {
    if data.backbone.is_given() {
        return Err(Failure::new(
            "features cannot be contributed",
            "leave out --freeze and --backbone",
        ));
    }
    let mut set = data.images();
    if let (None, Some(names)) = (&set.classes, &task.terms.classes) {
        set.classes = Some(names.join(","));
    }
    let images = set.load(Part::Train)?;
    let wanted = task.task.input.map(|side| side as usize);
    if images.shape != wanted {
        let text = |[rows, columns, channels]: [usize; 3]| format!("{rows}x{columns}x{channels}");
        return Err(Failure::new(
            format!(
                "the task takes samples of {}, and these are of {}",
                text(wanted),
                text(images.shape)
            ),
            "bring them to that size with --resize, or give others",
        ));
    }
    if images.is_empty() {
        return Err(Failure::new(
            "there are no samples",
            "give others with --data",
        ));
    }
    match (&images.classes, &set.classes) {
        // Who else would say which name is which number?
        (Classes::Named(names), None) => {
            return Err(Failure::new(
                format!(
                    "the task has {} classes without names, and these are {}",
                    task.task.classes,
                    names.join(", ")
                ),
                "give the names in the order of the task's numbers with --classes",
            ));
        }
        (Classes::Named(names), Some(_))
            if task.terms.classes.as_ref().is_some_and(|own| own != names) =>
        {
            return Err(Failure::new(
                "--classes differs from the classes of the task",
                "leave it out",
            ));
        }
        _ => {}
    }
    images.check_labels(task.task.classes.into())?;
    Ok(images)
}
