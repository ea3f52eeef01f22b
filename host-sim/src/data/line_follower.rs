//! Lines of a file that grows, or of a pipe, as they come.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// The longest line. What is longer is damaged.
const LONGEST: usize = 1 << 20;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Bytes before the place of reading that tell whether the file is still the same.
const MARK: usize = 512;

/// How long one look at a source takes at most.
const LOOK: Duration = Duration::from_millis(100);

/// What comes from a source.
#[derive(Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// A line that is too long, or that the end of a pipe cut off.
    Damaged(&'static str),
    /// The file became shorter, or is another: all lines come again.
    Again,
}

/// What has become of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// There is no such file, not yet or not any more.
    Absent,
    /// More may come. A pipe is open from the beginning, whether somebody writes to it or not.
    Open,
    /// The pipe is closed: nothing more comes.
    Closed,
    /// It cannot be read, for this reason.
    Failed(String),
}

/// A file or pipe whose lines are followed.
pub struct LineFollower {
    source: Source,
    lines: Lines,
    state: SourceState,
    last: Option<SystemTime>,
}

enum Source {
    File(FileSource),
    /// Chunks that a thread reads.
    Pipe(Receiver<io::Result<Vec<u8>>>),
}

impl LineFollower {
    /// Follows the file or named pipe at a path, which need not exist yet.
    pub fn of_path(path: PathBuf) -> Self {
        LineFollower::new(Source::File(FileSource::new(path)), SourceState::Absent)
    }

    /// Follows what `open` opens. It may take a while, and so may reading.
    pub fn of_pipe<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static) -> Self {
        LineFollower::new(Source::Pipe(read_apart(open)), SourceState::Open)
    }

    fn new(source: Source, state: SourceState) -> Self {
        LineFollower {
            source,
            lines: Lines::default(),
            state,
            last: None,
        }
    }

    /// What has become of the source.
    pub fn state(&self) -> &SourceState {
        &self.state
    }

    /// When something came last.
    pub fn last(&self) -> Option<SystemTime> {
        self.last
    }

    /// Takes what has come since the last call. Does not wait.
    pub fn look(&mut self, take: &mut dyn FnMut(News<'_>)) {
        let until = Instant::now() + LOOK;
        while Instant::now() < until && self.step(take) {}
    }

    /// Takes all there is: a file to its present end, a pipe until it is closed.
    pub fn read_to_end(&mut self, take: &mut dyn FnMut(News<'_>)) {
        loop {
            while self.step(take) {}
            if !matches!(self.source, Source::Pipe(_))
                || matches!(self.state, SourceState::Closed | SourceState::Failed(_))
            {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes the next chunk. Returns whether there may be more at once.
    fn step(&mut self, take: &mut dyn FnMut(News<'_>)) -> bool {
        match &mut self.source {
            Source::File(file) => match file.next(&mut self.lines, take) {
                Ok(Next::Chunk(chunk, changed)) => {
                    self.state = SourceState::Open;
                    let now = SystemTime::now();
                    // A clock that is ahead elsewhere must not make a silent file look fresh.
                    let before = match chunk.is_empty() {
                        true => self.last.unwrap_or(now),
                        false => now,
                    };
                    self.last = Some(changed.map_or(before, |changed| changed.min(before)));
                    self.lines.push(&chunk, take);
                    !chunk.is_empty()
                }
                Ok(Next::Absent) => {
                    self.state = SourceState::Absent;
                    false
                }
                Ok(Next::IsPipe(path)) => {
                    self.source = Source::Pipe(read_apart(|| File::open(path)));
                    self.state = SourceState::Open;
                    true
                }
                Err(error) => {
                    self.state = SourceState::Failed(error.to_string());
                    false
                }
            },
            Source::Pipe(chunks) => match chunks.try_recv() {
                Ok(Ok(chunk)) => {
                    self.state = SourceState::Open;
                    self.last = Some(SystemTime::now());
                    self.lines.push(&chunk, take);
                    true
                }
                Ok(Err(error)) => {
                    self.state = SourceState::Failed(error.to_string());
                    false
                }
                Err(TryRecvError::Empty) => false,
                Err(TryRecvError::Disconnected) => {
                    if !matches!(self.state, SourceState::Failed(_)) {
                        self.state = SourceState::Closed;
                    }
                    self.lines.close(take);
                    false
                }
            },
        }
    }
}

/// Reads in a thread of its own, which ends with the pipe or with the process.
fn read_apart<R: Read>(
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(16);
    thread::spawn(move || {
        let mut source = match open() {
            Ok(source) => source,
            Err(error) => return drop(sender.send(Err(error))),
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match source.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => Ok(chunk[..count].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // Without a receiver nobody follows any more.
            if sender.send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// A file, and how far it was read.
struct FileSource {
    path: PathBuf,
    offset: u64,
    /// The last bytes before the offset.
    mark: Vec<u8>,
    /// What the file system said of it last.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    id: Option<(u64, u64)>,
    len: u64,
    changed: Option<SystemTime>,
}

enum Next {
    /// Bytes, none if there are no new ones, and when the file was changed.
    Chunk(Vec<u8>, Option<SystemTime>),
    Absent,
    /// It is no plain file: reading it may block.
    IsPipe(PathBuf),
}

impl FileSource {
    fn new(path: PathBuf) -> Self {
        FileSource {
            path,
            offset: 0,
            mark: Vec::new(),
            seen: None,
        }
    }

    fn next(&mut self, lines: &mut Lines, take: &mut dyn FnMut(News<'_>)) -> io::Result<Next> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Next::Absent),
            Err(error) => return Err(error),
        };
        if meta.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        if !meta.is_file() {
            return Ok(Next::IsPipe(self.path.clone()));
        }
        let mut seen = Seen::new(&meta);
        if self.seen == Some(seen) && self.offset == seen.len {
            return Ok(Next::Chunk(Vec::new(), seen.changed));
        }
        let mut file = File::open(&self.path)?;
        // The name may have passed to another file meanwhile.
        seen = Seen::new(&file.metadata()?);
        let is_other = self.seen.is_some_and(|before| before.id != seen.id);
        if is_other || seen.len < self.offset || !self.is_marked(&mut file)? {
            self.offset = 0;
            self.mark.clear();
            lines.forget();
            take(News::Again);
        }
        self.seen = Some(seen);
        file.seek(SeekFrom::Start(self.offset))?;
        let mut chunk = Vec::new();
        file.take(CHUNK as u64).read_to_end(&mut chunk)?;
        self.offset += chunk.len() as u64;
        self.mark.extend(&chunk[chunk.len().saturating_sub(MARK)..]);
        self.mark.drain(..self.mark.len().saturating_sub(MARK));
        Ok(Next::Chunk(chunk, seen.changed))
    }

    /// Whether the bytes before the offset are those that were read.
    fn is_marked(&self, file: &mut File) -> io::Result<bool> {
        let mut there = vec![0; self.mark.len()];
        file.seek(SeekFrom::Start(self.offset - self.mark.len() as u64))?;
        match file.read_exact(&mut there) {
            Ok(()) => Ok(there == self.mark),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Seen {
    fn new(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt;
            Some((meta.dev(), meta.ino()))
        };
        #[cfg(not(unix))]
        let id = None;
        Seen {
            id,
            len: meta.len(),
            changed: meta.modified().ok(),
        }
    }
}

/// Cuts bytes into lines. What is not whole waits for its rest.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
    /// The line is too long: its rest is left out.
    skips: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(News<'_>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_whole) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            if !self.skips && self.pending.len() + part.len() <= LONGEST {
                self.pending.extend(part);
            } else {
                self.skips = true;
                self.pending.clear();
            }
            if is_whole {
                match self.skips {
                    true => take(News::Damaged("it is too long")),
                    false => take(News::Line(&self.pending)),
                }
                self.forget();
            }
        }
    }

    /// Nothing more comes.
    fn close(&mut self, take: &mut dyn FnMut(News<'_>)) {
        if self.skips || !self.pending.is_empty() {
            take(News::Damaged("the end of the pipe cut it off"));
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.pending.clear();
        self.skips = false;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write};

    use super::*;

    fn told(follower: &mut LineFollower) -> Vec<String> {
        let mut told = Vec::new();
        follower.look(&mut |news| {
            told.push(match news {
                News::Line(line) => String::from_utf8_lossy(line).into_owned(),
                News::Damaged(why) => format!("damaged: {why}"),
                News::Again => "again".to_owned(),
            });
        });
        told
    }

    #[test]
    fn lines_come_whole_and_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lines");
        let mut follower = LineFollower::of_path(path.clone());
        assert!(told(&mut follower).is_empty());
        assert_eq!(follower.state(), &SourceState::Absent);
        fs::write(&path, "one\ntw").expect("a file");
        assert_eq!(told(&mut follower), ["one"]);
        assert_eq!(follower.state(), &SourceState::Open);
        assert!(
            follower
                .last()
                .is_some_and(|last| last <= SystemTime::now())
        );
        let ahead = SystemTime::now() + Duration::from_secs(4000);
        let set = |time| {
            let file = OpenOptions::new().write(true).open(&path);
            file.expect("a file").set_modified(time).expect("a time");
        };
        set(ahead);
        assert!(told(&mut follower).is_empty());
        assert!(
            follower
                .last()
                .is_some_and(|last| last <= SystemTime::now())
        );
        let before = SystemTime::now() - Duration::from_secs(4000);
        set(before);
        assert!(told(&mut follower).is_empty());
        assert_eq!(follower.last(), Some(before));
        let append = |text: &str| {
            let file = OpenOptions::new().append(true).open(&path);
            file.expect("a file")
                .write_all(text.as_bytes())
                .expect("written");
        };
        append("o\n\nfour\n");
        assert_eq!(told(&mut follower), ["two", "", "four"]);
        assert!(told(&mut follower).is_empty());
        append(&"x".repeat(3 * LONGEST / 2));
        append("\nfive\n");
        assert_eq!(told(&mut follower), ["damaged: it is too long", "five"]);
        fs::remove_file(&path).expect("a file");
        assert!(told(&mut follower).is_empty());
        assert_eq!(follower.state(), &SourceState::Absent);
    }

    #[test]
    fn a_file_that_is_no_longer_the_same_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lines");
        fs::write(&path, "one\ntwo\nthr").expect("a file");
        let mut follower = LineFollower::of_path(path.clone());
        assert_eq!(told(&mut follower), ["one", "two"]);
        // Shorter.
        fs::write(&path, "one\n").expect("a file");
        assert_eq!(told(&mut follower), ["again", "one"]);
        // Shorter and then longer than before, between two looks.
        fs::write(&path, "six\nseven\n").expect("a file");
        assert_eq!(told(&mut follower), ["again", "six", "seven"]);
        // Another of that name.
        let other = dir.path().join("other");
        fs::write(&other, "six\nseven\neight\n").expect("a file");
        fs::rename(&other, &path).expect("a file");
        let anew = told(&mut follower);
        assert_eq!(anew.last().map(String::as_str), Some("eight"));
        #[cfg(unix)]
        assert_eq!(anew[0], "again");
    }

    #[test]
    fn a_pipe_ends_and_tells_what_it_cut_off() {
        let mut follower = LineFollower::of_pipe(|| Ok(&b"one\ntwo\nthr"[..]));
        let mut told = Vec::new();
        follower.read_to_end(&mut |news| told.push(format!("{news:?}")));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[2].contains("cut it off"));
        assert_eq!(follower.state(), &SourceState::Closed);
        let refused = || -> io::Result<&[u8]> { Err(io::Error::other("no")) };
        let mut follower = LineFollower::of_pipe(refused);
        follower.read_to_end(&mut |news| panic!("{news:?}"));
        assert_eq!(follower.state(), &SourceState::Failed("no".to_owned()));
    }

    #[test]
    fn a_directory_is_no_file_of_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut follower = LineFollower::of_path(dir.path().to_owned());
        assert!(told(&mut follower).is_empty());
        assert!(matches!(follower.state(), SourceState::Failed(_)));
    }
}
