//! Roles that are killed while uploads come.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringlet_core::contribution::UploadId;

use crate::{
    https::{Connection, answer, post},
    servers::Servers,
    uploads::{made, opened, samples, upload},
};

const OPEN: [&str; 5] = ["--input", "8x8x1", "--class-count", "10", "--open"];

/// Owners at a time.
const OWNERS: u32 = 4;

/// Kills roles at moments of a seed while owners send uploads, and checks what is left.
fn killed(kills: u32) {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.task.clone();
    let (over, next) = (AtomicBool::new(false), AtomicU32::new(0));
    let acknowledged = Mutex::new(Vec::<UploadId>::new());
    let owner = || {
        let mut connection = None;
        while !over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (id, bytes, _) = made(
                &task,
                number,
                &samples(&task, number, 1 + (number % 3) as u16),
            );
            // It sends the same until it is acknowledged.
            loop {
                let mut here = match connection.take() {
                    Some(here) => here,
                    None => match Connection::new(&task) {
                        Ok(here) => here,
                        Err(_) if over.load(Ordering::Relaxed) => return,
                        Err(_) => {
                            thread::sleep(Duration::from_millis(20));
                            continue;
                        }
                    },
                };
                let Ok(answered) = here.request("POST", "/uploads", &bytes) else {
                    continue;
                };
                connection = Some(here);
                match answer(answered) {
                    (200 | 201, _) => {
                        acknowledged.lock().expect("a lock").push(id);
                        break;
                    }
                    (503, _) if over.load(Ordering::Relaxed) => return,
                    (503, _) => thread::sleep(Duration::from_millis(20)),
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    thread::scope(|scope| {
        (0..OWNERS).for_each(|_| drop(scope.spawn(owner)));
        let mut random = 0x9e37_79b9_u64;
        for _ in 0..kills {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            thread::sleep(Duration::from_millis(100 + (random >> 33) % 300));
            let role = (random >> 40) as usize % 3;
            servers.kill(role);
            servers.start(role);
            servers.wait_for_all();
        }
        thread::sleep(Duration::from_millis(200));
        over.store(true, Ordering::Relaxed);
    });
    // What was not acknowledged may be there or not; all roles have what the leader has.
    let listed = servers.list();
    let acknowledged = acknowledged.into_inner().expect("a lock");
    println!("{kills} kills, {} uploads acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 20 * kills as usize);
    let there = opened(&servers, 1);
    servers.end_all();
    let store = servers.store(0);
    assert_eq!(listed["contributions"], there.len());
    let mut names = Vec::new();
    store
        .each(|id| {
            names.push(id);
            Ok(())
        })
        .expect("a store");
    let once: HashSet<UploadId> = names.iter().copied().collect();
    assert_eq!(once.len(), names.len(), "an upload is there twice");
    assert!(
        acknowledged.iter().all(|id| once.contains(id)),
        "an upload is lost"
    );
}

#[test]
fn kills_lose_no_upload_that_was_acknowledged() {
    killed(5);
}

#[test]
#[ignore = "takes half a minute"]
fn thirty_kills_lose_no_upload_that_was_acknowledged() {
    killed(30);
}

#[test]
fn commands_that_fail_while_a_role_is_away_keep_no_role_from_coming_back() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let upload = upload(&servers.task, 1, 2);
    let (status, _) = post(&servers.task, &upload);
    assert_eq!(status, 201);
    servers.kill(2);
    // As often as they can, and for longer than the leader takes to look for the others a few times.
    let refused = || !servers.try_list().status.success();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert!(refused());
    }
    // The first may have been sent before the leader saw that the dealer was gone: then both links are made again, once.
    let greetings = servers.said(1).matches("the leader is here").count();
    assert!(greetings <= 2, "P1 was left {greetings} times");
    servers.start(2);
    assert_eq!(servers.list()["uploads"], 1);
    servers.end_all();
}
