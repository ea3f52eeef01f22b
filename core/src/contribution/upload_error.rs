//! Why an upload cannot be made or taken.

use serde::{Deserialize, Serialize};

use super::TaskError;

/// Why an upload cannot be made or taken.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum UploadError {
    /// It is no upload, or one of another version.
    Format,
    /// It is for another task.
    OtherTask,
    /// It does not have the length that it says, or a sample not the task's shape.
    Length,
    /// A label is none of the task's classes.
    Label,
    /// A seal cannot be opened: it is sealed to somebody else, or something was changed.
    Seal,
    /// Nothing can be sealed to an identity of the task.
    Identity,
    /// The task cannot be used.
    Task(TaskError),
    /// The task takes signed uploads, and this program is built without signatures.
    Signature,
}

impl core::fmt::Display for UploadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            UploadError::Format => "it is no upload, or one of another version",
            UploadError::OtherTask => "it is for another task",
            UploadError::Length => {
                "it does not have the length that it says, or a sample has another shape"
            }
            UploadError::Label => "a label is none of the task's classes",
            UploadError::Seal => {
                "its seal cannot be opened: it is for somebody else, or was changed"
            }
            UploadError::Identity => "nothing can be sealed to an identity of the task",
            UploadError::Signature => "its task names owners, who sign, and it does not sign",
            UploadError::Task(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for UploadError {}
