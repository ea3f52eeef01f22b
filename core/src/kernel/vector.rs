//! Loops that are compiled several times: for the widest vector instructions of the processor, which is asked at run time.

/// A loop without calls, of which the compiler makes vector instructions.
pub trait Loop {
    /// What it computes.
    type Output;

    /// Runs it. To be marked `#[inline(always)]`, so that it is compiled with its caller's instructions.
    fn run(self) -> Self::Output;
}

/// Runs a loop as it was compiled for the widest vector instructions of this processor.
#[cfg(target_arch = "x86_64")]
pub fn run<L: Loop>(lanes: L) -> L::Output {
    cpufeatures::new!(avx512, "avx512f", "avx512bw", "avx512dq", "avx512vl");
    cpufeatures::new!(avx2, "avx2", "bmi2");

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn with_avx512<L: Loop>(lanes: L) -> L::Output {
        lanes.run()
    }

    #[target_feature(enable = "avx2,bmi2")]
    fn with_avx2<L: Loop>(lanes: L) -> L::Output {
        lanes.run()
    }

    if avx512::get() {
        // SAFETY: `get` has just found that the processor and the operating system support these features.
        unsafe { with_avx512(lanes) }
    } else if avx2::get() {
        // SAFETY: `get` has just found that the processor and the operating system support these features.
        unsafe { with_avx2(lanes) }
    } else {
        lanes.run()
    }
}

/// Runs a loop.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn run<L: Loop>(lanes: L) -> L::Output {
    lanes.run()
}
