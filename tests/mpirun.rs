//! The program with MPI under `mpirun`. `RINGLET_MPI_PROGRAM` names it, or it is target/full/ringlet. `tests/run` builds it.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

/// The directory of the programs with MPI. Prints a note if there are none.
pub fn programs() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/full/ringlet");
    let named = std::env::var_os("RINGLET_MPI_PROGRAM").map(PathBuf::from);
    let program = named.unwrap_or(built);
    let found = program.is_file();
    if !found {
        let note =
            "skipped: no program with MPI; tests/run builds it, or RINGLET_MPI_PROGRAM names it\n";
        io::Write::write_all(&mut io::stderr(), note.as_bytes()).expect("a terminal or a file");
    }
    found.then(|| program.parent().expect("a directory").to_owned())
}

/// `mpirun` for so many processes. It keeps its own files in `dir`: where several use one directory, one that ends may remove
/// what another has just made.
pub fn mpirun(count: usize, dir: &Path) -> Command {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = dir.join(format!("mpirun-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&own).expect("a directory");
    let mut command = Command::new("mpirun");
    command.env("TMPDIR", own);
    let count = count.to_string();
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &count]);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
    command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // Containers may not let one process read from another.
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command
}

/// Starts a program whose output is read later.
pub fn spawn(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The first of ten ports that were free a moment ago; a multiple of ten. They lie below those that connections take.
pub fn ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Other processes may look for ports as well.
    let start = (std::process::id() % 2000) as u16;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 10_000 + (start + number) % 2000 * 10;
        if (first..first + 10).all(free) {
            return first;
        }
    }
}
