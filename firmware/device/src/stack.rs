//! How much of the stack has been used: it is painted at the start, and what is no longer paint has been.

const PAINT: u32 = 0xC5C5_C5C5;

/// Words below the painter's own frame that are left alone.
const MARGIN: usize = 64;

/// A painted stack.
pub struct Stack {
    end: *const u32,
    words: usize,
}

impl Stack {
    /// Paints a stack that grows down from `start` to `end`, below what is in use.
    ///
    /// # Safety
    ///
    /// `end..start` is the stack that the caller runs on, and nothing else lies there.
    #[inline(never)]
    pub unsafe fn paint(end: *mut u32, start: *const u32) -> Self {
        let here = 0u32;
        let free = (&raw const here as usize).saturating_sub(end as usize) / size_of::<u32>();
        for word in 0..free.saturating_sub(MARGIN) {
            // SAFETY: it lies below the frames in use, and nothing else lies there, says the caller.
            unsafe { end.add(word).write_volatile(PAINT) };
        }
        Stack {
            end,
            words: (start as usize).saturating_sub(end as usize) / size_of::<u32>(),
        }
    }

    /// Paints the stack that a board's linker script has between `_stack_start`, from which it grows down, and
    /// `_stack_end`.
    ///
    /// # Safety
    ///
    /// The caller runs on that stack.
    #[cfg(target_os = "none")]
    #[inline(always)]
    pub unsafe fn paint_linked() -> Self {
        unsafe extern "C" {
            static _stack_start: u32;
            static mut _stack_end: u32;
        }
        // SAFETY: as the caller promises.
        unsafe { Self::paint(&raw mut _stack_end, &raw const _stack_start) }
    }

    /// Bytes that the stack may grow to.
    pub fn size(&self) -> usize {
        self.words * size_of::<u32>()
    }

    /// The most bytes that it has held.
    pub fn used(&self) -> usize {
        let painted = (0..self.words)
            // SAFETY: it lies within the stack, and reading a word of it changes nothing.
            .take_while(|&word| unsafe { self.end.add(word).read_volatile() } == PAINT)
            .count();
        (self.words - painted) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_paint_has_been_used() {
        let mut words = [PAINT; 100];
        let stack = Stack {
            end: words.as_ptr(),
            words: 100,
        };
        assert_eq!((stack.size(), stack.used()), (400, 0));
        words[60] = 1;
        // The lowest word that was written counts, whatever lies above it.
        assert_eq!(core::hint::black_box(&stack).used(), 160);
        assert_eq!(core::hint::black_box(words)[60], 1);
    }
}
