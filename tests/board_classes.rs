//! Boards that classify: by a host's model, and a host's images by their own. They send what a host would, and only the owner of
//! the images gets the classes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ringlet::{
    data::{Images, Part, load, model_file, parameters::encode_model, range_bits::RangeBits},
    run::secrets::Secrets,
};
use ringlet_core::{
    Role,
    data::Normalisation,
    dealt::check,
    device::Status,
    num::Format,
    session::{ClassList, Headroom, KnownBackbone, Protocol, Session, Task},
};
use ringlet_device::Stopped;
use ringlet_tests::{
    TrainedOnce, address, complaint,
    deployment::{Deployment, hello_len, host, lax, record},
    emulated::{self, ROOT, keeps_to_its_budget, start_board},
    end, record_inference,
    served::Served,
    start, stop, success, trained,
};

/// A model of the built-in digits, trained once for all tests.
fn model() -> &'static Path {
    static MODEL: TrainedOnce = TrainedOnce::new();
    trained(&MODEL, &["--epochs", "2"])
}

/// The identities of all roles.
fn deployment() -> &'static Deployment {
    emulated::deployment(concat!(env!("CARGO_TARGET_TMPDIR"), "/board-classes"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Who owns the images.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Board,
    Host,
}

const COUNT: usize = 12;

/// What is programmed into a board: images to classify, or a model.
fn flash(dir: &Path, owner: Owner) -> PathBuf {
    let out = dir.join("flash.bin");
    match owner {
        Owner::Board => success(&["data", "pack", "--count", "12", "--out", text(&out)]),
        Owner::Host => {
            let pack = ["data", "pack-model", "--model-file", text(model())];
            success(&[&pack[..], &["--out", text(&out)]].concat())
        }
    };
    out
}

/// The session of a board that is P0, and the images that are classified.
fn session(owner: Owner, batch: u32) -> (Session, Images) {
    let trained = model_file::load(model(), None).expect("a model");
    let format = Format::new::<u32>(12).expect("widths that fit");
    let range = trained.marks.range.unwrap_or(RangeBits::usual());
    let headroom: Headroom = range.limited(&trained.network, format);
    let count = COUNT as u32;
    let images = load(None, Part::Train).expect("digits").slice(0..COUNT);
    let session = Session {
        model: trained.model,
        format,
        headroom,
        normalisation: Normalisation::NONE,
        task: Task::Infer,
        protocol: Protocol::DEALT,
        samples: match owner {
            Owner::Board => [count, 0],
            Owner::Host => [0, count],
        },
        contributions: None,
        batch,
        micro_batch: 4,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << 19,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 0,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: match owner {
            Owner::Board => KnownBackbone::Absent,
            Owner::Host => KnownBackbone::Unknown,
        },
    };
    (session, images)
}

/// The options of P1 beside a device, and a dealer for both.
fn options(owner: Owner, deployment: &Deployment, device: &str, dealer: &str) -> Vec<String> {
    let party = [
        "party",
        "--role",
        "p1",
        "--infer",
        "--peer",
        device,
        "--dealer",
        dealer,
        "--idle",
        "120",
        "--micro-batch",
        "4",
    ];
    let own = match owner {
        Owner::Board => vec!["--samples", "12,0", "--model-file", text(model())],
        Owner::Host => vec!["--samples", "0,12", "--model", "digits8"],
    };
    let all = [&party[..], &own, &deployment.p1()].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// IDX files of the first digits, which `--data` reads as images to classify.
fn images_file(dir: &Path, images: &Images) -> PathBuf {
    let mut file = vec![0, 0, 8, 3];
    for side in [images.len(), 8, 8] {
        file.extend((side as u32).to_be_bytes());
    }
    file.extend(&images.pixels);
    let path = dir.join("t10k-images-idx3-ubyte");
    fs::write(&path, file).expect("a file");
    path
}

/// The classes in a file of P1's.
fn classes(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).expect("classes");
    let class = |line: &str| line.split(',').nth(1)?.parse().ok();
    text.lines()
        .skip(1)
        .map(|line| class(line).expect("a class"))
        .collect()
}

/// With the same keys, a board sends the bytes that P0 sends on this machine, and the owner of the images gets the same classes.
fn classifies_as_a_host_would(board: &str, owner: Owner) {
    let dir = tempfile::tempdir().expect("a directory");
    let batch = 8;
    let (session, images) = session(owner, batch);
    let emulated = start_board(board, &flash(dir.path(), owner), dir.path(), &[]);
    let (at, transcript) = (address(), dir.path().join("transcript"));
    let (out, data) = (
        dir.path().join("classes.csv"),
        images_file(dir.path(), &images),
    );
    let dealer = [
        "dealer",
        "--listen",
        &at,
        "--wait",
        "60",
        "--secret-seed",
        "7",
    ];
    let dealer = start(&[&dealer[..], &deployment().dealer()].concat());
    let party = options(owner, deployment(), &emulated.address, &at);
    let mut party: Vec<&str> = party.iter().map(String::as_str).collect();
    party.extend([
        "--batch",
        "8",
        "--secret-seed",
        "7",
        "--transcript",
        text(&transcript),
    ]);
    if owner == Owner::Host {
        party.extend(["--data", text(&data), "--out", text(&out)]);
    }
    let ends = [start(&party), dealer].map(end);
    for (well, out, err) in &ends {
        assert!(well, "{out}{err}");
    }
    keeps_to_its_budget(board, &ends[0].1);
    let sent = fs::read(&transcript).expect("a transcript");
    let keys = Secrets::Seed(7).dealer_keys().expect("keys");
    let trained = model_file::load(model(), None).expect("a model");
    let network = check::<u32>(&session).expect("a session that runs");
    let values = encode_model(&network, &session, &trained.parameters).expect("a model");
    let (peer, wanted) = record_inference(&session, &images, keys, &values);
    let expected = &peer[0][hello_len(Role::P0, &session)..];
    let differs = sent.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{:?}", (sent.len(), expected.len()));
    assert_eq!(sent.len(), expected.len());
    let found = match owner {
        Owner::Board => fs::read(dir.path().join("classes")).expect("the board's classes"),
        Owner::Host => classes(&out),
    };
    assert_eq!(found, wanted);
    let right = found
        .iter()
        .zip(&images.labels)
        .filter(|(a, b)| a == b)
        .count();
    assert!(right >= 9, "{found:?} {:?}", images.labels);
    // P1 has nothing to tell of the board's images.
    assert!(
        owner == Owner::Host || !ends[0].1.contains("right"),
        "{}",
        ends[0].1
    );
}

#[test]
fn boards_classify_their_images_by_a_hosts_model() {
    for board in ["mps2-an386-fifo", "stm32f405", "riscv-virt"] {
        classifies_as_a_host_would(board, Owner::Board);
    }
}

#[test]
fn boards_classify_a_hosts_images_by_their_model() {
    for board in ["mps2-an386-fifo", "stm32f405", "riscv-virt"] {
        classifies_as_a_host_would(board, Owner::Host);
    }
}

/// A session that the firmware's code refuses, with what is in a file in its flash.
fn is_refused(flash: &Path, owner: Owner, more: &[&str], reason: &str) -> Status {
    let dir = tempfile::tempdir().expect("a directory");
    let deployment = Deployment::new(dir.path(), ROOT);
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    let device = Served::start(flash, &own, 1 << 17);
    let at = address();
    let dealer = ["dealer", "--listen", &at, "--wait", "20"];
    let dealer = start(&[&dealer[..], &deployment.dealer()].concat());
    let party = options(owner, &deployment, &device.address, &at);
    let mut party: Vec<&str> = party.iter().map(String::as_str).collect();
    let data = images_file(dir.path(), &session(owner, 8).1);
    if owner == Owner::Host {
        party.extend(["--data", text(&data)]);
    }
    party.extend(more);
    let line = complaint(start(&party));
    assert!(line.contains(reason), "{line}");
    stop(dealer);
    let found = device.found.clone();
    let outcome = device.outcome();
    assert!(found.lock().expect("no panic").is_empty());
    match outcome {
        Err(Stopped::Refused(status)) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_device_cannot_classify_by_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let images = flash(dir.path(), Owner::Board);
    // No model, where the images are the host's.
    let status = is_refused(&images, Owner::Host, &[], "the device has no model");
    assert!(matches!(status, Status::NoModel(_)), "{status}");
    let image = flash(dir.path(), Owner::Host);
    // A model for other numbers, or for another session.
    let status = is_refused(
        &image,
        Owner::Host,
        &["--fraction-bits", "11"],
        "made for another",
    );
    assert_eq!(status, Status::Model);
    let status = is_refused(
        &image,
        Owner::Host,
        &["--normalise", "0.5:0.25"],
        "made for another",
    );
    assert_eq!(status, Status::Model);
    // No images, where the model is the host's.
    let status = is_refused(&image, Owner::Board, &[], "the device has no samples");
    assert!(matches!(status, Status::NoSamples(_)), "{status}");
    // A damaged model.
    let mut bytes = fs::read(&image).expect("an image");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&image, bytes).expect("a file");
    let status = is_refused(&image, Owner::Host, &[], "damaged");
    assert!(matches!(status, Status::NoModel(_)), "{status}");
}
