//! Every kind of source, and what can be asked of it.

use std::{
    collections::BTreeSet, fs, path::PathBuf, process::Command, process::Stdio, thread,
    time::Duration,
};

use image::ImageFormat;
use ringlet::data::{Classes, DataSet, Images, Part, conversion::Size};
use ringlet_core::data::{Data, sample_image::SampleImage};
use ringlet_tests::{data_set, failure, start, success, told};

use super::files::{colour, grey, idx, load, npy, npz, pixel, str, twenty, write};

#[test]
fn arrays_and_tables_of_every_kind_give_the_same_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (pixels, labels) = twenty();
    let floats: Vec<f32> = pixels
        .iter()
        .map(|&pixel| f32::from(pixel) / 255.0)
        .collect();
    let little: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
    let big: Vec<u8> = floats.iter().flat_map(|x| x.to_be_bytes()).collect();
    let long: Vec<u8> = labels
        .iter()
        .flat_map(|&x| i64::from(x).to_le_bytes())
        .collect();
    for (name, images) in [
        ("idx3", idx(0x08, &[20, 8, 8], &pixels)),
        ("idx2", idx(0x08, &[20, 64], &pixels)),
        ("idx4", idx(0x08, &[20, 8, 8, 1], &pixels)),
        ("floats", idx(0x0D, &[20, 1, 8, 8], &big)),
    ] {
        write(&at(name).join("train-images-idx3-ubyte"), &images);
        write(
            &at(name).join("train-labels-idx1-ubyte"),
            &idx(0x08, &[20], &labels),
        );
    }
    npz(
        &at("bytes.npz"),
        &[
            ("train_images", npy("|u1", "(20, 8, 8)", &pixels)),
            ("train_labels", npy("|u1", "(20, 1)", &labels)),
            ("val_images", npy("|u1", "(1, 8, 8)", &pixels[..64])),
            ("val_labels", npy("|u1", "(1, 1)", &labels[..1])),
        ],
    );
    let arrays = [
        ("x_train", npy("<f4", "(20, 1, 8, 8)", &little)),
        ("y_train", npy("<i8", "(20,)", &long)),
    ];
    npz(&at("floats.npz"), &arrays);
    for (name, bytes) in &arrays {
        write(&at("npy").join(format!("{name}.npy")), bytes);
    }
    let mut table = "label,pixels\n".replace("pixels", &vec!["p"; 64].join(","));
    for (image, label) in pixels.chunks(64).zip(&labels) {
        let cells: Vec<String> = image.iter().map(u8::to_string).collect();
        table += &format!("{label},{}\n", cells.join(","));
    }
    write(&at("table.csv"), table.as_bytes());
    let wanted = Images {
        shape: [8, 8, 1],
        pixels,
        labels,
        classes: Classes::Numbered,
    };
    for name in [
        "idx3",
        "idx2",
        "idx4",
        "floats",
        "bytes.npz",
        "floats.npz",
        "npy",
        "table.csv",
    ] {
        assert_eq!(load(&at(name), Part::Train), wanted, "{name}");
        let out = at("samples.bin");
        success(&["data", "pack", "--data", str(&at(name)), "--out", str(&out)]);
        let packed = fs::read(&out).expect("a file");
        let mut samples = SampleImage::new(&packed).expect("an image of samples");
        let mut image = [0; 64];
        samples.pixels(7, &mut image).expect("a sample");
        assert_eq!(
            (samples.label(7), &image[..]),
            (Ok(1), wanted.image(7)),
            "{name}"
        );
    }
    // A .npz with a validation part holds that out.
    assert_eq!(load(&at("bytes.npz"), Part::Test).len(), 1);
}

#[test]
fn folders_of_every_format_are_read_by_class() {
    let dir = tempfile::tempdir().expect("a directory");
    let formats = [
        (ImageFormat::Png, "png"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Tiff, "tiff"),
    ];
    for (class, name) in ["cat", "dog"].into_iter().enumerate() {
        for (number, (format, end)) in formats.into_iter().enumerate() {
            for part in ["train", "test"] {
                let path = dir
                    .path()
                    .join(part)
                    .join(name)
                    .join(format!("{number}.{end}"));
                write(&path, &colour(class, number, [5, 4], format));
            }
        }
    }
    let images = load(dir.path(), Part::Train);
    assert_eq!(images.shape, [4, 5, 3]);
    assert_eq!(images.classes.to_string(), "cat, dog");
    assert_eq!(load(dir.path(), Part::Test).len(), 6);
    let found: BTreeSet<(u8, &[u8])> = (0..6)
        .map(|index| (images.labels[index], images.image(index)))
        .collect();
    for class in 0..2 {
        for number in 0..3 {
            let wanted: Vec<u8> = (0..20)
                .map(|index| pixel(class, number, index))
                .flat_map(|value| [value, 255 - value, value / 2])
                .collect();
            assert!(
                found.contains(&(class as u8, &wanted[..])),
                "{class} {number}"
            );
        }
    }
    // JPEG loses a little.
    let jpeg = tempfile::tempdir().expect("a directory");
    let name = jpeg.path().join("0/one.jpeg");
    write(&name, &grey(1, 0, 8, ImageFormat::Jpeg));
    let read = load(jpeg.path(), Part::Train);
    let near = |(index, &value): (usize, &u8)| value.abs_diff(pixel(1, 0, index)) < 30;
    assert!(read.pixels.iter().enumerate().all(near), "{read:?}");
    assert_eq!(read.classes, Classes::Numbered);
}

#[test]
fn images_change_size_and_colour_and_some_are_held_out() {
    let dir = tempfile::tempdir().expect("a directory");
    for (class, name) in ["cat", "dog"].into_iter().enumerate() {
        for number in 0..20 {
            let sides = [10 + number as u32, 12];
            let bytes = match number % 2 {
                0 => colour(class, number, sides, ImageFormat::Png),
                _ => grey(class, number, 12, ImageFormat::Png),
            };
            write(&dir.path().join(name).join(format!("{number:02}")), &bytes);
        }
    }
    let set = DataSet {
        path: Some(dir.path().to_owned()),
        resize: Some(Size {
            rows: 8,
            columns: 8,
        }),
        test_part: Some(0.25),
        ..DataSet::default()
    };
    let [train, test] = [Part::Train, Part::Test].map(|part| set.load(part).expect("images"));
    assert_eq!((train.len(), test.len(), train.shape), (30, 10, [8, 8, 3]));
    assert!(test.labels.contains(&0) && test.labels.contains(&1));
    let image = |images: &Images, index: usize| images.image(index).to_vec();
    let all: BTreeSet<Vec<u8>> = (0..30)
        .map(|index| image(&train, index))
        .chain((0..10).map(|index| image(&test, index)))
        .collect();
    assert_eq!(all.len(), 40);
    let data = str(dir.path());
    let options = [
        "--data",
        data,
        "--resize",
        "8x8",
        "--greyscale",
        "--test-part",
        "0.25",
    ];
    let said = told(&[&["train", "--limit", "2", "--batch", "8"], &options[..]].concat());
    assert!(said.contains("on 30 images of p0"), "{said}");
    // The processes of the roles get the same options.
    let said = told(
        &[
            &["train", "--limit", "1", "--batch", "8", "--link", "tcp"],
            &options[..],
        ]
        .concat(),
    );
    assert!(said.contains("on 30 images of p0"), "{said}");
    let line = failure(&["train", "--data", data, "--limit", "2"]);
    assert!(line.contains("--test-part 0.1"), "{line}");
    let line = failure(&[
        "train",
        "--data",
        data,
        "--test-part",
        "0.1",
        "--limit",
        "2",
    ]);
    assert!(line.contains("--resize WIDTHxHEIGHT"), "{line}");
    let said = success(&["data", "inspect", data]);
    assert!(said.contains("they differ in size"), "{said}");
}

#[test]
fn loading_takes_no_memory_beyond_the_samples() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = colour(0, 0, [32, 32], ImageFormat::Jpeg);
    let peak = |count: usize| {
        let set = dir.path().join(count.to_string());
        for number in 0..count {
            write(&set.join(format!("{}/{number}.jpg", number % 10)), &image);
        }
        let model = dir.path().join("model.json");
        let layers = r#""flatten",{"dense":{"units":10}}"#;
        let text = format!(r#"{{"name":"mine","input":[32,32,3],"layers":[{layers}]}}"#);
        write(&model, text.as_bytes());
        let mut child = start(&["plan", "--data", str(&set), "--model", str(&model)]);
        let mut most = 0;
        while child.try_wait().expect("a child").is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let status = status.unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            most = kilobytes.unwrap_or(0usize).max(most);
            thread::sleep(Duration::from_millis(1));
        }
        assert!(child.wait().expect("an end").success());
        1024 * most
    };
    let [few, many] = [500, 4000].map(peak);
    let samples = 3500 * 32 * 32 * 3;
    println!("{few} bytes at 500 images, {many} at 4000");
    assert!(many - few < samples + samples / 8, "{few} {many}");
}

#[test]
fn two_clinics_have_their_x_rays_in_one_archive() {
    let Some(dir) = data_set("pneumonia", "RINGLET_PNEUMONIA") else {
        return;
    };
    let said = success(&["data", "inspect", str(&dir)]);
    for count in ["2428", "270", "468"] {
        assert!(said.contains(count), "{said}");
    }
    let said = told(&[
        "train",
        "--data",
        str(&dir),
        "--limit",
        "3",
        "--share-of-p0",
        "0.5",
        "--resize",
        "8x8",
    ]);
    assert!(
        said.contains("on 1214 images of p0 and 1214 of p1"),
        "{said}"
    );
}

#[test]
fn a_folder_of_photographs_trains() {
    let Some(dir) = data_set("cifar10", "RINGLET_CIFAR10") else {
        return;
    };
    let unpacked = tempfile::tempdir().expect("a directory");
    let archive = dir.join("cifar.tar.xz");
    let set: PathBuf = match archive.is_file() {
        false => dir,
        true => {
            // A few of each class are enough.
            let mut tar = Command::new("tar");
            tar.arg("xf").arg(&archive).arg("-C").arg(unpacked.path());
            tar.args(["--wildcards", "test/*/000*.jpg"])
                .stdin(Stdio::null());
            assert!(tar.status().expect("tar runs").success());
            unpacked.path().to_owned()
        }
    };
    let said = success(&["data", "inspect", str(&set.join("test"))]);
    assert!(said.contains("classes: airplane,automobile,bird"), "{said}");
    assert!(said.contains("of 32x32x3"), "{said}");
    let out = unpacked.path().join("samples.bin");
    success(&[
        "data",
        "pack",
        "--data",
        str(&set.join("test")),
        "--out",
        str(&out),
    ]);
}
