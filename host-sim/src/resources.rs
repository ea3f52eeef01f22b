//! Memory and threads. A machine may refuse either, and then the program ends with one line.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint,
    io::{self, Write},
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Builder, JoinHandle, Scope, ScopedJoinHandle},
    time::Duration,
};

use crate::error::Failure;

thread_local! {
    /// Whether this thread is in [`reserved`], which says itself what there is no memory for.
    static RESERVES: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread has asked to end the program.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// Whether a thread ends the program.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What the main thread's stack needs, about.
const STACK: usize = 256 << 10;

/// Lets the main thread's stack grow to what it needs. It is done first of all: a machine that refuses it later ends the
/// program without a word.
#[inline(never)]
pub fn grow_stack() {
    hint::black_box([0_u8; STACK]);
}

/// Lets the calling thread alone end the program: its line is the only one. Any other thread that asks stays here
/// until the program has ended.
pub fn end_alone() {
    if ENDS.replace(true) {
        return;
    }
    while ENDING.swap(true, Ordering::AcqRel) {
        thread::sleep(Duration::MAX);
    }
}

/// The system's allocator. An allocation that it refuses ends the program with an error line, where the standard library
/// would abort it: an abort may leave an image of the memory, secrets included.
pub struct Memory;

impl Memory {
    fn given(memory: *mut u8, bytes: usize) -> *mut u8 {
        if memory.is_null() && !RESERVES.get() {
            end_alone();
            // This must not allocate, as a thread that has to wait must not. Nothing is left to do if the line cannot be written.
            let _ = writeln!(
                io::stderr(),
                "error: the machine gives no more memory ({bytes} bytes): end other programs, or raise the limit of memory"
            );
            process::exit(1);
        }
        memory
    }
}

// SAFETY: every call is the system allocator's, whose result is passed on as it is.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system allocator asks for.
        Memory::given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        Memory::given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        Memory::given(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// A buffer of `count` times `value`, to hold `what`.
pub fn filled<T: Copy>(value: T, count: usize, what: &str) -> Result<Vec<T>, Failure> {
    let mut buffer = reserved(count, what)?;
    buffer.resize(count, value);
    Ok(buffer)
}

/// An empty buffer with room for `count` values, to hold `what`.
pub fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>, Failure> {
    let mut buffer = Vec::new();
    RESERVES.set(true);
    let reservation = buffer.try_reserve_exact(count);
    RESERVES.set(false);
    match reservation {
        Ok(()) => Ok(buffer),
        Err(_) => {
            let bytes = count as u128 * size_of::<T>() as u128;
            Err(Failure::new(
                format!("the machine gives no memory for {what} ({bytes} bytes)"),
                "use a smaller --batch or --micro-batch, fewer images, or more memory",
            ))
        }
    }
}

/// Starts a thread.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    Builder::new().spawn(work).map_err(no_thread)
}

/// Starts a thread that ends with `scope`.
pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Failure> {
    Builder::new().spawn_scoped(scope, work).map_err(no_thread)
}

fn no_thread(error: io::Error) -> Failure {
    Failure::new(
        format!("the machine starts no more threads: {error}"),
        "end other programs, or raise the limits of threads and memory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_in_memory_is_named_with_its_size() {
        let line = reserved::<u64>(usize::MAX / 8, "the shares").map_err(|f| f.to_string());
        assert!(
            line.is_err_and(|line| line.contains("for the shares (18446744073709551608 bytes)"))
        );
        assert_eq!(filled(7u8, 3, "the shares").expect("memory"), [7, 7, 7]);
    }
}
