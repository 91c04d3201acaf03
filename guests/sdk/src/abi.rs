//! The interface between host and guest, version 1: where things stand in the area that both share, and what
//! numbers mean. Everything is little endian. An author needs none of it; it is what the rest of this crate
//! is made of.

/// The version, which `as112_abi` returns.
pub const VERSION: i32 = 1;

/// The request, at the beginning of the area.
pub const REQUEST_AT: usize = 0;
/// Its length.
pub const REQUEST_LEN: usize = 128;
/// The query.
pub const QUERY_AT: usize = REQUEST_AT + REQUEST_LEN;
/// The longest query, and some room.
pub const QUERY_LEN: usize = 2112;
/// The reply.
pub const REPLY_AT: usize = QUERY_AT + QUERY_LEN;
/// The longest reply.
pub const REPLY_LEN: usize = 65_536;
/// For everything else that is handed over.
pub const SCRATCH_AT: usize = REPLY_AT + REPLY_LEN;
/// Its length.
pub const SCRATCH_LEN: usize = 4096;
/// All of it.
pub const AREA_LEN: usize = SCRATCH_AT + SCRATCH_LEN;

/// Where the fields of the request stand.
pub mod request {
    /// u32: bytes of the request.
    pub const SIZE: usize = 0;
    /// u32: the query's number.
    pub const TOKEN: usize = 4;
    /// u8: the phase.
    pub const PHASE: usize = 8;
    /// u8: 0 UDP, 1 TCP.
    pub const TRANSPORT: usize = 9;
    /// u8: 4 or 6.
    pub const FAMILY: usize = 10;
    /// u8: the bits of [`flag`](super::flag).
    pub const FLAGS: usize = 11;
    /// u16.
    pub const QTYPE: usize = 12;
    /// u16.
    pub const QCLASS: usize = 14;
    /// u16.
    pub const LISTENER: usize = 16;
    /// u16: where the question ends in the query.
    pub const QUESTION_END: usize = 18;
    /// u32: a guest that changes the query sets it.
    pub const QUERY_LEN: usize = 20;
    /// u32: of the reply in the area, in both directions.
    pub const REPLY_LEN: usize = 24;
    /// 16 bytes: the client's address; of IPv4 the first four.
    pub const PEER: usize = 28;
    /// 16 bytes: the address that was asked.
    pub const LOCAL: usize = 44;
    /// u16.
    pub const PEER_PORT: usize = 60;
    /// u16.
    pub const LOCAL_PORT: usize = 62;
    /// u32: the rule or hook that asks.
    pub const RULE: usize = 64;
    /// u32: microseconds that the response took.
    pub const RTT_US: usize = 68;
    /// u64: nanoseconds of Unix time.
    pub const UNIX_NS: usize = 72;
    /// u64: when the query's time is up, by the same clock.
    pub const DEADLINE_NS: usize = 80;
    /// 2 bytes: the client's country, zeros where it was not looked up.
    pub const COUNTRY: usize = 88;
    /// u16: of the reply so far.
    pub const RCODE: usize = 90;
    /// u32: the client's autonomous system, 0 where it was not looked up.
    pub const ASN: usize = 92;
    /// u16: who was asked, by the place in `[allow] forward`.
    pub const UPSTREAM: usize = 96;
    /// u8: what came of that.
    pub const OUTCOME: usize = 98;
    /// u8: the operation code.
    pub const OPCODE: usize = 99;
}

/// Bits of the request's flags.
pub mod flag {
    /// Recursion is desired.
    pub const RD: u8 = 1;
    /// The DO bit.
    pub const DO: u8 = 2;
    /// The query has an OPT.
    pub const EDNS: u8 = 4;
    /// The cache had an answer.
    pub const CACHE_HIT: u8 = 8;
    /// That answer is stale.
    pub const STALE: u8 = 16;
    /// It came over TCP.
    pub const TCP: u8 = 32;
    /// It is traced: spans are kept.
    pub const TRACED: u8 = 64;
}

/// No upstream, in the request.
pub const UPSTREAM_NONE: u16 = u16::MAX;

/// What an event is.
pub mod kind {
    /// A query, in the phase that the request names.
    pub const QUERY: i32 = 1;
    /// An order has ended.
    pub const DONE: i32 = 2;
    /// A timer has run out.
    pub const TIMER: i32 = 3;
    /// A second has passed.
    pub const TICK: i32 = 4;
    /// The configuration is another one.
    pub const RELOAD: i32 = 5;
    /// There is nothing more to come.
    pub const STOP: i32 = 6;
}

/// What a guest says of a query: the low byte of what `as112_event` returns.
pub mod word {
    /// It is not for this application.
    pub const PASS: i64 = 0;
    /// The reply is in the area.
    pub const REPLY: i64 = 1;
    /// A response code, in bits 8 to 15; bits 16 to 31 are one more than an extended error.
    pub const RCODE: i64 = 2;
    /// No reply.
    pub const DROP: i64 = 3;
    /// It is held.
    pub const LATER: i64 = 4;
    /// The query in the area is another one.
    pub const CHANGED: i64 = 5;
    /// Another upstream, by bits 8 to 15.
    pub const RETRY: i64 = 6;
    /// The fallback.
    pub const FAIL: i64 = 7;
}
