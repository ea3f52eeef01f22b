//! A link that writes everything that the other end sends to a file, for audits.

use std::{
    fs::File,
    io::{self, Seek, Write as _},
    path::Path,
};

use embedded_io::{ErrorType, Read, Write};

use ringlet_core::net::Finish;

use crate::{console, data::file::check_writable, error::Failure};

/// A transport that writes its incoming bytes to a file, if there is one.
pub struct Capture<T> {
    inner: T,
    file: Option<File>,
}

impl<T> Capture<T> {
    /// Writes what comes over `inner` to `file`, from its beginning; what an earlier connection left there is dropped.
    pub fn new(inner: T, file: &Option<File>) -> io::Result<Self> {
        let file = file.as_ref().map(|mut file| {
            file.set_len(0)?;
            file.rewind()?;
            file.try_clone()
        });
        Ok(Capture {
            inner,
            file: file.transpose()?,
        })
    }

    /// The transport itself.
    pub fn inner(&self) -> &T {
        &self.inner
    }
}

/// Creates the empty file of a transcript.
pub fn transcript(path: Option<&Path>) -> Result<Option<File>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    check_writable(path)?;
    File::create(path)
        .map(Some)
        .map_err(|error| Failure::unwritten(path.display(), &error))
}

impl<T: ErrorType> ErrorType for Capture<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Capture<T> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, T::Error> {
        let count = self.inner.read(bytes)?;
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes[..count])
        {
            // A transcript with holes is worse than a short one. The run goes on.
            self.file = None;
            let why = Failure::unwritten("the transcript", &error);
            console::note(&format!("warning: from here on {why}"));
        }
        Ok(count)
    }
}

impl<T: Write> Write for Capture<T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> Result<(), T::Error> {
        self.inner.flush()
    }
}

impl<T: Finish> Finish for Capture<T> {
    fn end(&mut self, waits: bool) -> Result<(), T::Error> {
        self.inner.end(waits)
    }

    fn confirm(&mut self, waits: bool) -> Result<(), T::Error> {
        self.inner.confirm(waits)
    }
}
