//! Images, trained models, keys and flash images: what roles read from files and write to them.

pub mod backbone;
pub mod checkpoint_file;
pub mod classes;
pub mod contribution_file;
pub mod conversion;
pub mod dataset;
pub mod feature_range;
pub mod file;
pub mod flash_image;
pub mod gather;
#[cfg(feature = "collect")]
pub mod hexadecimal;
pub mod identity_file;
pub mod images;
pub mod key_file;
#[cfg(feature = "watch")]
pub mod line_follower;
pub mod masked_samples;
pub mod model_description;
pub mod model_file;
pub mod normalise;
pub mod onnx;
#[cfg(feature = "collect")]
pub mod owner_key;
pub mod parameters;
pub mod party_samples;
pub mod range_bits;
pub mod safetensors_file;
pub mod sealed_state_file;
pub mod sources;
pub mod state_dict;
pub mod survey;
pub mod torch_layout;
pub mod trained_model;

pub use classes::Classes;
pub use dataset::{DataSet, load};
pub use images::{Images, OwnImages, Part};
