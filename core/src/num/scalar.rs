//! The number types of kernels.

/// A number type that kernels add and multiply: the rings, and floats for the float twin. The default
/// value is zero.
pub trait Scalar: Copy + Default + Send + Sync + 'static {
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self + left * right`.
    fn multiply_add(self, left: Self, right: Self) -> Self;
}

macro_rules! integer_scalar {
    ($($word:ty),*) => {$(
        impl Scalar for $word {
            #[inline(always)]
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn multiply_add(self, left: Self, right: Self) -> Self {
                self.wrapping_add(left.wrapping_mul(right))
            }
        }
    )*};
}

macro_rules! float_scalar {
    ($($float:ty),*) => {$(
        impl Scalar for $float {
            #[inline(always)]
            fn add(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn multiply_add(self, left: Self, right: Self) -> Self { self + left * right }
        }
    )*};
}

integer_scalar!(u32, u64);
float_scalar!(f32, f64);
