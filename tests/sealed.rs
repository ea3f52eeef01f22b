//! What the secure links of a session carry between hosts is what the plan says, to the byte.

use std::{fs, path::Path};

use ringlet_tests::{
    address, end,
    middle::{Attack, Middle},
    start, success,
};
use serde_json::Value;

/// Images of the data set that [`images`] writes.
const IMAGES: u32 = 50;

/// Writes a data set of small images. Their content does not matter here.
fn images(dir: &Path) {
    for part in ["train", "t10k"] {
        let mut images = Vec::new();
        for number in [0x0803, IMAGES, 8, 8] {
            images.extend(number.to_be_bytes());
        }
        images.extend((0..IMAGES * 64).map(|pixel| (pixel * 31 % 251) as u8));
        let mut labels = Vec::new();
        for number in [0x0801, IMAGES] {
            labels.extend(number.to_be_bytes());
        }
        labels.extend((0..IMAGES).map(|image| (image % 10) as u8));
        fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images).expect("a file");
        fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).expect("a file");
    }
}

/// The bytes that one end sent on a link, without its greeting or the answer to one.
fn after_greeting(sent: &[u8]) -> u64 {
    assert!(sent.starts_with(b"RNGL"), "{sent:?}");
    let len = u16::from_le_bytes([sent[4], sent[5]]);
    (sent.len() - 6 - usize::from(len)) as u64
}

/// Runs a session with someone in the middle of each link, and compares with its plan. With a model P1 classifies P0's
/// images by it.
fn carries_what_is_planned(data: &str, session: &[&str], model: Option<&str>) {
    let revealed = &format!("{data}/revealed");
    let all = IMAGES.to_string() + ",0";
    let asks = ["--infer", "--data", data];
    let plan = match model {
        Some(_) => [session, &asks].concat(),
        None => [session, &["--data", data]].concat(),
    };
    let own = match model {
        Some(model) => [
            vec!["--infer", "--samples", &all, "--data", data],
            vec!["--infer", "--samples", &all, "--model-file", model],
        ],
        None => [vec!["--data", data], vec!["--data", data]],
    };
    let receives = match session.contains(&"--reveal-to") {
        true => vec!["--save", revealed],
        false => vec![],
    };
    let own = [own[0].clone(), [&own[1][..], &receives].concat()];
    let plan = success(&[&["plan", "--json"], &plan[..]].concat());
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let helper = match session.contains(&"securenn") {
        true => "assistant",
        false => "dealer",
    };
    let (h, p) = (address(), address());
    let between = [&h, &h, &p].map(|at| Middle::before(at, Attack::Listen));
    let helper_option = format!("--{helper}");
    let party = |role, helper_at: &str, meeting: [&str; 2], own: &[&str]| {
        // A plan is for one thread, with one link to each role.
        let threads = ["--threads", "1"];
        let all = ["party", "--role", role, &helper_option, helper_at];
        start(&[&all[..], &meeting, &threads, session, own].concat())
    };
    let roles = [
        start(&[helper, "--listen", &h]),
        party("p0", &between[0].address, ["--listen", &p], &own[0]),
        party(
            "p1",
            &between[1].address,
            ["--peer", &between[2].address],
            &own[1],
        ),
    ];
    let ends = roles.map(end);
    assert!(ends.iter().all(|(well, ..)| *well), "{session:?}: {ends:?}");
    let [p0_helper, p1_helper, peers] =
        between.map(|middle| middle.said().map(|sent| after_greeting(&sent)));
    let names = [
        ["p0_to_helper", "helper_to_p0"],
        ["p1_to_helper", "helper_to_p1"],
        ["p1_to_p0", "p0_to_p1"],
    ];
    for (names, carried) in names.into_iter().zip([p0_helper, p1_helper, peers]) {
        for (name, carried) in names.into_iter().zip(carried) {
            let planned = plan["link_bytes"][name].as_u64();
            assert_eq!(planned, Some(carried), "{name} of {session:?}");
        }
    }
}

#[test]
fn links_between_hosts_carry_what_is_planned() {
    let dir = tempfile::tempdir().expect("a directory");
    images(dir.path());
    let data = dir.path().to_str().expect("UTF-8");
    let model = dir.path().join("model");
    let model = model.to_str().expect("UTF-8");
    // The owner of the images knows nothing of the model, so the model takes pixels as they are.
    let plain = ["--normalise", "none", "--save", model];
    success(&[&["train", "--data", data, "--limit", "1"], &plain[..]].concat());
    // Batches of 20, 20 and 10 images; samples of both parties, in turn or of P0 alone.
    let training = ["--batch", "20", "--epochs", "2"];
    for more in [
        &["--reveal-to", "p1"][..],
        &["--share-of-p0", "0.5", "--micro-batch", "7", "--audit", "2"],
        &[
            "--protocol",
            "spdz",
            "--triples",
            "baseline",
            "--micro-batch",
            "7",
        ],
        &["--protocol", "spdz", "--share-of-p0", "0"],
        &["--protocol", "securenn", "--micro-batch", "7"],
        &[
            "--protocol",
            "securenn",
            "--micro-batch",
            "7",
            "--audit",
            "2",
        ],
    ] {
        carries_what_is_planned(data, &[&training, more].concat(), None);
    }
    for protocol in ["exact", "securenn"] {
        let session = [
            "--batch",
            "20",
            "--micro-batch",
            "7",
            "--protocol",
            protocol,
        ];
        carries_what_is_planned(data, &session, Some(model));
        let audited = [&session[..], &["--audit", "2"]].concat();
        carries_what_is_planned(data, &audited, Some(model));
    }
}
