//! The classes and the numbers of images on which roles agree, and what a model's file keeps of its data.

use std::{fs, path::Path};

use image::ImageFormat;
use ringlet::data::model_file;
use ringlet_tests::{address, end, failure, start, success};

use super::files::{colour, folder, str, write};

/// Runs a dealer and two parties, and returns how the parties end.
fn parties(options: [&[&str]; 2]) -> [(bool, String, String); 2] {
    let (dealer_address, p0_address) = (address(), address());
    let dealer = start(&["dealer", "--listen", &dealer_address]);
    let party = |role, meeting: [&str; 2], options: &[&str]| {
        let session = ["--limit", "2", "--batch", "8", "--model", "digits8"];
        let own = ["party", "--role", role, "--dealer", &dealer_address];
        start(&[&own[..], &meeting, &session, options].concat())
    };
    let p0 = party("p0", ["--listen", &p0_address], options[0]);
    let p1 = party("p1", ["--peer", &p0_address], options[1]);
    let ends = [end(p0), end(p1)];
    end(dealer);
    ends
}

#[test]
fn parties_agree_on_the_classes_before_anything_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    folder(&at("one"), &["cat", "dog"], 10);
    folder(&at("other"), &["cat", "cow"], 10);
    // A party without images of a class keeps an empty folder for it.
    folder(&at("cats"), &["cat"], 20);
    fs::create_dir(at("cats").join("dog")).expect("a folder");
    let samples = ["--samples", "20,20"];
    let run = |one: &Path, other: &Path, more: [&[&str]; 2]| {
        let one = [&["--data", str(one)], &samples[..], more[0]].concat();
        let other = [&["--data", str(other)], &samples[..], more[1]].concat();
        parties([&one, &other])
    };
    let said: String = run(&at("one"), &at("other"), [&[], &[]])
        .into_iter()
        .map(|(sound, _, err)| {
            assert!(!sound, "{err}");
            err
        })
        .collect();
    assert!(said.contains("different lists of classes"), "{said}");
    assert!(
        said.contains("cat, dog") || said.contains("cat, cow"),
        "{said}"
    );
    let list = ["--classes", "cat,dog,cow"];
    for (one, other, more) in [
        ("one", "cats", [&[][..], &[]]),
        ("one", "other", [&list, &list]),
    ] {
        for (sound, _, err) in run(&at(one), &at(other), more) {
            assert!(sound, "{one} {other}: {err}");
        }
    }
    let line = failure(&[
        "data",
        "pack",
        "--data",
        str(&at("one")),
        "--classes",
        "cow,cat",
        "--out",
        "x",
    ]);
    assert!(line.contains("has a class dog"), "{line}");
}

#[test]
fn a_party_without_images_needs_no_data_and_wrong_counts_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    folder(dir.path(), &["cat", "dog"], 10);
    let data = ["--data", str(dir.path())];
    let run = |samples: &str| {
        let samples = ["--samples", samples];
        parties([&[&data[..], &samples].concat(), &samples])
    };
    for (sound, out, err) in run("20,0") {
        assert!(sound && !err.contains("warning"), "{out}{err}");
    }
    let [(sound, _, err), _] = run("12,0");
    assert!(
        sound && err.contains("gives p0 12 images, and there are 20"),
        "{err}"
    );
    let line = failure(&[
        "party",
        "--role",
        "p0",
        "--listen",
        &address(),
        "--dealer",
        &address(),
        "--samples",
        "30,0",
        "--batch",
        "8",
        "--data",
        str(dir.path()),
    ]);
    assert!(
        line.contains("is to own 30 images, but there are 20"),
        "{line}"
    );
}

#[test]
fn a_model_file_keeps_its_classes_and_its_normalisation() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    for part in ["train", "test"] {
        for (class, name) in ["cat", "dog"].into_iter().enumerate() {
            for number in 0..20 {
                let bytes = colour(class, number, [8, 8], ImageFormat::Png);
                write(
                    &at("set")
                        .join(part)
                        .join(name)
                        .join(format!("{number:02}.png")),
                    &bytes,
                );
            }
        }
    }
    let model = r#"{"name":"mine","input":[8,8,3],"layers":["flatten",{"dense":{"units":2}}]}"#;
    write(&at("model.json"), model.as_bytes());
    let (set, file) = (at("set"), at("model.safetensors"));
    let normalise = "0.5:0.25,0.4:0.2,0.3:0.1";
    success(&[
        "train",
        "--data",
        str(&set),
        "--model",
        str(&at("model.json")),
        "--normalise",
        normalise,
        "--epochs",
        "8",
        "--batch",
        "8",
        "--save",
        str(&file),
    ]);
    let marks = model_file::marks(&file).expect("a model");
    assert_eq!(marks.classes().to_string(), "cat, dog");
    assert_eq!(marks.normalise.expect("numbers").to_string(), normalise);
    let predict = |data: &Path, more: &[&str]| {
        let of_model = ["predict", "--model-file", str(&file), "--data", str(data)];
        success(&[&of_model[..], more].concat())
    };
    let said = predict(&set, &["--count", "3"]);
    assert!(said.contains("image,class,name,file"), "{said}");
    assert!(
        said.lines()
            .any(|line| line.starts_with("0,0,cat,") && line.ends_with("00.png")),
        "{said}"
    );
    // One image without a class, and one with it.
    let image = set.join("test/dog/07.png");
    let said = predict(&image, &[]);
    assert!(
        said.contains("0,1,dog,") && !said.contains("right"),
        "{said}"
    );
    let said = predict(&set, &["--image", "25"]);
    assert!(said.contains("right: its label is dog"), "{said}");
    let line = failure(&[
        "predict",
        "--model-file",
        str(&file),
        "--data",
        str(&set),
        "--classes",
        "dog,cat",
    ]);
    assert!(
        line.contains("classes of --classes are dog, cat, and those of the model are cat, dog"),
        "{line}"
    );
}
