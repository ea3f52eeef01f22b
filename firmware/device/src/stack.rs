//! Measures how much of the stack has been used: it is filled with a pattern at the start, and words that no longer
//! hold the pattern have been used.

const PAINT: u32 = 0xC5C5_C5C5;

/// Words below the frame of [`Stack::paint`] that are left alone.
const MARGIN: usize = 64;

/// A stack that has been painted: filled with the pattern.
pub struct Stack {
    end: *const u32,
    words: usize,
}

impl Stack {
    /// Paints the unused part of a stack that grows down from `start` to `end`.
    ///
    /// # Safety
    ///
    /// `end..start` is the stack that the caller runs on, and nothing else lies there.
    #[inline(never)]
    pub unsafe fn paint(end: *mut u32, start: *const u32) -> Self {
        let here = 0u32;
        let free = (&raw const here as usize).saturating_sub(end as usize) / size_of::<u32>();
        for word in 0..free.saturating_sub(MARGIN) {
            // SAFETY: the word lies below the frames in use; the caller promises that nothing else lies there.
            unsafe { end.add(word).write_volatile(PAINT) };
        }
        Stack {
            end,
            words: (start as usize).saturating_sub(end as usize) / size_of::<u32>(),
        }
    }

    /// Paints the stack of a board's linker script: it grows down from `_stack_start` to `_stack_end`.
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

    /// The size of the stack in bytes.
    pub fn size(&self) -> usize {
        self.words * size_of::<u32>()
    }

    /// The most bytes of it that have been in use at one time.
    pub fn used(&self) -> usize {
        let painted = (0..self.words)
            // SAFETY: the word lies within the stack, and reading it has no side effects.
            .take_while(|&word| unsafe { self.end.add(word).read_volatile() } == PAINT)
            .count();
        (self.words - painted) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_the_pattern_count_as_used() {
        let mut words = [PAINT; 100];
        let stack = Stack {
            end: words.as_ptr(),
            words: 100,
        };
        assert_eq!((stack.size(), stack.used()), (400, 0));
        words[60] = 1;
        // The lowest word that was written counts, and everything above it.
        assert_eq!(core::hint::black_box(&stack).used(), 160);
        assert_eq!(core::hint::black_box(words)[60], 1);
    }
}
