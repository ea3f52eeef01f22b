//! How a command asks a role that runs: over a socket beside its store, as lines of JSON. Only the store's user can connect.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::stop::Stop;
use crate::{error::Failure, links::connect::broken, resources::spawn};

/// Pause between two looks for commands.
const LOOK: Duration = Duration::from_millis(50);

/// The most bytes of a question.
const MOST_BYTES: u64 = 64 << 10;

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// How far the collection is.
    Status,
    /// Make a list of all uploads.
    List,
    /// Withdraw the upload of this name.
    Withdraw(String),
    /// Write what a training reads of a list to a file.
    Export(u32, PathBuf),
}

/// The answer: results, or the line and remedy of a failure.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    Result(serde_json::Value),
    Failure([String; 2]),
}

/// What answers commands until it is dropped.
pub struct Control {
    path: PathBuf,
}

/// Where the socket of a store is.
fn beside(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".control");
    PathBuf::from(path)
}

impl Control {
    /// Answers commands by `answer` until `stop`. The store is open, so no other process answers for it.
    pub fn open<F>(store: &Path, stop: &Stop, answer: F) -> Result<Self, Failure>
    where
        F: Fn(Ask) -> Result<serde_json::Value, Failure> + Clone + Send + 'static,
    {
        let path = beside(store);
        let unopened = |error: std::io::Error| {
            Failure::new(
                format!("{} cannot be made: {error}", path.display()),
                "give --store a shorter path, in a directory that can be written",
            )
        };
        // A process that was killed has left its own.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unopened(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(unopened)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(unopened)?;
        listener.set_nonblocking(true).map_err(unopened)?;
        let stop = stop.clone();
        spawn(move || {
            while !stop.is_made() {
                let Ok((stream, _)) = listener.accept() else {
                    stop.wait_for(LOOK);
                    continue;
                };
                let answer = answer.clone();
                // A command whose connection breaks says so itself.
                let _ = spawn(move || serve(stream, answer));
            }
        })?;
        Ok(Control { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(
    stream: UnixStream,
    answer: impl Fn(Ask) -> Result<serde_json::Value, Failure>,
) -> Result<(), Failure> {
    stream.set_nonblocking(false).map_err(broken)?;
    let mut line = String::new();
    let mut reader = BufReader::new(&stream).take(MOST_BYTES);
    reader.read_line(&mut line).map_err(broken)?;
    let told = match serde_json::from_str(&line) {
        Ok(ask) => match answer(ask) {
            Ok(result) => Told::Result(result),
            Err(failure) => Told::Failure(failure.parts().map(str::to_owned)),
        },
        Err(_) => Told::Failure(
            [
                "the command is of another version of this program",
                "use the role's",
            ]
            .map(str::to_owned),
        ),
    };
    let text = serde_json::to_string(&told).unwrap_or_default();
    (&stream)
        .write_all((text + "\n").as_bytes())
        .map_err(broken)
}

/// Asks the role that uses a store. None if no role runs.
pub fn ask(store: &Path, ask: &Ask) -> Result<Option<serde_json::Value>, Failure> {
    let path = beside(store);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error)
            if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::new(
                format!("the role cannot be asked at {} ({error})", path.display()),
                "run the command as the same user",
            ));
        }
    };
    let question = serde_json::to_string(ask).unwrap_or_default() + "\n";
    stream.write_all(question.as_bytes()).map_err(broken)?;
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .map_err(broken)?;
    match serde_json::from_str(&line) {
        Ok(Told::Result(result)) => Ok(Some(result)),
        Ok(Told::Failure([cause, remedy])) => Err(Failure::new(cause, remedy)),
        Err(_) => Err(Failure::new(
            "the role ended before it answered",
            "see what it says, and start it again",
        )),
    }
}
