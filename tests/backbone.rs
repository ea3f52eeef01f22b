//! Public layers in front of a model: computed in the clear by the owner of the images, frozen in training, and the same for all
//! roles.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use ringlet::data::{
    Part,
    backbone::Backbone,
    load,
    model_file::{self, Trained},
    normalise::MeanAndDeviation,
};
use ringlet_tests::{
    TrainedOnce, address, complaint, end, failure, start, stop, success, told, trained, wait_until,
};
use safetensors::SafeTensors;
use tract_onnx::prelude::*;

/// A public model of the built-in digits.
fn public() -> &'static Path {
    static MODEL: TrainedOnce = TrainedOnce::new();
    trained(&MODEL, &["--limit", "40"])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn read(path: &Path) -> Trained {
    model_file::load(path, None).expect("a model")
}

/// An ONNX file in the shape of MobileNet, with operators that no model of this program has.
fn mobile() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/backbone.onnx")
}

/// The rows of a file of classes.
fn classes(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("classes");
    text.lines().skip(1).map(str::to_owned).collect()
}

/// The classes that `predict` finds.
fn predicted(model: &Path, more: &[&str]) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("classes.csv");
    let arguments = ["predict", "--model-file", text(model), "--out", text(&out)];
    let said = told(&[&arguments[..], more].concat());
    (classes(&out), said)
}

fn agreement(one: &[String], other: &[String]) -> f64 {
    assert_eq!(one.len(), other.len());
    let equal = one.iter().zip(other).filter(|(a, b)| a == b).count();
    equal as f64 / one.len() as f64
}

/// A figure before some words.
fn figure(said: &str, after: &str) -> f64 {
    let before = said.split(after).next().expect("words");
    let number = before.split_whitespace().last().expect("a number");
    number.parse().expect("a number")
}

#[test]
fn frozen_layers_stay_and_only_features_are_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let tuned = dir.path().join("tuned.safetensors");
    let begin = [
        "train",
        "--init",
        text(public()),
        "--limit",
        "30",
        "--seed",
        "2",
    ];
    let whole = success(&begin);
    let more = ["--freeze", "conv1", "--twin", "--save", text(&tuned)];
    let said = told(&[&begin[..], &more].concat());
    assert!(said.contains("training digits8 after conv1"), "{said}");
    // The layers in front cost nothing.
    assert!(
        whole.contains("conv1") && !said.contains("conv1  "),
        "{said}"
    );
    assert!(
        said.contains("every value kept the range contract"),
        "{said}"
    );
    let [private, twin] =
        ["% of the held-out images right", "% ("].map(|words| figure(&said, words));
    assert!((private - twin).abs() <= 1.0, "{said}");
    // The file has the whole model: its first layer as it was, the others as they were trained.
    let (before, after) = (read(public()), read(&tuned));
    assert_eq!(before.model, after.model);
    assert_eq!(before.parameters[0], after.parameters[0]);
    assert_ne!(before.parameters[1], after.parameters[1]);
    let mark = after.marks.backbone.expect("a mark");
    assert_eq!(mark.freeze.as_deref(), Some("conv1"));
    // It classifies as a whole, and behind its frozen layers.
    let (all, _) = predicted(&tuned, &[]);
    let (behind, said) = predicted(&tuned, &["--freeze", "conv1"]);
    assert!(said.contains("digits8 after conv1"), "{said}");
    assert!(agreement(&all, &behind) > 0.97);
    let evaluate = [
        "evaluate",
        "--model-file",
        text(&tuned),
        "--freeze",
        "conv1",
    ];
    let evaluated = success(&evaluate);
    let right = figure(&evaluated, " % of 299 held-out images");
    assert!(right > 80.0 && (right - figure(&said, " % of them right")).abs() < 1.5);
}

#[test]
fn every_protocol_and_link_trains_behind_frozen_layers() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = read(public());
    for (number, more) in [
        &["--link", "tcp"][..],
        &["--protocol", "spdz", "--lr", "0.015625"],
        &["--protocol", "securenn"],
        &["--ring", "u64", "--share-of-p0", "0.5"],
    ]
    .into_iter()
    .enumerate()
    {
        let tuned = dir.path().join(format!("{number}.onnx"));
        let begin = ["train", "--init", text(public()), "--freeze", "conv1"];
        let limit = ["--limit", "5", "--save", text(&tuned)];
        success(&[&begin[..], &limit, more].concat());
        let after = read(&tuned);
        assert_eq!(before.parameters[0], after.parameters[0], "{more:?}");
        assert_ne!(before.parameters[1], after.parameters[1], "{more:?}");
    }
}

/// Starts the dealer and both parties, of which P0 owns all images, with these further options each.
fn parties(dir: &Path, of_p0: &[&str], of_p1: &[&str]) -> [Child; 3] {
    let (peer, dealer) = (address(), address());
    let keep = dir.join("kept.safetensors");
    let session = [
        "--limit",
        "5",
        "--reveal-to",
        "p1",
        "--insecure",
        "--seed",
        "3",
    ];
    let own = |role: &'static str, meeting: &'static str| {
        let mut arguments = vec!["party", "--role", role, meeting, &peer, "--dealer", &dealer];
        arguments.extend(session);
        arguments
    };
    let p0 = start(&[&own("p0", "--listen")[..], of_p0].concat());
    let save = ["--save", text(&keep)];
    let p1 = start(&[&own("p1", "--peer")[..], &save, of_p1].concat());
    let dealer = start(&["dealer", "--insecure", "--listen", &dealer, "--wait", "20"]);
    [p0, p1, dealer]
}

/// P0's own layers and images; P1 has the same public file and no images.
const FRONT: [&str; 4] = ["--freeze", "conv1", "--feature-range", "0:3"];

#[test]
fn parties_agree_on_the_layers_in_front() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = ["--backbone", text(public())];
    let own = [&FRONT[..], &file, &["--samples", "1498,0"]].concat();
    for child in parties(dir.path(), &own, &own) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let kept = read(&dir.path().join("kept.safetensors"));
    assert_eq!(kept.parameters[0], read(public()).parameters[0]);

    // Other layers in front of the same model are refused by name, before anything runs.
    let other = dir.path().join("other.safetensors");
    success(&[
        "train",
        "--model",
        "digits8",
        "--limit",
        "3",
        "--save",
        text(&other),
    ]);
    let theirs = ["--backbone", text(&other), "--samples", "1498,0"];
    let theirs = [&FRONT[..], &theirs].concat();
    refuse_each_other(parties(dir.path(), &own, &theirs), "backbones");
    // So is another range of the features.
    let wider = [
        &FRONT[..2],
        &["--feature-range", "0:4"],
        &file,
        &["--samples", "1498,0"],
    ]
    .concat();
    refuse_each_other(parties(dir.path(), &own, &wider), "normalisation");
}

/// One of the parties, whichever comes later, is refused for this reason. The other waits on, and is stopped.
fn refuse_each_other([p0, p1, dealer]: [Child; 3], reason: &str) {
    let mut waiting = vec![p0, p1];
    wait_until("a refusal", Duration::from_secs(30), || {
        waiting
            .iter_mut()
            .any(|child| child.try_wait().expect("a child").is_some())
    });
    let ended = waiting
        .iter_mut()
        .position(|child| child.try_wait().expect("a child").is_some());
    let line = complaint(waiting.remove(ended.expect("one has ended")));
    assert!(line.contains(reason), "{line}");
    waiting.into_iter().for_each(stop);
    stop(dealer);
}

#[test]
fn what_cannot_be_in_front_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |arguments: &[&str]| {
        let line = failure(arguments);
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    let init = text(public());
    let train = ["train", "--init", init, "--freeze"];
    let line = refused(&[&train[..], &["conv2"]].concat());
    assert!(line.contains("no layer conv2 to freeze"), "{line}");
    let line = refused(&[&train[..], &["dense1"]].concat());
    assert!(line.contains("nothing is left to learn"), "{line}");
    // Without what says its weights or its range.
    let line = refused(&[
        "train", "--model", "digits8", "--freeze", "conv1", "--limit", "1",
    ]);
    assert!(line.contains("--backbone"), "{line}");
    let party = [
        "party",
        "--role",
        "p0",
        "--listen",
        "127.0.0.1:0",
        "--dealer",
        "127.0.0.1:9",
    ];
    let line = refused(
        &[
            &party[..],
            &["--insecure", "--freeze", "conv1", "--init", init],
        ]
        .concat(),
    );
    assert!(line.contains("range of the features"), "{line}");
    let line = refused(&["train", "--feature-range", "0:1", "--limit", "1"]);
    assert!(line.contains("there are none"), "{line}");
    // Images are never packed in the place of features.
    let out = dir.path().join("samples.bin");
    let pack = ["data", "pack", "--freeze", "conv1", "--out", text(&out)];
    for more in [&[][..], &["--with-backbone"]] {
        let line = refused(&[&pack[..], more].concat());
        assert!(line.contains("--backbone") && !out.exists(), "{line}");
    }
    // A model's file needs --freeze, and no file at all is told as one.
    let line = refused(&["train", "--backbone", init, "--model", "dense:10"]);
    assert!(line.contains("--freeze"), "{line}");
    let missing = dir.path().join("missing.onnx");
    let line = refused(&["train", "--backbone", text(&missing), "--model", "dense:10"]);
    assert!(line.contains("missing.onnx"), "{line}");
    // An ONNX file that is cut off.
    let cut = dir.path().join("cut.onnx");
    let bytes = fs::read(mobile()).expect("a file");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let line = refused(&["train", "--backbone", text(&cut), "--model", "dense:10"]);
    assert!(line.contains("cannot be a backbone"), "{line}");
    // Images of another size.
    let line = refused(&[
        "train",
        "--backbone",
        text(&mobile()),
        "--model",
        "dense:10",
        "--resize",
        "9x8",
    ]);
    assert!(line.contains("backbone takes 8x8"), "{line}");
}

#[test]
fn an_onnx_file_makes_the_features_that_pytorch_makes() {
    let normalise: MeanAndDeviation = "0.5:0.25".parse().expect("a normalisation");
    let backbone = Backbone::of_onnx(&mobile(), None, normalise).expect("a backbone");
    assert_eq!(
        (backbone.input(), backbone.output()),
        ([8, 8, 1], [4, 4, 24])
    );
    let image: Vec<u8> = (0..64).map(|pixel| (pixel * 37 % 256) as u8).collect();
    let measured = backbone.measured(&image).expect("a range");
    assert_eq!(measured.to_string(), "-0.36:2.06");
    let [low, high] = measured.ends();
    let backbone = backbone.with_range(measured).expect("a backbone");
    let mut features = Vec::new();
    let outside = backbone.features(&image, &mut features).expect("features");
    assert_eq!(outside, 0);
    let reference = mobile().with_extension("features");
    let reference = fs::read_to_string(reference).expect("features");
    let reference: Vec<f64> = reference
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(reference.len(), features.len());
    for (&feature, exact) in features.iter().zip(reference) {
        let value = low + f64::from(feature) / 255.0 * (high - low);
        assert!(
            (value - exact).abs() <= (high - low) / 509.0,
            "{value} {exact}"
        );
    }
}

#[test]
fn a_head_is_trained_and_used_behind_an_onnx_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let head = dir.path().join("head.safetensors");
    let mobile = mobile();
    let front = ["--backbone", text(&mobile), "--normalise", "0.5:0.25"];
    let train = [
        "train",
        "--model",
        "dense:10",
        "--epochs",
        "3",
        "--twin",
        "--save",
        text(&head),
    ];
    let said = success(&[&train[..], &front].concat());
    let [private, twin] =
        ["% of the held-out images right", "% ("].map(|words| figure(&said, words));
    assert!((private - twin).abs() <= 1.5, "{said}");
    // Random features separate digits, though not as well as trained ones.
    let last = said
        .lines()
        .filter(|line| line.starts_with("epoch 3"))
        .collect::<String>();
    assert!(figure(&last, " % of the held-out") > 80.0, "{said}");
    let trained = read(&head);
    assert_eq!(trained.model.input, [4, 4, 24]);
    let (_, said) = predicted(&head, &["--backbone", text(&mobile)]);
    assert!(figure(&said, " % of them right") > 80.0, "{said}");
    // Its model alone takes no images, and features of another file or of other numbers are not what it was trained on.
    let predict = ["predict", "--model-file", text(&head)];
    let line = failure(&predict);
    assert!(line.contains("--backbone"), "{line}");
    let other = [
        &predict[..],
        &["--backbone", text(&mobile), "--normalise", "none"],
    ]
    .concat();
    let line = failure(&other);
    assert!(line.contains("other features"), "{line}");
}

/// Saved files mean the same to a runtime that knows nothing of this program: ONNX as it runs, and safetensors by the tensors
/// that both have, byte for byte, under one name and in one shape.
#[test]
fn an_independent_runtime_finds_the_same_classes() {
    let dir = tempfile::tempdir().expect("a directory");
    let [described, saved, tensors] =
        ["model.json", "model.onnx", "model.safetensors"].map(|name| dir.path().join(name));
    let layers = r#"{"name": "small", "input": [8, 8, 1], "layers": [
        {"conv2d": {"channels": 4, "kernel": 3, "padding": 1}}, {"max_pool": {"window": 2}}, "relu",
        {"conv2d": {"channels": 6, "kernel": 3}}, "relu", {"avg_pool": {"window": 2}},
        "flatten", {"dense": {"units": 24}}, "relu", {"dense": {"units": 10}}]}"#;
    fs::write(&described, layers).expect("a file");
    let blocks = dir.path().join("blocks.json");
    let layers = r#"{"name": "blocks", "input": [8, 8, 1], "layers": [
        {"conv2d": {"channels": 4, "kernel": [1, 5], "padding": "same"}}, "relu", {"dropout": {"rate": 0.1}},
        {"conv2d": {"channels": 4, "kernel": 3, "padding": "same"}}, "relu",
        {"conv2d": {"channels": 4, "kernel": [3, 1], "padding": [1, 0]}}, "relu",
        {"conv2d": {"channels": 4, "kernel": 3, "padding": 1}}, {"add": {"layer": 5}}, {"max_pool": {"window": 2}}, "relu",
        "flatten", {"dense": {"units": 10}}]}"#;
    fs::write(&blocks, layers).expect("a file");
    for model in ["digits8", text(&described), text(&blocks)] {
        let train = [
            "train", "--model", model, "--batch", "16", "--limit", "60", "--seed", "4",
        ];
        for file in [&saved, &tensors] {
            success(&[&train[..], &["--save", text(file)]].concat());
        }
        let (found, _) = predicted(&saved, &[]);
        // The runtime takes long where nothing optimises it.
        let same = equally_classified(&saved, &found[..60]);
        assert!(same + 2 >= 60, "{model}: {same} of 60");
        same_tensors(&saved, &tensors);
    }
}

/// How many of the first held-out digits, whose classes are `found`, get the same class from the runtime.
fn equally_classified(saved: &Path, found: &[String]) -> usize {
    let plan = tract_onnx::onnx()
        .model_for_path(saved)
        .and_then(|model| model.with_input_fact(0, f32::fact([1, 1, 8, 8]).into()))
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .expect("a model");
    let images = load(None, Part::Test).expect("digits");
    let mut same = 0;
    for (index, row) in found.iter().enumerate() {
        let pixels: Vec<f32> = images
            .image(index)
            .iter()
            .map(|&p| f32::from(p) / 255.0)
            .collect();
        let tensor = Tensor::from_shape(&[1, 1, 8, 8], &pixels).expect("a tensor");
        let logits = plan.run(tvec!(tensor.into())).expect("logits");
        let logits = logits[0].to_plain_array_view::<f32>().expect("floats");
        let best = logits
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .expect("a class");
        let (number, class) = row.split_once(',').expect("two columns");
        assert_eq!(number.parse(), Ok(index));
        same += usize::from(class == best.0.to_string());
    }
    same
}

/// Checks that both files have the same tensors.
fn same_tensors(onnx: &Path, tensors: &Path) {
    let proto = tract_onnx::onnx()
        .proto_model_for_path(onnx)
        .expect("a model");
    let initialisers = proto.graph.expect("a graph").initializer;
    let bytes = fs::read(tensors).expect("a model");
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
    assert_eq!(tensors.len(), initialisers.len());
    for initialiser in initialisers {
        let tensor = tensors
            .tensor(&initialiser.name)
            .expect("a tensor of this name");
        let shape: Vec<usize> = initialiser.dims.iter().map(|&side| side as usize).collect();
        assert_eq!(tensor.shape(), shape);
        assert_eq!(tensor.data(), &initialiser.raw_data[..]);
    }
}
