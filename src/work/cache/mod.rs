//! What upstreams have said, for as long as it may be said again. Each worker has its own.

use std::time::{Duration, Instant};

use ipnet::IpNet;

/// What a cache is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes that all entries may take, and what they are kept in.
    pub size: usize,
    /// The least time that an answer is kept, whatever its TTLs.
    pub ttl_min: Duration,
    /// The longest.
    pub ttl_max: Duration,
    /// The longest that NXDOMAIN and NODATA are kept (RFC 2308).
    pub negative_ttl_max: Duration,
    /// How long a first failure is kept (RFC 9520); each further one twice as long, up to a minute.
    pub failure_ttl: Duration,
    /// How long answers are kept after their time (RFC 8767).
    pub stale: Duration,
    /// How long a client waits for a fresh answer before it gets one whose time has passed.
    pub stale_after: Duration,
    /// The TTL of such an answer.
    pub stale_ttl: Duration,
    /// Answers that are asked for are fetched again shortly before their time has passed.
    pub prefetch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 64 << 20,
            ttl_min: Duration::ZERO,
            ttl_max: Duration::from_secs(86_400),
            negative_ttl_max: Duration::from_secs(3600),
            failure_ttl: Duration::from_secs(5),
            stale: Duration::from_secs(86_400),
            stale_after: Duration::from_millis(1800),
            stale_ttl: Duration::from_secs(30),
            prefetch: true,
        }
    }
}

/// What answers are kept by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Whose answers: a number of the upstream.
    pub view: u32,
    /// The name, uncompressed, in any case.
    pub qname: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The CD bit.
    pub checking_disabled: bool,
    /// What is sent of the client's address, if anything is (RFC 7871).
    pub subnet: Option<IpNet>,
}

/// What a cache has for a query. With all but the last two `out` holds the answer: a header with ID 0 and
/// without AA, the question, the records with their TTLs by age, no OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An answer.
    Fresh,
    /// An answer that is to be fetched again, without anybody waiting for it.
    Prefetch,
    /// One whose time has passed: for want of a fresh one (RFC 8767).
    Stale,
    /// As [`Stale`](Self::Stale), but servers were tried in vain a short while ago, and are not to be tried again
    /// yet: it is given at once.
    Held,
    /// Servers have failed a short while ago, and are not to be asked yet (RFC 9520).
    Failure,
    /// Nothing.
    Miss,
}

/// What came of storing a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there: an answer.
    Positive,
    /// It is there: NXDOMAIN or NODATA.
    Negative,
    /// It is a failure, and is remembered as one.
    Failure,
    /// It is not, and why.
    No(&'static str),
}

/// Answers by what was asked.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
}

impl Cache {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone() }
    }

    /// Looks a query up; the answer is written into `out`, which is emptied before.
    pub fn look(&mut self, key: &Key<'_>, now: Instant, out: &mut Vec<u8>) -> Found {
        let _ = (key, now, &self.settings);
        out.clear();
        Found::Miss
    }

    /// Keeps a response as it was received, OPT and all. `scope` is what its client subnet says it is for.
    pub fn store(&mut self, key: &Key<'_>, message: &[u8], scope: Option<IpNet>, now: Instant) -> Stored {
        let _ = (key, message, scope, now);
        Stored::No("not yet")
    }

    /// Notes that servers have failed (RFC 9520): no response, or none that can be used.
    pub fn fail(&mut self, key: &Key<'_>, now: Instant) {
        let _ = (key, now);
    }

    /// Notes that servers were tried while a stale answer was there, and that it was given: for a while it is
    /// given at once (RFC 8767, section 5).
    pub fn stale_tried(&mut self, key: &Key<'_>, now: Instant) {
        let _ = (key, now);
    }

    /// Makes everything that is kept of a name, or of it and all names below it, as if it were not there.
    /// How many entries that were.
    pub fn purge(&mut self, qname: &[u8], subtree: bool) -> u64 {
        let _ = (qname, subtree);
        0
    }

    /// What is kept of a name, or of it and all names below it: a line for each entry, `most` at the most.
    #[must_use]
    pub fn show(&self, qname: &[u8], subtree: bool, most: usize, now: Instant) -> Vec<String> {
        let _ = (qname, subtree, most, now);
        Vec::new()
    }

    /// Entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        0
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// How many entries had to make room for others since this was called last.
    pub fn take_evicted(&mut self) -> u64 {
        0
    }

    /// Bytes that a cache takes at the most.
    #[must_use]
    pub fn memory_len(settings: &Settings) -> usize {
        settings.size
    }
}
