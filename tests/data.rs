//! Images in every form that `--data` takes, sound and damaged, and the classes on which both parties agree.

use std::{
    collections::BTreeSet,
    fs,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use image::{GrayImage, ImageFormat, RgbImage};
use ringlet::data::{Classes, DataSet, Images, Part, conversion::Size, model_file};
use ringlet_core::data::{Data, sample_image::SampleImage};
use ringlet_tests::{address, data_set, end, failure, ringlet, start, success, text};

fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A pixel of image `image` of a class. Classes differ in brightness.
fn pixel(class: usize, image: usize, index: usize) -> u8 {
    (40 + 90 * class + (image * 7 + index * 13) % 50) as u8
}

/// The bytes of a greyscale image in a format.
fn grey(class: usize, number: usize, side: u32, format: ImageFormat) -> Vec<u8> {
    let image = GrayImage::from_fn(side, side, |x, y| {
        image::Luma([pixel(class, number, (y * side + x) as usize)])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

/// The bytes of a colour image in a format.
fn colour(class: usize, number: usize, sides: [u32; 2], format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(sides[0], sides[1], |x, y| {
        let value = pixel(class, number, (y * sides[0] + x) as usize);
        image::Rgb([value, 255 - value, value / 2])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

/// A folder with greyscale images of 8x8 for each class.
fn folder(dir: &Path, classes: &[&str], count: usize) {
    for (class, name) in classes.iter().enumerate() {
        for number in 0..count {
            let bytes = grey(class, number, 8, ImageFormat::Png);
            write(&dir.join(name).join(format!("{number:03}.png")), &bytes);
        }
    }
}

fn npy(kind: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(body);
    bytes
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).expect("a file"));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in arrays {
        let options = options.compression_method(zip::CompressionMethod::Deflated);
        archive
            .start_file(format!("{name}.npy"), options)
            .expect("a member");
        archive.write_all(bytes).expect("a member");
    }
    archive.finish().expect("an archive");
}

fn idx(kind: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|side| side.to_be_bytes()));
    bytes.extend(body);
    bytes
}

/// Twenty images of 8x8 in two classes, and their labels.
fn twenty() -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..20).map(|image| image % 2).collect();
    let pixels =
        (0..20usize).flat_map(|image| (0..64).map(move |index| pixel(image % 2, image, index)));
    (pixels.collect(), labels)
}

fn load(path: &Path, part: Part) -> Images {
    ringlet::data::load(Some(path), part).expect("images")
}

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
    let said = success(&[&["train", "--limit", "2", "--batch", "8"], &options[..]].concat());
    assert!(said.contains("on 30 images of p0"), "{said}");
    // The processes of the roles get the same options.
    let said = success(
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
    let said = success(&[
        "predict",
        "--model-file",
        str(&file),
        "--data",
        str(&set),
        "--count",
        "3",
    ]);
    assert!(said.contains("image,class,name,file"), "{said}");
    assert!(
        said.lines()
            .any(|line| line.starts_with("0,0,cat,") && line.ends_with("00.png")),
        "{said}"
    );
    // One image without a class, and one with it.
    let image = set.join("test/dog/07.png");
    let said = success(&["predict", "--model-file", str(&file), "--data", str(&image)]);
    assert!(
        said.contains("0,1,dog,") && !said.contains("right"),
        "{said}"
    );
    let said = success(&[
        "predict",
        "--model-file",
        str(&file),
        "--data",
        str(&set),
        "--image",
        "25",
    ]);
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
    let said = success(&[
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
