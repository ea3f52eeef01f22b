//! Any bytes as the line of a whole mux.

use std::{cell::RefCell, convert::Infallible};

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use ringlet_core::net::serial::{
    frame::Decoder,
    mux::{CHANNELS, Channel, Clock, Mux, MuxError, Timeouts},
};

use super::{allocation, script};

/// A line that delivers its pieces, silent for a moment between any two, and then is cut. What is
/// written to it is listened to.
struct Line<'a> {
    pieces: &'a [Vec<u8>],
    place: usize,
    /// The moment between two pieces is now.
    pause: bool,
    /// Bytes that it takes at a time; it has no room every other time that it is asked.
    room: usize,
    full: bool,
    listener: Decoder,
}

impl ErrorType for Line<'_> {
    type Error = ErrorKind;
}

impl ReadReady for Line<'_> {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!core::mem::take(&mut self.pause))
    }
}

impl Read for Line<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        let (piece, later) = self.pieces.split_first().ok_or(ErrorKind::BrokenPipe)?;
        let rest = &piece[self.place..];
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        self.place += count;
        if self.place == piece.len() {
            (self.pieces, self.place) = (later, 0);
            self.pause = true;
        }
        Ok(count)
    }
}

impl WriteReady for Line<'_> {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        self.full = !self.full;
        Ok(!self.full)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let count = bytes.len().min(self.room);
        for &byte in &bytes[..count] {
            // Whatever ends with a zero is a whole frame.
            assert_eq!(self.listener.push(byte).is_some(), byte == 0);
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A clock that moves on whenever it is looked at, and further when nothing happens.
struct Moving {
    now: u32,
    step: u32,
}

impl Clock for Moving {
    fn milliseconds(&mut self) -> u32 {
        self.now = self.now.wrapping_add(1);
        self.now
    }

    fn wait(&mut self) {
        self.now = self.now.wrapping_add(self.step);
    }
}

const TIMEOUTS: Timeouts = Timeouts {
    resend: 50,
    silence: 1000,
};

/// The most uses of a mux in one run.
const USES: usize = 200;

/// The first two bytes are the clock's step and the line's room; then comes the number of uses of the
/// mux, one byte each, and the pieces of the line after them.
pub fn check(input: &[u8]) {
    let [step, room, uses, rest @ ..] = input else {
        return;
    };
    let (uses, rest) = rest.split_at(usize::from(*uses).min(rest.len()));
    let mut pieces = script::pieces(rest);
    pieces.retain(|piece| !piece.is_empty());
    let line = Line {
        pieces: &pieces,
        place: 0,
        pause: false,
        room: usize::from(*room) + 1,
        full: false,
        listener: Decoder::default(),
    };
    let clock = Moving {
        // Soon to wrap.
        now: u32::MAX - 500,
        step: (*step).into(),
    };
    let result: Result<Infallible, MuxError> = allocation::none_in(|| {
        let mux = RefCell::new(Mux::new(line, clock, TIMEOUTS));
        run(&mux, uses)
    });
    let Err(error) = result;
    assert_eq!(error, MuxError::Line(ErrorKind::BrokenPipe));
}

/// Accepts sessions and uses their channels until the line is cut.
fn run(mux: &RefCell<Mux<Line<'_>, Moving>>, uses: &[u8]) -> Result<Infallible, MuxError> {
    let mut uses = uses.iter().take(USES);
    loop {
        mux.borrow_mut().accept()?;
        assert_ne!(mux.borrow().session(), 0);
        loop {
            let result = match uses.next() {
                Some(&what) => act(mux, what),
                None => mux.borrow_mut().finish(),
            };
            match result {
                Ok(()) => {}
                Err(MuxError::Line(kind)) => return Err(MuxError::Line(kind)),
                Err(MuxError::Silent | MuxError::Reset) => break,
            }
        }
    }
}

fn act(mux: &RefCell<Mux<Line<'_>, Moving>>, what: u8) -> Result<(), MuxError> {
    // One more than there are channels: the mux takes the last.
    let mut channel = Channel::new(mux, usize::from(what) % (CHANNELS + 1));
    let len = usize::from(what >> 3) * 10;
    let mut bytes = [what; 310];
    match what >> 2 & 1 {
        0 => {
            let count = channel.read(&mut bytes[..len])?;
            assert!(count <= len && (count > 0 || len == 0));
        }
        _ => {
            let count = channel.write(&bytes[..len])?;
            assert!(count <= len && (count > 0 || len == 0));
            if what & 8 == 0 {
                channel.flush()?;
            }
        }
    }
    Ok(())
}
