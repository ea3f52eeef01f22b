//! Ranges from the command line: who notices values outside, what helps, and what a model's file keeps.

use std::{fs, path::Path};

use ringlet::data::{
    Images, Part, load,
    model_file::{self, Marks},
};
use ringlet_tests::{failure, metrics, success};
use tempfile::TempDir;

/// Writes images as `ringlet` reads them.
fn write(dir: &Path, images: &Images, name: &str) {
    let head = |numbers: &[u32]| -> Vec<u8> {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        bytes.collect()
    };
    let count = images.len() as u32;
    let bytes = [&head(&[0x803, count, 8, 8])[..], &images.pixels].concat();
    fs::write(dir.join(format!("{name}-images-idx3-ubyte")), bytes).expect("a file");
    let bytes = [&head(&[0x801, count])[..], &images.labels].concat();
    fs::write(dir.join(format!("{name}-labels-idx1-ubyte")), bytes).expect("a file");
}

/// The built-in digits, black on white.
fn inverted(part: Part) -> Images {
    let mut images = load(None, part).expect("built-in digits");
    for pixel in &mut images.pixels {
        *pixel = 255 - *pixel;
    }
    images
}

/// A directory with inverted digits and a linear model.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &inverted(Part::Train), "train");
        write(dir.path(), &inverted(Part::Test), "t10k");
        let layers = r#""flatten", {"dense": {"units": 10}}"#;
        let text = format!(r#"{{"name": "linear", "input": [8, 8, 1], "layers": [{layers}]}}"#);
        fs::write(dir.path().join("linear.json"), text).expect("a file");
        Files(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    /// The arguments of a training on the inverted digits, with as few range bits as there are.
    fn training<'a>(&self, paths: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["train", "--data", &paths[0], "--model", &paths[1]];
        arguments.extend(["--seed", "1", "--epochs", "2", "--momentum", "0.9"]);
        arguments.extend_from_slice(more);
        arguments
    }

    fn paths(&self) -> [String; 2] {
        [self.path(""), self.path("linear.json")]
    }
}

/// The accuracy at the end of a run that wrote these metrics.
fn accuracy(path: &str) -> f64 {
    let epochs = metrics(Path::new(path), "epoch");
    let last = epochs.last().expect("an epoch");
    last["accuracy"].as_f64().expect("an accuracy")
}

/// The remedies that an error names.
fn remedies(line: &str) -> Vec<String> {
    let (_, remedies) = line.split_once(": use ").expect("a remedy");
    let (remedies, _) = remedies.split_once(", or go on").unwrap_or((remedies, ""));
    remedies.trim().split(" or ").map(str::to_owned).collect()
}

#[test]
fn each_remedy_for_values_outside_works() {
    let files = Files::new();
    let (paths, out) = (files.paths(), files.path("metrics"));
    let raw = ["--normalise", "none", "--metrics", &out];
    let narrow = ["--range-bits", "6"];
    let line = failure(&files.training(&paths, &[&raw[..], &narrow, &["--lr", "1"]].concat()));
    assert!(
        line.contains("values left the range contract in iteration"),
        "{line}"
    );
    let remedies = remedies(&line);
    assert_eq!(remedies, ["--range-bits 10", "--ring u64", "a lower --lr"]);
    for more in [
        &["--lr", "1", "--range-bits", "10"][..],
        &["--lr", "1", "--ring", "u64"],
        &["--lr", "0.015625", "--range-bits", "6"],
    ] {
        success(&files.training(&paths, &[&raw[..], more].concat()));
        assert!(accuracy(&out) > 0.7, "{more:?}: {}", accuracy(&out));
    }
}

#[test]
fn calibration_gives_options_that_work() {
    let files = Files::new();
    let (paths, out) = (files.paths(), files.path("metrics"));
    let mut arguments = files.training(&paths, &["--lr", "1", "--normalise", "none"]);
    arguments[0] = "calibrate";
    let said = success(&arguments);
    let options: Vec<&str> = said.lines().last().expect("a line").split(' ').collect();
    assert_eq!(
        options[..3],
        ["--normalise", "none", "--range-bits"],
        "{said}"
    );
    let more = [&["--lr", "1", "--metrics", &out][..], &options].concat();
    success(&files.training(&paths, &more));
    assert!(accuracy(&out) > 0.7);
    // The second of two parties gives what the first has found, and no place gets less.
    let widest = ["--range-bits", "10"];
    let second = success(&[&arguments[..], &widest].concat());
    let asked = |said: &str| -> Vec<u32> {
        let list = said.split_whitespace().last().expect("a list");
        list.split(',')
            .map(|bits| bits.parse().expect("a number"))
            .collect()
    };
    let larger: Vec<u32> = asked(&said).into_iter().map(|bits| bits.max(10)).collect();
    assert_eq!(asked(&second), larger, "{second}");
    // No range is enough for these.
    arguments.extend(["--fraction-bits", "14"]);
    let line = failure(&arguments);
    assert!(line.contains("--ring u64"), "{line}");
}

#[test]
fn images_far_from_centred_are_normalised_and_the_model_keeps_how() {
    let files = Files::new();
    let (paths, out, model) = (files.paths(), files.path("metrics"), files.path("model"));
    let more = ["--lr", "0.125", "--metrics", &out, "--save", &model];
    success(&files.training(&paths, &more));
    assert!(accuracy(&out) > 0.85, "{}", accuracy(&out));
    let marks = model_file::marks(Path::new(&model)).expect("a model");
    let normalise = marks.normalise.expect("a normalisation").to_string();
    assert!(normalise.starts_with("0.69"), "{normalise}");
    assert_eq!(marks.range.expect("a range").to_string(), "9,9");
    let predicted = |more: &[&str]| {
        let arguments = ["predict", "--model-file", &model, "--data", &paths[0]];
        let said = success(&[&arguments[..], more].concat());
        let line = said.lines().find(|line| line.ends_with("% of them right"));
        let (percent, _) = line.expect("a line").split_once(' ').expect("a percentage");
        percent.parse::<f64>().expect("a number") / 100.0
    };
    assert!((predicted(&[]) - accuracy(&out)).abs() < 0.02);
    assert!(predicted(&["--normalise", "none"]) < predicted(&[]));
}

#[test]
fn a_value_that_goes_around_its_ring_is_outside() {
    let files = Files::new();
    let model = files.path("linear.json");
    let description = fs::read_to_string(&model).expect("a model");
    let described = serde_json::from_str(&description).expect("a model");
    let network = ringlet_core::network::Network::new(&described).expect("a network");
    let images = inverted(Part::Test);
    // The logits of class 3 are 2048 for the first image: 0 in a ring of 20 bits with 9 fraction bits.
    let sum: f32 = images
        .image(0)
        .iter()
        .map(|&pixel| f32::from(pixel) / 255.0)
        .sum();
    let mut weights = vec![0.0; 640];
    weights
        .iter_mut()
        .skip(3)
        .step_by(10)
        .for_each(|weight| *weight = 2048.0 / sum);
    let parameters = ringlet::data::parameters::Parameters {
        weights,
        biases: vec![0.0; 10],
    };
    let path = files.path("model");
    let marks = Marks::default();
    model_file::save(
        Path::new(&path),
        (&described, marks),
        &network,
        &[parameters],
    )
    .expect("a file");
    let data = files.path("");
    let arguments = [
        "predict",
        "--model-file",
        &path,
        "--data",
        &data,
        "--image",
        "0",
    ];
    let line = failure(&arguments);
    assert!(
        line.contains("values left the range contract in batch 1: 1 at dense1 forward"),
        "{line}"
    );
    // In a ring that holds it, it is the class.
    let said = success(&[&arguments[..], &["--ring", "u64"]].concat());
    assert!(said.contains("0,3"), "{said}");
    let said = success(&[&arguments[..], &["--protocol", "securenn"]].concat());
    assert!(said.contains("0,3"), "{said}");
}
