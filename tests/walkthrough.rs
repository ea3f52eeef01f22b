//! The walk-through for two clinics in the book, run as it is written.

#![cfg(unix)]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use ringlet_tests::{
    address,
    arrays::{npy, npz},
    end, program,
};

const CHAPTER: &str = include_str!("../docs/src/two-clinics.md");

/// Shell blocks that run at the same time: those with nothing said between them.
fn steps() -> Vec<Vec<String>> {
    let mut steps: Vec<Vec<String>> = vec![Vec::new()];
    let mut block: Option<String> = None;
    for line in CHAPTER.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(text), "```") => {
                if let Some(step) = steps.last_mut() {
                    step.push(std::mem::take(text));
                }
                block = None;
            }
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, "") => {}
            (None, _) => steps.push(Vec::new()),
        }
    }
    steps.retain(|step| !step.is_empty());
    steps
}

/// Images of 28x28 in turn of two classes: bright on the left or on the right.
fn xrays(path: &Path, seed: usize, counts: [usize; 3]) {
    let mut arrays = Vec::new();
    for (part, count) in ["train", "val", "test"].into_iter().zip(counts) {
        let pixel = |image: usize, at: usize| {
            let bright = (at % 28 < 14) == image.is_multiple_of(2);
            let noise = (seed + image * 7919 + at * 104_729) % 97;
            (if bright { 130 } else { 60 } + noise) as u8
        };
        let pixels = (0..count).flat_map(|image| (0..784).map(move |at| (image, at)));
        let pixels: Vec<u8> = pixels.map(|(image, at)| pixel(image, at)).collect();
        let labels: Vec<u8> = (0..count).map(|image| (image % 2) as u8).collect();
        let shape = format!("({count}, 28, 28)");
        arrays.push((format!("{part}_images"), npy("|u1", &shape, &pixels)));
        arrays.push((
            format!("{part}_labels"),
            npy("|u1", &format!("({count}, 1)"), &labels),
        ));
    }
    let arrays: Vec<(&str, Vec<u8>)> = arrays
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    npz(path, &arrays);
}

/// Runs a block in a shell that knows the program as `ringlet`.
fn shell(dir: &Path, block: &str) -> Child {
    let path = std::env::var("PATH").expect("a path");
    Command::new("sh")
        .args(["-e", "-c", block])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
}

#[test]
fn the_two_clinics_get_where_the_book_says() {
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(program(), dir.path().join("ringlet")).expect("a link");
    for folder in ["clinic-a", "clinic-b", "dealer"] {
        fs::create_dir(dir.path().join(folder)).expect("a folder");
    }
    xrays(&dir.path().join("clinic-a/xrays.npz"), 1, [240, 20, 40]);
    xrays(&dir.path().join("clinic-b/xrays.npz"), 2, [200, 20, 30]);
    let (dealer, p0) = (address(), address());
    let steps = steps();
    assert_eq!(steps.len(), 7, "{steps:?}");
    let mut said = String::new();
    for step in &steps {
        let blocks = step.iter().map(|block| {
            let block = block.replace("127.0.0.1:7000", &dealer);
            let block = block.replace("127.0.0.1:7001", &p0);
            (shell(dir.path(), &block), block)
        });
        let blocks: Vec<_> = blocks.collect();
        for (child, block) in blocks {
            let (well, out, err) = end(child);
            assert!(well, "{block}{out}{err}");
            said += &out;
        }
    }
    for wanted in ["240", "200", "done", "% of them right"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    for (clinic, images) in [("clinic-a", 40), ("clinic-b", 30)] {
        let classes = dir.path().join(clinic).join("classes.csv");
        let classes = fs::read_to_string(&classes).expect("classes");
        let rows: Vec<Vec<&str>> = classes
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect())
            .collect();
        assert_eq!(rows.len(), images, "{classes}");
        let right = rows.iter().enumerate().filter(|(image, row)| {
            row.get(1).and_then(|class| class.parse().ok()) == Some(image % 2)
        });
        assert!(right.count() * 10 > images * 9, "{classes}");
    }
}
