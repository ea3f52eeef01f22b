//! Roles on several threads: the model is the same to the bit, costs are the same to the byte, and a rank that fails ends
//! the whole run.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    thread,
};

use ringlet_tests::{address, end, start};

/// What a run leaves: what each role says but for seconds, and the model.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    said: Vec<String>,
    model: Vec<u8>,
}

/// The lines of a role that do not depend on time or on the number of threads.
fn lines(out: &str) -> String {
    let lasting = |line: &&str| line.contains("done;") || line.contains("audit");
    out.lines().filter(lasting).collect::<Vec<_>>().join("\n")
}

/// Trains with so many threads at the dealer, P0 and P1.
fn train(threads: [&str; 3], session: &[&str]) -> (Outcome, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let model = dir.path().join("model.safetensors");
    let save = model.to_str().expect("UTF-8");
    let (d, p) = (address(), address());
    let [dealer, p0, p1] = threads;
    let insecure = ["--insecure", "--wait", "60"];
    let dealer = [
        "dealer",
        "--listen",
        &d,
        "--threads",
        dealer,
        "--secret-seed",
        "7",
    ];
    let dealer = start(&[&dealer[..], &insecure].concat());
    let to_dealer = ["--dealer", &d, "--reveal-to", "p1"];
    let p0 = [
        "party",
        "--role",
        "p0",
        "--listen",
        &p,
        "--threads",
        p0,
        "--secret-seed",
        "8",
    ];
    let p0 = start(&[&p0[..], &to_dealer, &insecure, session].concat());
    let p1 = [
        "party",
        "--role",
        "p1",
        "--peer",
        &p,
        "--threads",
        p1,
        "--secret-seed",
        "9",
    ];
    let p1 = start(&[&p1[..], &to_dealer, &["--save", save], &insecure, session].concat());
    let [(dealt, _), (_, p0), (_, p1)] = [dealer, p0, p1].map(|child| {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        (err, out)
    });
    let outcome = Outcome {
        said: [&p0, &p1].map(|out| lines(out)).to_vec(),
        model: fs::read(&model).expect("a model"),
    };
    (outcome, dealt)
}

#[test]
fn any_number_of_threads_gives_the_same_model() {
    // An epoch has a shorter last batch, whose micro-batches are fewer than four.
    let session = [
        "--batch",
        "100",
        "--micro-batch",
        "25",
        "--share-of-p0",
        "0.6",
    ];
    let settings: [(&[&str], &[[&str; 3]]); 3] = [
        (
            &["--limit", "18", "--audit", "5"],
            &[["2", "2", "2"], ["4", "4", "4"], ["4", "2", "3"]],
        ),
        (&["--limit", "4", "--ring", "u64"], &[["3", "3", "3"]]),
        (&["--limit", "4", "--protocol", "spdz"], &[["3", "3", "3"]]),
    ];
    for (setting, many) in settings {
        let session = [&session, setting].concat();
        let (one, said) = train(["1", "1", "1"], &session);
        assert!(!said.contains("threads"), "{said}");
        for &threads in many {
            let (outcome, said) = train(threads, &session);
            assert_eq!(outcome.said, one.said, "{setting:?}, {threads:?}");
            assert!(outcome.model == one.model, "{setting:?}, {threads:?}");
            let least = threads.iter().min().expect("a number");
            let wanted = format!("on {least} threads");
            assert!(said.contains(&wanted), "{said}");
        }
    }
}

/// `ringlet train` with all roles in one process, and as processes.
#[test]
fn all_roles_on_one_machine_train_on_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let model = |name: &str, more: &[&str]| {
        let path = dir.path().join(name);
        let save = ["--save", path.to_str().expect("UTF-8")];
        let session = ["train", "--limit", "8", "--batch", "20", "--seed", "5"];
        let micro_batch = ["--micro-batch", "6"];
        let child = start(&[&session[..], &micro_batch, &save, more].concat());
        let (well, out, err) = end(child);
        assert!(well, "{more:?}: {out}{err}");
        fs::read(&path).expect("a model")
    };
    let one = model("one", &["--threads", "1"]);
    let links = ["--link", "tcp"];
    for (name, more) in [
        ("several", &["--threads", "3"][..]),
        ("left-out", &[]),
        ("processes", &[&links[..], &["--threads", "2"]].concat()),
    ] {
        assert!(model(name, more) == one, "{name}");
    }
}

#[test]
fn a_batch_of_one_micro_batch_takes_one_thread() {
    let (_, said) = train(["4", "4", "4"], &["--limit", "2"]);
    assert!(!said.contains("threads"), "{said}");
    let baseline = ["--protocol", "spdz", "--triples", "baseline"];
    let session = [&baseline[..], &["--limit", "2", "--micro-batch", "8"]].concat();
    let (_, said) = train(["4", "4", "4"], &session);
    assert!(!said.contains("threads"), "{said}");
}

/// A proxy to `target` that cuts the connection number `cut` once it has passed on `limit` bytes.
fn cutting(target: &str, cut: usize, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    let target = target.to_owned();
    thread::spawn(move || {
        let mut number = 0;
        for near in listener.incoming().flatten() {
            // The role behind may not listen yet: then the connection ends, and comes again.
            let Ok(far) = TcpStream::connect(&target) else {
                continue;
            };
            let limit = if number == cut { limit } else { usize::MAX };
            number += 1;
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (from.try_clone(), to.try_clone());
                let (mut from, mut to) = (from.expect("a handle"), to.expect("a handle"));
                thread::spawn(move || {
                    let (mut bytes, mut passed) = ([0; 1 << 14], 0);
                    while let Ok(count) = from.read(&mut bytes)
                        && count > 0
                        && passed + count < limit
                        && to.write_all(&bytes[..count]).is_ok()
                    {
                        passed += count;
                    }
                    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
                });
            }
        }
    });
    at
}

/// Trains with a link that is cut, and checks that no role succeeds.
fn fails(dir: &Path, to_dealer: &str, to_p0: &str, [d, p]: [&str; 2]) {
    let model = dir.join("model.safetensors");
    let save = model.to_str().expect("UTF-8");
    let session = [
        "--micro-batch",
        "8",
        "--reveal-to",
        "p1",
        "--insecure",
        "--wait",
        "60",
    ];
    let threads = ["--threads", "3"];
    let dealer = ["dealer", "--listen", d, "--insecure", "--wait", "60"];
    let p0 = ["party", "--role", "p0", "--listen", p, "--dealer", d];
    let p1 = [
        "party", "--role", "p1", "--peer", to_p0, "--dealer", to_dealer, "--save", save,
    ];
    let children = [
        start(&[&dealer[..], &threads].concat()),
        start(&[&p0[..], &threads, &session].concat()),
        start(&[&p1[..], &threads, &session].concat()),
    ];
    for child in children {
        let (well, out, err) = end(child);
        assert!(!well && !out.contains("done"), "{out}{err}");
        let errors = err.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{err}");
        // The cause, and not what follows from it.
        assert!(!err.contains("rank of this role"), "{err}");
    }
    assert!(!model.exists());
}

#[test]
fn a_further_rank_whose_link_breaks_ends_the_run_everywhere() {
    for cut in [1, 2] {
        let dir = tempfile::tempdir().expect("a directory");
        let (d, p) = (address(), address());
        fails(dir.path(), &d, &cutting(&p, cut, 200_000), [&d, &p]);
        let (d, p) = (address(), address());
        fails(dir.path(), &cutting(&d, cut, 400_000), &p, [&d, &p]);
    }
}
