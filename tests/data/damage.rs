//! Damaged and odd files are told by name, or left out.

use image::ImageFormat;
use ringlet_tests::{failure, ringlet, success, text};

use super::files::{folder, grey, npy, npz, str, write};

#[test]
fn damaged_and_odd_files_are_told_by_name_or_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    folder(dir.path(), &["cat", "dog"], 10);
    let jpeg = grey(0, 0, 8, ImageFormat::Jpeg);
    let png = grey(0, 0, 8, ImageFormat::Png);
    let bad: [(&str, &[u8], &str); 6] = [
        ("cat/cut.jpg", &jpeg[..jpeg.len() - 9], "is cut short"),
        ("cat/cut.png", &png[..png.len() / 2], "is damaged"),
        ("dog/notes.txt", b"hello", "is no image"),
        ("dog/empty.png", b"", "is empty"),
        (
            "dog/moving.gif",
            b"GIF89a\x01\0\x01\0\0\0\0;",
            "is of a format",
        ),
        (
            "dog/large.png",
            &grey(0, 0, 9, ImageFormat::Png),
            "has 9x9 pixels",
        ),
    ];
    for (name, bytes, _) in bad {
        write(&dir.path().join(name), bytes);
    }
    // Files that nobody means as images.
    write(&dir.path().join("cat/.DS_Store"), b"x");
    let data = str(dir.path());
    let options = [
        "train",
        "--data",
        data,
        "--test-part",
        "0.5",
        "--limit",
        "1",
        "--batch",
        "4",
    ];
    let line = failure(&["data", "pack", "--data", data, "--out", data]);
    assert!(line.contains("6 of 26 images"), "{line}");
    assert!(line.contains("--skip-bad"), "{line}");
    for (name, _, why) in bad {
        assert!(line.contains(&format!("{name} {why}")), "{name}: {line}");
    }
    let output = ringlet(&[&options[..], &["--skip-bad"]].concat());
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.contains("left out"),
        "{said}"
    );
    let said = success(&["data", "inspect", data]);
    assert!(said.contains("--skip-bad: 5"), "{said}");
    assert!(said.contains("cut.jpg is cut short"), "{said}");
    for line in [["cat", "10"], ["dog", "11"], ["images", "21"]] {
        let has = |text: &str| text.split_whitespace().eq(line);
        assert!(said.lines().any(has), "{said}");
    }
    // If nearly nothing is left, something else is wrong.
    for name in ["cat", "dog"] {
        for number in 0..9 {
            write(
                &dir.path().join(name).join(format!("{number:03}.png")),
                b"hello",
            );
        }
    }
    let line = failure(&["data", "pack", "--skip-bad", "--data", data, "--out", data]);
    assert!(line.contains("half of them at the most"), "{line}");
}

#[test]
fn wrong_shapes_are_told_with_a_remedy_that_helps() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("set.npz");
    let images = || npy("|u1", "(4, 2, 2)", &[0; 16]);
    let labels = || npy("|u1", "(4,)", &[0; 4]);
    let refused = |arrays: &[(&str, Vec<u8>)], hint: &str| {
        npz(&path, arrays);
        let line = failure(&["train", "--data", str(&path), "--limit", "1"]);
        assert!(line.contains(hint), "{hint}: {line}");
        assert!(!line.contains("again"), "{line}");
    };
    refused(
        &[
            ("images", npy("|u1", "(4, 2, 2, 2, 2)", &[0; 64])),
            ("labels", labels()),
        ],
        "shape [4, 2, 2, 2, 2]",
    );
    refused(
        &[
            ("images", npy("|u1", "(4, 9, 9, 7)", &[0; 2268])),
            ("labels", labels()),
        ],
        "up to 4 channels",
    );
    refused(
        &[
            ("images", images()),
            ("labels", npy("|u1", "(4, 14)", &[0; 56])),
        ],
        "labels of shape [4, 14]",
    );
    refused(
        &[
            ("images", images()),
            ("labels", npy("|u1", "(3,)", &[0; 3])),
        ],
        "holds 4 images but",
    );
    refused(&[("train_images", images())], "without labels");
    refused(&[("weights", images())], "call them train_images");
    refused(&[("images", images())], "can only be classified");
    refused(
        &[
            ("images", npy("<i2", "(4, 1)", &[0, 1, 0, 0, 0, 0, 0, 0])),
            ("labels", labels()),
        ],
        "from 0 to 256",
    );
    refused(
        &[
            ("images", images()),
            ("labels", npy("|i1", "(4,)", &[0, 1, 2, 0xFF])),
        ],
        "the label -1",
    );
    // Data that the model does not take.
    folder(&dir.path().join("set"), &["cat", "dog"], 4);
    let set = dir.path().join("set");
    let line = failure(&[
        "train",
        "--data",
        str(&set),
        "--test-part",
        "0.5",
        "--model",
        "convnet2",
        "--limit",
        "1",
    ]);
    assert!(
        line.contains("takes images of 28x28x1, but the data's are 8x8x1"),
        "{line}"
    );
    let names: Vec<String> = (0..12).map(|class| format!("c{class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    folder(&dir.path().join("many"), &names, 2);
    let many = dir.path().join("many");
    let line = failure(&[
        "train",
        "--data",
        str(&many),
        "--test-part",
        "0.5",
        "--limit",
        "1",
    ]);
    assert!(line.contains("there are 12 classes"), "{line}");
}
