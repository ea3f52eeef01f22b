//! Faults on the links between roles. Whatever a network or somebody on it does, a session ends with the right result, or
//! with an error at the roles, soon.
//!
//! All roles run as processes. A proxy stands on one of their links, forwards both directions, and does one thing wrong.
//!
//! The end of a link has one limit that no protocol lifts. Somebody sends its last message, and cannot know that it came.
//! On the link of the parties this is P1, and on the link of a party to the dealer or the assistant it is the party. So a
//! fault in the last message of a link leaves the role that waits for it without success, and the result is right all the
//! same. A fault anywhere else leaves no role with success. And P0 never succeeds when P1 has failed, whatever is lost.

mod byte_faults;
mod message_faults;
mod messages;
mod proxy;
mod session;
mod sweep;
mod verdict;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Sessions that run at a time, whatever the number of tests that run.
const AT_A_TIME: usize = 4;

/// Does `task` for all of `items`, some at a time and no other test's meanwhile. Returns what it returns, in the order of the items.
fn side_by_side<I: Sync, O: Send>(items: &[I], task: impl Fn(&I) -> O + Sync) -> Vec<O> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that has failed does not keep the others from their turn.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else {
                        return;
                    };
                    let outcome = task(item);
                    done.lock().expect("no panic").push((number, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
