//! Images, trained models, keys and flash images: what roles read from files and write to them.

pub mod checkpoint_file;
pub mod dataset;
pub mod file;
pub mod flash_image;
pub mod identity_file;
pub mod idx;
pub mod images;
pub mod key_file;
pub mod model_file;
pub mod normalise;
pub mod parameters;
pub mod range_bits;
pub mod sealed_state_file;

pub use dataset::{load, load_to_classify};
pub use images::{Images, OwnImages, Part};
