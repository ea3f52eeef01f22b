//! The command line with good and bad input. Every mistake ends with one line that names the remedy.

use std::{fs, net::TcpListener, path::Path};

use ringlet_tests::{failure, ringlet, success};
use serde_json::Value;

fn model(dir: &Path, layers: &str) -> String {
    let path = dir.join("model.json");
    let text = format!(r#"{{"name":"mine","input":[8,8,1],"layers":[{layers}]}}"#);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn plan_prints_its_keys() {
    let out = success(&["plan", "--model", "convnet2", "--batch", "128", "--json"]);
    let plan: Value = serde_json::from_str(&out).expect("JSON");
    for key in [
        "opened_values",
        "online_bytes",
        "rounds",
        "dealer_bytes_p0_session",
        "dealer_bytes_p1",
        "arena_bytes_p0",
        "arena_bytes_p1",
    ] {
        assert!(plan[key].is_u64(), "{key}: {plan}");
    }
    let layers = plan["layers"].as_array().expect("layers");
    let sum = |pass: &str, key: &str| -> u64 {
        layers
            .iter()
            .filter_map(|layer| layer[pass][key].as_u64())
            .sum()
    };
    for key in ["opened_values", "online_bytes", "dealer_bytes_p1"] {
        assert_eq!(
            plan[key],
            sum("forward", key) + sum("backward", key),
            "{key}"
        );
    }
    // A layer's gates add up to the layer.
    for layer in layers {
        for pass in ["forward", "backward"] {
            let gates = layer["gates"].as_array().expect("gates").iter();
            let own = gates.filter(|gate| gate["direction"] == pass);
            let sum: u64 = own.filter_map(|gate| gate["online_bytes"].as_u64()).sum();
            assert_eq!(layer[pass]["online_bytes"], sum, "{layer}");
        }
    }
    let names: Vec<&str> = layers
        .iter()
        .filter_map(|layer| layer["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "conv1+pool",
            "relu1",
            "conv2+pool",
            "relu2",
            "dense1",
            "softmax"
        ]
    );
    assert!(success(&["plan"]).contains("rounds"));
    assert!(plan["revealed_loss"].is_null());
    let told = success(&["plan", "--reveal-loss"]);
    let line = "The loss that is revealed at the end of an epoch adds 5 B sent and 1 round.";
    assert!(told.contains(line), "{told}");
}

#[test]
fn plan_says_what_inference_costs_each_party() {
    let plan = |more: &[&str]| -> Value {
        let plan = ["plan", "--infer", "--model", "securenn-b", "--batch", "4"];
        let out = success(&[&plan, more, &["--json"]].concat());
        serde_json::from_str(&out).expect("JSON")
    };
    let mut setups = Vec::new();
    for (share, asking) in [("1", "p0"), ("0", "p1")] {
        let plan = plan(&["--share-of-p0", share]);
        assert_eq!(plan["asking"], asking);
        let layers = plan["layers"].as_array().expect("layers");
        let sum = |key: &str| layers.iter().filter_map(|layer| layer[key].as_u64()).sum();
        let [p0, p1, all]: [u64; 3] =
            ["online_bytes_p0", "online_bytes_p1", "all_parties_bytes"].map(sum);
        assert_eq!(
            (p0 + p1, plan["all_parties_bytes"].as_u64()),
            (all, Some(all))
        );
        assert_eq!(plan["rounds"], sum("rounds"));
        // 784 pixels of 32 bits for each of four images, less a byte for each class.
        let owner = if asking == "p0" { p0 - p1 } else { p1 - p0 };
        assert_eq!(owner, 4 * (784 * 4 - 1));
        setups.push(plan["setup_bytes"].as_u64());
    }
    // 33,400 weights of 32 bits, whoever has them.
    assert_eq!(setups, [Some(133_600); 2]);
    let securenn = plan(&["--protocol", "securenn"]);
    assert!(securenn["all_parties_bytes"].is_u64() && securenn["online_bytes_p0"].is_null());
    assert!(success(&["plan", "--infer"]).contains("p0 asks"));
    for task in ["--infer", "--evaluate"] {
        let line = failure(&["plan", task, "--share-of-p0", "0.5"]);
        assert!(line.contains("one party"), "{line}");
    }
    let line = failure(&["plan", "--evaluate", "--protocol", "securenn"]);
    assert!(line.contains("evaluation of a shared model"), "{line}");
    let shared = success(&["plan", "--evaluate"]);
    assert!(shared.contains("sent by both parties"), "{shared}");
}

#[test]
fn plan_says_what_boards_can_run_and_how_long_their_links_take() {
    let model = ["plan", "--device", "--model", "convnet2", "--batch", "128"];
    let fits = |micro_batch: &str, board: &str| {
        let table = success(&[&model[..], &["--micro-batch", micro_batch]].concat());
        let line = table.lines().find(|line| line.starts_with(board));
        line.expect("the board's line").to_owned()
    };
    assert!(fits("1", "mps2-an386 ").ends_with(" yes"));
    assert!(fits("8", "mps2-an386 ").ends_with(" up to 1"));
    assert!(fits("1", "stm32f405 ").ends_with(" no"));
    // 14,464,569 bytes in sealed frames of up to 1,024 (15.00 MB), 240 of them in a frame of 251, ten bits a byte, and 24
    // rounds of a millisecond.
    assert!(fits("128", "serial, 2 Mbaud").ends_with(" 78.5 s"));
    let spdz = ["plan", "--device", "--protocol", "spdz", "--ring", "u32"];
    let table = success(&spdz);
    let fits = |board: &str| {
        let line = table.lines().find(|line| line.starts_with(board));
        line.and_then(|line| line.split_whitespace().last())
    };
    assert_eq!(fits("mps2-an386 "), Some("no"), "{table}");
    assert_eq!(fits("riscv-virt "), Some("yes"), "{table}");
    assert!(table.contains("leaves them out"), "{table}");
    let line = failure(&["plan", "--device", "--ring", "u64"]);
    assert!(line.contains("32 bits"), "{line}");
}

#[test]
fn help_names_every_option() {
    let help = success(&["train", "--help", "all"]);
    for option in [
        "--model",
        "--data",
        "--epochs",
        "--batch",
        "--lr",
        "--momentum",
        "--seed",
        "--limit",
        "--audit",
        "--link",
        "--ring",
        "--fraction-bits",
        "--metrics",
        "--save",
        "--twin",
        "--share-of-p0",
    ] {
        assert!(help.contains(option), "{option}");
    }
    assert!(!help.contains("supervised"));
    for command in ["party", "dealer", "deal", "plan", "compare", "qemu"] {
        success(&[command, "--help"]);
    }
}

#[test]
fn the_usual_options_are_on_one_screen() {
    let screen = success(&["party", "--help"]);
    assert_eq!(success(&["party", "-h"]), screen);
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines.len() <= 50, "{screen}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 100),
        "{screen}"
    );
    for heading in [
        "Roles:",
        "Model and data:",
        "Training:",
        "Results:",
        "Messages:",
    ] {
        assert!(lines.contains(&heading), "{screen}");
    }
    // Every option of a party is in a group.
    let all = success(&["party", "--help", "all"]);
    for help in [&screen, &all] {
        assert!(!help.lines().any(|line| line == "Options:"), "{help}");
    }
    assert!(!screen.contains("--fraction-bits") && all.contains("--fraction-bits"));
}

#[test]
fn wrong_numbers_are_refused() {
    for (arguments, hint) in [
        (&["--epochs", "0"][..], "number of epochs"),
        (&["--batch", "0"], "batch size"),
        (&["--micro-batch", "0"], "micro-batch size"),
        (&["--micro-batch", "64"], "micro-batch cannot be larger"),
        (&["--save", "."], "not a plain file"),
        (&["--lr", "-1"], "--lr"),
        (&["--limit", "0"], "--limit"),
        (&["--batch", "5000"], "choose a smaller batch"),
        (&["--lr", "0"], "learning rate"),
        (&["--lr", "nan"], "--lr"),
        (&["--lr=-1"], "--lr"),
        (&["--momentum", "1"], "momentum"),
        (&["--momentum=-0.5"], "--momentum"),
        (&["--share-of-p0", "1.5"], "--share-of-p0"),
        (&["--fraction-bits", "20"], "8 to 14"),
        (&["--ring", "u64", "--fraction-bits", "40"], "8 to 20"),
        (&["--model", "resnet"], "choose one of convnet1"),
        (&["--model", "convnet2"], "8x8x1"),
        (&["--data", "nowhere"], "no directory nowhere"),
        (&["--delay=-1"], "--delay"),
        (&["--rate", "0"], "--rate"),
        (&["--metrics", "no/such/dir/file"], "cannot be written"),
        (&["--save", "no/such/dir/file"], "cannot be written"),
    ] {
        let all: Vec<&str> = ["train"].iter().chain(arguments).copied().collect();
        let line = failure(&all);
        assert!(line.contains(hint), "{arguments:?}: {line}");
    }
    // The parser explains what it refuses.
    for arguments in [
        &["train", "--batch", "x"][..],
        &["train", "--audit", "0"],
        &["fly"],
        &["party", "--role", "p7"],
    ] {
        let output = ringlet(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn short_forms_of_layers_are_written_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let tail = r#""relu", {"avg_pool": {"window": 2}}, "flatten", {"dense": {"units": 10}}"#;
    let long = format!(
        r#"{{"conv2d": {{"channels": 8, "kernel": 3, "stride": 1, "padding": 1}}}}, {{"max_pool": {{"window": 4}}}}, {tail}"#
    );
    let plan = |layers: &str| success(&["plan", "--model", &model(dir.path(), layers)]);
    let wanted = plan(&long);
    let short = long
        .replace(r#""stride": 1, "padding": 1"#, r#""padding": "same""#)
        .replace(r#"{"avg_pool": {"window": 2}}"#, r#""global_avg_pool""#);
    assert_eq!(plan(&short), wanted);
    let even = model(
        dir.path(),
        &short.replace(r#""kernel": 3"#, r#""kernel": 4"#),
    );
    let refusal = failure(&["plan", "--model", &even]);
    assert!(
        refusal.contains("layer 1 of the model is padded \"same\""),
        "{refusal}"
    );
}

#[test]
fn models_that_do_not_fit_are_refused_by_layer() {
    let dir = tempfile::tempdir().expect("a directory");
    let conv = r#"{"conv2d":{"channels":4,"kernel":3,"stride":1,"padding":0}}"#;
    let head = r#""flatten",{"dense":{"units":10}}"#;
    for (layers, hint) in [
        (String::new(), "no dense or conv layer"),
        (
            format!("{conv},{{\"dense\":{{\"units\":10}}}}"),
            "layer 2 (dense): its input is an image of 6x6x4",
        ),
        (format!("\"relu\",{head}"), "layer 1 (relu)"),
        (format!("{conv},\"relu\",\"relu\",{head}"), "layer 3 (relu)"),
        (format!("{conv},\"relu\""), "last layer must be dense"),
        (format!("{head},\"relu\""), "no activation after it"),
        (
            format!("{conv},{{\"avg_pool\":{{\"window\":9}}}},{head}"),
            "layer 2 (avgpool)",
        ),
        (
            format!("{{\"avg_pool\":{{\"window\":2}}}},{{\"avg_pool\":{{\"window\":2}}}},{head}"),
            "larger window",
        ),
        (
            r#"{"conv2d":{"channels":4,"kernel":11,"stride":1,"padding":0}}"#.to_owned(),
            "layer 1 (conv)",
        ),
        (
            r#"{"conv2d":{"channels":4,"kernel":3,"stride":0,"padding":0}}"#.to_owned(),
            "layer 1 (conv)",
        ),
        (r#""flatten",{"dense":{"units":1}}"#.to_owned(), "2 to 128"),
        (
            r#""flatten",{"dense":{"units":65535}},{"dense":{"units":65535}}"#.to_owned(),
            "layer 3 (dense)",
        ),
        (
            format!("{conv},{{\"max_pool\":{{\"window\":7}}}},{head}"),
            "layer 2 (maxpool): it does not fit over an image of 6x6",
        ),
        (
            format!("{conv},{{\"max_pool\":{{\"window\":1}}}},{head}"),
            "pools nothing",
        ),
        (
            format!("{{\"max_pool\":{{\"window\":2}}}},{conv},{head}"),
            "must follow a conv layer, pooled or not",
        ),
        ("\"swish\"".to_owned(), "not a model description"),
        (
            r#""flatten",{"dense":{"units":10,"bias":false}}"#.to_owned(),
            "unknown field",
        ),
    ] {
        let path = model(dir.path(), &layers);
        let line = failure(&["train", "--model", &path]);
        assert!(line.contains(hint), "{layers}: {line}");
    }
    // Models that fit run.
    for pool in [
        r#"{"avg_pool":{"window":3}},"relu""#,
        r#""relu",{"max_pool":{"window":3,"stride":1}}"#,
    ] {
        let path = model(dir.path(), &format!("{conv},{pool},{head}"));
        success(&["train", "--model", &path, "--limit", "2", "--twin"]);
    }
    let line = failure(&["plan", "--model", "securenn-b", "--protocol", "spdz"]);
    assert!(line.contains("polynomials do not compare"), "{line}");
}

#[test]
fn damaged_data_is_refused_by_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let data = dir.path().to_str().expect("UTF-8");
    let refused = |hint: &str| {
        let line = failure(&["train", "--data", data, "--limit", "1"]);
        assert!(line.contains(hint), "{hint}: {line}");
    };
    refused("holds neither train-images-idx3-ubyte");
    let image_file = |count: u32, len: usize| {
        let mut bytes = Vec::new();
        for number in [0x0803, count, 8, 8] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.resize(16 + len, 7);
        bytes
    };
    let label_file = |labels: &[u8]| {
        let mut bytes = Vec::new();
        for number in [0x0801, labels.len() as u32] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(labels);
        bytes
    };
    for part in ["train", "t10k"] {
        fs::write(
            at(&format!("{part}-images-idx3-ubyte")),
            image_file(40, 40 * 64),
        )
        .expect("a file");
        fs::write(
            at(&format!("{part}-labels-idx1-ubyte")),
            label_file(&[3; 40]),
        )
        .expect("a file");
    }
    success(&["train", "--data", data, "--limit", "1"]);
    fs::write(at("train-images-idx3-ubyte"), image_file(40, 39 * 64)).expect("a file");
    refused("cut short");
    fs::write(at("train-images-idx3-ubyte"), image_file(39, 39 * 64)).expect("a file");
    refused("holds 39 images but");
    fs::write(at("train-images-idx3-ubyte"), image_file(40, 40 * 64)).expect("a file");
    fs::write(at("train-labels-idx1-ubyte"), label_file(&[10; 40])).expect("a file");
    refused("has label 10");
    fs::write(at("train-labels-idx1-ubyte"), [0x1F, 0x8B, 1, 2, 3]).expect("a file");
    refused("is damaged");
    fs::write(at("train-labels-idx1-ubyte"), b"hello").expect("a file");
    refused("is not an IDX file");
}

#[test]
fn a_busy_port_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let line = failure(&["dealer", "--listen", &address]);
    assert!(line.contains("the port is taken"), "{line}");
    let line = failure(&["dealer", "--listen", "not an address"]);
    assert!(line.contains("host:port"), "{line}");
}

#[test]
fn privacy_prints_epsilon_by_epoch_and_the_noise_for_one() {
    let usual = [
        "privacy",
        "--samples",
        "60000",
        "--batch",
        "256",
        "--epochs",
        "60",
    ];
    let with = |options: &[&'static str]| [&usual[..], options].concat();
    let json = |options: &[&'static str]| -> Value {
        let out = success(&[&with(options)[..], &["--json"]].concat());
        serde_json::from_str(&out).expect("JSON")
    };
    let told = json(&["--delta", "1e-5", "--noise", "1.1"]);
    let rows = told["epochs"].as_array().expect("rows");
    let epsilons: Vec<f64> = rows
        .iter()
        .map(|row| row["epsilon"].as_f64().expect("a number"))
        .collect();
    assert_eq!(rows.len(), 20);
    assert!(epsilons.is_sorted(), "{epsilons:?}");
    // That of dp-accounting is 2.597.
    let last = epsilons.last().expect("a row");
    assert!((2.597..2.62).contains(last), "{last}");
    let told = json(&["--delta", "1e-5", "--epsilon", "3"]);
    let noise = told["noise"].as_f64().expect("a number");
    assert!((1.0..1.1).contains(&noise), "{noise}");
    let table = success(&with(&["--delta", "1e-5", "--noise", "1.1"]));
    assert!(
        table.contains("14100") && table.contains(&format!("{last:.3}")),
        "{table}"
    );

    let refused = |options: &[&'static str], words: &str| {
        let line = failure(&with(options));
        assert!(line.contains(words), "{line}");
    };
    refused(&["--delta", "1e-5"], "--noise <S>|--epsilon <E>");
    refused(&["--delta", "1e-5", "--noise", "0"], "noise multiplier");
    refused(&["--delta", "nan", "--noise", "1"], "delta is NaN");
    refused(&["--delta", "1", "--noise", "1"], "delta is 1");
    refused(&["--delta", "1e-5", "--epsilon", "inf"], "epsilon is inf");
    refused(&["--delta", "1e-16", "--epsilon", "3"], "is too small");
    refused(
        &["--delta", "1e-5", "--noise", "1", "--padded", "256"],
        "padded",
    );
    refused(&["--delta", "1e-5", "--noise", "0.2"], "more noise");
    let line = failure(&[
        "privacy",
        "--samples",
        "9",
        "--batch",
        "10",
        "--epochs",
        "1",
        "--delta",
        "0.1",
        "--noise",
        "1",
    ]);
    assert!(line.contains("batch"), "{line}");
}

#[test]
fn models_completions_and_pages_of_the_manual_are_there() {
    let models = success(&["models"]);
    for name in ringlet_core::model::BUILT_IN {
        assert!(models.contains(name), "{models}");
    }
    assert!(models.contains("conv 3x3 of 8, relu, flatten, dense 10"));
    for shell in ["bash", "zsh", "fish"] {
        let text = success(&["completions", shell]);
        assert!(
            text.contains("predict") && text.contains("micro-batch"),
            "{shell}"
        );
    }
    let dir = tempfile::tempdir().expect("a directory");
    success(&["man", dir.path().to_str().expect("UTF-8")]);
    let page = fs::read_to_string(dir.path().join("ringlet-train.1")).expect("a page");
    assert!(page.contains("micro") && page.contains(".TH"), "{page}");
    let line = failure(&["man", "/nowhere/at/all"]);
    assert!(line.contains("cannot be written"), "{line}");
}

#[test]
fn the_model_is_saved_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.safetensors");
    let text = path.to_str().expect("UTF-8");
    success(&["train", "--limit", "2", "--save", text]);
    let bytes = fs::read(&path).expect("a file");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header]).expect("a header");
    assert_eq!(
        header["conv1.weight"]["shape"],
        serde_json::json!([8, 1, 3, 3])
    );
    assert_eq!(
        header["dense1.weight"]["shape"],
        serde_json::json!([10, 288])
    );
    assert!(header["__metadata__"]["ringlet.model"].is_string());
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn a_devices_secret_is_for_its_owner_and_never_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let [record, dealer, peer] = ["record", "dealer", "p1"].map(path);
    let [dealer, peer] = [&dealer, &peer].map(|file| {
        let public = success(&["init", "--identity", file]);
        public.trim().to_owned()
    });
    let peer = format!("p1={peer}");
    let arguments = [
        "data", "secret", "--out", &record, "--dealer", &dealer, "--peer", &peer,
    ];
    let said = success(&arguments);
    assert!(said.contains("ringlet1"), "{said}");
    let drawn = std::fs::read(&record).expect("a record");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&record)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let line = failure(&arguments);
    assert!(line.contains("exists already"), "{line}");
    assert_eq!(drawn, std::fs::read(&record).expect("a record"));
}
