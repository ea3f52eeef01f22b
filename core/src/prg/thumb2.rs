//! Blocks of ChaCha12 for processors with Thumb-2 instructions: Cortex-M3 and larger.
//!
//! An operand of Thumb-2 can be rotated for free. So words of the state's second and fourth row are never rotated in
//! place: they are kept as the exclusive or leaves them, and rotated where they are used. A quarter round takes eight
//! instructions. Of the sixteen words, 14 are in registers, and two of the third row take turns on the stack.

use core::arch::naked_asm;

use super::{
    key::Key,
    state::{Position, WORDS},
};

/// Fills `out` with the blocks from `position` on of the stream of `key`, and moves the position on.
pub(super) fn fill_blocks(key: &Key, position: &mut Position, out: &mut [[u32; WORDS]]) {
    if !out.is_empty() {
        // SAFETY: the key is eight aligned words and the position is eight words. `out` has as many blocks as it says,
        // which are more than 0.
        unsafe { make_blocks(position, key, out.as_mut_ptr(), out.len()) }
    }
}

/// Two quarter rounds on separate words. Before and after, the words of the second and fourth row are to be rotated right by
/// 25 and 24 bits.
macro_rules! quarter_rounds {
    ($($a:literal $b:literal $c:literal $d:literal),*) => {
        concat!(
            $("add ", $a, ", ", $a, ", ", $b, ", ror #25\n",)*
            $("eor ", $d, ", ", $a, ", ", $d, ", ror #24\n",)*
            $("add ", $c, ", ", $c, ", ", $d, ", ror #16\n",)*
            $("eor ", $b, ", ", $c, ", ", $b, ", ror #25\n",)*
            $("add ", $a, ", ", $a, ", ", $b, ", ror #20\n",)*
            $("eor ", $d, ", ", $a, ", ", $d, ", ror #16\n",)*
            $("add ", $c, ", ", $c, ", ", $d, ", ror #24\n",)*
            $("eor ", $b, ", ", $c, ", ", $b, ", ror #20\n",)*
        )
    };
}

/// A column round and a diagonal round, between which `$middle` may use r8 and r9.
macro_rules! double_round {
    ($middle:literal) => {
        concat!(
            quarter_rounds!("r0" "r4" "r8" "r10", "r1" "r5" "r9" "r11"),
            "strd r8, r9, [sp]\n",
            "ldrd r8, r9, [sp, #8]\n",
            quarter_rounds!("r2" "r6" "r8" "r12", "r3" "r7" "r9" "lr"),
            quarter_rounds!("r0" "r5" "r8" "lr", "r1" "r6" "r9" "r10"),
            "strd r8, r9, [sp, #8]\n",
            $middle,
            "ldrd r8, r9, [sp]\n",
            quarter_rounds!("r2" "r7" "r8" "r11", "r3" "r4" "r9" "r12"),
        )
    };
}

/// Makes `count` blocks, of which there is at least one.
///
/// # Safety
///
/// `out` is valid for writes of `count` blocks.
#[unsafe(naked)]
unsafe extern "C" fn make_blocks(
    position: &mut Position,
    key: &Key,
    out: *mut [u32; WORDS],
    count: usize,
) {
    // The stack: 16 bytes of the third row; 16 of the fourth, at the end; the rounds to go, two at a time; the arguments; what the
    // caller's registers held. The rows are in r0-r3, r4-r7, r8 and r9, and r10-r12 and lr.
    naked_asm!(
        "push {{r0-r11, lr}}",
        "sub sp, sp, #36",
        // A block starts with the position in r0 and the key in r1.
        "2:",
        "mov r2, #3",
        "str r2, [sp, #32]",
        "ldrd r8, r9, [r1, #24]",
        "strd r8, r9, [sp, #8]",
        "ldrd r8, r9, [r1, #16]",
        "ldm r1, {{r4-r7}}",
        "ldrd r10, r11, [r0, #16]",
        "ldrd r12, lr, [r0, #24]",
        "ldm.w r0, {{r0-r3}}",
        // As if a round had left them.
        "ror r4, r4, #7",
        "ror r5, r5, #7",
        "ror r6, r6, #7",
        "ror r7, r7, #7",
        "ror r10, r10, #8",
        "ror r11, r11, #8",
        "ror r12, r12, #8",
        "ror lr, lr, #8",
        "3:",
        double_round!(""),
        double_round!("ldr r8, [sp, #32]\nsubs r8, r8, #1\nstr r8, [sp, #32]\n"),
        "bne 3b",
        // Adds what the block started with, row by row.
        "strd r8, r9, [sp]",
        "strd r10, r11, [sp, #16]",
        "strd r12, lr, [sp, #24]",
        "ldrd r12, lr, [sp, #36]",
        "ldm r12, {{r8-r11}}",
        "add r0, r0, r8",
        "add r1, r1, r9",
        "add r2, r2, r10",
        "add r3, r3, r11",
        "ldm lr, {{r8-r11}}",
        "add r4, r8, r4, ror #25",
        "add r5, r9, r5, ror #25",
        "add r6, r10, r6, ror #25",
        "add r7, r11, r7, ror #25",
        "ldr r8, [sp, #44]",
        "stm r8!, {{r0-r7}}",
        "str r8, [sp, #44]",
        "ldm sp, {{r0-r7}}",
        "add lr, lr, #16",
        "ldm lr, {{r8-r11}}",
        "add r0, r0, r8",
        "add r1, r1, r9",
        "add r2, r2, r10",
        "add r3, r3, r11",
        "add r12, r12, #16",
        "ldm r12, {{r8-r11}}",
        "add r4, r8, r4, ror #24",
        "add r5, r9, r5, ror #24",
        "add r6, r10, r6, ror #24",
        "add r7, r11, r7, ror #24",
        "ldr r10, [sp, #44]",
        "stm r10!, {{r0-r7}}",
        // The next block.
        "adds r8, r8, #1",
        "adc r9, r9, #0",
        "strd r8, r9, [r12]",
        "ldr r2, [sp, #48]",
        "subs r2, r2, #1",
        "strd r10, r2, [sp, #44]",
        "ldrd r0, r1, [sp, #36]",
        "bne 2b",
        // Nothing of a block stays on the stack.
        "mov r2, #0",
        "mov r3, #0",
        "strd r2, r3, [sp]",
        "strd r2, r3, [sp, #8]",
        "strd r2, r3, [sp, #16]",
        "strd r2, r3, [sp, #24]",
        "add sp, sp, #52",
        "pop {{r4-r11, pc}}",
    )
}
