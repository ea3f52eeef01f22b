//! Figures of the documentation: uploads a second, the leader's memory, and bytes of an owner.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringlet::{collection::signature::sign, config::task_file::TaskFile, data::owner_key};
use ringlet_core::prg::Key;
use ringlet_tests::{address, end, start};

use crate::{
    https::{Connection, post},
    servers::{ROLES, Servers},
    uploads::{made, samples, signed},
};

const MNIST: [&str; 4] = ["--input", "28x28x1", "--class-count", "10"];

/// Owners, who contribute in turn.
const OWNERS: u32 = 10_000;

/// Connections at a time.
const CLIENTS: usize = 64;

/// The most megabytes that a process has had.
fn memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.expect("a line").split_whitespace().nth(1);
    kilobytes
        .expect("a number")
        .parse::<f64>()
        .expect("a number")
        / 1024.0
}

#[test]
#[ignore = "takes minutes"]
fn uploads_a_second_and_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys: Vec<_> = (0..OWNERS)
        .map(|number| {
            let mut secret = [3; 32];
            secret[..4].copy_from_slice(&number.to_le_bytes());
            let path = dir.path().join(number.to_string());
            owner_key::create(&path, &Key::new(secret)).expect("a key")
        })
        .collect();
    let named = keys
        .iter()
        .map(|key| owner_key::public_text(&key.verifying_key()) + ":20\n");
    let owners = dir.path().join("owners").display().to_string();
    fs::write(&owners, named.collect::<String>()).expect("a file");
    let least = OWNERS.to_string();
    let whose = ["--owners", &owners, "--least-owners", &least];
    let mut servers = Servers::new(&[&MNIST[..], &whose].concat());
    servers.start_all();
    let task = servers.task.clone();
    let upload = |task: &TaskFile, number: u32| {
        let (_, bytes, hash) = made(task, number, &samples(task, number, 1));
        let key = &keys[(number % OWNERS) as usize];
        [&bytes[..], &sign(key, task.id, &hash)].concat()
    };
    for thousands in (0..100).step_by(10) {
        let numbers = thousands * 1000..(thousands + 10) * 1000u32;
        let numbers: Vec<u32> = numbers.collect();
        let made: Vec<Vec<u8>> = thread::scope(|scope| {
            let parts = numbers.chunks(5000).map(|part| {
                let (task, upload) = (&task, &upload);
                scope.spawn(move || {
                    part.iter()
                        .map(|&number| upload(task, number))
                        .collect::<Vec<_>>()
                })
            });
            let parts: Vec<_> = parts.collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().expect("uploads"))
                .collect()
        });
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut connection = Connection::new(&task).expect("a connection");
                    while let Some(upload) = made.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (status, body) = connection
                            .request("POST", "/uploads", upload)
                            .expect("an answer");
                        assert_eq!(status, 201, "{body}");
                    }
                });
            }
        });
        let rate = made.len() as f64 / start.elapsed().as_secs_f64();
        let most = [0, 1, 2].map(|role| memory(servers.process(role)));
        println!(
            "{} uploads: {rate:.0} a second; at most {most:.0?} MB at p0, p1 and the dealer",
            (thousands + 10) * 1000
        );
    }
    // Owners that come once, each with a handshake.
    let made: Vec<Vec<u8>> = (100_000..102_000)
        .map(|number| upload(&task, number))
        .collect();
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(upload) = made.get(next.fetch_add(1, Ordering::Relaxed)) {
                    assert_eq!(post(&task, upload).0, 201);
                }
            });
        }
    });
    let rate = made.len() as f64 / start.elapsed().as_secs_f64();
    println!("each over a connection of its own: {rate:.0} a second");
    let start = Instant::now();
    servers.command(0, &["list"]);
    assert_eq!(servers.command(0, &["status"])["owners"], OWNERS);
    println!(
        "a list of 102000 uploads: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let files = ROLES.map(|role| servers.file(&format!("{role}.contributions")));
    for (role, file) in files.iter().enumerate() {
        servers.command(role, &["export", "--list", "1", "--out", file]);
    }
    println!("its files: {:.1} s", start.elapsed().as_secs_f64());
    servers.end_all();
    train(&files);
}

/// Trains an epoch on the files of P0, P1 and the dealer, and prints how long it takes and what memory.
fn train(files: &[String; 3]) {
    let (dealer, p0) = (address(), address());
    let session = "--model convnet2 --batch 128 --epochs 1 --lr 0.03125 --wait 60";
    let session: Vec<&str> = session.split_whitespace().collect();
    let party = |role, place: [&str; 2], file: &String| {
        let own = [
            "party", "--role", role, place[0], place[1], "--dealer", &dealer,
        ];
        start(&[&own[..], &["--contributions", file], &session].concat())
    };
    let begun = Instant::now();
    let wait = ["--wait", "60", "--contributions", &files[2]];
    let mut roles = [
        party("p0", ["--listen", &p0], &files[0]),
        party("p1", ["--peer", &p0], &files[1]),
        start(&[&["dealer", "--listen", &dealer][..], &wait].concat()),
    ];
    let mut most = [0f64; 3];
    while roles
        .iter_mut()
        .any(|role| role.try_wait().expect("a process").is_none())
    {
        for (most, role) in most.iter_mut().zip(&mut roles) {
            if role.try_wait().expect("a process").is_none() {
                *most = most.max(memory(role.id()));
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    for role in roles {
        let (well, out, err) = end(role);
        assert!(well, "{out}{err}");
        for line in err.lines().filter(|line| line.contains(" checked, ")) {
            println!("{line}");
        }
    }
    println!(
        "an epoch: {:.0} s; at most {most:.0?} MB at p0, p1 and the dealer",
        begun.elapsed().as_secs_f64()
    );
}

/// Passes one connection on, and counts its bytes in both directions.
fn counting(listener: &TcpListener, to: &str) -> [u64; 2] {
    let (client, _) = listener.accept().expect("a connection");
    let server = TcpStream::connect(to).expect("the leader");
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let pass = |mut from: TcpStream, mut to: TcpStream, count: Arc<AtomicU64>| {
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut bytes) {
                count.fetch_add(len as u64, Ordering::Relaxed);
                if to.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        })
    };
    let clone = |stream: &TcpStream| stream.try_clone().expect("a stream");
    let threads = [
        pass(clone(&client), clone(&server), counts[0].clone()),
        pass(server, client, counts[1].clone()),
    ];
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("a thread"));
    counts.map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn one_contribution_takes_few_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let front = listener.local_addr().expect("an address").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("owner").display().to_string();
    let public = ringlet_tests::success(&["task", "owner", "--out", &key]);
    let mut servers = Servers::at(&front, &[&MNIST[..], &["--owner", public.trim()]].concat());
    let behind = address();
    (1..3).for_each(|role| servers.start(role));
    servers.start_with(0, &["--listen", &behind]);
    let mut direct = servers.task.clone();
    direct.terms.address = behind.clone();
    servers.wait_for_all_at(&direct);
    let body = signed(&servers.task, 1, 1, &key);
    assert_eq!(body.len(), 38 + 2 * 794 + 272 + 72);
    let counted = thread::spawn(move || counting(&listener, &behind));
    assert_eq!(post(&servers.task, &body).0, 201);
    let [sent, received] = counted.join().expect("a thread");
    println!(
        "a signed contribution of 28x28: body {}, sent {sent}, received {received}",
        body.len()
    );
    assert!(sent < 2600 && received < 1400, "{sent} {received}");
    servers.end_all();
}
