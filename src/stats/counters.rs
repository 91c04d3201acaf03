//! Counters: one block for each thread that counts, written by that thread alone, and read by anybody.
//!
//! The table in [`families!`](self) names every counter once; names, help, labels, and where a counter stands
//! in the block are made from it. A family may have labels, each with a fixed number of values; a counter is
//! a family and a value for each of its labels. There are no cross products but where a family says so.
//!
//! A thread counts into a [`Tally`] and folds it once per batch into its [`Counters`] with plain loads and
//! stores: it is the only writer, so no addition needs to be atomic. Nobody resets; whoever wants a rate
//! keeps what he read before.
//!
//! The families of the platform stand apart, at the end of the table: they are many times as many counters as
//! the others, and most nodes have no rule. They take no memory and no look in a fold until one counts, and a
//! type of their own ([`OfPlatform`]) tells them from the others without a test for each count.

use std::ops::{AddAssign, Deref};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::labels::{
    ADDRESS, CACHE_LOOK, CLASS, CLOSED, COMPARED, COOKIE, COOKIE_STANDING, DROPPED as DROPPED_REASON, ERRNO,
    FAMILY, FORGED, Label, OPCODE, OVER_LIMIT as OVER_LIMIT_RESULT, QUERY_BIN, RCODE, REARM, REPLY_BIN,
    ROUTE, RTT_BIN, RULE, SERVER, SERVICE, TRANSPORT, TRIAL, TYPE, VERSION, Values, WORK_REFUSAL, XDP_REASON,
    ZONE,
};
use crate::sys::Zeroed;

/// What one counter counts, or several that differ by labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name in Prometheus' exposition and, without `as112_` and `_total`, in JSON.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The labels, from the one that changes least.
    pub labels: &'static [&'static Label],
    /// Whether each shard's count is shown by itself instead of their sum.
    pub by_shard: bool,
    /// Where its counters begin in a block.
    start: usize,
}

impl Family {
    const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static Label],
        by_shard: bool,
    ) -> Self {
        Self { name, help, labels, by_shard, start: 0 }
    }

    /// How many counters it has: the product of the sizes of its labels.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a family has a counter at least")]
    pub const fn len(&self) -> usize {
        let mut len = 1;
        let mut at = 0;
        while at < self.labels.len() {
            len *= self.labels[at].len;
            at += 1;
        }
        len
    }

    /// Where the counter with these label values stands in a block.
    #[inline(always)]
    #[must_use]
    pub const fn at<const N: usize>(&self, values: [usize; N]) -> usize {
        let mut offset = 0;
        let mut label = 0;
        while label < N {
            debug_assert!(values[label] < self.labels[label].len);
            offset = offset * self.labels[label].len + values[label];
            label += 1;
        }
        self.start + offset
    }

    /// The label values of the counter at `offset` within the family.
    #[must_use]
    pub fn values(&self, offset: usize) -> Vec<usize> {
        let mut rest = offset;
        let mut values: Vec<usize> = self
            .labels
            .iter()
            .rev()
            .map(|label| {
                let value = rest % label.len;
                rest /= label.len;
                value
            })
            .collect();
        values.reverse();
        values
    }

    /// Bytes to a bin, where the family counts sizes: then the last label is the bin.
    #[must_use]
    pub fn bin_len(&self) -> Option<usize> {
        match self.labels.last()?.values {
            Values::Bins(len) => Some(len),
            _ => None,
        }
    }

    /// Whether it counts by bins of sizes or times: then the last label is the bin.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        self.labels.last().is_some_and(|label| matches!(label.values, Values::Bins(_) | Values::Times))
    }

    /// Whether it counts microseconds, which are shown as seconds.
    #[must_use]
    pub fn is_micros(&self) -> bool {
        self.name.ends_with("_seconds_sum")
    }

    /// The counters of this family in a block that was read.
    #[must_use]
    pub fn of<'t>(&self, totals: &'t Totals) -> &'t [u64] {
        totals.0.get(self.start..self.start + self.len()).unwrap_or(&NOTHING[..self.len()])
    }

    /// Whether it counts what rules and workers do.
    #[must_use]
    pub const fn is_of_platform(&self) -> bool {
        self.start >= COUNTERS_OF_ALL
    }
}

/// A family that counts what rules and workers do.
#[derive(Debug)]
pub struct OfPlatform(Family);

impl OfPlatform {
    /// The name of the family.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name
    }

    /// Where the counter with these label values stands.
    #[inline(always)]
    #[must_use]
    pub const fn at<const N: usize>(&self, values: [usize; N]) -> PlatformPlace {
        PlatformPlace(self.0.at(values) - COUNTERS_OF_ALL)
    }
}

impl Deref for OfPlatform {
    type Target = Family;

    fn deref(&self) -> &Family {
        &self.0
    }
}

/// Where a counter of the platform stands, among these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformPlace(usize);

/// Where a counter stands.
pub trait Place: Copy {
    /// Its place in a block.
    fn index(self) -> usize;

    /// Adds to it in a tally.
    fn add_to(self, tally: &mut Tally, count: u32);
}

impl Place for usize {
    #[inline(always)]
    fn index(self) -> usize {
        self
    }

    #[inline(always)]
    fn add_to(self, tally: &mut Tally, count: u32) {
        tally.counts.0[self] += count;
        tally.touched[self / 64] |= u64::from(count > 0) << (self % 64);
    }
}

impl Place for PlatformPlace {
    fn index(self) -> usize {
        COUNTERS_OF_ALL + self.0
    }

    #[inline]
    fn add_to(self, tally: &mut Tally, count: u32) {
        let (word, is_touched) = (self.0 / 64, u64::from(count > 0));
        tally.of_platform[self.0] += count;
        tally.touched_of_platform[word] |= is_touched << (self.0 % 64);
        tally.touched_words[word / 64] |= is_touched << (word % 64);
    }
}

/// Makes the families, a constant for each, from one line each: after the semicolon those of the platform.
macro_rules! families {
    (
        $($id:ident $([$by_shard:ident])?: $name:literal [$($label:ident),*] $help:literal,)*
        ;
        $($of_platform:ident: $its_name:literal [$($its_label:ident),*] $its_help:literal,)*
    ) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "the names of constants")]
        enum Position { $($id,)* $($of_platform,)* }

        /// All families, in the order of the table.
        pub static FAMILIES: [Family; FAMILY_COUNT] = LAYOUT;
        const OF_ALL: usize = [$(Position::$id as usize,)*].len();
        const FAMILY_COUNT: usize = OF_ALL + [$(Position::$of_platform as usize,)*].len();
        const LAYOUT: [Family; FAMILY_COUNT] = layout([
            $(Family::new(
                concat!("as112_", $name),
                $help,
                const { &[$(&$label,)*] },
                false $(|| stringify!($by_shard).len() > 0)?,
            ),)*
            $(Family::new(
                concat!("as112_", $its_name),
                $its_help,
                const { &[$(&$its_label,)*] },
                false,
            ),)*
        ]);

        $(#[doc = $help] pub const $id: &Family = &LAYOUT[Position::$id as usize];)*
        $(
            #[doc = $its_help]
            pub const $of_platform: &OfPlatform = &OfPlatform(LAYOUT[Position::$of_platform as usize]);
        )*
    };
}

families! {
    QUERIES: "queries_total" [SERVICE, TRANSPORT, FAMILY]
        "Queries answered, or deliberately left unanswered because of what they ask.",
    QUERIES_BY_TYPE: "queries_by_type_total" [TYPE] "Queries by type.",
    QUERIES_BY_CLASS: "queries_by_class_total" [CLASS] "Queries by class.",
    QUERIES_BY_OPCODE: "queries_by_opcode_total" [OPCODE] "Queries by opcode.",
    QUERIES_BY_ZONE: "queries_by_zone_total" [ZONE] "Queries by the zone of the name.",
    QUERIES_BY_ADDRESS: "queries_by_address_total" [ADDRESS] "Queries by destination address.",
    QUERIES_EDNS: "queries_edns_total" [VERSION] "Queries with EDNS, by version.",
    QUERIES_DO: "queries_do_total" [] "Queries with the DO bit set.",
    QUERIES_COOKIE: "queries_cookie_total" [COOKIE]
        "Queries with a DNS cookie: the client's only, a server's too, or malformed.",
    SERVER_COOKIES: "server_cookies_total" [COOKIE_STANDING]
        "Queries with a well-formed DNS cookie, by the server's part of it, unless cookies are off.",
    QUERIES_RD: "queries_rd_total" [] "Queries with the RD bit set.",
    QUERIES_OVERSIZE: "queries_oversize_total" []
        "Queries longer than 2048 bytes; they are answered with FORMERR.",
    QUERIES_NSID: "queries_nsid_total" [] "Queries with the NSID option.",
    UPDATES: "updates_total" [ZONE] "Dynamic updates by zone.",
    RESPONSES: "responses_total" [RCODE] "Responses by RCODE.",
    RESPONSES_BY_TRANSPORT: "responses_by_transport_total" [TRANSPORT, FAMILY]
        "Responses by transport and address family.",
    TRUNCATED: "responses_truncated_total" []
        "Responses with the TC bit set: the answer did not fit, or its network was over the rate limit.",
    PROBES: "probe_queries_total" [TRANSPORT, FAMILY]
        "Queries from the node's own addresses, such as probes by `announce`: in no other count of queries.",
    DROPPED: "queries_dropped_total" [DROPPED_REASON] "Packets left unanswered, by reason.",
    OVER_LIMIT: "queries_over_limit_total" [OVER_LIMIT_RESULT]
        "Queries over the rate limit of their network, by what they got for it.",
    QUERY_SIZES: "query_size_bytes" [TRANSPORT, QUERY_BIN] "Query sizes in bytes.",
    QUERY_BYTES: "query_size_bytes_sum" [TRANSPORT] "Bytes of all queries.",
    REPLY_SIZES: "response_size_bytes" [TRANSPORT, REPLY_BIN] "Response sizes in bytes.",
    REPLY_BYTES: "response_size_bytes_sum" [TRANSPORT] "Bytes of all responses.",
    SAMPLES: "source_samples_total" [] "Queries whose source was sampled.",
    SAMPLES_DROPPED: "source_samples_dropped_total" []
        "Samples of sources dropped because their queue was full.",
    TAPPED: "tapped_total" [] "Queries copied for the query log or dnstap.",
    TAPPED_DROPPED: "tapped_dropped_total" []
        "Sampled queries not copied for the query log or dnstap because no record was free.",
    TCP_ACCEPTED: "tcp_connections_accepted_total" [] "TCP connections accepted.",
    TCP_CLOSED: "tcp_connections_closed_total" [CLOSED] "TCP connections closed, by reason.",
    TCP_ACCEPT_FAILED: "tcp_accept_failed_total" [] "TCP connections that could not be accepted.",
    TCP_ACCEPT_PAUSED: "tcp_accept_paused_total" []
        "Pauses in accepting TCP connections, for lack of file descriptors or memory.",
    TCP_TURNS: "tcp_turns_total" []
        "Event loop iterations of the TCP thread: several a second unless it is stuck.",
    XDP_PASSED: "xdp_passed_total" [XDP_REASON]
        "Frames that XDP passed to the network stack, by reason: most are other traffic.",
    XDP_LOST: "xdp_lost_total" []
        "Replies that XDP handed to the driver and the driver reports as dropped or failed.",
    SHARD_TURNS [by_shard]: "shard_turns_total" []
        "Event loop iterations of a shard: several a second unless it is stuck.",
    SHARD_RECEIVED [by_shard]: "shard_datagrams_total" [] "Datagrams received.",
    SHARD_SENT [by_shard]: "shard_sent_total" [] "Datagrams handed to the kernel for sending.",
    SHARD_BATCHES [by_shard]: "shard_batches_total" []
        "Batches received: iterations with at least one datagram.",
    SHARD_BUSY [by_shard]: "shard_busy_nanoseconds_total" []
        "Time spent on batches, from the first datagram to the last reply.",
    SHARD_REARMS [by_shard]: "ring_rearms_total" [REARM] "Receive requests re-armed, by cause.",
    SHARD_EXHAUSTED [by_shard]: "ring_buffers_exhausted_total" []
        "Times a receive request ended because no buffer was free.",
    SHARD_OVERFLOWS [by_shard]: "ring_cq_overflow_total" [] "Completion queue overflows.",
    SHARD_SHORT [by_shard]: "ring_short_submissions_total" []
        "Submissions of which the kernel took only a part.",
    SEND_ERRORS [by_shard]: "send_errors_total" [ERRNO]
        "Replies that the kernel did not send, by errno.",
    SOCKET_DROPS [by_shard]: "socket_drops_total" [ADDRESS]
        "Datagrams dropped because the receive buffer of a socket was full.",
    ;
    RULE_HITS: "rule_hits_total" [RULE] "Queries that a rule matched and was applied to.",
    RULE_WOULD: "rule_would_total" [RULE] "Queries that a rule with `dry-run` matched.",
    HANDED_OVER: "handed_over_total" [ROUTE] "Queries handed over to a worker, by the rule that did.",
    WORK_REFUSED: "work_refused_total" [ROUTE, WORK_REFUSAL]
        "Queries that got the fallback of their rule, by reason.",
    DIVERTED: "diverted_total" [RULE, COMPARED]
        "Copies of queries sent to another server, by how its answer compares with ours.",
    UPSTREAM_QUERIES: "upstream_queries_total" [SERVER, TRIAL]
        "Queries sent to an upstream server, by what came of them.",
    UPSTREAM_FORGED: "upstream_forged_total" [FORGED]
        "Datagrams at the ports of the conductor that answer no query, by what does not match.",
    UPSTREAM_RTT: "upstream_seconds" [SERVER, RTT_BIN] "Time to the response of an upstream server.",
    UPSTREAM_RTT_SUM: "upstream_seconds_sum" [SERVER] "Microseconds of all responses of an upstream server.",
    COALESCED: "coalesced_total" [] "Queries that waited for the answer to an equal one.",
    CACHE_LOOKS: "cache_lookups_total" [CACHE_LOOK] "Lookups in the cache, by result.",
    CACHE_STORED: "cache_stored_total" [] "Responses stored in the cache.",
    CACHE_EVICTED: "cache_evicted_total" [] "Entries evicted to make room.",
    CACHE_PURGED: "cache_purged_total" [] "Entries purged by order.",
    WORKER_TURNS: "worker_turns_total" []
        "Event loop iterations of the workers: several a second unless they are stuck.",
    WORKER_JOBS: "worker_queries_total" [] "Queries that workers took.",
    WORKER_LOST: "worker_replies_lost_total" [] "Replies of workers that the kernel did not take.",
}

/// Gives each family its place in the block.
const fn layout(mut families: [Family; FAMILY_COUNT]) -> [Family; FAMILY_COUNT] {
    let mut start = 0;
    let mut at = 0;
    while at < FAMILY_COUNT {
        families[at].start = start;
        start += families[at].len();
        at += 1;
    }
    families
}

/// Counters of a block.
pub const COUNTERS: usize = LAYOUT[FAMILY_COUNT - 1].start + LAYOUT[FAMILY_COUNT - 1].len();
/// Those of them that every node has.
const COUNTERS_OF_ALL: usize = LAYOUT[OF_ALL].start;
/// Those of the platform.
const COUNTERS_OF_PLATFORM: usize = COUNTERS - COUNTERS_OF_ALL;
/// Words with a bit for each of them.
const WORDS_OF_PLATFORM: usize = COUNTERS_OF_PLATFORM.div_ceil(64);
/// The counters of a family of which nothing was counted.
static NOTHING: [u64; FAMILY_LEN_MAX] = [0; FAMILY_LEN_MAX];
/// The counters of the largest family.
const FAMILY_LEN_MAX: usize = {
    let (mut most, mut at) = (0, 0);
    while at < FAMILY_COUNT {
        if LAYOUT[at].len() > most {
            most = LAYOUT[at].len();
        }
        at += 1;
    }
    most
};

/// The counters of one thread. Two cache lines apart from anybody else's: processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    of_all: [AtomicU64; COUNTERS_OF_ALL],
    of_platform: Zeroed<AtomicU64>,
    /// Any of the platform has counted.
    has_platform: AtomicBool,
}

/// Counters as they stood when they were read, or sums of them. Those of the platform are there once one of
/// them is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals(Vec<u64>);

/// What one thread has counted since the last fold.
#[derive(Debug)]
pub struct Tally {
    counts: Box<Counts>,
    /// A bit for each counter that is not 0.
    touched: [u64; COUNTERS_OF_ALL.div_ceil(64)],
    /// A bit for each word of `touched_of_platform` that is not 0.
    touched_words: [u64; WORDS_OF_PLATFORM.div_ceil(64)],
    touched_of_platform: [u64; WORDS_OF_PLATFORM],
    of_platform: Zeroed<u32>,
}

/// As far from anybody else's as [`Counters`]: one thread makes the tallies of all shards, side by side.
#[derive(Debug)]
#[repr(align(128))]
struct Counts([u32; COUNTERS_OF_ALL]);

impl Default for Counters {
    fn default() -> Self {
        Self {
            of_all: std::array::from_fn(|_| AtomicU64::new(0)),
            of_platform: Zeroed::new(COUNTERS_OF_PLATFORM),
            has_platform: AtomicBool::new(false),
        }
    }
}

impl Counters {
    /// Bytes of one, with all that it may take.
    pub(super) fn memory_len() -> usize {
        size_of::<Self>() + Zeroed::<AtomicU64>::memory_len(COUNTERS_OF_PLATFORM)
    }

    /// Adds a tally and empties it. Only the owner may call this: there is no lock and no atomic addition.
    pub fn fold(&self, tally: &mut Tally) {
        for (word, touched) in tally.touched.iter_mut().enumerate() {
            fold_word(word, touched, &mut tally.counts.0, &self.of_all);
        }
        if tally.touched_words != [0; _] {
            self.fold_platform(tally);
        }
    }

    #[inline(never)]
    fn fold_platform(&self, tally: &mut Tally) {
        self.has_platform.store(true, Ordering::Relaxed);
        for (number, words) in tally.touched_words.iter_mut().enumerate() {
            while *words != 0 {
                let word = number * 64 + words.trailing_zeros() as usize;
                *words &= *words - 1;
                let touched = &mut tally.touched_of_platform[word];
                fold_word(word, touched, &mut tally.of_platform, &self.of_platform);
            }
        }
    }

    /// Takes over what was counted elsewhere, in all. Only the owner may call this, and never
    /// [`fold`](Self::fold).
    pub fn take_over(&self, totals: &Totals) {
        let (of_all, of_platform) = totals.0.split_at(COUNTERS_OF_ALL);
        for (counter, total) in self.of_all.iter().zip(of_all) {
            counter.store(*total, Ordering::Relaxed);
        }
        if !of_platform.is_empty() {
            self.has_platform.store(true, Ordering::Relaxed);
        }
        for (counter, total) in self.of_platform.iter().zip(of_platform) {
            counter.store(*total, Ordering::Relaxed);
        }
    }

    /// Adds the counters, as they stand, to `totals`.
    pub fn read(&self, totals: &mut Totals) {
        if self.has_platform.load(Ordering::Relaxed) {
            totals.0.resize(COUNTERS, 0);
        }
        for (total, counter) in totals.0.iter_mut().zip(self.of_all.iter().chain(&*self.of_platform)) {
            *total += counter.load(Ordering::Relaxed);
        }
    }
}

/// Adds the counts of which `touched`, the word of this number, has a bit.
#[inline(always)]
fn fold_word(word: usize, touched: &mut u64, counts: &mut [u32], counters: &[AtomicU64]) {
    while *touched != 0 {
        let at = word * 64 + touched.trailing_zeros() as usize;
        *touched &= *touched - 1;
        let counter = &counters[at];
        let count = u64::from(std::mem::take(&mut counts[at]));
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self(vec![0; COUNTERS_OF_ALL])
    }
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(total, count)| *total += count);
    }
}

impl Totals {
    /// Every counter, by where it stands in a block, to the last that can be other than 0.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// The counter that stands there.
    #[must_use]
    pub fn get(&self, at: impl Place) -> u64 {
        self.0.get(at.index()).copied().unwrap_or(0)
    }

    /// Adds to the counter that stands at `at`.
    pub fn add(&mut self, at: impl Place, count: u64) {
        if count > 0 && at.index() >= COUNTERS_OF_ALL {
            self.0.resize(COUNTERS, 0);
        }
        if let Some(total) = self.0.get_mut(at.index()) {
            *total += count;
        }
    }

    /// What is in these and was not in `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().chain(std::iter::repeat(&0));
        Self(self.0.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect())
    }

    /// The sum of a family.
    #[must_use]
    pub fn sum(&self, family: &Family) -> u64 {
        family.of(self).iter().sum()
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: Box::new(Counts([0; COUNTERS_OF_ALL])),
            touched: [0; _],
            touched_words: [0; _],
            touched_of_platform: [0; _],
            of_platform: Zeroed::new(COUNTERS_OF_PLATFORM),
        }
    }
}

impl Tally {
    /// Bytes of one.
    pub(super) fn memory_len() -> usize {
        size_of::<Self>() + size_of::<Counts>() + Zeroed::<u32>::memory_len(COUNTERS_OF_PLATFORM)
    }

    /// Counts one.
    #[inline]
    pub fn count(&mut self, at: impl Place) {
        self.add(at, 1);
    }

    /// Counts several.
    #[inline]
    pub fn add(&mut self, at: impl Place, count: u32) {
        at.add_to(self, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::labels::{Names, Values};

    #[test]
    fn families_lie_side_by_side_and_fill_the_block() {
        let mut end = 0;
        for family in &FAMILIES {
            assert_eq!(family.start, end, "{}", family.name);
            end += family.len();
        }
        assert_eq!(end, COUNTERS);
    }

    #[test]
    fn every_counter_has_a_name_of_its_own() {
        let names = Names::default();
        let series = |family: &'static Family| {
            (0..family.len()).map(|at| {
                let values = family.values(at);
                let labels = family.labels.iter().zip(&values).map(|(label, value)| match label.values {
                    // Without names all zones are `other`.
                    Values::Zones | Values::Addresses | Values::Rules | Values::Servers => value.to_string(),
                    _ => names.value(label, *value),
                });
                (family.name, labels.collect::<Vec<_>>())
            })
        };
        let all: Vec<_> = FAMILIES.iter().flat_map(series).collect();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (COUNTERS, COUNTERS));
    }

    #[test]
    fn a_counter_stands_where_its_values_say() {
        for at in 0..QUERIES.len() {
            let values: [usize; 3] = QUERIES.values(at).try_into().unwrap();
            assert_eq!(QUERIES.at(values), QUERIES.start + at);
        }
    }

    #[test]
    fn folding_adds_and_empties() {
        let counters = Counters::default();
        let mut tally = Tally::default();
        let last = COUNTERS_OF_ALL - 1;
        tally.count(0);
        tally.add(last, 5);
        tally.add(1, 0);
        counters.fold(&mut tally);
        counters.fold(&mut tally);
        tally.count(last);
        counters.fold(&mut tally);
        let mut totals = Totals::default();
        counters.read(&mut totals);
        counters.read(&mut totals);
        let counted: Vec<_> = totals.0.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(counted, [(0, &2), (last, &12)]);
    }

    #[test]
    fn what_the_platform_counts_is_folded_where_it_stands() {
        let places = [RULE_HITS.at([0]), RULE_HITS.at([70]), UPSTREAM_RTT.at([64, 15]), WORKER_LOST.at([])];
        let (counters, mut tally) = (Counters::default(), Tally::default());
        let mut totals = Totals::default();
        counters.fold(&mut tally);
        counters.read(&mut totals);
        assert_eq!(totals.counts().len(), COUNTERS_OF_ALL, "nobody pays for what nobody counts");
        assert_eq!((totals.sum(RULE_HITS), totals.get(places[1])), (0, 0));
        for round in 1..=2 {
            places.iter().zip(1..).for_each(|(&place, count)| tally.add(place, count));
            tally.count(QUERIES.at([0, 0, 0]));
            tally.add(RULE_WOULD.at([9]), 0);
            counters.fold(&mut tally);
            let mut totals = Totals::default();
            counters.read(&mut totals);
            let expected: Vec<u64> = (1..5).map(|count| count * round).collect();
            assert_eq!(places.map(|place| totals.get(place)).to_vec(), expected);
            assert_eq!(totals.sum(QUERIES), round);
            assert_eq!(totals.counts().iter().sum::<u64>(), 11 * round);
            assert_eq!(RULE_HITS.of(&totals)[70], 2 * round);
        }
    }

    #[test]
    fn totals_with_and_without_the_platform_add_up() {
        let [mut with, mut without] = [Totals::default(), Totals::default()];
        with.add(CACHE_STORED.at([]), 3);
        without.add(QUERIES.at([0, 0, 0]), 1);
        without.add(CACHE_STORED.at([]), 0);
        let mut sum = without.clone();
        sum += &with;
        assert_eq!((sum.sum(CACHE_STORED), sum.sum(QUERIES)), (3, 1));
        assert_eq!((sum.since(&without).sum(CACHE_STORED), without.since(&sum).sum(QUERIES)), (3, 0));
        sum += &without;
        assert_eq!((sum.sum(CACHE_STORED), sum.sum(QUERIES)), (3, 2));
        let counters = Counters::default();
        counters.take_over(&sum);
        let mut read = Totals::default();
        counters.read(&mut read);
        assert_eq!(read, sum);
    }

    #[test]
    fn two_threads_share_no_pair_of_cache_lines() {
        assert_eq!((align_of::<Counters>(), size_of::<Counters>() % 128), (128, 0));
        assert_eq!((align_of::<Counts>(), size_of::<Counts>() % 128), (128, 0));
        // As they are made for shards: one after the other, with other things in between.
        let made: Vec<_> = (0..64)
            .map(|n| (Tally::default(), std::sync::Arc::<Counters>::default(), vec![0_u8; n]))
            .collect();
        let pairs = |start: usize, len: usize| start / 128..=(start + len - 1) / 128;
        let mut seen = std::collections::HashMap::new();
        for (owner, (tally, counters, _)) in made.iter().enumerate() {
            let blocks = [
                (&raw const *tally.counts as usize, size_of::<Counts>()),
                (&raw const **counters as usize, size_of::<Counters>()),
                (&raw const tally.of_platform[0] as usize, size_of_val(&*tally.of_platform)),
                (&raw const counters.of_platform[0] as usize, size_of_val(&*counters.of_platform)),
            ];
            for pair in blocks.into_iter().flat_map(|(start, len)| pairs(start, len)) {
                assert_eq!(seen.insert(pair, owner), None, "two blocks share a pair of lines");
            }
        }
    }
}
