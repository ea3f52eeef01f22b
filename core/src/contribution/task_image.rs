//! A task as one block of bytes, for the flash of a device that contributes its samples to it.
//!
//! ```text
//! "RNGC" · version (2 bytes) · contributions of an upload (2) · whether uploads are signed (1) · zero (1) · length of the task (2)
//! the task, in postcard format
//! CRC-32 (IEEE) of everything before (4)
//! ```
//!
//! Numbers are little-endian.

use serde::{Deserialize, Serialize};

use super::CollectionTask;
use crate::num::crc::crc32;

const MAGIC: [u8; 4] = *b"RNGC";
const VERSION: u16 = 2;
const HEAD_LEN: usize = 12;
const CHECK_LEN: usize = 4;

/// The most bytes of an image.
pub const MAX_LEN: usize = 320;

/// What a device knows of the collection to which it contributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskImage {
    /// The task.
    pub task: CollectionTask,
    /// Contributions of an upload. The last upload may have fewer.
    pub per_upload: u16,
    /// Whether the task names owners, who sign their uploads.
    pub signed: bool,
}

/// Why the image of a task cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskImageError {
    /// The memory does not start with a task. Remedy: program one.
    Missing,
    /// The image has another version of the format. Remedy: pack it again.
    Version(u16),
    /// It is cut off, or the CRC does not match. Remedy: program the image again.
    Damaged,
    /// The CRC matches, and what it says does not fit together. Remedy: pack it again.
    Unsound,
}

impl core::fmt::Display for TaskImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TaskImageError::Missing => f.write_str("there is none behind its samples"),
            TaskImageError::Version(version) => write!(
                f,
                "its image has version {version}, this program reads {VERSION}"
            ),
            TaskImageError::Damaged => f.write_str("its image is damaged"),
            TaskImageError::Unsound => f.write_str("what its image says does not fit together"),
        }
    }
}

impl core::error::Error for TaskImageError {}

impl TaskImage {
    /// Writes the image to `out`. Returns its length.
    pub fn encode(&self, out: &mut [u8; MAX_LEN]) -> usize {
        let (head, rest) = out.split_at_mut(HEAD_LEN);
        // The largest task is shorter than the buffer: a test encodes one.
        let len = postcard::to_slice(&self.task, rest).map_or(0, |task| task.len());
        head[..4].copy_from_slice(&MAGIC);
        head[4..6].copy_from_slice(&VERSION.to_le_bytes());
        head[6..8].copy_from_slice(&self.per_upload.to_le_bytes());
        head[8..10].copy_from_slice(&[self.signed.into(), 0]);
        head[10..].copy_from_slice(&(len as u16).to_le_bytes());
        let end = HEAD_LEN + len;
        let check = crc32([&out[..end]]).to_le_bytes();
        out[end..end + CHECK_LEN].copy_from_slice(&check);
        end + CHECK_LEN
    }

    /// Reads the image at the start of `memory`, which may be longer. The task can be used.
    pub fn decode(memory: &[u8]) -> Result<Self, TaskImageError> {
        let head: &[u8; HEAD_LEN] = memory.first_chunk().ok_or(TaskImageError::Missing)?;
        if head[..4] != MAGIC {
            return Err(TaskImageError::Missing);
        }
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        if short(4) != VERSION {
            return Err(TaskImageError::Version(short(4)));
        }
        let end = HEAD_LEN + usize::from(short(10));
        let bytes = memory.get(..end).ok_or(TaskImageError::Damaged)?;
        let check = memory.get(end..end + CHECK_LEN);
        if check != Some(&crc32([bytes]).to_le_bytes()) {
            return Err(TaskImageError::Damaged);
        }
        let task: CollectionTask =
            postcard::from_bytes(&bytes[HEAD_LEN..]).map_err(|_| TaskImageError::Unsound)?;
        let per_upload = short(6);
        let signed = match head[8..10] {
            [signed @ (0 | 1), 0] => signed == 1,
            _ => return Err(TaskImageError::Unsound),
        };
        match task.check() {
            Ok(()) if per_upload > 0 => Ok(TaskImage {
                task,
                per_upload,
                signed,
            }),
            _ => Err(TaskImageError::Unsound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contribution::task::tests::task,
        data::{Channel, MAX_NORMALISED, Normalisation},
    };

    fn encoded(image: &TaskImage) -> ([u8; MAX_LEN], usize) {
        let mut bytes = [0xFF; MAX_LEN];
        let len = image.encode(&mut bytes);
        (bytes, len)
    }

    #[test]
    fn the_largest_task_is_read_as_it_was_written() {
        let mut task = task([1 << 10, 1 << 12, 4]);
        let channel = Channel {
            scale: -(1 << 29),
            offset: (1 << 38) - 1,
        };
        task.normalisation = Normalisation::new(&[channel; MAX_NORMALISED]).unwrap();
        task.fraction = 24;
        let image = TaskImage {
            task,
            per_upload: u16::MAX,
            signed: true,
        };
        let (bytes, len) = encoded(&image);
        assert!(len > 180, "{len}");
        assert_eq!(TaskImage::decode(&bytes), Ok(image));
    }

    #[test]
    fn each_fault_has_its_error() {
        let error = |memory: &[u8]| TaskImage::decode(memory).unwrap_err();
        let mut image = TaskImage {
            task: task([2, 2, 1]),
            per_upload: 3,
            signed: false,
        };
        let (bytes, len) = encoded(&image);
        assert_eq!(error(&[0xFF; 64]), TaskImageError::Missing);
        assert_eq!(error(&[]), TaskImageError::Missing);
        assert_eq!(error(&bytes[..len - 1]), TaskImageError::Damaged);
        for at in 6..len {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(error(&damaged), TaskImageError::Damaged, "{at}");
        }
        let mut newer = bytes;
        newer[4] = 3;
        assert_eq!(error(&newer), TaskImageError::Version(3));
        image.per_upload = 0;
        assert_eq!(error(&encoded(&image).0), TaskImageError::Unsound);
        image.per_upload = 1;
        image.task.classes = 1;
        assert_eq!(error(&encoded(&image).0), TaskImageError::Unsound);
    }
}
