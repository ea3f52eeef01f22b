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

/// The role beside the parties in such a session.
fn helper_of(session: &[&str]) -> &'static str {
    match session.contains(&"securenn") {
        true => "assistant",
        false => "dealer",
    }
}

/// Trains with so many threads at the dealer or the assistant, P0 and P1.
fn train(threads: [&str; 3], session: &[&str]) -> (Outcome, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let model = dir.path().join("model.safetensors");
    let save = model.to_str().expect("UTF-8");
    let (h, p) = (address(), address());
    let [of_helper, p0, p1] = threads;
    let insecure = ["--insecure", "--wait", "60"];
    let name = helper_of(session);
    let helper = [
        name,
        "--listen",
        &h,
        "--threads",
        of_helper,
        "--secret-seed",
        "7",
    ];
    let helper = start(&[&helper[..], &insecure].concat());
    let to_helper = [&format!("--{name}"), &h, "--reveal-to", "p1"];
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
    let p0 = start(&[&p0[..], &to_helper, &insecure, session].concat());
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
    let p1 = start(&[&p1[..], &to_helper, &["--save", save], &insecure, session].concat());
    let [(helped, _), (_, p0), (_, p1)] = [helper, p0, p1].map(|child| {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        (err, out)
    });
    let outcome = Outcome {
        said: [&p0, &p1].map(|out| lines(out)).to_vec(),
        model: fs::read(&model).expect("a model"),
    };
    (outcome, helped)
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
    let securenn = ["--limit", "17", "--protocol", "securenn", "--audit", "5"];
    let settings: [(&[&str], &[[&str; 3]]); 4] = [
        (
            &["--limit", "18", "--audit", "5"],
            &[["2", "2", "2"], ["4", "4", "4"], ["4", "2", "3"]],
        ),
        (&["--limit", "4", "--ring", "u64"], &[["3", "3", "3"]]),
        (&["--limit", "4", "--protocol", "spdz"], &[["3", "3", "3"]]),
        (&securenn, &[["2", "2", "2"], ["3", "4", "3"]]),
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
    let links = ["--link", "tcp"];
    for protocol in ["exact", "securenn"] {
        let by = ["--protocol", protocol];
        let one = model("one", &[&by[..], &["--threads", "1"]].concat());
        for (name, more) in [
            ("several", &["--threads", "3"][..]),
            ("left-out", &[]),
            ("processes", &[&links[..], &["--threads", "2"]].concat()),
        ] {
            let made = model(name, &[&by[..], more].concat());
            assert!(made == one, "{protocol}, {name}");
        }
    }
}

#[test]
fn a_batch_of_one_micro_batch_takes_one_thread() {
    for protocol in ["exact", "securenn"] {
        let session = ["--limit", "2", "--protocol", protocol];
        let (_, said) = train(["4", "4", "4"], &session);
        assert!(!said.contains("threads"), "{said}");
    }
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

/// Trains with a link that is cut, and checks that no role succeeds. P1 reaches the others at these addresses.
fn fails(dir: &Path, protocol: &str, [to_helper, to_p0]: [&str; 2], [h, p]: [&str; 2]) {
    let name = helper_of(&[protocol]);
    let option = &format!("--{name}")[..];
    let model = dir.join("model.safetensors");
    let save = model.to_str().expect("UTF-8");
    let session = [
        "--micro-batch",
        "8",
        "--protocol",
        protocol,
        "--reveal-to",
        "p1",
        "--insecure",
        "--wait",
        "60",
    ];
    let threads = ["--threads", "3"];
    let helper = [name, "--listen", h, "--insecure", "--wait", "60"];
    let p0 = ["party", "--role", "p0", "--listen", p, option, h];
    let p1 = [
        "party", "--role", "p1", "--peer", to_p0, option, to_helper, "--save", save,
    ];
    let children = [
        start(&[&helper[..], &threads].concat()),
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
    for (protocol, cut) in ["exact", "securenn"]
        .into_iter()
        .flat_map(|by| [(by, 1), (by, 2)])
    {
        let dir = tempfile::tempdir().expect("a directory");
        let (h, p) = (address(), address());
        let to_p0 = cutting(&p, cut, 200_000);
        fails(dir.path(), protocol, [&h, &to_p0], [&h, &p]);
        let (h, p) = (address(), address());
        let to_helper = cutting(&h, cut, 400_000);
        fails(dir.path(), protocol, [&to_helper, &p], [&h, &p]);
    }
}
