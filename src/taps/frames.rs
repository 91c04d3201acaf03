//! Frame Streams, in both directions (fstrm's documentation of the protocol): the handshake with the receiver
//! of dnstap, data frames to it, and the end. A connection never waits: what the receiver does not take in
//! time is dropped and counted, and one that is lost is tried again.
//!
//! ```text
//! data frame      length (32 bits), bytes
//! control frame   0 (32 bits), length (32 bits), type (32 bits), fields: type, length (32 bits each), bytes
//! we say READY, it says ACCEPT, we say START, frames ..., we say STOP, it says FINISH
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::after;
use mio::net::{TcpStream, UnixStream};

use crate::limits::{
    DNSTAP_CONTROL_LEN_MAX, DNSTAP_QUEUED_LEN_MAX, DNSTAP_RETRY, DNSTAP_STALL_MAX, TAP_TICK,
};
use crate::log::Log;

/// What frames hold.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Types of control frames.
mod control {
    pub(super) const ACCEPT: u32 = 1;
    pub(super) const START: u32 = 2;
    pub(super) const STOP: u32 = 3;
    pub(super) const READY: u32 = 4;
    pub(super) const FINISH: u32 = 5;
    /// The one type of a field.
    pub(super) const FIELD_CONTENT_TYPE: u32 = 1;
}

/// Who gets the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Who listens on this socket.
    Unix(PathBuf),
    /// Who listens at this address.
    Tcp(SocketAddr),
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// How the frames fare, for whoever reads the board.
#[derive(Debug, Default)]
pub struct Status {
    connected: AtomicBool,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Status {
    /// Whether somebody takes frames.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Frames that the kernel took for the receiver.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Frames that nobody took in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Frames on their way to a receiver.
#[derive(Debug)]
pub(super) struct Frames {
    receiver: Receiver,
    status: Arc<Status>,
    log: Log,
    connection: Option<Connection>,
    /// Nobody is connected to before.
    retry_at: Option<Instant>,
    /// What was last said of its failure, which is said once.
    said: Option<String>,
}

impl Frames {
    pub(super) fn new(receiver: Receiver, status: Arc<Status>, log: Log) -> Self {
        Self { receiver, status, log, connection: None, retry_at: None, said: None }
    }

    /// Sends a frame, or drops it.
    pub(super) fn offer(&mut self, frame: &[u8]) {
        let is_queued = self.connection.as_mut().is_some_and(|connection| connection.offer(frame));
        if !is_queued {
            self.status.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connects where nobody is, and moves what can be moved now.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.connection.is_none() {
            if self.retry_at.is_some_and(|at| now < at) {
                return;
            }
            match connect(&self.receiver) {
                Ok(stream) => self.connection = Some(Connection::new(stream, now)),
                Err(error) => return self.failed(&error.to_string(), now),
            }
        }
        let Some(connection) = &mut self.connection else { return };
        let outcome = connection.turn(now);
        self.status.sent.fetch_add(std::mem::take(&mut connection.sent), Ordering::Relaxed);
        match outcome {
            Ok(()) if connection.stage == Stage::Streaming && !self.status.is_connected() => {
                self.status.connected.store(true, Ordering::Relaxed);
                self.said = None;
                self.log.info(format!("dnstap: sending to {}", self.receiver));
            }
            Ok(()) => {}
            Err(reason) => self.failed(&reason, now),
        }
    }

    /// Notes that there is no receiver.
    fn failed(&mut self, reason: &str, now: Instant) {
        let left = self.connection.take().map_or(0, |connection| connection.frames_left());
        self.status.dropped.fetch_add(left, Ordering::Relaxed);
        self.status.connected.store(false, Ordering::Relaxed);
        self.retry_at = Some(now + DNSTAP_RETRY);
        if self.said.as_deref() != Some(reason) {
            let (to, every) = (&self.receiver, DNSTAP_RETRY.as_secs());
            self.log.warning(format!("dnstap: cannot send to {to}: {reason}; retrying every {every} s"));
            self.said = Some(reason.to_owned());
        } else {
            self.log.debug(format!("dnstap: still cannot send: {reason}"));
        }
    }

    /// Ends the stream in good order, if the receiver helps until `deadline`.
    pub(super) fn end(mut self, deadline: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.stop();
        }
        while self.connection.as_ref().is_some_and(|connection| connection.stage != Stage::Ended)
            && Instant::now() < deadline
        {
            self.turn(Instant::now());
            after(TAP_TICK).recv().expect("this channel is never closed");
            // What is lost now stays lost.
            self.retry_at = Some(deadline + DNSTAP_RETRY);
        }
        let left = self.connection.take().map_or(0, |connection| connection.frames_left());
        self.status.dropped.fetch_add(left, Ordering::Relaxed);
    }
}

/// A socket of either kind, which never waits.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Begins to connect. TCP may still be at it when this returns; then it can neither be read nor written yet.
fn connect(receiver: &Receiver) -> io::Result<Stream> {
    match receiver {
        Receiver::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        Receiver::Tcp(address) => TcpStream::connect(*address).map(Stream::Tcp),
    }
}

impl Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// READY is said, ACCEPT is waited for.
    Offered,
    /// START is said.
    Streaming,
    /// STOP is said, FINISH is waited for.
    Stopping,
    /// There is nothing more to say.
    Ended,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    stage: Stage,
    /// Whole frames that are to be written.
    out: VecDeque<u8>,
    /// Bytes of the first of them that are written.
    out_begun: usize,
    /// What came in and is not a whole frame yet.
    input: Vec<u8>,
    /// When something was last written, or there was nothing to write; of the handshake, when it began.
    moved: Instant,
    /// Data frames that were written since somebody looked.
    sent: u64,
}

impl Connection {
    fn new(stream: Stream, now: Instant) -> Self {
        let ready = control_frame(control::READY, true);
        Self {
            stream,
            stage: Stage::Offered,
            out: ready.into(),
            out_begun: 0,
            input: Vec::new(),
            moved: now,
            sent: 0,
        }
    }

    /// Queues a frame; whether there is room for it.
    fn offer(&mut self, frame: &[u8]) -> bool {
        let fits = self.out.len() + 4 + frame.len() <= DNSTAP_QUEUED_LEN_MAX;
        let takes = self.stage == Stage::Streaming && fits;
        if takes {
            let len = u32::try_from(frame.len()).expect("what fits the queue has few bytes");
            self.out.extend(len.to_be_bytes());
            self.out.extend(frame);
        }
        takes
    }

    /// Says that nothing follows, where something has begun.
    fn stop(&mut self) {
        self.stage = match self.stage {
            Stage::Streaming => {
                self.out.extend(control_frame(control::STOP, false));
                Stage::Stopping
            }
            _ => Stage::Ended,
        };
    }

    /// Moves what can be moved now.
    fn turn(&mut self, now: Instant) -> Result<(), String> {
        self.write(now).map_err(|error| error.to_string())?;
        self.read()?;
        // What the handshake brought up to say.
        self.write(now).map_err(|error| error.to_string())?;
        if now.duration_since(self.moved) >= DNSTAP_STALL_MAX {
            return Err(format!("it read nothing for {} s", DNSTAP_STALL_MAX.as_secs()));
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while !self.out.is_empty() {
            let (first, second) = self.out.as_slices();
            let rest = first.get(self.out_begun..).filter(|rest| !rest.is_empty());
            let rest = rest.unwrap_or_else(|| &second[self.out_begun - first.len()..]);
            match self.stream.write(rest) {
                Ok(len) => {
                    self.out_begun += len;
                    self.settle();
                    if self.stage != Stage::Offered {
                        self.moved = now;
                    }
                }
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.stage != Stage::Offered {
            self.moved = now;
        }
        Ok(())
    }

    /// Takes frames that are written whole out of the queue.
    fn settle(&mut self) {
        while let Some((len, is_data)) = self.frame_at(0).filter(|(len, _)| *len <= self.out_begun) {
            self.out.drain(..len);
            self.out_begun -= len;
            self.sent += u64::from(is_data);
        }
    }

    /// All bytes of the frame in the queue at `at`, and whether it holds data.
    fn frame_at(&self, at: usize) -> Option<(usize, bool)> {
        let word = |at: usize| {
            let bytes = [0, 1, 2, 3].map(|offset| self.out.get(at + offset).copied().unwrap_or_default());
            u32::from_be_bytes(bytes) as usize
        };
        (at < self.out.len()).then(|| match word(at) {
            0 => (8 + word(at + 4), false),
            len => (4 + len, true),
        })
    }

    /// Data frames that were not written, the one that was begun among them.
    fn frames_left(&self) -> u64 {
        let (mut at, mut count) = (0, 0);
        while let Some((len, is_data)) = self.frame_at(at) {
            at += len;
            count += u64::from(is_data);
        }
        count
    }

    /// Reads what the receiver says.
    fn read(&mut self) -> Result<(), String> {
        loop {
            let mut bytes = [0; DNSTAP_CONTROL_LEN_MAX];
            match self.stream.read(&mut bytes) {
                Ok(0) if self.stage == Stage::Ended => return Ok(()),
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(len) => self.input.extend(&bytes[..len]),
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
            while let Some((kind, len)) = read_control(&self.input)? {
                self.input.drain(..len);
                self.heard(kind)?;
            }
        }
    }

    fn heard(&mut self, kind: u32) -> Result<(), String> {
        match (self.stage, kind) {
            (Stage::Offered, control::ACCEPT) => {
                self.out.extend(control_frame(control::START, true));
                self.stage = Stage::Streaming;
            }
            (Stage::Stopping, control::FINISH) => self.stage = Stage::Ended,
            _ => return Err(format!("it does not speak Frame Streams: unexpected control frame {kind}")),
        }
        Ok(())
    }
}

/// Whether the socket can do it later: it is full or empty, or still connects.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn control_frame(kind: u32, with_content_type: bool) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if with_content_type {
        body.extend(control::FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend((CONTENT_TYPE.len() as u32).to_be_bytes());
        body.extend(CONTENT_TYPE);
    }
    let mut frame = vec![0; 4];
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

/// The type of the control frame that `input` begins with, and the bytes of all of it; `None` while it is not
/// whole.
fn read_control(input: &[u8]) -> Result<Option<(u32, usize)>, String> {
    let other = |what: &str| format!("it does not speak Frame Streams: {what}");
    let word = |at: usize| {
        input.get(at..at + 4).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_be_bytes(*bytes))
    };
    let (Some(escape), Some(len)) = (word(0), word(4)) else { return Ok(None) };
    let len = len as usize;
    if escape != 0 || !(4..=DNSTAP_CONTROL_LEN_MAX).contains(&len) {
        return Err(other("no control frame received"));
    }
    let (Some(body), Some(kind)) = (input.get(8..8 + len), word(8)) else { return Ok(None) };
    let mut fields = &body[4..];
    let (mut has_types, mut has_ours) = (false, false);
    while !fields.is_empty() {
        let Some((head, rest)) = fields.split_first_chunk::<8>() else {
            return Err(other("a control field is truncated"));
        };
        let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let Some((value, rest)) = rest.split_at_checked(len) else {
            return Err(other("a control field is truncated"));
        };
        (has_types, has_ours, fields) = (true, has_ours || value == CONTENT_TYPE, rest);
    }
    if kind == control::ACCEPT && has_types && !has_ours {
        return Err("it does not accept dnstap frames".to_owned());
    }
    Ok(Some((kind, 8 + len)))
}

#[cfg(test)]
mod tests;
