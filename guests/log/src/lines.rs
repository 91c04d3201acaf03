//! Lines that wait to be written.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use as112_guest::Query;

/// Lines, in a bounded number of bytes.
pub struct Lines {
    bytes: Vec<u8>,
    most: usize,
}

impl Lines {
    pub fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Adds the line about a query; false if there is no room.
    pub fn push(&mut self, query: &Query<'_>) -> bool {
        let line = line(query);
        let has_room = self.bytes.len() + line.len() <= self.most;
        if has_room {
            self.bytes.extend_from_slice(line.as_bytes());
        }
        has_room
    }

    /// The first lines, as many as `most` bytes hold.
    pub fn first(&self, most: usize) -> Vec<u8> {
        let bytes = &self.bytes[..self.bytes.len().min(most)];
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes[..end].to_vec()
    }

    /// Removes the first so many bytes; how many lines they were.
    pub fn remove(&mut self, len: usize) -> u32 {
        self.bytes.drain(..len).filter(|byte| *byte == b'\n').count() as u32
    }
}

fn line(query: &Query<'_>) -> String {
    // A name as text has no control characters; in JSON its backslashes and quotes need another backslash.
    let name = query.qname().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "{{\"time\":{},\"client\":\"{}\",\"name\":\"{}\",\"type\":{},\"rcode\":{},\"transport\":\"{}\"}}\n",
        query.unix_ns() / 1_000_000,
        query.peer(),
        name,
        query.qtype(),
        query.rcode(),
        if query.is_tcp() { "tcp" } else { "udp" },
    )
}
