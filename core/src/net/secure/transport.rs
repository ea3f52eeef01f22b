//! The transport of a secure link: bytes in sealed frames.
//!
//! ```text
//! length of the sealed bytes without the tag, little-endian (2) · sealed bytes · tag (16)
//! sealed bytes: kind (1) · payload
//! ```
//!
//! Frames are numbered in each direction, from [`Keys::first_frames`]; the number is the nonce. A frame leaves when its end is flushed, and
//! when the payloads of a direction reach a multiple of a frame's capacity. So the number of frames follows from the
//! bytes and the flushes alone.

use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadExactError, Write};
use zeroize::Zeroize;

use super::{
    aead::{Aead, TAG_LEN},
    handshake::Keys,
};
use crate::{
    net::link::Finish,
    profile::{self, Section},
};

/// Bytes that a frame adds to its payload.
pub(super) const FRAME_OVERHEAD: usize = HEAD + 1 + TAG_LEN;

/// Length of a frame's head.
const HEAD: usize = 2;

/// Length of an end's payload: the bytes that the sender has sent and received.
pub(super) const END_LEN: usize = 16;

/// A frame with payload.
const DATA: u8 = 0;
/// The sender will send no more data.
const END: u8 = 1;
/// The sender has received the other's end.
const CONFIRMED: u8 = 2;

/// Why a secure transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SecureError<E> {
    /// The transport below failed.
    Transport(E),
    /// The transport below ended within a frame.
    Truncated,
    /// A frame was altered, repeated, left out or put in another place.
    Tampered,
    /// The ends do not agree on what was sent, or more came than was read.
    Unconfirmed,
    /// This end has ended the session or has failed, and sends no more.
    Over,
}

impl<E: core::fmt::Debug> core::fmt::Display for SecureError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SecureError::Transport(error) => write!(f, "the transport failed: {error:?}"),
            SecureError::Truncated => f.write_str("the transport ended within a frame"),
            SecureError::Tampered => f.write_str("a frame was altered on its way"),
            SecureError::Unconfirmed => f.write_str("the ends disagree on what was sent"),
            SecureError::Over => f.write_str("the session is over"),
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for SecureError<E> {}

impl<E: Error> Error for SecureError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            SecureError::Transport(error) => error.kind(),
            SecureError::Truncated => ErrorKind::ConnectionReset,
            SecureError::Tampered => ErrorKind::InvalidData,
            SecureError::Unconfirmed => ErrorKind::InvalidData,
            SecureError::Over => ErrorKind::BrokenPipe,
        }
    }
}

/// A buffer that is wiped when it is dropped.
struct Buffer<B: AsMut<[u8]>>(B);

impl<B: AsMut<[u8]>> Drop for Buffer<B> {
    fn drop(&mut self) {
        self.0.as_mut().zeroize();
    }
}

/// The transport of a secure link, over the transport `T`, with the cipher `A` and buffers `B` for a frame in each
/// direction. The buffers of both ends have the same length, 2 to 65,535 bytes: a frame's capacity and one byte.
pub struct SecureTransport<T, A, B: AsMut<[u8]>> {
    io: T,
    sealer: A,
    opener: A,
    outgoing: Buffer<B>,
    incoming: Buffer<B>,
    /// Payload bytes in `outgoing`, after the kind.
    pending: usize,
    /// Whether anything was written since the last flush.
    written: bool,
    /// Position and end of the unread payload in `incoming`.
    next: usize,
    filled: usize,
    /// Frames in each direction: the next nonces.
    sent_frames: u64,
    received_frames: u64,
    /// Payload bytes in each direction.
    sent: u64,
    received: u64,
    /// Bytes on the transport below in each direction.
    wire: [u64; 2],
    ended: bool,
    peer_end: Option<[u8; END_LEN]>,
    failed: bool,
}

impl<T: Read + Write, A: Aead, B: AsMut<[u8]>> SecureTransport<T, A, B> {
    /// Seals what goes over `io` with the `keys` of its handshake.
    pub fn new(io: T, keys: &Keys, outgoing: B, incoming: B) -> Self {
        SecureTransport {
            io,
            sealer: A::new(&keys.send),
            opener: A::new(&keys.receive),
            outgoing: Buffer(outgoing),
            incoming: Buffer(incoming),
            pending: 0,
            written: false,
            next: 0,
            filled: 0,
            sent_frames: keys.first_frames[0],
            received_frames: keys.first_frames[1],
            sent: 0,
            received: 0,
            wire: [0; 2],
            ended: false,
            peer_end: None,
            failed: false,
        }
    }

    /// The transport below.
    pub fn inner(&self) -> &T {
        &self.io
    }

    /// Bytes sent and received on the transport below since the handshake.
    pub fn wire_bytes(&self) -> [u64; 2] {
        self.wire
    }

    /// Payload of a frame, in bytes.
    fn capacity(&mut self) -> usize {
        self.outgoing.0.as_mut().len().saturating_sub(1)
    }

    /// Whatever fails leaves a transport that neither sends nor receives.
    fn fail<V>(&mut self, error: SecureError<T::Error>) -> Result<V, SecureError<T::Error>> {
        self.failed = true;
        Err(error)
    }

    /// Seals the payload in `outgoing` and sends it as a frame.
    fn send_frame(&mut self, kind: u8) -> Result<(), SecureError<T::Error>> {
        let buffer = self.outgoing.0.as_mut();
        buffer[0] = kind;
        let frame = &mut buffer[..1 + self.pending];
        let tag = {
            let _section = profile::section(Section::Sealing);
            self.sealer.seal(self.sent_frames, &[], frame)
        };
        let head = (frame.len() as u16).to_le_bytes();
        let sent = self
            .io
            .write_all(&head)
            .and_then(|()| self.io.write_all(frame))
            .and_then(|()| self.io.write_all(&tag));
        self.wire[0] += (HEAD + frame.len() + TAG_LEN) as u64;
        self.sent_frames += 1;
        self.pending = 0;
        match sent {
            Ok(()) => Ok(()),
            Err(error) => self.fail(SecureError::Transport(error)),
        }
    }

    /// Receives the next frame into `incoming` and opens it. Returns its kind; none if the transport below ended.
    fn receive_frame(&mut self) -> Result<Option<u8>, SecureError<T::Error>> {
        let mut head = [0; HEAD];
        match self.io.read(&mut head[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return self.fail(SecureError::Transport(error)),
        }
        let mut tag = [0; TAG_LEN];
        let frame = self.incoming.0.as_mut();
        let received = self.io.read_exact(&mut head[1..]).and_then(|()| {
            let len = usize::from(u16::from_le_bytes(head));
            let frame = match frame.get_mut(..len) {
                Some(frame) if len > 0 => frame,
                _ => return Ok(None),
            };
            self.io.read_exact(frame)?;
            self.io.read_exact(&mut tag)?;
            Ok(Some(frame))
        });
        let frame = match received {
            Ok(Some(frame)) => frame,
            Ok(None) => return self.fail(SecureError::Tampered),
            Err(ReadExactError::UnexpectedEof) => return self.fail(SecureError::Truncated),
            Err(ReadExactError::Other(error)) => return self.fail(SecureError::Transport(error)),
        };
        let opened = {
            let _section = profile::section(Section::Sealing);
            self.opener.open(self.received_frames, &[], frame, &tag)
        };
        let (kind, payload) = (frame[0], frame.len() - 1);
        if opened.is_err() {
            frame.zeroize();
            return self.fail(SecureError::Tampered);
        }
        self.wire[1] += (HEAD + 1 + payload + TAG_LEN) as u64;
        self.received_frames += 1;
        match kind {
            DATA if self.peer_end.is_none() => {
                (self.next, self.filled) = (1, 1 + payload);
                self.received += payload as u64;
            }
            END if self.peer_end.is_none() && payload == END_LEN => {
                let mut end = [0; END_LEN];
                end.copy_from_slice(&frame[1..1 + END_LEN]);
                self.peer_end = Some(end);
            }
            CONFIRMED if self.peer_end.is_some() && payload == 0 => {}
            _ => return self.fail(SecureError::Tampered),
        }
        Ok(Some(kind))
    }

    /// Waits for a frame of this `kind`. Nothing but empty data may come before it.
    fn expect(&mut self, kind: u8) -> Result<(), SecureError<T::Error>> {
        loop {
            match self.receive_frame()? {
                Some(received) if received == kind => return Ok(()),
                Some(DATA) if self.next == self.filled => {}
                Some(_) => return self.fail(SecureError::Unconfirmed),
                None => return self.fail(SecureError::Truncated),
            }
        }
    }

    /// Waits for the other's end, which has to fit what this end has sent and received.
    fn expect_end(&mut self) -> Result<(), SecureError<T::Error>> {
        if self.peer_end.is_none() {
            self.expect(END)?;
        }
        let counts = [self.received, self.sent].map(u64::to_le_bytes);
        match self.peer_end.as_ref().map(<[_; END_LEN]>::as_slice) == Some(counts.as_flattened()) {
            true => Ok(()),
            false => self.fail(SecureError::Unconfirmed),
        }
    }
}

impl<T: Read + Write, A: Aead, B: AsMut<[u8]>> Finish for SecureTransport<T, A, B> {
    fn end(&mut self, waits: bool) -> Result<(), Self::Error> {
        self.flush()?;
        if self.next != self.filled {
            return self.fail(SecureError::Unconfirmed);
        }
        if waits {
            self.expect_end()?;
        }
        let counts = [self.sent, self.received].map(u64::to_le_bytes);
        let end = counts.as_flattened();
        let room = self.outgoing.0.as_mut().get_mut(1..1 + END_LEN);
        match room {
            Some(room) => room.copy_from_slice(end),
            None => return self.fail(SecureError::Over),
        }
        self.pending = END_LEN;
        self.ended = true;
        self.send_frame(END)?;
        if let Err(error) = self.io.flush() {
            return self.fail(SecureError::Transport(error));
        }
        match waits {
            true => Ok(()),
            false => self.expect_end(),
        }
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        if self.failed || !self.ended || self.peer_end.is_none() {
            return Err(SecureError::Over);
        }
        if waits {
            return self.expect(CONFIRMED);
        }
        self.send_frame(CONFIRMED)?;
        match self.io.flush() {
            Ok(()) => Ok(()),
            Err(error) => self.fail(SecureError::Transport(error)),
        }
    }
}

impl<T: ErrorType, A, B: AsMut<[u8]>> ErrorType for SecureTransport<T, A, B> {
    type Error = SecureError<T::Error>;
}

impl<T: Read + Write, A: Aead, B: AsMut<[u8]>> Write for SecureTransport<T, A, B> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let capacity = self.capacity();
        if self.ended || self.failed || capacity == 0 {
            return Err(SecureError::Over);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        self.written = true;
        // `pending` is at most the position within the capacity.
        let position = (self.sent % capacity as u64) as usize;
        let count = bytes.len().min(capacity - position);
        let buffer = self.outgoing.0.as_mut();
        buffer[1 + self.pending..][..count].copy_from_slice(&bytes[..count]);
        self.pending += count;
        self.sent += count as u64;
        if position + count == capacity {
            self.send_frame(DATA)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        if self.failed {
            return Err(SecureError::Over);
        }
        if core::mem::take(&mut self.written) {
            self.send_frame(DATA)?;
        }
        match self.io.flush() {
            Ok(()) => Ok(()),
            Err(error) => self.fail(SecureError::Transport(error)),
        }
    }
}

impl<T: Read + Write, A: Aead, B: AsMut<[u8]>> Read for SecureTransport<T, A, B> {
    /// Reads what has come; waits for a frame if nothing has. Returns 0 when the other end has ended the session, or
    /// the transport below has ended.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        if self.failed {
            return Err(SecureError::Over);
        }
        while self.next == self.filled {
            if bytes.is_empty() || self.peer_end.is_some() || self.receive_frame()?.is_none() {
                return Ok(0);
            }
        }
        let count = bytes.len().min(self.filled - self.next);
        let payload = &mut self.incoming.0.as_mut()[self.next..][..count];
        bytes[..count].copy_from_slice(payload);
        self.next += count;
        Ok(count)
    }
}
