//! Multiplexer: carries several channels over one serial line, each a reliable stream of bytes in both directions.
//!
//! A sender stores bytes until they are acknowledged. It repeats those that were lost as soon as an acknowledgement
//! shows it, or when none comes in time; on a line that loses many, in shorter frames. A receiver accepts what fits
//! its buffer, in any order, and asks for the rest again once it has room. So a channel that nobody reads does not
//! block the others. Reads and writes drive the multiplexer; it needs no interrupts, threads or heap.

mod channel;
mod incoming;
mod outgoing;
mod quality;

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use heapless::Deque;

use super::frame::{Decoder, Head, Kind, MAX_FRAME, MAX_PAYLOAD, encode};

use incoming::{Incoming, RANGES};
use outgoing::{Outgoing, WINDOW};
use quality::Quality;

pub use channel::Channel;
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

/// Why a session on a line failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MuxError {
    /// The line failed.
    Line(ErrorKind),
    /// The other end sent no frame, or accepted no bytes, before the timeout.
    Silent,
    /// The other end was reset, or started another session.
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

/// The payload of one frame.
struct Payload {
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
}

/// State of a channel, for both directions.
struct ChannelState {
    outgoing: Outgoing,
    /// Written bytes that do not fill a frame yet.
    pending: Payload,
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
            pending: Payload {
                bytes: [0; MAX_PAYLOAD],
                len: 0,
            },
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
    /// The decoder's count of damaged frames when the session began.
    damaged_before: u32,
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
            quality: Quality::new(),
            damaged_before: 0,
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
        LineCounts {
            damaged: self.decoder.damaged().wrapping_sub(self.damaged_before),
            ..self.quality.counts
        }
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
        if !has_room(state, MAX_PAYLOAD) || !self.line.write_ready().unwrap_or(false) {
            return 0;
        }
        MAX_PAYLOAD - state.pending.len
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
        self.quality = Quality::new();
        self.damaged_before = self.decoder.damaged();
        self.failed = None;
        self.heard_at = self.clock.milliseconds();
        self.asked_at = self.heard_at;
    }

    /// Sends one frame. Receives while the line accepts nothing.
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
            } else if !self.read_line()? {
                // Nobody reads at the other end.
                if self.clock.milliseconds().wrapping_sub(start) >= self.timeouts.silence {
                    return self.fail(MuxError::Silent);
                }
                self.clock.wait();
            }
        }
        self.line.flush().map_err(error)
    }

    /// Moves bytes from the line to the buffer `undecoded`. Returns whether there were any.
    fn read_line(&mut self) -> Result<bool, MuxError> {
        let error = |error: T::Error| MuxError::Line(error.kind());
        let mut any = false;
        while self.line.read_ready().map_err(error)? {
            let mut bytes = [0; 64];
            let count = self.line.read(&mut bytes).map_err(error)?;
            if count == 0 {
                return Err(MuxError::Line(ErrorKind::BrokenPipe));
            }
            for &byte in &bytes[..count] {
                let _ = self.undecoded.push_back(byte);
            }
            any = true;
        }
        Ok(any)
    }

    /// Sends the frames of a channel that were lost, and new ones for which there is room.
    fn send_due(&mut self, channel: usize) -> Result<(), MuxError> {
        let mut bytes = [0; MAX_PAYLOAD];
        loop {
            let now = self.clock.milliseconds();
            let most = self.quality.most();
            let next = self.channels[channel]
                .outgoing
                .next_frame(most, now, &mut bytes);
            let Some(frame) = next else {
                return Ok(());
            };
            self.quality.sent(frame.1);
            self.send_data(channel, now, frame, &bytes)?;
        }
    }

    /// Sends a frame of a channel: its sequence number, and the length of its payload.
    fn send_data(
        &mut self,
        channel: usize,
        now: u32,
        (sequence, len): (u16, usize),
        bytes: &[u8; MAX_PAYLOAD],
    ) -> Result<(), MuxError> {
        self.channels[channel].sent_at = now;
        self.send_frame(Kind::Data, channel, sequence, &bytes[..len])
    }

    /// Sends the first bytes of a channel again, because no acknowledgement came in time.
    fn send_late(&mut self, channel: usize, now: u32) -> Result<(), MuxError> {
        let mut bytes = [0; MAX_PAYLOAD];
        let state = &mut self.channels[channel];
        state.tries = state.tries.saturating_add(1);
        match state.outgoing.probe(now, &mut bytes) {
            Some(frame) => self.send_data(channel, now, frame, &bytes),
            None => Ok(()),
        }
    }

    /// As [`Mux::step`], but calls [`Clock::idle`] if no frame arrived.
    fn pump(&mut self) -> Result<Option<Kind>, MuxError> {
        let taken = self.step()?;
        if taken.is_none() {
            self.clock.wait();
        }
        Ok(taken)
    }

    /// Handles the frames that have arrived, repeats late ones, and probes a silent end. Returns the kind of the
    /// last frame that arrived.
    fn step(&mut self) -> Result<Option<Kind>, MuxError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut taken = None;
        self.read_line()?;
        while let Some(byte) = self.undecoded.pop_front() {
            let Some((head, bytes)) = self.decoder.push(byte) else {
                continue;
            };
            let mut payload = Payload {
                bytes: [0; MAX_PAYLOAD],
                len: bytes.len(),
            };
            payload.bytes[..payload.len].copy_from_slice(bytes);
            self.quality.counts.arrived = self.quality.counts.arrived.wrapping_add(1);
            self.handle_frame(head, &payload)?;
            taken = Some(head.kind);
        }
        let now = self.clock.milliseconds();
        for channel in 0..CHANNELS {
            if core::mem::take(&mut self.channels[channel].incoming.unanswered) {
                self.answer(Kind::Ack, channel)?;
            }
            let state = &self.channels[channel];
            let wait_time = now.wrapping_sub(state.sent_at);
            let limit = self.quality.resend(self.timeouts.resend, state.tries);
            let late = state.outgoing.len() > 0 && wait_time >= limit;
            // If the line accepts nothing now, sending would wait.
            let error = |error: T::Error| MuxError::Line(error.kind());
            if late && self.line.write_ready().map_err(error)? {
                self.send_late(channel, now)?;
            }
        }
        self.probe(now)?;
        Ok(taken)
    }

    /// Sends an acknowledgement after a time of silence. A live end does not answer it, but an end that was reset
    /// answers that it does not know the session.
    fn probe(&mut self, now: u32) -> Result<(), MuxError> {
        let pause = self.timeouts.resend.saturating_mul(PROBE);
        let quiet = |since: u32| now.wrapping_sub(since) >= pause;
        if self.session == 0 || !quiet(self.heard_at) || !quiet(self.probed_at) {
            return Ok(());
        }
        self.probed_at = now;
        let error = |error: T::Error| MuxError::Line(error.kind());
        if !self.line.write_ready().map_err(error)? {
            return Ok(());
        }
        self.answer(Kind::Ack, 0)
    }

    /// Tells what has arrived on a channel.
    fn answer(&mut self, kind: Kind, channel: usize) -> Result<(), MuxError> {
        let incoming = &self.channels[channel].incoming;
        let mut ranges = [0; RANGES];
        let (expected, count) = (incoming.expected(), incoming.held_ranges(&mut ranges));
        self.send_frame(kind, channel, expected, &ranges[..count])
    }

    /// Records `error` and returns it.
    fn fail(&mut self, error: MuxError) -> Result<(), MuxError> {
        self.failed = Some(error);
        Err(error)
    }

    /// Handles one frame.
    fn handle_frame(&mut self, head: Head, payload: &Payload) -> Result<(), MuxError> {
        if head.session == 0 {
            // 0 means no session, so the frame is invalid.
            return Ok(());
        }
        if head.kind == Kind::Start {
            if head.session != self.session {
                if self.session != 0 {
                    // The user of the old session must see the error. The other end repeats its start.
                    return self.fail(MuxError::Reset);
                }
                self.reset(head.session);
            }
            self.heard_at = self.clock.milliseconds();
            return self.send_frame(Kind::Started, 0, 0, &[]);
        }
        if head.session != self.session {
            // Either a late frame of an older session, or the other end does not know that this end was reset.
            let probes = head.kind == Kind::Ack && head.session != self.finished;
            if (head.kind == Kind::Data || probes) && self.session == 0 {
                let current = core::mem::replace(&mut self.session, head.session);
                let sent = self.send_frame(Kind::UnknownSession, 0, 0, &[]);
                self.session = current;
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
            Kind::UnknownSession => self.fail(MuxError::Reset),
            Kind::Ack | Kind::Resend => {
                let ranges = &payload.bytes[..payload.len];
                self.acknowledge(channel, head.sequence, ranges);
                if head.kind == Kind::Resend {
                    self.channels[channel].outgoing.send_all_again();
                }
                self.send_due(channel)
            }
            Kind::Data => {
                let bytes = &payload.bytes[..payload.len];
                self.channels[channel].incoming.take(head.sequence, bytes);
                Ok(())
            }
            Kind::Start | Kind::Started => Ok(()),
        }
    }

    /// Takes an acknowledgement.
    fn acknowledge(&mut self, channel: usize, next: u16, ranges: &[u8]) {
        let now = self.clock.milliseconds();
        let state = &mut self.channels[channel];
        let outcome = state.outgoing.acknowledge(next, ranges, now);
        if outcome.news {
            state.sent_at = now;
            state.tries = 0;
        }
        if let Some(time) = outcome.round_trip {
            self.quality.measured(time);
        }
        self.quality.lost(outcome.lost);
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

    /// Sends a channel's pending bytes as a frame. Waits until the channel's window has room.
    fn push_pending(&mut self, channel: usize) -> Result<(), MuxError> {
        if self.channels[channel].pending.len == 0 {
            return Ok(());
        }
        self.wait_until(|state| has_room(state, state.pending.len), channel)?;
        let state = &mut self.channels[channel];
        let len = core::mem::take(&mut state.pending.len);
        state.outgoing.append(&state.pending.bytes[..len]);
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

    /// Appends bytes to a channel's pending frame, and sends the frame when full. Returns the number of bytes taken.
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

/// Whether a channel's window has room for more bytes.
fn has_room(state: &ChannelState, bytes: usize) -> bool {
    state.outgoing.len() + bytes <= WINDOW
}

#[cfg(test)]
mod tests;
