//! The wire vocabulary of the DNS. Bytes in, values out: no I/O, no clock, no heap.

pub mod arrival;
pub mod consts;
pub mod cookie;
pub mod ecs;
pub mod edns;
pub mod message;
pub mod name;
pub mod query;
pub mod reply;
mod siphash;
pub mod suffix;
pub mod text;

/// What a short message stands in, with room for more than it has: places are within it without a check.
pub type Room = [u8; 1024];

/// The 16-bit number at `at`, in network order; `None` when it leaves the packet.
#[inline]
#[must_use]
pub fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}
