//! Bounds of messages.

/// Longest query that is read in full, in bytes (UDP and TCP alike). An ordinary query has under 100 bytes,
/// one with TSIG and cookies under 400; what is longer is answered FORMERR.
pub const QUERY_LEN_MAX: usize = 2048;

/// Bytes of a slot that a transport offers to a datagram or message: one more than [`QUERY_LEN_MAX`], so
/// the length alone says "too long", rounded up so that slots start on cache lines.
pub const SLOT_PAYLOAD_LEN: usize = 2112;
const _: () = assert!(SLOT_PAYLOAD_LEN > QUERY_LEN_MAX && SLOT_PAYLOAD_LEN.is_multiple_of(64));

/// Smallest and largest UDP payload that we may be configured to send, in bytes. 1232 is what passes an IPv6
/// path of 1280 bytes unfragmented (RFC 9715).
pub const EDNS_UDP_SIZE_MIN: usize = 512;
/// See [`EDNS_UDP_SIZE_MIN`].
pub const EDNS_UDP_SIZE_MAX: usize = 1232;
const _: () = assert!(EDNS_UDP_SIZE_MAX <= SLOT_PAYLOAD_LEN);

/// Largest reply over TCP, in bytes: the length prefix of RFC 1035, section 4.2.2, counts no further.
pub const TCP_REPLY_LEN_MAX: usize = 65_535;
