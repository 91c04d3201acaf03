//! The interface of guests, version 1: where things stand in the area that host and guest share, and what
//! numbers mean. Everything is little endian.

/// The version, which a guest's `as112_abi` returns.
pub const VERSION: i32 = 1;
/// The name of the module that hostcalls are imported from.
pub const MODULE: &str = "as112";

/// The request, at the beginning of the area.
pub const REQUEST_AT: usize = 0;
/// Its length.
pub const REQUEST_LEN: usize = 128;
/// The query.
pub const QUERY_AT: usize = REQUEST_AT + REQUEST_LEN;
/// The longest query, and some room: what a shard takes in.
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

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// A query, in the phase that the request names.
    Query = 1,
    /// An order has ended: a token and a length.
    Done = 2,
    /// A timer has run out: its token.
    Timer = 3,
    /// A second has passed.
    Tick = 4,
    /// The configuration is another one. (Not sent yet: a changed application is a new instance.)
    Reload = 5,
    /// There is nothing more to come.
    Stop = 6,
}

/// What a guest says of a query: the low byte of what `as112_event` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Word {
    /// It is not for this application: what it would have had without.
    Pass = 0,
    /// The reply is in the area.
    Reply = 1,
    /// A reply without records: bits 8 to 15 are the response code, 16 to 31 an extended error and one more
    /// than its code (0: none).
    Rcode = 2,
    /// No reply.
    Drop = 3,
    /// It is held, until `finish`.
    Later = 4,
    /// The query in the area takes its place.
    Changed = 5,
    /// Another server is to be asked: bits 8 to 15 are its place in `[allow] forward`.
    Retry = 6,
    /// It cannot be handled: the fallback.
    Fail = 7,
}

/// What a hostcall returns when it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    /// An argument is not valid.
    Invalid = -1,
    /// The manifest does not allow it.
    Denied = -2,
    /// Too much of it.
    Limit = -3,
    /// There is no such thing.
    NotFound = -4,
    /// Too much is under way.
    Busy = -5,
    /// Nobody answered in time.
    Timeout = -6,
    /// Nobody is there.
    Unreachable = -7,
    /// The other side has closed.
    Closed = -8,
    /// It does not fit.
    TooLong = -9,
    /// Not now.
    State = -10,
    /// Nothing yet.
    Again = -11,
}
