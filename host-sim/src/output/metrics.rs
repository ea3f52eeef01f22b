//! The metrics file: a line of JSON for each record of a run.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, LineWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{data::file::check_writable, error::Failure};

/// A metrics file that is being written.
pub struct Metrics {
    path: PathBuf,
    file: LineWriter<File>,
}

impl Metrics {
    /// Begins a file. If the run goes on after `resumed` iterations, the lines of those that are in the file stay.
    pub fn new(path: &Path, resumed: Option<u32>) -> Result<Self, Failure> {
        check_writable(path)?;
        let mut options = File::options();
        options.read(true).write(true).create(true);
        options.truncate(resumed.is_none());
        let file = options
            .open(path)
            .map_err(|error| Failure::unwritten(path.display(), &error))?;
        let mut metrics = Metrics {
            path: path.to_owned(),
            file: LineWriter::new(file),
        };
        match resumed {
            Some(done) => metrics.go_back(done).map(|()| metrics),
            None => Ok(metrics),
        }
    }

    /// Leaves the lines of the first `done` iterations alone in the file.
    pub fn go_back(&mut self, done: u32) -> Result<(), Failure> {
        let lost = |error| Failure::unwritten(self.path.display(), &error);
        let file = self.file.get_mut();
        let cut = |file: &mut File| -> io::Result<()> {
            let len = lines_len(file, done)?;
            file.set_len(len)?;
            file.seek(SeekFrom::Start(len)).map(drop)
        };
        cut(file).map_err(lost)
    }

    /// Adds the line of a record.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_string(record)
            .map_err(io::Error::from)
            .and_then(|line| writeln!(self.file, "{line}"))
            .map_err(|error| Failure::unwritten(self.path.display(), &error))
    }
}

/// Bytes of the lines of the first `done` iterations: all before the first line of a later one, or that is not whole.
fn lines_len(file: &mut File, done: u32) -> io::Result<u64> {
    /// What the records of iterations and audits say.
    #[derive(Deserialize)]
    struct Place {
        iteration: Option<u32>,
    }

    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut len, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line)?;
        let stays = line.ends_with(b"\n")
            && serde_json::from_slice::<Place>(&line)
                .is_ok_and(|place| place.iteration.is_none_or(|iteration| iteration <= done));
        if !stays {
            return Ok(len);
        }
        len += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::run::records::EpochRecord;

    const EPOCH: EpochRecord = EpochRecord {
        kind: "epoch",
        epoch: 1,
        whole: true,
        accuracy: None,
        twin_accuracy: None,
        loss: None,
        seconds: 0.0,
    };

    #[test]
    #[cfg(target_os = "linux")]
    fn metrics_on_a_full_disk_are_named() {
        let full = File::options().write(true).open("/dev/full");
        let mut metrics = Metrics {
            path: "metrics".into(),
            file: LineWriter::new(full.expect("a device")),
        };
        let line = metrics.write(&EPOCH).map_err(|failure| failure.to_string());
        let wanted = "metrics cannot be written: the disk is full";
        assert!(line.is_err_and(|line| line.starts_with(wanted)));
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_lines_of_what_it_has_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("metrics");
        let read = || std::fs::read_to_string(&path).expect("a file");
        let kept = concat!(
            "{\"kind\":\"iteration\",\"iteration\":1}\n",
            "{\"kind\":\"iteration\",\"iteration\":2}\n",
            "{\"kind\":\"epoch\",\"epoch\":1}\n",
        );
        let lost = "{\"kind\":\"iteration\",\"iteration\":3}\n{\"kind\":\"epoch\",\"epoch\":2}\n";
        let cut_off = "{\"kind\":\"iteration\",\"iter";
        for more in [lost, cut_off, "", "{\"kind\":\"audit\",\"iteration\":9}\n"] {
            std::fs::write(&path, [kept, more].concat()).expect("a file");
            let mut metrics = Metrics::new(&path, Some(2)).expect("metrics");
            assert_eq!(read(), kept);
            metrics.write(&EPOCH).expect("a line");
            assert!(read().starts_with(kept) && read().lines().count() == 4);
            metrics.go_back(1).expect("metrics");
            assert_eq!(read().lines().count(), 1);
        }
        Metrics::new(&path, None).expect("metrics");
        assert_eq!(read(), "");
        std::fs::remove_file(&path).expect("a file");
        Metrics::new(&path, Some(2)).expect("metrics");
        assert_eq!(read(), "");
    }
}
