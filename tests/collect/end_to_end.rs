//! From an owner's samples to what a training reads.

use std::{fs, net::TcpStream, time::Duration};

use ringlet::data::{Part, load};
use ringlet_tests::{address, end, failure, ringlet, start, stop, success, text, wait_until};

use crate::{
    https::{post, request},
    servers::{ROLES, Servers},
    uploads::{made, opened, plain, samples, upload},
};

const OPEN: [&str; 6] = [
    "--input",
    "8x8x1",
    "--class-count",
    "10",
    "--open",
    "--normalise=0.3:0.4",
];

#[test]
fn digits_of_an_owner_reach_all_three_roles() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.file("task.toml");
    let shown: serde_json::Value =
        serde_json::from_str(&success(&["task", "show", &task, "--json"])).expect("JSON");
    assert_eq!(shown["id"], servers.task.id_text());
    assert_eq!(
        (&shown["fraction_bits"], &shown["open"]),
        (&9.into(), &true.into())
    );
    assert!(success(&["task", "show", &task]).contains("8x8x1, normalised by 0.3:0.4"));
    // Built-in digits: 1498.
    let sent = ringlet(&["contribute", "--task", &task, "--per-upload", "20"]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let said = text(&sent.stdout);
    let names: Vec<&str> = said.lines().collect();
    assert_eq!(names.len(), 75);
    assert!(text(&sent.stderr).contains("1498 samples are contributed, in 75 uploads"));
    // The same command again contributes nothing twice.
    let again = success(&["contribute", "--task", &task]);
    assert_eq!(again, said);
    let status = servers.command(0, &["status"]);
    assert_eq!(
        (&status["uploads"], &status["contributions"]),
        (&75.into(), &1498.into())
    );
    // One upload is withdrawn by its owner, one by the operator.
    let withdrawn = success(&["contribute", "--task", &task, "--withdraw", names[3]]);
    assert_eq!(withdrawn, "1 uploads are withdrawn\n");
    servers.command(0, &["withdraw", names[74]]);
    let listed = servers.command(0, &["list"]);
    assert_eq!(
        (&listed["list"], &listed["uploads"]),
        (&1.into(), &73.into())
    );
    let lists = [0, 1, 2].map(|role| servers.command(role, &["status"])["lists"].clone());
    assert!(lists[0] == lists[1] && lists[1] == lists[2], "{lists:?}");
    assert_eq!(servers.command(2, &["status"])["bytes"], 0);
    let opened = opened(&servers, 1);
    servers.end_all();
    let digits = load(None, Part::Train).expect("the digits");
    let wanted = (0..60).chain(80..1480);
    let wanted: Vec<_> = wanted
        .map(|sample| plain(&servers.task, digits.image(sample), digits.labels[sample]))
        .collect();
    assert_eq!(opened.len(), wanted.len());
    assert!(opened == wanted);
    for role in ROLES {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(servers.file(&format!("{role}.redb")))
            .expect("a store")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{role}");
    }
    let state = fs::metadata(format!("{task}.contributed")).expect("a state");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&state.permissions()) & 0o777,
        0o600
    );
}

#[test]
fn an_owner_is_not_told_that_it_contributes_what_it_has_withdrawn() {
    let mut servers = Servers::new(&[
        "--model",
        "digits8",
        "--most-contributions",
        "500",
        "--open",
    ]);
    servers.start_all();
    let task = servers.file("task.toml");
    let contribute = ["contribute", "--task", &task, "--per-upload", "500"];
    let receipt = success(&contribute);
    let names: Vec<&str> = receipt.lines().collect();
    assert_eq!(names.len(), 3);
    success(&["contribute", "--task", &task, "--withdraw", names[1]]);
    let again = ringlet(&contribute);
    let told = text(&again.stderr);
    assert!(
        told.contains("998 samples are contributed, in 2 uploads"),
        "{told}"
    );
    assert!(told.contains("1 more were withdrawn"), "{told}");
    assert_eq!(text(&again.stdout), format!("{}\n{}\n", names[0], names[2]));
    assert_eq!(servers.command(0, &["status"])["contributions"], 998);
    servers.end_all();
}

#[test]
fn an_upload_is_kept_once_and_a_list_needs_all_of_it() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.task.clone();
    let one = upload(&task, 1, 2);
    assert_eq!(post(&task, &one).0, 201);
    assert_eq!(post(&task, &one).0, 200);
    assert_eq!(servers.command(0, &["status"])["contributions"], 2);
    let list = servers.command(0, &["list"]);
    let second = made(&task, 2, &samples(&task, 2, 1));
    assert_eq!(post(&task, &second.1).0, 201);
    assert_eq!(servers.command(0, &["list"])["list"], 2);
    // What is withdrawn is in no later list, and an earlier one cannot be exported any more.
    let name = ringlet::data::hexadecimal::digits(&second.0.0);
    servers.command(0, &["withdraw", &name]);
    let third = servers.command(0, &["list"]);
    assert_eq!(
        (&third["list"], &third["digest"]),
        (&3.into(), &list["digest"])
    );
    let (status, text) = request(&task, "GET", "/metrics", &[]).expect("metrics");
    assert_eq!(status, 200);
    for line in [
        "uploads_accepted_total 2",
        "uploads_repeated_total 1",
        "uploads_withdrawn_total 1",
        "uploads_refused_total{reason=\"malformed\"} 0",
        "contributions 2",
        "group_size_sum 2",
    ] {
        assert!(
            text.contains(&format!("ringlet_collection_{line}\n")),
            "{line}: {text}"
        );
    }
    let wanted = samples(&task, 1, 2);
    let wanted = wanted
        .iter()
        .map(|(pixels, label)| plain(&task, pixels, *label));
    assert_eq!(opened(&servers, 3), wanted.collect::<Vec<_>>());
    for role in ROLES {
        let (store, out) = (servers.file(&format!("{role}.redb")), servers.file("none"));
        let line = failure(&[
            "collect", "export", "--store", &store, "--list", "2", "--out", &out,
        ]);
        assert!(line.contains("was withdrawn"), "{line}");
        let line = failure(&[
            "collect", "export", "--store", &store, "--list", "4", "--out", &out,
        ]);
        assert!(line.contains("no list 4"), "{line}");
        assert!(!std::path::Path::new(&out).exists());
    }
    servers.end_all();
}

#[test]
fn a_follower_that_is_away_delays_uploads_and_comes_back() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.task.clone();
    for (number, role) in [(1, 1), (2, 2)] {
        servers.kill(role);
        assert_eq!(
            post(&task, &upload(&task, number, 1)),
            (503, "not-available".to_owned())
        );
        servers.start(role);
        wait_until("the upload", Duration::from_secs(10), || {
            post(&task, &upload(&task, number, 1)).0 == 201
        });
    }
    // An owner waits by itself.
    servers.kill(1);
    let path = servers.file("task.toml");
    let sending = start(&["contribute", "--task", &path, "--per-upload", "64"]);
    std::thread::sleep(Duration::from_millis(300));
    servers.start(1);
    let (well, out, err) = end(sending);
    assert!(well && out.lines().count() == 24, "{err}");
    assert_eq!(servers.list()["contributions"], 1500);
    servers.end_all();
}

#[test]
fn silent_connections_keep_no_leader_out() {
    let mut servers = Servers::new(&OPEN);
    servers.start(1);
    servers.start(2);
    let roster = fs::read_to_string(servers.file("all/roster.toml")).expect("a roster");
    let addresses = roster
        .lines()
        .filter_map(|line| line.strip_prefix("address = "));
    let mut silent = Vec::new();
    for address in addresses.map(|address| address.trim_matches('"')) {
        wait_until("a listener", Duration::from_secs(20), || {
            TcpStream::connect(address).is_ok()
        });
        silent.extend((0..300).map(|_| TcpStream::connect(address).expect("a connection")));
    }
    assert_eq!(silent.len(), 600);
    servers.start(0);
    servers.wait_for_all();
    assert_eq!(post(&servers.task, &upload(&servers.task, 1, 1)).0, 201);
    servers.end_all();
}

#[test]
fn a_run_that_is_killed_goes_on_and_sends_nothing_twice() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.file("task.toml");
    let command = ["contribute", "--task", &task, "--per-upload", "2"];
    let uploads = || {
        servers.command(0, &["status"])["uploads"]
            .as_u64()
            .expect("a number")
    };
    for kills in 1..3 {
        let sending = start(&command);
        wait_until("uploads", Duration::from_secs(20), || {
            uploads() > 60 * kills
        });
        stop(sending);
    }
    assert!(uploads() < 749);
    let said = success(&command);
    assert_eq!(said.lines().count(), 749);
    assert_eq!(servers.command(0, &["list"])["contributions"], 1498);
    let opened = opened(&servers, 1);
    servers.end_all();
    let digits = load(None, Part::Train).expect("the digits");
    // A killed run may have left an upload behind that came only after the next ones.
    let mut opened = opened;
    let mut wanted: Vec<_> = (0..1498)
        .map(|sample| plain(&servers.task, digits.image(sample), digits.labels[sample]))
        .collect();
    opened.sort();
    wanted.sort();
    assert!(opened == wanted);
}

#[test]
fn two_servers_and_a_dealer_train_on_what_owners_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = ["a", "b"].map(|name| dir.path().join(name).display().to_string());
    let mut options = vec!["--model".to_owned(), "digits8".to_owned()];
    options.extend(["--least-owners", "2"].map(str::to_owned));
    for key in &keys {
        let public = success(&["task", "owner", "--out", key]);
        options.extend(["--owner".to_owned(), public.trim().to_owned()]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut servers = Servers::new(&options);
    servers.start_all();
    let task = servers.file("task.toml");
    for key in &keys {
        let state = format!("{key}.state");
        success(&[
            "contribute",
            "--task",
            &task,
            "--owner",
            key,
            "--state",
            &state,
        ]);
    }
    for role in 0..3 {
        assert_eq!(servers.command(role, &["status"])["owners"], 2);
    }
    let listed = servers.command(0, &["list"]);
    assert_eq!(listed["contributions"], 2 * 1498);
    let files = [0, 1, 2].map(|role| {
        let out = servers.file(&format!("{role}.contributions"));
        let told = servers.command(role, &["export", "--list", "1", "--out", &out]);
        assert_eq!(told["contributions"], 2 * 1498);
        (out, told["name"].clone())
    });
    assert!(files[0].1 == files[1].1 && files[1].1 == files[2].1);
    servers.end_all();
    // From here on the roles are those of any training.
    let (p0, dealer) = (address(), address());
    let party = |role: &str, more: &[&str], file: &str| {
        let usual = [
            "party",
            "--role",
            role,
            "--model",
            "digits8",
            "--contributions",
            file,
        ];
        start(
            &[
                &usual[..],
                &["--dealer", &dealer, "--epochs", "3", "--reveal-to", "p1"],
                more,
            ]
            .concat(),
        )
    };
    let model = servers.file("model.safetensors");
    let roles = [
        start(&[
            "dealer",
            "--listen",
            &dealer,
            "--contributions",
            &files[2].0,
        ]),
        party("p0", &["--listen", &p0], &files[0].0),
        party("p1", &["--peer", &p0, "--save", &model], &files[1].0),
    ];
    for role in roles {
        let (well, out, err) = end(role);
        assert!(well && out.contains("done"), "{out}{err}");
    }
    let evaluated = success(&["evaluate", "--model-file", &model]);
    assert!(
        evaluated.contains(" % right") || evaluated.contains('%'),
        "{evaluated}"
    );
    let right: f64 = evaluated
        .split(' ')
        .next()
        .expect("a line")
        .parse()
        .expect("a number");
    assert!(right > 90.0, "{evaluated}");
}

#[test]
fn the_task_says_which_class_is_which() {
    let shape = ["--input", "2x2x1", "--class-count", "3", "--open"];
    let mut servers = Servers::new(&[&shape[..], &["--classes", "cat,dog,fox"]].concat());
    servers.start_all();
    // An owner without cats.
    let table = servers.file("mine.csv");
    fs::write(&table, "label,a,b,c,d\nfox,0,85,170,255\ndog,1,2,3,4\n").expect("a table");
    let task = servers.file("task.toml");
    success(&["contribute", "--task", &task, "--data", &table]);
    let other = [
        "contribute",
        "--task",
        &task,
        "--data",
        &table,
        "--classes",
        "dog,fox,cat",
    ];
    let line = failure(&[&other[..], &["--state", &servers.file("other")]].concat());
    assert!(
        line.contains("differs from the classes of the task"),
        "{line}"
    );
    servers.command(0, &["list"]);
    let wanted = [([0, 85, 170, 255], 2), ([1, 2, 3, 4], 1)];
    let wanted = wanted.map(|(pixels, label)| plain(&servers.task, &pixels, label));
    assert_eq!(opened(&servers, 1), wanted);
    servers.end_all();
    // Without names in the task, nobody says which number a dog is.
    let nameless = Servers::new(&shape);
    let task = nameless.file("task.toml");
    let line = failure(&["contribute", "--task", &task, "--data", &table]);
    assert!(line.contains("classes without names"), "{line}");
}

#[test]
fn commands_need_the_role_that_runs() {
    let servers = Servers::new(&OPEN);
    let store = servers.file("p0.redb");
    let line = failure(&["collect", "list", "--store", &store]);
    assert!(line.contains("no role runs"), "{line}");
}
