//! A port: one line that carries several channels, each a reliable stream of bytes both ways.
//!
//! A sender keeps what has not been acknowledged, and sends the identical frames again when the other
//! end asks for them or stays silent. A receiver keeps frames that come in order and fit its buffer, and
//! asks again when it has room; so a channel that is not being read holds up no other. Everything is
//! driven from reading and writing: no interrupts, no threads, no heap.

mod channel;

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use heapless::Deque;

use super::frame::{Decoder, Head, Kind, MAX_FRAME, MAX_PAYLOAD, encode};

pub use channel::Channel;

/// Channels of a port.
pub const CHANNELS: usize = 3;

/// Frames of a channel that may be under way unacknowledged.
const WINDOW: usize = 2;

/// Times the resend time without a word from the other end after which a port asks whether it is there.
const PROBE: u32 = 4;

/// Bytes of a channel that are kept until they are read.
const RECEIVE: usize = 512;

/// Bytes off the line that wait while a frame is being sent. What does not fit is lost and comes again.
const WAITING: usize = 1024;

/// What a port needs of a line. Its ends may hold as little as one byte: a port never waits for room on the
/// way out without taking in what comes.
pub trait Line: Read + ReadReady + Write + WriteReady {}

impl<T: Read + ReadReady + Write + WriteReady> Line for T {}

/// Time, as far as a port needs it.
pub trait Clock {
    /// Milliseconds since some moment, wrapping.
    fn milliseconds(&mut self) -> u32;
    /// Nothing has come: wait a little, or not at all.
    fn idle(&mut self) {}
}

/// When a port loses patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Milliseconds without an acknowledgement after which frames are sent again.
    pub resend: u32,
    /// Milliseconds without any frame from the other end after which it counts as gone.
    pub silence: u32,
}

/// Why a port failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MuxError {
    /// The line itself failed.
    Line(ErrorKind),
    /// The other end has said nothing for too long.
    Silent,
    /// The other end has been reset, or has begun another session.
    Reset,
}

impl core::fmt::Display for MuxError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MuxError::Line(kind) => write!(f, "the line failed ({kind:?})"),
            MuxError::Silent => f.write_str("the other end has been silent for too long"),
            MuxError::Reset => f.write_str("the other end has been reset"),
        }
    }
}

impl core::error::Error for MuxError {}

impl Error for MuxError {
    fn kind(&self) -> ErrorKind {
        match self {
            MuxError::Line(kind) => *kind,
            MuxError::Silent => ErrorKind::TimedOut,
            MuxError::Reset => ErrorKind::ConnectionReset,
        }
    }
}

/// One frame's payload.
struct Piece {
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
}

/// A channel's state.
struct State {
    /// Sequence of the oldest frame in `unacknowledged`.
    oldest: u16,
    unacknowledged: Deque<Piece, WINDOW>,
    /// What has been written but does not fill a frame yet.
    pending: Piece,
    /// When the oldest frame was last sent.
    sent_at: u32,
    /// Sequence of the next frame that may come.
    expected: u16,
    received: Deque<u8, RECEIVE>,
    /// A frame has been turned away for want of room.
    turned_away: bool,
}

impl State {
    fn new() -> Self {
        State {
            oldest: 0,
            unacknowledged: Deque::new(),
            pending: Piece {
                bytes: [0; MAX_PAYLOAD],
                len: 0,
            },
            sent_at: 0,
            expected: 0,
            received: Deque::new(),
            turned_away: false,
        }
    }
}

/// A line with its channels.
pub struct Mux<T, C> {
    line: T,
    clock: C,
    patience: Patience,
    session: u16,
    decoder: Decoder,
    waiting: Deque<u8, WAITING>,
    channels: [State; CHANNELS],
    heard_at: u32,
    /// When something was last asked of the other end, which may be silent until then.
    asked_at: u32,
    probed_at: u32,
    /// The session that was finished last: late acknowledgements of it mean nothing.
    ended: u16,
    failed: Option<MuxError>,
}

impl<T: Line, C: Clock> Mux<T, C> {
    /// A port on `line` that knows no session yet.
    #[inline(never)]
    pub fn new(line: T, mut clock: C, patience: Patience) -> Self {
        let heard_at = clock.milliseconds();
        Mux {
            line,
            clock,
            patience,
            session: 0,
            decoder: Decoder::default(),
            waiting: Deque::new(),
            channels: core::array::from_fn(|_| State::new()),
            heard_at,
            asked_at: heard_at,
            probed_at: heard_at,
            ended: 0,
            failed: None,
        }
    }

    /// Begins a session of this number, not 0, which no other run on this line should share, and waits
    /// until the other end knows it. What is left of older sessions is dropped on both sides.
    pub fn start(&mut self, session: u16) -> Result<(), MuxError> {
        self.reset(session.max(1));
        let mut sent_at = None;
        loop {
            let now = self.clock.milliseconds();
            if sent_at.is_none_or(|at: u32| now.wrapping_sub(at) >= self.patience.resend) {
                self.send_frame(Kind::Start, 0, 0, &[])?;
                sent_at = Some(now);
            }
            if self.pump()? == Some(Kind::Started) {
                return Ok(());
            }
            self.check_silence()?;
        }
    }

    /// Why the session failed, if it has.
    pub fn failure(&self) -> Option<MuxError> {
        self.failed
    }

    fn note<O>(&mut self, outcome: Result<O, MuxError>) -> Result<O, MuxError> {
        if let Err(error) = outcome {
            self.failed = Some(error);
        }
        outcome
    }

    /// Counts the other end as gone after so many milliseconds without any frame from it.
    pub fn set_silence(&mut self, milliseconds: u32) {
        self.patience.silence = milliseconds;
    }

    /// Number of the session; 0 while there is none.
    pub fn session(&self) -> u16 {
        self.session
    }

    /// Takes in what has come and sends again what has waited too long, without waiting for more: for one that
    /// drives several ports, on lines that take a frame whole once they take any of it. True when anything
    /// came. The other end counts as gone when it has been silent for too long while something sent to it
    /// is not acknowledged.
    pub fn turn(&mut self) -> Result<bool, MuxError> {
        if (self.channels.iter()).all(|state| state.unacknowledged.is_empty()) {
            self.asked_at = self.clock.milliseconds();
        }
        let outcome = self.step().and_then(|taken| {
            self.check_silence()?;
            Ok(taken.is_some())
        });
        self.note(outcome)
    }

    /// Bytes that have come on a channel below [`CHANNELS`] and can be read without waiting.
    pub fn waiting(&self, channel: usize) -> usize {
        self.channels[channel.min(CHANNELS - 1)].received.len()
    }

    /// Bytes that can be written to a channel below [`CHANNELS`], and flushed, without waiting: at
    /// most a frame's, and none while the line itself takes nothing.
    pub fn room(&mut self, channel: usize) -> usize {
        let state = &self.channels[channel.min(CHANNELS - 1)];
        // A line that failed has no room; the next turn says why.
        if state.unacknowledged.is_full() || !self.line.write_ready().unwrap_or(false) {
            return 0;
        }
        MAX_PAYLOAD - state.pending.len
    }

    /// Waits for the other end to begin a session, for as long as it takes. Fails only if the line does.
    pub fn accept(&mut self) -> Result<(), MuxError> {
        self.reset(0);
        while self.session == 0 {
            match self.pump() {
                // A session has begun and another one after it, before anything was said in the first:
                // the other end will ask again for the one that it still wants.
                Err(MuxError::Reset) => self.reset(0),
                result => {
                    result?;
                }
            }
        }
        Ok(())
    }

    fn reset(&mut self, session: u16) {
        self.session = session;
        // One by one: all of them at once would lie on the stack first.
        for channel in &mut self.channels {
            *channel = State::new();
        }
        self.failed = None;
        self.heard_at = self.clock.milliseconds();
        self.asked_at = self.heard_at;
    }

    fn send_frame(
        &mut self,
        kind: Kind,
        channel: usize,
        sequence: u16,
        payload: &[u8],
    ) -> Result<(), MuxError> {
        let head = Head {
            session: self.session,
            kind,
            channel: channel as u8,
            sequence,
        };
        let mut bytes = [0; MAX_FRAME];
        let len = encode(head, payload, &mut bytes);
        let mut rest = &bytes[..len];
        let error = |error: T::Error| MuxError::Line(error.kind());
        let start = self.clock.milliseconds();
        while !rest.is_empty() {
            if self.line.write_ready().map_err(error)? {
                let count = self.line.write(rest).map_err(error)?;
                rest = rest.get(count..).unwrap_or(&[]);
            } else if !self.take_in()? {
                // A line that takes nothing for so long has nobody at its other end.
                if self.clock.milliseconds().wrapping_sub(start) >= self.patience.silence {
                    return self.fail(MuxError::Silent);
                }
                self.clock.idle();
            }
        }
        self.line.flush().map_err(error)
    }

    /// Moves what has come on the line to where it can wait. False when nothing has.
    fn take_in(&mut self) -> Result<bool, MuxError> {
        let error = |error: T::Error| MuxError::Line(error.kind());
        let mut any = false;
        while self.line.read_ready().map_err(error)? {
            let mut bytes = [0; 64];
            let count = self.line.read(&mut bytes).map_err(error)?;
            if count == 0 {
                return Err(MuxError::Line(ErrorKind::BrokenPipe));
            }
            for &byte in &bytes[..count] {
                let _ = self.waiting.push_back(byte);
            }
            any = true;
        }
        Ok(any)
    }

    /// Sends all frames of a channel that have not been acknowledged.
    fn send_again(&mut self, channel: usize) -> Result<(), MuxError> {
        let count = self.channels[channel].unacknowledged.len();
        for index in 0..count {
            self.send_piece(channel, index)?;
        }
        Ok(())
    }

    fn send_piece(&mut self, channel: usize, index: usize) -> Result<(), MuxError> {
        let now = self.clock.milliseconds();
        let state = &mut self.channels[channel];
        let sequence = state.oldest.wrapping_add(index as u16);
        let Some(piece) = state.unacknowledged.iter().nth(index) else {
            return Ok(());
        };
        let (bytes, len) = (piece.bytes, piece.len);
        if index == 0 {
            state.sent_at = now;
        }
        self.send_frame(Kind::Data, channel, sequence, &bytes[..len])
    }

    /// As [`Mux::step`], and then waits a little if nothing has come.
    fn pump(&mut self) -> Result<Option<Kind>, MuxError> {
        let taken = self.step()?;
        if taken.is_none() {
            self.clock.idle();
        }
        Ok(taken)
    }

    /// Takes in what has come, and sends again what has waited too long. Returns the kind of the last
    /// frame that was taken in.
    fn step(&mut self) -> Result<Option<Kind>, MuxError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut taken = None;
        self.take_in()?;
        while let Some(byte) = self.waiting.pop_front() {
            let Some((head, payload)) = self.decoder.push(byte) else {
                continue;
            };
            let mut piece = Piece {
                bytes: [0; MAX_PAYLOAD],
                len: payload.len(),
            };
            piece.bytes[..piece.len].copy_from_slice(payload);
            self.take(head, &piece)?;
            taken = Some(head.kind);
        }
        let now = self.clock.milliseconds();
        for channel in 0..CHANNELS {
            let state = &self.channels[channel];
            let wait_time = now.wrapping_sub(state.sent_at);
            let late = !state.unacknowledged.is_empty() && wait_time >= self.patience.resend;
            // Where the line takes nothing now, sending more would only wait.
            let error = |error: T::Error| MuxError::Line(error.kind());
            if late && self.line.write_ready().map_err(error)? {
                self.send_again(channel)?;
            }
        }
        self.probe(now)?;
        Ok(taken)
    }

    /// After a while of silence says something that needs no answer: an end that has been reset meanwhile
    /// will say that it knows no such session.
    fn probe(&mut self, now: u32) -> Result<(), MuxError> {
        let pause = self.patience.resend.saturating_mul(PROBE);
        let quiet = |since: u32| now.wrapping_sub(since) >= pause;
        if self.session == 0 || !quiet(self.heard_at) || !quiet(self.probed_at) {
            return Ok(());
        }
        self.probed_at = now;
        let error = |error: T::Error| MuxError::Line(error.kind());
        if !self.line.write_ready().map_err(error)? {
            return Ok(());
        }
        let expected = self.channels[0].expected;
        self.send_frame(Kind::Ack, 0, expected, &[])
    }

    fn fail(&mut self, error: MuxError) -> Result<(), MuxError> {
        self.failed = Some(error);
        Err(error)
    }

    fn take(&mut self, head: Head, piece: &Piece) -> Result<(), MuxError> {
        if head.session == 0 {
            // No session has this number: it stands for none.
            return Ok(());
        }
        if head.kind == Kind::Start {
            if head.session != self.session {
                if self.session != 0 {
                    // Whoever is using this session has to know; the other end will ask again.
                    return self.fail(MuxError::Reset);
                }
                self.reset(head.session);
            }
            self.heard_at = self.clock.milliseconds();
            return self.send_frame(Kind::Started, 0, 0, &[]);
        }
        if head.session != self.session {
            // Late frames of an older session, or the other end has missed a reset here.
            let asks = head.kind == Kind::Ack && head.session != self.ended;
            if (head.kind == Kind::Data || asks) && self.session == 0 {
                let own = core::mem::replace(&mut self.session, head.session);
                let sent = self.send_frame(Kind::Unknown, 0, 0, &[]);
                self.session = own;
                return sent;
            }
            return Ok(());
        }
        self.heard_at = self.clock.milliseconds();
        let channel = usize::from(head.channel);
        if channel >= CHANNELS {
            return Ok(());
        }
        match head.kind {
            Kind::Unknown => self.fail(MuxError::Reset),
            Kind::Ack | Kind::Again => {
                self.acknowledge(channel, head.sequence);
                if head.kind == Kind::Again {
                    self.send_again(channel)?;
                }
                Ok(())
            }
            Kind::Data => self.take_data(channel, head.sequence, piece),
            Kind::Start | Kind::Started => Ok(()),
        }
    }

    /// Drops the frames before `next`, if it is one that has been sent or the next that will be.
    fn acknowledge(&mut self, channel: usize, next: u16) {
        let now = self.clock.milliseconds();
        let state = &mut self.channels[channel];
        let count = usize::from(next.wrapping_sub(state.oldest));
        if count <= state.unacknowledged.len() {
            for _ in 0..count {
                state.unacknowledged.pop_front();
                state.oldest = state.oldest.wrapping_add(1);
                state.sent_at = now;
            }
        }
    }

    fn take_data(&mut self, channel: usize, sequence: u16, piece: &Piece) -> Result<(), MuxError> {
        let state = &mut self.channels[channel];
        let behind = state.expected.wrapping_sub(sequence);
        let mut kind = Kind::Ack;
        if behind == 0 {
            if RECEIVE - state.received.len() < piece.len {
                state.turned_away = true;
                return Ok(());
            }
            for &byte in &piece.bytes[..piece.len] {
                let _ = state.received.push_back(byte);
            }
            state.expected = state.expected.wrapping_add(1);
        } else if behind > u16::MAX / 2 {
            // One before it is missing, unless that was turned away.
            if state.turned_away {
                return Ok(());
            }
            kind = Kind::Again;
        }
        let expected = state.expected;
        self.send_frame(kind, channel, expected, &[])
    }

    fn check_silence(&mut self) -> Result<(), MuxError> {
        let now = self.clock.milliseconds();
        let since = |then: u32| now.wrapping_sub(then);
        if since(self.heard_at).min(since(self.asked_at)) >= self.patience.silence {
            return self.fail(MuxError::Silent);
        }
        Ok(())
    }

    /// Makes a frame of what a channel holds back, waiting for room in its window.
    fn push_pending(&mut self, channel: usize) -> Result<(), MuxError> {
        if self.channels[channel].pending.len == 0 {
            return Ok(());
        }
        self.wait_until(|state| !state.unacknowledged.is_full(), channel)?;
        let state = &mut self.channels[channel];
        let piece = Piece {
            bytes: state.pending.bytes,
            len: core::mem::take(&mut state.pending.len),
        };
        let _ = state.unacknowledged.push_back(piece);
        let index = state.unacknowledged.len() - 1;
        self.send_piece(channel, index)
    }

    fn wait_until(
        &mut self,
        done: impl Fn(&State) -> bool,
        channel: usize,
    ) -> Result<(), MuxError> {
        if !done(&self.channels[channel]) {
            self.asked_at = self.clock.milliseconds();
        }
        while !done(&self.channels[channel]) {
            self.pump()?;
            self.check_silence()?;
        }
        Ok(())
    }

    fn write(&mut self, channel: usize, bytes: &[u8]) -> Result<usize, MuxError> {
        let pending = &mut self.channels[channel].pending;
        let count = bytes.len().min(MAX_PAYLOAD - pending.len);
        pending.bytes[pending.len..pending.len + count].copy_from_slice(&bytes[..count]);
        pending.len += count;
        if pending.len == MAX_PAYLOAD {
            self.push_pending(channel)?;
        }
        Ok(count)
    }

    fn read(&mut self, channel: usize, bytes: &mut [u8]) -> Result<usize, MuxError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        for channel in 0..CHANNELS {
            self.push_pending(channel)?;
        }
        self.wait_until(|state| !state.received.is_empty(), channel)?;
        let state = &mut self.channels[channel];
        let mut count = 0;
        for byte in bytes {
            let Some(next) = state.received.pop_front() else {
                break;
            };
            *byte = next;
            count += 1;
        }
        let room = RECEIVE - state.received.len() >= MAX_PAYLOAD;
        if state.turned_away && room {
            state.turned_away = false;
            let expected = state.expected;
            self.send_frame(Kind::Again, channel, expected, &[])?;
        }
        Ok(count)
    }

    /// Sends what is held back and waits until the other end has everything; then stays a little, in
    /// case the other end has missed that its own has come.
    pub fn finish(&mut self) -> Result<(), MuxError> {
        for channel in 0..CHANNELS {
            self.push_pending(channel)?;
            self.wait_until(|state| state.unacknowledged.is_empty(), channel)?;
        }
        let linger = self.patience.resend.saturating_mul(3);
        let mut heard = self.clock.milliseconds();
        while self.clock.milliseconds().wrapping_sub(heard) < linger {
            if self.pump()?.is_some() {
                heard = self.clock.milliseconds();
            }
        }
        self.ended = self.session;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
