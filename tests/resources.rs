//! What the program takes of a machine, and how it ends when the machine refuses: memory, threads, disks, readers.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use ringlet_tests::{address, failure, is_notice, one_error, program, start, success, text};
use serde_json::Value;

/// Images of the data set that [`images`] writes.
const IMAGES: u32 = 20_000;

/// Writes IDX files of MNIST's shape. Their content does not matter here.
fn images(dir: &Path) {
    for part in ["train", "t10k"] {
        let mut images = Vec::new();
        for number in [0x0803, IMAGES, 28, 28] {
            images.extend(number.to_be_bytes());
        }
        images.extend((0..IMAGES as usize * 784).map(|pixel| (pixel * 31 % 251) as u8));
        let mut labels = Vec::new();
        for number in [0x0801, IMAGES] {
            labels.extend(number.to_be_bytes());
        }
        labels.extend((0..IMAGES).map(|image| (image % 10) as u8));
        fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images).expect("a file");
        fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).expect("a file");
    }
}

/// Runs the program in an address space of so many kilobytes.
fn within(kilobytes: u64, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\""),
        ])
        .arg(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("a shell")
}

/// The one line of a run that failed.
fn line(output: &Output) -> String {
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    one_error(&err).to_owned()
}

#[test]
fn memory_that_the_machine_refuses_ends_the_program_with_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    images(dir.path());
    let data = ["--data", dir.path().to_str().expect("UTF-8")];
    let session = ["--model", "convnet2", "--batch", "4096", "--limit", "1"];
    let train = [&["train"], &data[..], &session].concat();
    // A training by exact ReLU calibrates first.
    for (protocol, what) in [
        ("exact", "the calibration"),
        ("spdz", "the shares"),
        ("securenn", "the shares"),
    ] {
        let train = [&train[..], &["--protocol", protocol]].concat();
        let line = line(&within(400_000, &train));
        assert!(
            line.contains(&format!("no memory for {what}")),
            "{protocol}: {line}"
        );
    }
    // Not even the images fit.
    let line_of_data = line(&within(27_000, &train));
    assert!(
        line_of_data.contains("no memory for the images"),
        "{line_of_data}"
    );
}

/// Whether the C library or the runtime found no memory for itself, below the program's own code.
fn refused_below(output: &Output) -> bool {
    let err = text(&output.stderr);
    !output.status.success()
        && [
            "failed to allocate an alternative stack",
            "Fatal glibc error",
        ]
        .iter()
        .any(|line| err.contains(line))
}

/// What a run needs beyond what it reserves: the smaller the address space, the earlier it is refused.
#[test]
fn any_allocation_that_the_machine_refuses_ends_the_program_with_one_line() {
    let arguments = ["train", "--limit", "1", "--batch", "4", "--seed", "1"];
    let whole = success(&arguments);
    // Seconds follow the accuracy, and differ from run to run.
    let result = |out: &str| out.split(" %").next().map(str::to_owned);
    let (mut refused, mut trained) = (0, 0);
    for kilobytes in (10_100..38_000).step_by(307) {
        if !within(kilobytes, &["--version"]).status.success() {
            // The system has no room for the program itself.
            continue;
        }
        let output = within(kilobytes, &arguments);
        if output.status.success() {
            assert_eq!(result(&text(&output.stdout)), result(&whole), "{kilobytes}");
            trained += 1;
        } else if !refused_below(&output) {
            line(&output);
            refused += 1;
        }
    }
    assert!(refused > 3 && trained > 3, "{refused} and {trained}");
}

#[test]
fn threads_that_the_machine_refuses_end_the_program_with_one_line() {
    // No machine has room for such a stack.
    for link in ["memory", "tcp"] {
        let output = Command::new(program())
            .args(["train", "--limit", "1", "--link", link])
            .env("RUST_MIN_STACK", (1u64 << 47).to_string())
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let line = line(&output);
        assert!(line.contains("starts no more threads"), "{link}: {line}");
    }
}

#[test]
fn a_reader_that_has_enough_ends_the_program_quietly() {
    let pipe = r#""$0" plan --model convnet2; echo "$?" >&2"#;
    let output = Command::new("sh")
        .args(["-c", &format!("({pipe}) | true")])
        .arg(program())
        .output()
        .expect("a shell");
    let err = text(&output.stderr);
    // The plan may be written before its reader has gone.
    assert!(["0\n", "141\n"].contains(&err.as_str()), "{err}");

    let mut child = start(&["train", "--limit", "200", "--epochs", "60"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("its output");
    assert_eq!(output.status.code(), Some(141));
    let err = text(&output.stderr);
    assert!(err.lines().all(is_notice), "{err}");
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let dir = tempfile::tempdir().expect("a directory");
    // Fewer corrections than are written at a time, and more.
    for limit in ["1", "8"] {
        let out = dir.path().join(limit);
        fs::create_dir(&out).expect("a directory");
        std::os::unix::fs::symlink("/dev/full", out.join("p1.partial")).expect("a link");
        let out = out.to_str().expect("UTF-8");
        let line = failure(&["deal", "--out", out, "--limit", limit]);
        let wanted = format!("error: {out}/p1.dealt cannot be written: the disk is full");
        assert!(line.starts_with(&wanted), "{line}");
        assert_eq!(fs::read_dir(out).expect("a directory").count(), 0);
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let output = Command::new(program())
        .arg("plan")
        .stdout(full.expect("a device"))
        .stderr(Stdio::piped())
        .output()
        .expect("the program starts");
    let line = line(&output);
    assert!(
        line.contains("the output cannot be written: the disk is full"),
        "{line}"
    );
}

/// The most memory that a process has taken so far, in bytes. None if it has ended.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What the processes train on, but for their data.
const SESSION: [&str; 6] = ["--model", "convnet2", "--batch", "128", "--limit", "2"];

#[test]
fn a_process_takes_the_memory_that_the_plan_says() {
    let dir = tempfile::tempdir().expect("a directory");
    images(dir.path());
    let data = dir.path().to_str().expect("UTF-8");
    let audit = ["--audit", "1"];
    let parts = ["--micro-batch", "32"];
    for (helper, protocol, more, threads) in [
        ("dealer", "exact", &[][..], 1),
        ("assistant", "securenn", &[], 1),
        ("assistant", "securenn", &audit, 1),
        ("assistant", "securenn", &parts, 2),
    ] {
        let session = [
            &SESSION[..],
            &["--data", data, "--protocol", protocol],
            more,
        ]
        .concat();
        take_what_is_planned(helper, &session, threads);
    }
}

/// Runs a session, each role on so many threads, and compares the memory of its processes with its plan.
fn take_what_is_planned(helper: &'static str, session: &[&str], threads: u64) {
    let ranks: &[&str] = if threads > 1 { &["--ranks"] } else { &[] };
    let plan = success(&[&["plan", "--json"], ranks, session].concat());
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let (h, p) = (address(), address());
    let helper_option = format!("--{helper}");
    let count = &threads.to_string()[..];
    let party = |role, meeting: [&str; 2]| {
        let own = ["party", "--role", role, &helper_option, &h];
        start(&[&own[..], &meeting, &["--threads", count], session].concat())
    };
    let mut roles = [
        (helper, start(&[helper, "--listen", &h, "--threads", count])),
        ("p0", party("p0", ["--listen", &p])),
        ("p1", party("p1", ["--peer", &p])),
    ];
    let peaks = peaks(roles.each_mut().map(|(_, child)| child));
    for ((name, mut child), most) in roles.into_iter().zip(peaks) {
        assert!(child.wait().expect("an end").success(), "{name}");
        let process = plan[format!("process_bytes_{name}")].as_u64();
        let further = plan["ranks"].as_object().map_or(0, |ranks| {
            let kind = if name == helper { name } else { "party" };
            let thread = ranks[&format!("thread_bytes_{kind}")].as_u64();
            (threads - 1) * thread.expect("bytes")
        });
        compare(name, most, process.expect("bytes") + further);
    }
}

/// The most memory that each of these processes takes until all have ended.
fn peaks<const COUNT: usize>(mut children: [&mut Child; COUNT]) -> [u64; COUNT] {
    let mut peaks = [0; COUNT];
    // The peak is in the past soon, so the last look before the end finds it.
    while children
        .iter_mut()
        .any(|child| matches!(child.try_wait(), Ok(None)))
    {
        for (child, most) in children.iter().zip(&mut peaks) {
            *most = peak(child).unwrap_or(0).max(*most);
        }
        thread::sleep(Duration::from_millis(2));
    }
    peaks
}

/// Compares the most memory that a role took with its plan.
fn compare(name: &str, most: u64, planned: u64) {
    println!("{name}: {most} of {planned}");
    assert!(most <= planned, "{name}: {most} of {planned}");
    assert!(10 * most >= 7 * planned, "{name}: {most} of {planned}");
}

#[test]
fn threads_with_dealt_files_take_the_memory_that_the_plan_says() {
    let dir = tempfile::tempdir().expect("a directory");
    images(dir.path());
    let data = dir.path().to_str().expect("UTF-8");
    let session = [&SESSION[..], &["--data", data, "--micro-batch", "32"]].concat();
    let plan = success(&[&["plan", "--json", "--ranks"], &session[..]].concat());
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let planned = |key: &str| {
        let process = plan[format!("process_bytes_{key}")].as_u64();
        let thread = plan["ranks"][format!("thread_bytes_{key}")].as_u64();
        [process, thread].map(|bytes| bytes.expect("bytes"))
    };
    let held = plan["ranks"]["dealt_file_bytes_p1"].as_u64();
    for threads in ["1", "4"] {
        let files = dir.path().join(threads);
        let files = files.to_str().expect("UTF-8");
        success(&[&["deal", "--out", files], &session[..]].concat());
        let meeting = address();
        let mut parties = [("p0", "--listen"), ("p1", "--peer")].map(|(role, meet)| {
            let own = ["party", "--role", role, meet, &meeting, "--dealt", files];
            start(&[&own[..], &["--threads", threads], &session].concat())
        });
        let peaks = peaks(parties.each_mut());
        let count: u64 = threads.parse().expect("a number");
        for ((name, mut party), most) in ["p0", "p1"].into_iter().zip(parties).zip(peaks) {
            assert!(party.wait().expect("an end").success(), "{name}");
            let [process, thread] = planned(name);
            let dealt = match name {
                "p1" => count * held.expect("bytes"),
                _ => 0,
            };
            compare(name, most, process + (count - 1) * thread + dealt);
        }
    }
}
