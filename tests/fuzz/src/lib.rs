//! What must hold whatever bytes arrive, as functions of an input. The fuzz targets call them with what
//! they invent, and a test of the ordinary suite with every input of the corpus.

pub mod allocation;
pub mod frames;
pub mod messages;
pub mod port;
pub mod script;
pub mod store;
