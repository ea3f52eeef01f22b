//! Multiplexer: carries several channels over one serial line, each a reliable stream of bytes in both directions.
//!
//! A sender stores bytes until they are acknowledged. It repeats those that were lost as soon as an acknowledgement
//! shows it, or when none comes in time; on a line that loses many, in shorter frames. A receiver accepts what fits
//! its buffer, in any order, and asks for the rest again once it has room. So a channel that nobody reads does not
//! block the others. Reads and writes drive the multiplexer; it needs no interrupts, threads or heap.

mod channel;
mod error;
mod exchange;
mod incoming;
mod outgoing;
mod quality;

use embedded_io::{Read, ReadReady, Write, WriteReady};
use heapless::Deque;

use super::frame::{Decoder, Kind, MAX_PAYLOAD};

use incoming::Incoming;
use outgoing::Outgoing;
use quality::Quality;

pub use channel::Channel;
pub use error::MuxError;
pub use quality::LineCounts;

/// Number of channels.
pub const CHANNELS: usize = 3;

/// A probe is sent after this many resend times without a frame from the other end.
const PROBE: u32 = 4;

/// Size of the buffer for bytes from the line that are not decoded yet. Further bytes are dropped; the other end
/// repeats their frames.
const LINE_BUFFER: usize = 1024;

/// A serial line. Its buffers may be as small as one byte: while a multiplexer waits for room to send, it keeps
/// receiving.
pub trait Line: Read + ReadReady + Write + WriteReady {}

impl<T: Read + ReadReady + Write + WriteReady> Line for T {}

/// A millisecond clock.
pub trait Clock {
    /// Milliseconds since an arbitrary moment, modulo 2^32.
    fn milliseconds(&mut self) -> u32;
    /// Called when the line has nothing to do. May sleep for a short time, or return at once.
    fn wait(&mut self) {}
}

/// Timeouts of a multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest time without an acknowledgement after which a frame is sent again, in milliseconds. On a line that has
    /// lost frames, the time follows measured round trips.
    pub resend: u32,
    /// Time without any frame from the other end after which the session fails, in milliseconds.
    pub silence: u32,
}

/// State of a channel, for both directions.
struct ChannelState {
    outgoing: Outgoing,
    /// When a frame was last sent, or an acknowledgement came that told something.
    sent_at: u32,
    /// Frames sent because none came in time, since then.
    tries: u8,
    incoming: Incoming,
}

impl ChannelState {
    fn new() -> Self {
        ChannelState {
            outgoing: Outgoing::new(),
            sent_at: 0,
            tries: 0,
            incoming: Incoming::new(),
        }
    }
}

/// Multiplexer of one line.
pub struct Mux<T, C> {
    line: T,
    clock: C,
    timeouts: Timeouts,
    session: u16,
    decoder: Decoder,
    undecoded: Deque<u8, LINE_BUFFER>,
    channels: [ChannelState; CHANNELS],
    quality: Quality,
    /// When the last frame of this session arrived.
    heard_at: u32,
    /// When this end last began to expect frames. The silence timeout counts from here, or from `heard_at` if later.
    asked_at: u32,
    /// When the last probe was sent.
    probed_at: u32,
    /// The last session that finished; late acknowledgements of it are ignored.
    finished: u16,
    failed: Option<MuxError>,
}

impl<T: Line, C: Clock> Mux<T, C> {
    /// A multiplexer on `line`, without a session.
    #[inline(never)]
    pub fn new(line: T, mut clock: C, timeouts: Timeouts) -> Self {
        let heard_at = clock.milliseconds();
        Mux {
            line,
            clock,
            timeouts,
            session: 0,
            decoder: Decoder::default(),
            undecoded: Deque::new(),
            channels: core::array::from_fn(|_| ChannelState::new()),
            quality: Quality::new(0),
            heard_at,
            asked_at: heard_at,
            probed_at: heard_at,
            finished: 0,
            failed: None,
        }
    }

    /// Starts a session and waits until the other end confirms it. `session` is not 0 and should be new on this
    /// line. Both ends drop the state of older sessions.
    ///
    /// # Errors
    /// [`MuxError`] when the line fails or the other end does not answer before the silence timeout.
    pub fn start(&mut self, session: u16) -> Result<(), MuxError> {
        self.reset(session.max(1));
        let mut sent_at = None;
        loop {
            let now = self.clock.milliseconds();
            if sent_at.is_none_or(|at: u32| now.wrapping_sub(at) >= self.timeouts.resend) {
                self.send_frame(Kind::Start, 0, 0, &[])?;
                sent_at = Some(now);
            }
            if self.pump()? == Some(Kind::Started) {
                return Ok(());
            }
            self.check_silence()?;
        }
    }

    /// Why the session failed, or `None`.
    pub fn failure(&self) -> Option<MuxError> {
        self.failed
    }

    /// What the frames of this session have met. The counts outlive a failure of the session, until the next one.
    pub fn counts(&self) -> LineCounts {
        self.quality.counts(self.decoder.damaged())
    }

    /// Stores an error, so that every later step of the session fails with it.
    fn record<O>(&mut self, outcome: Result<O, MuxError>) -> Result<O, MuxError> {
        if let Err(error) = outcome {
            self.failed = Some(error);
        }
        outcome
    }

    /// Changes the silence timeout, in milliseconds.
    pub fn set_silence(&mut self, milliseconds: u32) {
        self.timeouts.silence = milliseconds;
    }

    /// The session's number, or 0 without a session.
    pub fn session(&self) -> u16 {
        self.session
    }

    /// Receives the frames that have arrived and repeats late ones, without waiting. Returns whether a frame
    /// arrived. For a program that drives several multiplexers; its lines must accept a whole frame once they
    /// accept a part of it.
    ///
    /// # Errors
    /// [`MuxError::Silent`] when the other end sends nothing before the silence timeout while frames to it are
    /// unacknowledged; other errors when the line fails or the other end was reset.
    pub fn poll(&mut self) -> Result<bool, MuxError> {
        if (self.channels.iter()).all(|state| state.outgoing.len() == 0) {
            self.asked_at = self.clock.milliseconds();
        }
        let outcome = self.step().and_then(|taken| {
            self.check_silence()?;
            Ok(taken.is_some())
        });
        self.record(outcome)
    }

    /// Number of bytes that can be read from a channel without waiting.
    pub fn readable(&self, channel: usize) -> usize {
        self.channels[channel.min(CHANNELS - 1)].incoming.len()
    }

    /// Number of bytes that can be written to a channel and flushed without waiting: at most [`MAX_PAYLOAD`], and 0
    /// while the line accepts nothing.
    pub fn writable(&mut self, channel: usize) -> usize {
        let state = &self.channels[channel.min(CHANNELS - 1)];
        // A failed line has no room. The next call of `turn` returns its error.
        let room = MAX_PAYLOAD - state.outgoing.pending();
        if state.outgoing.room() < room || !self.line.write_ready().unwrap_or(false) {
            return 0;
        }
        room
    }

    /// Waits without a timeout for the other end to start a session.
    ///
    /// # Errors
    /// [`MuxError::Line`] when the line fails, and [`MuxError::Silent`] when it does not accept an answer.
    pub fn accept(&mut self) -> Result<(), MuxError> {
        self.reset(0);
        while self.session == 0 {
            match self.pump() {
                // The other end started a second session before this loop ended. It repeats the start of the one
                // that it wants.
                Err(MuxError::Reset) => self.reset(0),
                result => {
                    result?;
                }
            }
        }
        Ok(())
    }

    /// Drops all state and joins `session`; 0 means none.
    fn reset(&mut self, session: u16) {
        self.session = session;
        // One at a time, so that the stack never holds a copy of all channels.
        for channel in &mut self.channels {
            *channel = ChannelState::new();
        }
        self.quality = Quality::new(self.decoder.damaged());
        self.failed = None;
        self.heard_at = self.clock.milliseconds();
        self.asked_at = self.heard_at;
    }

    /// As [`Mux::step`], but calls [`Clock::idle`] if no frame arrived.
    fn pump(&mut self) -> Result<Option<Kind>, MuxError> {
        let taken = self.step()?;
        if taken.is_none() {
            self.clock.wait();
        }
        Ok(taken)
    }

    /// Records `error` and returns it.
    fn fail(&mut self, error: MuxError) -> Result<(), MuxError> {
        self.failed = Some(error);
        Err(error)
    }

    /// Fails after the silence timeout.
    fn check_silence(&mut self) -> Result<(), MuxError> {
        let now = self.clock.milliseconds();
        let since = |then: u32| now.wrapping_sub(then);
        if since(self.heard_at).min(since(self.asked_at)) >= self.timeouts.silence {
            return self.fail(MuxError::Silent);
        }
        Ok(())
    }

    /// Sends a channel's pending bytes as a frame.
    fn push_pending(&mut self, channel: usize) -> Result<(), MuxError> {
        let outgoing = &mut self.channels[channel].outgoing;
        if outgoing.pending() == 0 {
            return Ok(());
        }
        outgoing.release();
        self.send_due(channel)
    }

    /// Steps until `done` holds for a channel's state.
    fn wait_until(
        &mut self,
        done: impl Fn(&ChannelState) -> bool,
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

    /// Appends bytes to a channel's pending frame, and sends the frame when full. Waits until the channel's window has
    /// room. Returns the number of bytes taken.
    fn write(&mut self, channel: usize, bytes: &[u8]) -> Result<usize, MuxError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.wait_until(|state| state.outgoing.room() > 0, channel)?;
        let outgoing = &mut self.channels[channel].outgoing;
        let count = outgoing.append(bytes);
        if outgoing.pending() == MAX_PAYLOAD {
            self.push_pending(channel)?;
        }
        Ok(count)
    }

    /// Flushes all channels, then waits for bytes of a channel. Returns the number of bytes read.
    fn read(&mut self, channel: usize, bytes: &mut [u8]) -> Result<usize, MuxError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        for channel in 0..CHANNELS {
            self.push_pending(channel)?;
        }
        self.wait_until(|state| state.incoming.len() > 0, channel)?;
        let incoming = &mut self.channels[channel].incoming;
        let count = incoming.read(bytes);
        if incoming.refused && incoming.room() >= MAX_PAYLOAD {
            incoming.refused = false;
            self.answer(Kind::Resend, channel)?;
        }
        Ok(count)
    }

    /// Flushes all channels and waits until the other end has acknowledged everything. Then keeps answering for three
    /// resend times, in case an acknowledgement from this end was lost.
    ///
    /// # Errors
    /// [`MuxError`] when the session fails before the end.
    pub fn finish(&mut self) -> Result<(), MuxError> {
        for channel in 0..CHANNELS {
            self.push_pending(channel)?;
            self.wait_until(|state| state.outgoing.len() == 0, channel)?;
        }
        let linger = self.timeouts.resend.saturating_mul(3);
        let mut heard = self.clock.milliseconds();
        while self.clock.milliseconds().wrapping_sub(heard) < linger {
            if self.pump()?.is_some() {
                heard = self.clock.milliseconds();
            }
        }
        self.finished = self.session;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
