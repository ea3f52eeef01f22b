//! The frames that pass on the line: what is sent, what is taken, and what is sent again.

use embedded_io::{Error, ErrorKind};

use super::{
    super::frame::{Head, Kind, MAX_FRAME, MAX_PAYLOAD, encode},
    CHANNELS, Clock, LINE_BUFFER, Line, Mux, MuxError, PROBE,
    incoming::RANGES,
};

/// The most bytes that are read from the line at once.
const PIECE: usize = 64;

/// The payload of one frame.
struct Payload {
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
}

impl<T: Line, C: Clock> Mux<T, C> {
    /// Sends one frame. Receives while the line accepts nothing.
    pub(super) fn send_frame(
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
            } else if !self.read_line(usize::MAX)? {
                // Nobody reads at the other end.
                if self.clock.milliseconds().wrapping_sub(start) >= self.timeouts.silence {
                    return self.fail(MuxError::Silent);
                }
                self.clock.wait();
            }
        }
        self.line.flush().map_err(error)
    }

    /// Moves bytes from the line to the buffer `undecoded`: fewer than `most` and [`PIECE`] together. Drops those that have no place.
    /// Returns whether there were any.
    fn read_line(&mut self, most: usize) -> Result<bool, MuxError> {
        let error = |error: T::Error| MuxError::Line(error.kind());
        let mut total = 0;
        while total < most && self.line.read_ready().map_err(error)? {
            let mut bytes = [0; PIECE];
            let count = self.line.read(&mut bytes).map_err(error)?;
            if count == 0 {
                return Err(MuxError::Line(ErrorKind::BrokenPipe));
            }
            for &byte in &bytes[..count] {
                let _ = self.undecoded.push_back(byte);
            }
            total += count;
        }
        Ok(total > 0)
    }

    /// Sends the frames of a channel that were lost, and new ones for which there is room.
    pub(super) fn send_due(&mut self, channel: usize) -> Result<(), MuxError> {
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
        for number in 0..self.quality.probes() {
            let outgoing = &mut self.channels[channel].outgoing;
            let Some(frame) = outgoing.probe(number, now, &mut bytes) else {
                break;
            };
            self.send_data(channel, now, frame, &bytes)?;
        }
        Ok(())
    }

    /// Handles the frames that have arrived, repeats late ones, and probes a silent end. Returns the kind of the
    /// last frame that arrived.
    pub(super) fn step(&mut self) -> Result<Option<Kind>, MuxError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut taken = None;
        // What has no place stays in the line's own buffer until the next step.
        let room = LINE_BUFFER - self.undecoded.len();
        self.read_line(room.saturating_sub(PIECE - 1))?;
        while let Some(byte) = self.undecoded.pop_front() {
            let Some((head, bytes)) = self.decoder.push(byte) else {
                continue;
            };
            let mut payload = Payload {
                bytes: [0; MAX_PAYLOAD],
                len: bytes.len(),
            };
            payload.bytes[..payload.len].copy_from_slice(bytes);
            self.quality.arrived(payload.len, self.decoder.damaged());
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
    pub(super) fn answer(&mut self, kind: Kind, channel: usize) -> Result<(), MuxError> {
        let incoming = &self.channels[channel].incoming;
        let mut ranges = [0; RANGES];
        let (expected, count) = (incoming.expected(), incoming.held_ranges(&mut ranges));
        self.send_frame(kind, channel, expected, &ranges[..count])
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
                let incoming = &mut self.channels[channel].incoming;
                incoming.take(head.sequence, bytes);
                // One of several acknowledgements passes a bad line.
                if self.quality.damages() && core::mem::take(&mut incoming.unanswered) {
                    return self.answer(Kind::Ack, channel);
                }
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
        if outcome.lost > 0 {
            self.quality.lost(outcome.lost);
        }
    }
}
