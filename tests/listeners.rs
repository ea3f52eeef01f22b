//! Roles that listen: strangers, idlers and wrong callers neither end them nor keep them from the right ones, and whoever
//! waits says what for.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use ringlet_tests::{
    address, complaint, end, failure,
    middle::{Attack, Middle},
    start, success, wait_until,
};

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Starts a role with these options.
fn role(command: &[&str], more: &[&str]) -> Child {
    start(&[command, more].concat())
}

fn dealer(at: &str) -> Child {
    role(&["dealer"], &["--listen", at, "--wait", "20"])
}

/// A party of a session of three iterations.
fn party(role: &str, peer: [&str; 2], dealer: &str, more: &[&str]) -> Child {
    let arguments = [
        "party", "--role", role, peer[0], peer[1], "--dealer", dealer, "--wait", "20", "--limit",
        "3",
    ];
    start(&[&arguments[..], more].concat())
}

/// Waits for roles that succeed. Returns what each wrote to the standard error.
fn all_well<const N: usize>(children: [Child; N]) -> [String; N] {
    children.map(|child| {
        let (well, out, err) = end(child);
        assert!(well && out.contains("done"), "{out}{err}");
        err
    })
}

/// Connects to a role that may not listen yet.
fn connect(at: &str) -> TcpStream {
    let mut stream = None;
    wait_until("listening", Duration::from_secs(20), || {
        stream = TcpStream::connect(at).ok();
        stream.is_some()
    });
    stream.expect("a connection")
}

#[test]
fn silent_and_slow_connections_keep_nobody_waiting() {
    let (d, p) = (address(), address());
    let dealer = dealer(&d);
    let p0 = party("p0", ["--listen", &p], &d, &[]);
    let mut silent = Vec::new();
    for at in [&d, &p] {
        let mut slow = connect(at);
        silent.extend((0..200).map(|_| connect(at)));
        thread::spawn(move || {
            // The head of a greeting of 2000 bytes, and then a byte each second until the role is gone.
            let _ = slow.write_all(b"RNGL\xd0\x07");
            while slow.write_all(&[0]).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
    // If they were served one after the other, the right one would have to wait for a quarter of an hour.
    let p1 = party("p1", ["--peer", &p], &d, &[]);
    all_well([dealer, p0, p1]);
    drop(silent);
}

#[test]
fn a_connection_that_is_reset_before_it_is_accepted_ends_nobody() {
    let (d, p) = (address(), address());
    let dealer = dealer(&d);
    let p0 = party("p0", ["--listen", &p], &d, &[]);
    for at in [&d, &p] {
        for _ in 0..50 {
            let stream = connect(at);
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
                .expect("a socket");
        }
    }
    let p1 = party("p1", ["--peer", &p], &d, &[]);
    all_well([dealer, p0, p1]);
}

#[test]
fn who_wants_another_role_is_refused_by_name() {
    let (d, p) = (address(), address());
    let dealer = dealer(&d);
    let refused = |peer, dealer, what| {
        let line = complaint(party("p1", ["--peer", peer], dealer, &[]));
        assert!(line.contains("refused") && line.contains(what), "{line}");
    };
    // The dealer in the place of P0, while it still waits for the parties; and P0 in the place of the dealer.
    let names = ["the dealer listens there", "party p0 listens there"];
    refused(&d, &d, names[0]);
    let p0 = party("p0", ["--listen", &p], &d, &[]);
    refused(&p, &p, names[1]);
    let p1 = party("p1", ["--peer", &p], &d, &[]);
    let [dealer, p0, _] = all_well([dealer, p0, p1]);
    for (err, what) in [dealer, p0].iter().zip(names) {
        assert!(err.contains("turned away") && err.contains(what), "{err}");
    }
}

/// A deployment: the directory of `ringlet init`.
fn deployment(addresses: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments = vec!["init", name(dir.path())];
    for (option, address) in addresses {
        arguments.extend([option, address]);
    }
    success(&arguments);
    dir
}

/// The options by which a role of a deployment knows itself and the others.
fn member(dir: &Path, role: &str) -> Vec<String> {
    let file = |file: String| name(&dir.join(file)).to_owned();
    vec![
        "--roster".to_owned(),
        file("roster.toml".to_owned()),
        "--identity".to_owned(),
        file(format!("{role}.identity")),
    ]
}

/// Starts a role of a deployment.
fn start_member(dir: &Path, role: &str, more: &[&str]) -> Child {
    let member = member(dir, role);
    let member: Vec<&str> = member.iter().map(String::as_str).collect();
    let command: &[&str] = match role {
        "p0" | "p1" => &["party", "--role", role, "--limit", "3"],
        other => &[other],
    };
    start(&[command, &["--wait", "20"], &member, more].concat())
}

#[test]
fn the_files_of_init_serve_a_whole_session() {
    for (helper, protocol) in [("dealer", "exact"), ("assistant", "securenn")] {
        let (h, p) = (address(), address());
        let dir = deployment(&[("--p0", &p), (&format!("--{helper}"), &h)]);
        #[cfg(unix)]
        for role in ["p0", "p1", "dealer", "assistant"] {
            use std::os::unix::fs::PermissionsExt;
            let file = dir.path().join(format!("{role}.identity"));
            let mode = fs::metadata(file).expect("an identity").permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{role}");
        }
        let model = dir.path().join("model");
        let session = ["--protocol", protocol, "--reveal-to", "p1"];
        let save = [&session[..], &["--save", name(&model)]].concat();
        all_well([
            start_member(dir.path(), helper, &[]),
            start_member(dir.path(), "p0", &session),
            start_member(dir.path(), "p1", &save),
        ]);
        assert!(fs::metadata(model).expect("a model").len() > 1000);
    }
}

#[test]
fn who_is_not_in_the_roster_is_refused_by_name() {
    let (d, p) = (address(), address());
    let addresses = [("--p0", p.as_str()), ("--dealer", &d)];
    let (right, foreign) = (deployment(&addresses), deployment(&addresses));
    let dealer = start_member(right.path(), "dealer", &[]);
    let p0 = start_member(right.path(), "p0", &[]);
    drop(connect(&d));
    drop(connect(&p));
    let refused = |line: String| {
        assert!(
            line.contains("refused") && line.contains("identity"),
            "{line}"
        );
    };
    // The identity of another deployment, without identities, and one who is refused by P0 alone.
    refused(complaint(start_member(foreign.path(), "p1", &[])));
    refused(complaint(party("p1", ["--peer", &p], &d, &[])));
    let known = complaint(start_member(
        foreign.path(),
        "p1",
        &["--dealer", &p, "--peer", &d],
    ));
    assert!(known.contains("listens there"), "{known}");
    // One who is P1 takes another for the dealer.
    let mixed = tempfile::tempdir().expect("a directory");
    let read = |dir: &Path| fs::read_to_string(dir.join("roster.toml")).expect("a roster");
    let tables = |text: &str| -> Vec<String> { text.split("\n[").map(str::to_owned).collect() };
    let (own, other) = (tables(&read(right.path())), tables(&read(foreign.path())));
    let chosen: Vec<&str> = own
        .iter()
        .zip(&other)
        .map(|(own, other)| match own.starts_with("dealer]") {
            true => other.as_str(),
            false => own.as_str(),
        })
        .collect();
    fs::write(mixed.path().join("roster.toml"), chosen.join("\n[")).expect("a roster");
    fs::copy(
        right.path().join("p1.identity"),
        mixed.path().join("p1.identity"),
    )
    .expect("an identity");
    let line = complaint(start_member(mixed.path(), "p1", &[]));
    assert!(line.contains("the dealer"), "{line}");
    // Another session by the right one.
    let line = complaint(start_member(right.path(), "p1", &["--batch", "16"]));
    assert!(line.contains("batch sizes"), "{line}");
    let p1 = start_member(right.path(), "p1", &[]);
    let [dealer, p0, _] = all_well([dealer, p0, p1]);
    for what in [
        "the identity is not the one that the roster gives the role",
        "could not prove its identity",
        "batch sizes",
    ] {
        assert!(dealer.contains(what), "{what}: {dealer}");
    }
    assert!(p0.contains("party p0 listens there"), "{p0}");
}

#[test]
fn who_plays_a_recorded_greeting_is_turned_away() {
    let (d, p) = (address(), address());
    let dir = deployment(&[("--p0", &p), ("--dealer", &d)]);
    let start = |role, more: &[&str]| start_member(dir.path(), role, more);
    // What P1 says to P0 in a session, its handshake included.
    let middle = Middle::before(&p, Attack::Listen);
    let through = ["--peer", middle.address.as_str()];
    all_well([
        start("dealer", &[]),
        start("p0", &[]),
        start("p1", &through),
    ]);
    let [said, _] = middle.said();
    assert!(said.len() > 10_000, "{}", said.len());
    let [dealer, p0] = [start("dealer", &[]), start("p0", &[])];
    let mut impostor = connect(&p);
    // P0 may close the connection before it has taken everything.
    let _ = impostor.write_all(&said);
    let _ = std::io::copy(&mut impostor, &mut std::io::sink());
    let [_, p0, _] = all_well([dealer, p0, start("p1", &[])]);
    let what = "could not prove its identity";
    assert!(p0.contains("turned away") && p0.contains(what), "{p0}");
}

#[cfg(unix)]
#[test]
fn a_dealer_gives_up_on_a_party_that_is_frozen() {
    let (d, p) = (address(), address());
    let dir = tempfile::tempdir().expect("a directory");
    let metrics = dir.path().join("metrics");
    let endless = ["--limit", "10000000", "--epochs", "1000000"];
    let dealer = role(
        &["dealer"],
        &["--listen", &d, "--wait", "20", "--idle", "2"],
    );
    let party = |role, peer: [&str; 2], more: [&str; 2]| {
        let all = ["party", "--role", role, "--dealer", &d, "--wait", "20"];
        start(&[&all[..], &peer, &endless, &more].concat())
    };
    let p0 = party("p0", ["--listen", &p], ["--idle", "6"]);
    let p1 = party("p1", ["--peer", &p], ["--metrics", name(&metrics)]);
    wait_until("the first iterations", Duration::from_secs(60), || {
        fs::read_to_string(&metrics).is_ok_and(|lines| lines.lines().count() > 2)
    });
    let send = |signal| {
        let id = rustix::process::Pid::from_raw(p1.id() as i32).expect("a process");
        rustix::process::kill_process(id, signal).expect("a process");
    };
    let start = Instant::now();
    send(rustix::process::Signal::STOP);
    let line = complaint(dealer);
    assert!(line.contains("p1"), "{line}");
    assert!(start.elapsed() < Duration::from_secs(15), "{line}");
    complaint(p0);
    send(rustix::process::Signal::CONT);
    complaint(p1);
}

#[test]
fn without_identities_roles_stay_on_this_machine() {
    for at in ["0.0.0.0:0", "[::]:0"] {
        // Not every machine has both kinds of addresses.
        if std::net::TcpListener::bind(at).is_ok() {
            let line = failure(&["dealer", "--listen", at, "--insecure"]);
            assert!(line.contains("is not on this machine"), "{line}");
            let line = failure(&[
                "party",
                "--role",
                "p0",
                "--listen",
                at,
                "--dealer",
                "127.0.0.1:9",
                "--insecure",
            ]);
            assert!(line.contains("is not on this machine"), "{line}");
        }
    }
    // Addresses for documentation: nobody is there.
    for at in ["192.0.2.1:7000", "[2001:db8::1]:7000"] {
        let arguments = [
            "party",
            "--role",
            "p1",
            "--insecure",
            "--peer",
            "127.0.0.1:9",
            "--dealer",
            at,
        ];
        let line = failure(&arguments);
        assert!(line.contains("is not on this machine"), "{line}");
        assert!(line.contains("ringlet init"), "{line}");
    }
}

#[test]
fn a_session_with_two_dealers_ends_at_all_roles() {
    let (one, other, p) = (address(), address(), address());
    let begun = Instant::now();
    let wait = ["--wait", "3"];
    let dealers = [&one, &other].map(|at| role(&["dealer", "--listen", at], &wait));
    let p0 = party("p0", ["--listen", &p], &one, &[]);
    let p1 = party("p1", ["--peer", &p], &other, &[]);
    let [missing_p1, missing_p0] = dealers.map(complaint);
    assert!(missing_p1.contains("party p1 did not come"), "{missing_p1}");
    assert!(missing_p0.contains("party p0 did not come"), "{missing_p0}");
    for party in [p0, p1] {
        let line = complaint(party);
        assert!(line.contains("the dealer closed the link"), "{line}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn who_waits_says_what_for_and_says_it_again() {
    let (d, p, nobody) = (address(), address(), address());
    let wait = ["--wait", "8"];
    let dealer = role(&["dealer", "--listen", &d], &wait);
    let arguments = ["party", "--role", "p0", "--listen", &p, "--dealer", &d];
    let p0 = role(&arguments, &wait);
    let arguments = ["party", "--role", "p1", "--peer", &p, "--dealer", &nobody];
    let p1 = role(&arguments, &wait);
    let [dealer, p0, p1] = [dealer, p0, p1].map(end);
    let said = |(well, out, err): (bool, String, String), what: &str, still: &str| {
        assert!(!well);
        let at_once = out.contains(what) || err.contains(what);
        assert!(at_once && err.contains(still), "{out}{err}");
    };
    said(
        dealer,
        "waiting for both parties at",
        "still waiting for party p1",
    );
    said(p0, "waiting for party p1 at", "still waiting for party p1");
    said(
        p1,
        &format!("waiting for the dealer at {nobody}"),
        "still waiting for the dealer at",
    );
}
