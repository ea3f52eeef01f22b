//! What must hold whatever bytes arrive, as functions of an input. The fuzz targets call them with what
//! they invent, and a test of the ordinary suite with every input of the corpus.

pub mod allocation;
pub mod frames;
pub mod messages;
pub mod mux;
pub mod sample_image;
pub mod script;
