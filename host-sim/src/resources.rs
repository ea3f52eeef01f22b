//! Memory for large buffers, and threads. A machine may refuse either, and then the program ends with one line.

use std::{
    io,
    thread::{Builder, JoinHandle, Scope, ScopedJoinHandle},
};

use crate::error::Failure;

/// A buffer of `count` times `value`, to hold `what`.
pub fn filled<T: Copy>(value: T, count: usize, what: &str) -> Result<Vec<T>, Failure> {
    let mut buffer = reserved(count, what)?;
    buffer.resize(count, value);
    Ok(buffer)
}

/// An empty buffer with room for `count` values, to hold `what`.
pub fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>, Failure> {
    let mut buffer = Vec::new();
    match buffer.try_reserve_exact(count) {
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
