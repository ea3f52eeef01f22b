//! Session files: one file gives all roles the options that they share, and the command line wins.

use std::{fs, path::Path};

use ringlet_tests::{TrainedOnce, address, complaint, end, failure, start, success, told, trained};

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().expect("UTF-8").to_owned()
}

/// Writes a session file.
fn session(dir: &Path, text: &str) -> String {
    let path = path(dir, "session.toml");
    fs::write(&path, text).expect("a file");
    path
}

#[test]
fn roles_with_one_file_make_the_model_that_options_make() {
    let dir = tempfile::tempdir().expect("a directory");
    let (dealer, p0) = (address(), address());
    let file = session(
        dir.path(),
        &format!(
            "dealer = '{dealer}'\nshare-of-p0 = 0.5\nbatch = 16\nmicro-batch = 8\nlimit = 3\n\
             seed = 5\nlr = 0.0625\nreveal-to = 'p1'\nwait = 20\naudit = 2\n\
             [role.p0]\nlisten = '{p0}'\n[role.p1]\npeer = '{p0}'\nsave = 'of-file.safetensors'\n\
             [role.dealer]\nlisten = '{dealer}'\n"
        ),
    );
    let of_file = path(dir.path(), "of-file.safetensors");
    let role = |role: &[&str], seed| {
        let secrets = ["--session", &file, "--secret-seed", seed];
        start(&[role, &secrets].concat())
    };
    let roles = [
        role(&["dealer"], "1"),
        role(&["party", "--role", "p0"], "2"),
        role(&["party", "--role", "p1"], "3"),
    ];
    for child in roles {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let (dealer, p0) = (address(), address());
    let of_options = path(dir.path(), "of-options.safetensors");
    let party = |name, place: [&str; 2], seed, more: &[&str]| {
        let options = "--share-of-p0 0.5 --batch 16 --micro-batch 8 --limit 3 --seed 5 --lr 0.0625 \
                       --reveal-to p1 --wait 20 --audit 2";
        let options: Vec<&str> = options.split_whitespace().collect();
        let own = ["party", "--role", name, place[0], place[1]];
        let secrets = ["--dealer", &dealer, "--secret-seed", seed];
        start(&[&own, &options[..], &secrets, more].concat())
    };
    let roles = [
        start(&["dealer", "--listen", &dealer, "--secret-seed", "1"]),
        party("p0", ["--listen", &p0], "2", &[]),
        party("p1", ["--peer", &p0], "3", &["--save", &of_options]),
    ];
    for child in roles {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let model = |path: &str| fs::read(path).expect("a model");
    assert!(model(&of_file) == model(&of_options));
}

#[test]
fn roles_train_with_the_file_of_the_book() {
    let block = include_str!("../docs/src/cli.md").split_once("```toml\n");
    let (text, _) = block
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("a file");
    let text = text.replace("127.0.0.1:7000", &address());
    let text = text.replace("127.0.0.1:7001", &address());
    let dir = tempfile::tempdir().expect("a directory");
    let file = session(dir.path(), &text);
    assert!(success(&["plan", "--session", &file]).contains("digits8"));
    let role = |role: &[&str]| start(&[role, &["--session", &file, "--limit", "4"]].concat());
    let party = |name| role(&["party", "--role", name]);
    let dealer = start(&["dealer", "--session", &file]);
    for child in [dealer, party("p0"), party("p1")] {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    assert!(dir.path().join("model.safetensors").is_file());
}

#[test]
fn the_plan_of_a_file_is_that_of_its_options() {
    let dir = tempfile::tempdir().expect("a directory");
    let model = r#"{"name":"mine","input":[8,8,1],"layers":["flatten",{"dense":{"units":10}}]}"#;
    fs::write(dir.path().join("model.json"), model).expect("a file");
    // A path begins at the file's directory, which is not that of this process. The dealer is no matter of a plan.
    let file = session(
        dir.path(),
        "model = 'model.json'\nbatch = 64\nprotocol = 'securenn'\nloss = 'normalised'\n\
         samples = [100, 60]\ndealer = '127.0.0.1:7000'\ngreyscale = false\n\
         [role.p0]\nsave = 'model'\n",
    );
    let model = path(dir.path(), "model.json");
    let plan = |options: &[&str]| success(&[&["plan", "--json"], options].concat());
    let options = ["--model", &model, "--protocol", "securenn"];
    let options = [
        &options[..],
        &["--loss", "normalised", "--samples", "100,60"],
    ]
    .concat();
    for batch in [["--batch", "64"], ["--batch", "32"]] {
        let wanted = plan(&[&options[..], &batch].concat());
        let more = if batch[1] == "64" { &[] } else { &batch[..] };
        assert_eq!(plan(&[&["--session", &file], more].concat()), wanted);
    }
    // Who has the images asks.
    let file = session(
        dir.path(),
        "model = 'digits8'\nbatch = 8\nsamples = [0, 40]\n",
    );
    let asks = success(&["plan", "--infer", "--session", &file]);
    assert!(asks.contains("p1 asks"), "{asks}");
}

#[test]
fn what_the_command_line_excludes_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = session(
        dir.path(),
        &format!(
            "dealer = '{}'\nreveal-to = 'p1'\nvalidate = [5, 0]\nvalidate-every = 2\n\
             checkpoint = 'checkpoints'\n[role.p0]\nlisten = '{}'\n[role.p1]\npeer = '127.0.0.1:1'\n\
             save = 'model'\n",
            address(),
            address()
        ),
    );
    let party = |more: &[&str]| {
        let party = ["party", "--insecure", "--session", &file, "--wait", "1"];
        failure(&[&party, more].concat())
    };
    // Dealt files take the dealer's place, and classes that of a training.
    let line = party(&["--role", "p0", "--dealt", "nowhere"]);
    assert!(line.contains("nowhere"), "{line}");
    let infer = ["--infer", "--samples", "10,0"];
    let p0 = ["party", "--session", &file, "--wait", "1", "--role", "p0"];
    let line = complaint(start(&[&p0, &infer[..]].concat()));
    assert!(line.contains("cannot reach the dealer"), "{line}");
    let line = party(&[&["--role", "p1", "--model-file", "no-model"], &infer[..]].concat());
    assert!(line.contains("no-model"), "{line}");
}

#[test]
fn what_is_wrong_in_a_file_is_told_by_line_and_key() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, hint) in [
        (
            "batch = 8\nbach = 8\n",
            "line 2: `bach` is no option of any role: write `batch`",
        ),
        (
            "learning-rate = 1",
            "line 1: `learning-rate` is no option of any role: keys are the",
        ),
        (
            "zzz = 1",
            "line 1: `zzz` is no option of any role: keys are the",
        ),
        (
            "twin = true",
            "leave it out, and give --twin to `ringlet train`",
        ),
        ("session = 'other'", "line 1: `session` is no option"),
        ("supervised = true", "line 1: `supervised` is no option"),
        ("role = 'p0'", "--role on the command line"),
        (
            "\nidentity = 'p0.identity'",
            "line 2: all roles would have the same `identity`",
        ),
        (
            "[role.dealer]\nsave = 'model'",
            "line 2: `save` is no option of `ringlet dealer`",
        ),
        ("[links]\nrate = 8", "line 1: `links` is a table"),
        (
            "batch = 'many'",
            "line 1: invalid value 'many' for '--batch <N>'",
        ),
        (
            "epochs = 2\naudit = 0",
            "line 2: invalid value '0' for '--audit <N>'",
        ),
        ("ring = 'u8'", "[possible values: u32, u64]"),
        (
            "greyscale = 1",
            "`greyscale` takes no value: write true or false",
        ),
        ("batch = true", "`batch` needs a value"),
        ("limit = 3\niterations = 4", "set by another key too"),
        ("batch = \n", "session.toml, line 1: "),
        (
            "share-of-p0 = 0.5\nsamples = [1, 2]",
            "session.toml: the argument '--samples <N0,N1>' cannot be used with '--share-of-p0",
        ),
    ] {
        let file = session(dir.path(), text);
        let line = failure(&["plan", "--session", &file]);
        assert!(
            line.contains("session.toml") && line.contains(hint),
            "{text}: {line}"
        );
    }
    let line = failure(&["party", "--role", "p0", "--session", "nowhere.toml"]);
    assert!(line.contains("nowhere.toml cannot be read"), "{line}");
}

#[test]
fn a_simulation_takes_what_it_has_options_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let text =
        "limit = 2\nbatch = 8\nroster = 'roster.toml'\nthreads = 2\n[role.p1]\nsave = 'model'\n";
    let file = session(dir.path(), text);
    let out = told(&["train", "--session", &file]);
    assert!(out.contains("2 iterations of 8"), "{out}");
    assert!(!dir.path().join("model").exists());
}

#[test]
fn classification_takes_its_file_as_its_options() {
    static MODEL: TrainedOnce = TrainedOnce::new();
    let model = trained(&MODEL, &["--limit", "20"]);
    let model = model.to_str().expect("UTF-8");
    let dir = tempfile::tempdir().expect("a directory");
    // Batches are told; what neither command has is passed over.
    let file = session(
        dir.path(),
        "model = 'digits8'\nbatch = 50\nmicro-batch = 25\nprotocol = 'securenn'\nseed = 5\n\
         lr = 0.5\nreveal-to = 'p1'\nwait = 7\n[role.p1]\nmodel-file = 'nowhere'\nout = 'nowhere.csv'\n",
    );
    let named = ["--session", &file];
    let options = "--model digits8 --batch 50 --micro-batch 25 --protocol securenn --seed 5";
    let options: Vec<&str> = options.split_whitespace().collect();
    let predict = |given: &[&str], name: &str| {
        let out = dir.path().join(name);
        let out = ["--out", out.to_str().expect("UTF-8")];
        let first = ["predict", "--model-file", model, "--count", "60"];
        let said = told(&[&first, &out[..], given].concat());
        assert!(said.contains("2 batches of 50"), "{said}");
        fs::read_to_string(dir.path().join(name)).expect("classes")
    };
    assert_eq!(predict(&named, "file"), predict(&options, "options"));
    assert!(!dir.path().join("nowhere.csv").exists());
    let evaluate = |given: &[&str]| {
        let first = ["evaluate", "--model-file", model, "--count", "60"];
        let said = success(&[&first, given].concat());
        // What follows the counts are costs, seconds among them.
        said.split("\n\n").next().map(str::to_owned)
    };
    assert_eq!(evaluate(&named), evaluate(&options));
    // The line wins.
    let line = ["--batch", "30", "--micro-batch", "15"];
    let first = ["evaluate", "--model-file", model, "--count", "60"];
    let said = told(&[&first[..], &named, &line].concat());
    assert!(said.contains("2 batches of 30"), "{said}");
    // What it excludes is left out, and what it needs is asked for.
    let file = session(dir.path(), "profile = 'wan'\nbatch = 64\nfreeze = '1'\n");
    let named = ["evaluate", "--session", &file];
    let line = failure(&[&named[..], &["--model-file", "nowhere", "--delay", "1"]].concat());
    assert!(line.contains("nowhere"), "{line}");
    let line = failure(&named);
    assert!(line.contains("--model-file"), "{line}");
}

#[test]
fn a_comparison_takes_its_file_as_its_options() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().to_str().expect("UTF-8");
    // Images and links are for --measure, which is not given. Whether they are there does not matter then.
    let file = session(
        dir.path(),
        "model = 'convnet1'\nbatch = 32\nactivation = 'relu:2'\ndata = 'nowhere'\nprofile = 'wan'\n\
         loss = 'normalised'\n",
    );
    let compare = |more: &[&str]| success(&[&["compare", "--out", out][..], more].concat());
    let options = [
        "--model",
        "convnet1",
        "--batch",
        "32",
        "--activation",
        "relu:2",
    ];
    let named = ["--session", &file];
    assert_eq!(compare(&named), compare(&options));
    assert_eq!(
        compare(&[&named[..], &["--batch", "16"]].concat()),
        compare(&[&options[..2], &options[4..], &["--batch", "16"]].concat())
    );
    let measured = ["compare", "--out", out, "--measure", "1"];
    let line = failure(&[&measured[..], &named].concat());
    assert!(line.contains("nowhere"), "{line}");
}

#[test]
fn every_command_with_a_file_refuses_what_no_role_has() {
    let dir = tempfile::tempdir().expect("a directory");
    for (key, command) in [
        ("count = 3", "predict"),
        ("board = 'stm32f405'", "qemu"),
        ("measure = 2", "compare"),
    ] {
        let file = session(dir.path(), key);
        let hint = format!("to `ringlet {command}`");
        for command in ["predict", "evaluate", "qemu", "compare"] {
            let line = failure(&[command, "--session", &file]);
            assert!(
                line.contains("is no option of any role") && line.contains(&hint),
                "{line}"
            );
        }
    }
    let file = session(dir.path(), "bach = 8");
    for command in ["predict", "evaluate", "qemu", "compare"] {
        let line = failure(&[command, "--session", &file]);
        assert!(line.contains("line 1: `bach` is no option"), "{line}");
    }
}

#[test]
fn a_training_with_a_board_takes_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = session(
        dir.path(),
        "model = 'convnet1'\nprotocol = 'securenn'\n[role.p0]\nsave = 'model'\n",
    );
    let qemu = ["qemu", "--board", "mps2-an386", "--session", &file];
    // The model that the file names takes other images than the digits that the board gets.
    let line = failure(&qemu);
    assert!(line.contains("28"), "{line}");
    let line = failure(&[&qemu[..], &["--model", "digits8", "--firmware", "nowhere"]].concat());
    assert!(!line.contains("28"), "{line}");
}
