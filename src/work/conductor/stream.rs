//! A connection to one server, over TCP or TLS, without I/O: bytes in, bytes out, a clock passed in.

use std::io::{self, Read};

use rustls::ClientConnection;

use super::network::TryKey;
use super::server::micros;
use super::wheel::Micros;
use crate::limits::{STREAM_IDLE_TIMEOUT, STREAM_PIPELINE_MAX, STREAM_SILENCE_MAX, UPSTREAM_QUERY_LEN_MAX};

/// A connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A query that the server has not answered on this connection.
#[derive(Clone, Copy, Debug)]
struct Pending {
    id: u16,
    key: TryKey,
    sent: Micros,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    tls: Option<Box<ClientConnection>>,
    is_open: bool,
    /// What leaves: `out[out_at..]`.
    out: Vec<u8>,
    out_at: usize,
    /// What came and is not a whole message yet: `input[input_at..]`.
    input: Vec<u8>,
    input_at: usize,
    pending: Vec<Pending>,
    /// When something came last, or it was made.
    heard: Micros,
    /// It has answered something.
    is_useful: bool,
}

impl Stream {
    /// Bytes at most: the queries that wait, the longest message and what is read beyond it, and as much
    /// again for TLS.
    pub(super) const MEMORY_LEN: usize =
        2 * (STREAM_PIPELINE_MAX * (UPSTREAM_QUERY_LEN_MAX + 2) + 2 * 65_537);

    pub(super) fn new(tls: Option<ClientConnection>, now: Micros) -> Self {
        Self {
            tls: tls.map(Box::new),
            is_open: false,
            out: Vec::new(),
            out_at: 0,
            input: Vec::new(),
            input_at: 0,
            pending: Vec::new(),
            heard: now,
            is_useful: false,
        }
    }

    /// The connection of TCP is there.
    pub(super) fn connected(&mut self, now: Micros) {
        self.is_open = true;
        self.heard = now;
    }

    /// The connection of TCP is there.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Queries leave at once.
    pub(super) fn is_ready(&self) -> bool {
        self.is_open && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= STREAM_PIPELINE_MAX
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn is_useful(&self) -> bool {
        self.is_useful
    }

    /// Queues a query, whose ID becomes another one if it is in use here: on a connection nobody guesses.
    pub(super) fn push(&mut self, key: TryKey, query: &[u8], now: Micros) -> Result<(), Broken> {
        let (Some((id, rest)), false) = (query.split_first_chunk::<2>(), self.is_full()) else {
            return Err(Broken);
        };
        let mut id = u16::from_be_bytes(*id);
        while self.pending.iter().any(|pending| pending.id == id) {
            id = id.wrapping_add(1);
        }
        let len = u16::try_from(query.len()).map_err(|_| Broken)?;
        // One piece: many servers want length and message in one segment (RFC 7766, section 8).
        let mut framed = [0; UPSTREAM_QUERY_LEN_MAX + 2];
        let framed = framed.get_mut(..query.len() + 2).ok_or(Broken)?;
        framed[..2].copy_from_slice(&len.to_be_bytes());
        framed[2..4].copy_from_slice(&id.to_be_bytes());
        framed[4..].copy_from_slice(rest);
        match &mut self.tls {
            Some(tls) => io::Write::write_all(&mut tls.writer(), framed).map_err(|_| Broken)?,
            None => self.out.extend_from_slice(framed),
        }
        self.pending.push(Pending { id, key, sent: now });
        Ok(())
    }

    /// What is to be written now.
    pub(super) fn unwritten(&mut self) -> &[u8] {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                // A vector takes all.
                if tls.write_tls(&mut self.out).is_err() {
                    break;
                }
            }
        }
        &self.out[self.out_at..]
    }

    /// So much of it was written.
    pub(super) fn wrote(&mut self, len: usize) {
        self.out_at += len;
        if self.out_at >= self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
    }

    /// Takes what was read. Messages are then in [`next`](Self::next).
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Micros) -> Result<(), Broken> {
        self.heard = now;
        self.input.drain(..self.input_at);
        self.input_at = 0;
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            if tls.read_tls(&mut bytes).map_err(|_| Broken)? == 0 {
                // It has said that it will say no more.
                return Ok(());
            }
            let state = tls.process_new_packets().map_err(|_| Broken)?;
            let before = self.input.len();
            self.input.resize(before + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut self.input[before..]).map_err(|_| Broken)?;
        }
        Ok(())
    }

    /// The next whole message, and which query it answers. Those that answer none are passed over; one that
    /// is too short to be any breaks the connection.
    pub(super) fn next(&mut self) -> Result<Option<(TryKey, &mut [u8])>, Broken> {
        loop {
            let at = self.input_at;
            let Some(len) = self.input.get(at..at + 2) else { return Ok(None) };
            let end = at + 2 + usize::from(u16::from_be_bytes([len[0], len[1]]));
            if self.input.len() < end {
                return Ok(None);
            }
            let Some(id) = self.input[at + 2..end].first_chunk::<2>() else { return Err(Broken) };
            let id = u16::from_be_bytes(*id);
            self.input_at = end;
            if let Some(place) = self.pending.iter().position(|pending| pending.id == id) {
                let key = self.pending.swap_remove(place).key;
                self.is_useful = true;
                return Ok(Some((key, &mut self.input[at + 2..end])));
            }
        }
    }

    /// The queries that it owes, when it has ended.
    pub(super) fn give_back(&mut self) -> impl Iterator<Item = TryKey> {
        self.pending.drain(..).map(|pending| pending.key)
    }

    /// Whether it has nothing to do and did not for long, or owes something and says nothing.
    pub(super) fn is_over(&self, now: Micros) -> bool {
        match self.pending.iter().map(|pending| pending.sent).min() {
            None => now.saturating_sub(self.heard) >= micros(STREAM_IDLE_TIMEOUT),
            Some(sent) => now.saturating_sub(sent.max(self.heard)) >= micros(STREAM_SILENCE_MAX),
        }
    }
}
