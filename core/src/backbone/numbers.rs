//! The numbers of a backbone: their fraction bits and limits.

/// Fraction bits of the values between layers, and of the features' range.
pub const VALUE_FRACTION: u32 = 16;

/// Values between layers are limited to this magnitude, in units of 2^-[`VALUE_FRACTION`]: 512.
pub const VALUE_LIMIT: i32 = 1 << 25;

/// The most inputs of one output value, so that a sum of products cannot overflow.
pub const MAX_FAN_IN: usize = 1 << 22;

/// The most bits by which a layer's weights are scaled.
pub const MAX_SHIFT: u8 = 30;
