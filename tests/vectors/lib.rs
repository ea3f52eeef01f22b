//! Tests that packing, products and streams are the same on every processor, whichever vector instructions it has. They need
//! nothing but the core, so that `tests/run` soon builds them for 64-bit Arm processors too, whose code it runs in QEMU.

#[cfg(test)]
mod packing;
#[cfg(test)]
mod products;
#[cfg(test)]
mod streams;
