//! A training that begins with a model: one that was trained here, or a state_dict of PyTorch's.

use std::{fs, path::Path, time::Duration};

use ringlet::data::model_file::{self, Trained};
use ringlet_tests::{
    TrainedOnce, address, complaint, end, failure, metrics, start, success, trained,
};
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView, serialize},
};
use serde_json::Value;

/// A model of the built-in digits, trained once for all tests.
fn model() -> &'static Path {
    static MODEL: TrainedOnce = TrainedOnce::new();
    trained(&MODEL, &["--epochs", "1", "--lr", "0.25"])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn load(path: &Path) -> Trained {
    model_file::load(path, None).expect("a model")
}

/// The largest difference between parameters of two models.
fn distance(one: &Trained, other: &Trained) -> f32 {
    let pairs = one.parameters.iter().zip(&other.parameters);
    let differences = pairs.flat_map(|(one, other)| {
        assert_eq!(one.weights.len(), other.weights.len());
        let weights = one.weights.iter().zip(&other.weights);
        let all = weights.chain(one.biases.iter().zip(&other.biases));
        all.map(|(a, b)| (a - b).abs()).collect::<Vec<_>>()
    });
    differences.fold(0.0, f32::max)
}

/// Writes a model's tensors as PyTorch names them in a `Sequential`, without a description.
fn state_dict(path: &Path) {
    let bytes = fs::read(model()).expect("a model");
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
    let views: Vec<(String, TensorView<'_>)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let name = name.replace("conv1", "0").replace("dense1", "3");
            (name, view)
        })
        .collect();
    fs::write(path, serialize(views, None).expect("a file")).expect("a file");
}

#[test]
fn every_protocol_and_link_begins_with_the_given_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let begun = load(model());
    let settings: [&[&str]; 6] = [
        &[],
        &["--ring", "u64"],
        &["--init-by", "p1"],
        &["--link", "tcp"],
        &["--link", "tcp", "--init-by", "p1", "--share-of-p0", "0.5"],
        &["--protocol", "securenn"],
    ];
    for (number, more) in settings.iter().enumerate() {
        let path = dir.path().join(format!("{number}.safetensors"));
        // A step so small that the model stays as it was but for rounding to 12 bits.
        let step = ["--lr", "0.0009765625", "--limit", "1"];
        let mut arguments = vec!["train", "--init", text(model()), "--save", text(&path)];
        arguments.extend(step);
        arguments.extend(*more);
        success(&arguments);
        let distance = distance(&begun, &load(&path));
        assert!(0.0 < distance && distance < 0.001, "{more:?}: {distance}");
    }
}

#[test]
fn a_model_goes_on_learning_as_its_twin_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("metrics.jsonl");
    let accuracy = |more: &[&str]| -> [f64; 2] {
        let mut arguments = vec![
            "train",
            "--twin",
            "--limit",
            "1",
            "--lr",
            "0.001",
            "--seed",
            "2",
            "--metrics",
            text(&out),
        ];
        arguments.extend(more);
        success(&arguments);
        let epochs = metrics(&out, "epoch");
        let last = epochs.last().expect("an epoch");
        ["accuracy", "twin_accuracy"].map(|name| last[name].as_f64().expect("a number"))
    };
    let fresh = accuracy(&[]);
    let begun = accuracy(&["--init", text(model())]);
    assert!(fresh[0] < 0.4 && begun[0] > 0.6, "{fresh:?}, {begun:?}");
    assert!((begun[0] - begun[1]).abs() < 0.02, "{begun:?}");
}

#[test]
fn the_model_of_one_party_is_enough_and_both_have_to_say_whose_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.safetensors");
    let party = |role, place: [&str; 2], dealer: &str, more: &[&str]| {
        let mut arguments = vec!["party", "--insecure", "--role", role, "--dealer", dealer];
        arguments.extend(place);
        arguments.extend(["--limit", "1", "--lr", "0.0009765625"]);
        arguments.extend(["--reveal-to", "p0", "--share-of-p0", "0.5"]);
        arguments.extend(more);
        start(&arguments)
    };
    let (d, p) = (address(), address());
    let dealer = start(&["dealer", "--insecure", "--listen", &d]);
    let of_owner = ["--init", text(model()), "--save", text(&path)];
    let p0 = party("p0", ["--listen", &p], &d, &of_owner);
    let normalise = load(model())
        .marks
        .normalise
        .expect("it is known")
        .to_string();
    let of_other = |init: &[&'static str]| {
        let mut more = init.to_vec();
        let normalise: &'static str = normalise.clone().leak();
        more.extend(["--normalise", normalise]);
        more
    };
    // P0 reaches its dealer, and then waits for a P1 that fits.
    std::thread::sleep(Duration::from_secs(2));
    let line = complaint(party("p1", ["--peer", &p], &d, &of_other(&[])));
    assert!(line.contains("different initial models"), "{line}");
    let p1 = party("p1", ["--peer", &p], &d, &of_other(&["--init-by", "p0"]));
    for child in [p0, p1, dealer] {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let distance = distance(&load(model()), &load(&path));
    assert!(0.0 < distance && distance < 0.001, "{distance}");
}

#[test]
fn an_owner_without_a_model_is_refused_before_it_meets_anyone() {
    let (d, p) = (address(), address());
    let party = [
        "party",
        "--role",
        "p0",
        "--insecure",
        "--listen",
        &p,
        "--dealer",
        &d,
    ];
    for arguments in [&party[..], &["train"]] {
        let line = failure(&[arguments, &["--init-by", "p0"]].concat());
        assert!(
            line.contains("p0 gives none: give it with --init"),
            "{line}"
        );
    }
}

#[test]
fn a_state_dict_serves_as_a_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let dict = dir.path().join("dict.safetensors");
    state_dict(&dict);
    let classes = |arguments: &[&str]| {
        let out = dir.path().join("classes.csv");
        let mut all = vec!["predict", "--seed", "1", "--out", text(&out)];
        all.extend(arguments);
        success(&all);
        fs::read_to_string(&out).expect("classes")
    };
    let normalise = load(model())
        .marks
        .normalise
        .expect("it is known")
        .to_string();
    let own = classes(&["--model-file", text(model())]);
    let other = [
        "--model-file",
        text(&dict),
        "--model",
        "digits8",
        "--normalise",
        &normalise,
    ];
    assert_eq!(own, classes(&other));
    let line = failure(&["predict", "--model-file", text(&dict)]);
    assert!(line.contains("does not describe its model"), "{line}");
    assert!(line.contains("--model"), "{line}");
    let line = failure(&["train", "--init", text(&dict), "--model", "convnet2"]);
    assert!(line.contains("has 2 layers that learn (0, 3)"), "{line}");
    let line = failure(&["train", "--init", text(model()), "--model", "convnet2"]);
    assert!(line.contains("is a model digits8"), "{line}");
    success(&[
        "train",
        "--init",
        text(&dict),
        "--model",
        "digits8",
        "--limit",
        "1",
    ]);
}

#[test]
fn onnx_files_are_models_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("model.onnx");
    let safetensors = dir.path().join("model.safetensors");
    for path in [&file, &safetensors] {
        success(&["train", "--limit", "3", "--seed", "1", "--save", text(path)]);
    }
    assert_eq!(load(&file).parameters, load(&safetensors).parameters);
    assert_eq!(load(&file).marks, load(&safetensors).marks);
    assert_eq!(load(&file).model, load(&safetensors).model);
    success(&["predict", "--model-file", text(&file), "--count", "20"]);
    success(&["train", "--init", text(&file), "--limit", "1"]);
    let line = failure(&["train", "--protocol", "spdz", "--save", text(&file)]);
    assert!(
        line.contains("cannot hold a model with polynomials"),
        "{line}"
    );
    // A part of a file.
    let whole = fs::read(&file).expect("a file");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    let line = failure(&["predict", "--model-file", text(&file)]);
    assert!(
        line.contains("model.onnx cannot be read as a model"),
        "{line}"
    );
}

/// A file from before the layout was PyTorch's says nothing of it.
#[test]
fn older_files_are_read_in_their_own_layout() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, old) = (model(), dir.path().join("old.safetensors"));
    let trained = load(path);
    let bytes = fs::read(path).expect("a model");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("metadata");
    let description = &metadata.metadata().clone().expect("a map")["ringlet.model"];
    let mut description: Value = serde_json::from_str(description).expect("JSON");
    let with = |description: &Value, path: &Path| {
        let names = ["conv1", "dense1"];
        let shapes = [vec![3, 3, 1, 8], vec![288, 10]];
        let mut tensors = Vec::new();
        for ((name, shape), stage) in names.iter().zip(shapes).zip(&trained.parameters) {
            let bytes = |values: &[f32]| -> Vec<u8> {
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect()
            };
            assert_eq!(shape.iter().product::<usize>(), stage.weights.len());
            tensors.push((format!("{name}.weight"), shape, bytes(&stage.weights)));
            let biases = vec![stage.biases.len()];
            tensors.push((format!("{name}.bias"), biases, bytes(&stage.biases)));
        }
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("a tensor"))
        });
        let metadata = [("ringlet.model".to_owned(), description.to_string())];
        let file = serialize(views.collect::<Vec<_>>(), Some(metadata.into()));
        fs::write(path, file.expect("a file")).expect("a file");
    };
    assert_eq!(description["layout"], "pytorch");
    description["layout"] = "another".into();
    with(&description, &old);
    let line = failure(&["predict", "--model-file", text(&old)]);
    assert!(line.contains("unknown variant `another`"), "{line}");
    description
        .as_object_mut()
        .expect("an object")
        .remove("layout");
    with(&description, &old);
    assert_eq!(load(&old).parameters, trained.parameters);
}
