//! What an application may ask of its host at once: time, chance, places, log lines, counters, spans.

use alloc::string::String;
use core::fmt;

use crate::query::{Address, Query};
use crate::sys;

/// Why the host refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An argument makes no sense.
    Invalid,
    /// The manifest does not allow it.
    Denied,
    /// Too much of it.
    Limit,
    /// There is no such thing.
    NotFound,
    /// Too much is under way.
    Busy,
    /// Nobody answered in time.
    Timeout,
    /// Nobody is there.
    Unreachable,
    /// The other side has closed.
    Closed,
    /// It does not fit.
    TooLong,
    /// Not now.
    State,
    /// Nothing yet.
    Again,
}

impl Refused {
    /// What a hostcall returned, if it is a refusal.
    pub(crate) fn of(returned: i32) -> Result<i32, Self> {
        Err(match returned {
            0..=i32::MAX => return Ok(returned),
            -2 => Self::Denied,
            -3 => Self::Limit,
            -4 => Self::NotFound,
            -5 => Self::Busy,
            -6 => Self::Timeout,
            -7 => Self::Unreachable,
            -8 => Self::Closed,
            -9 => Self::TooLong,
            -10 => Self::State,
            -11 => Self::Again,
            _ => Self::Invalid,
        })
    }
}

impl Refused {
    /// What is wrong, in a few words.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Invalid => "an argument makes no sense",
            Self::Denied => "the manifest does not allow it",
            Self::Limit => "too much of it",
            Self::NotFound => "there is no such thing",
            Self::Busy => "too much is under way",
            Self::Timeout => "nobody answered in time",
            Self::Unreachable => "nobody is there",
            Self::Closed => "the other side has closed",
            Self::TooLong => "it does not fit",
            Self::State => "not now",
            Self::Again => "nothing yet",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// The time of the event, in nanoseconds of Unix time.
#[must_use]
pub fn now() -> u64 {
    sys::now() as u64
}

/// The time of the event on a clock that is never set, in nanoseconds.
#[must_use]
pub fn ticks() -> u64 {
    sys::ticks() as u64
}

/// Fills `bytes`, at most 4,096, with what nobody can foretell.
///
/// # Errors
/// They are too many.
pub fn random(bytes: &mut [u8]) -> Result<(), Refused> {
    Refused::of(sys::random(bytes)).map(drop)
}

/// A number that nobody can foretell.
#[must_use]
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    sys::random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Where an address is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country (ISO 3166).
    pub country: Option<[u8; 2]>,
    /// The autonomous system.
    pub asn: Option<u32>,
}

/// Looks up where an address is. The manifest needs `[allow] geo = true`, and the node databases.
///
/// # Errors
/// It is not allowed, or nothing is known.
pub fn geo(address: Address) -> Result<Place, Refused> {
    let mut out = [0; 8];
    let family = if let Address::V4(_) = address { 4 } else { 6 };
    Refused::of(sys::geo(address.octets(), family, &mut out))?;
    let asn = u32::from_le_bytes([out[4], out[5], out[6], out[7]]);
    Ok(Place {
        country: Some([out[0], out[1]]).filter(|country| *country != [0; 2]),
        asn: Some(asn).filter(|asn| *asn != 0),
    })
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error = 0,
    /// Something may stop working.
    Warning = 1,
    /// What an operator wants to know.
    Info = 2,
    /// What an author wants to know.
    Debug = 3,
}

/// Writes a line to the node's log, which puts the application's name before it. A line over 512 bytes is
/// cut; more lines in a second than the manifest's `log_lines` are dropped, and counted.
///
/// # Errors
/// It is dropped.
pub fn log(level: Level, line: &str) -> Result<(), Refused> {
    Refused::of(sys::log(level as i32, line.as_bytes())).map(drop)
}

/// Writes a line to the node's log, made as by `format!`. It is nothing to an application if it is dropped.
///
/// ```
/// # use as112_guest::{log, Level};
/// # as112_guest::mock::alone(|| {
/// log!(Level::Info, "{} names are blocked", 12);
/// # });
/// ```
#[macro_export]
macro_rules! log {
    ($level:expr, $($line:tt)*) => {
        $crate::log_line($level, $crate::format_args!($($line)*))
    };
}

#[doc(hidden)]
pub fn log_line(level: Level, line: fmt::Arguments<'_>) {
    let made: String;
    let line = match line.as_str() {
        Some(line) => line,
        None => {
            made = alloc::format!("{}", line);
            &made
        }
    };
    let _ = log(level, line);
}

/// A counter of the manifest's `[allow] metrics`, by its place there. Prometheus gets it with the
/// application's name and its own.
///
/// ```
/// # use as112_guest::Metric;
/// # as112_guest::mock::alone(|| {
/// const BLOCKED: Metric = Metric(0);
/// BLOCKED.add(1);
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric(pub u16);

impl Metric {
    /// Adds to it. It is nothing to an application if the manifest does not name the counter; the node counts
    /// that call as refused.
    pub fn add(self, by: u32) {
        sys::metric(i32::from(self.0), i64::from(by));
    }
}

/// What takes time, in the trace of a query: it begins here and ends when this goes.
///
/// ```
/// # use as112_guest::{Query, Reply, Span, Verdict};
/// fn query(query: Query<'_>, reply: Reply<'_>) -> Verdict {
///     let _span = Span::begin(&query, "lookup");
///     Verdict::pass()
/// }
/// ```
#[derive(Debug)]
pub struct Span {
    token: u32,
    name: &'static str,
}

impl Span {
    /// Begins a span. Nothing is done unless the query is traced.
    #[must_use]
    pub fn begin(query: &Query<'_>, name: &'static str) -> Option<Self> {
        if !query.is_traced() {
            return None;
        }
        sys::span(query.token() as i32, 0, name.as_bytes());
        Some(Self { token: query.token(), name })
    }

    /// Something that takes no time.
    pub fn event(query: &Query<'_>, text: &str) {
        if query.is_traced() {
            sys::span(query.token() as i32, 2, text.as_bytes());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        sys::span(self.token as i32, 1, self.name.as_bytes());
    }
}
