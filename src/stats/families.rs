//! The table of all counters.
//!
//! It names every counter once; names, help, labels, and where a counter stands in a block are made from it.
//! A family may have labels, each with a fixed number of values; a counter is a family and a value for each
//! of its labels. There are no cross products but where a family says so.

use std::ops::Deref;

use super::app_labels::{APP, APP_EVENT, APP_VERDICT, BAD_REPLY, HOSTCALL_REFUSED, METRIC, METRIC_APP, TRAP};
use super::client_labels::{BEACON, BITS, ECS_RESULT, IDENTITY_TYPE, POOL, POP, TAILORED_LAYER};
use super::labels::{
    ADDRESS, CACHE_LOOK, CLASS, CLOSED, COMPARED, COOKIE, COOKIE_STANDING, DROPPED as DROPPED_REASON, ERRNO,
    FAMILY, FORGED, Label, Names, OPCODE, OVER_LIMIT as OVER_LIMIT_RESULT, PHASE, PHASE_BIN, QUERY_BIN,
    RCODE, REARM, REPLY_BIN, ROUTE, RTT_BIN, RULE, SERVER, SERVICE, TRACED, TRANSPORT, TRIAL, TYPE, VERSION,
    Values, WORK_REFUSAL, XDP_REASON, ZONE,
};

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
    /// How many values each label has.
    lens: [usize; LABELS_MAX],
    /// Where its counters begin in a block.
    pub(super) start: usize,
}

/// Labels of a family at most.
const LABELS_MAX: usize = 3;

impl Family {
    const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static Label],
        by_shard: bool,
    ) -> Self {
        let mut lens = [1; LABELS_MAX];
        let mut at = 0;
        while at < labels.len() {
            lens[at] = labels[at].len;
            at += 1;
        }
        Self { name, help, labels, by_shard, lens, start: 0 }
    }

    /// How many counters it has: the product of the sizes of its labels.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a family has a counter at least")]
    pub const fn len(&self) -> usize {
        let [first, second, third] = self.lens;
        first * second * third
    }

    /// Where the counter with these label values stands in a block.
    #[inline(always)]
    #[must_use]
    pub const fn at<const N: usize>(&self, values: [usize; N]) -> usize {
        let mut offset = 0;
        let mut label = 0;
        while label < N {
            debug_assert!(values[label] < self.lens[label]);
            offset = offset * self.lens[label] + values[label];
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
        self.labels.last().is_some_and(|label| matches!(label.values, Values::Bins(_) | Values::Times(_)))
    }

    /// Whether it counts microseconds, which are shown as seconds.
    #[must_use]
    pub fn is_micros(&self) -> bool {
        self.name.ends_with("_seconds_sum")
    }

    /// Whether it counts what rules, workers and applications do, or what depends on clients.
    #[must_use]
    pub const fn is_of_platform(&self) -> bool {
        self.start >= COUNTERS_OF_ALL
    }

    /// Whether there is anything for it to count on a node where things are called so.
    #[must_use]
    pub fn is_in_use(&self, names: &Names) -> bool {
        match self.start {
            start if start >= ECS.0.start => names.have_clients,
            start if start >= APP_EVENTS.0.start => names.have_apps(),
            start if start >= COUNTERS_OF_ALL => names.have_platform(),
            _ => true,
        }
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
pub struct PlatformPlace(pub(super) usize);

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
    TRACES: "traces_total" [TRACED]
        "Queries of workers that are traced, by whether there was room where traces wait.",
    PHASE_TIME: "phase_seconds" [PHASE, PHASE_BIN]
        "Time that queries of workers are in a phase, with what follows until the next one; of a sample.",
    PHASE_TIME_SUM: "phase_seconds_sum" [PHASE]
        "Microseconds that queries of workers are in a phase; of a sample.",
    COALESCED: "coalesced_total" [] "Queries that waited for the answer to an equal one.",
    CACHE_LOOKS: "cache_lookups_total" [CACHE_LOOK] "Lookups in the cache, by result.",
    CACHE_STORED: "cache_stored_total" [] "Responses stored in the cache.",
    CACHE_EVICTED: "cache_evicted_total" [] "Entries evicted to make room.",
    CACHE_PURGED: "cache_purged_total" [] "Entries purged by order.",
    WORKER_TURNS: "worker_turns_total" []
        "Event loop iterations of the workers: several a second unless they are stuck.",
    WORKER_JOBS: "worker_queries_total" [] "Queries that workers took.",
    WORKER_LOST: "worker_replies_lost_total" [] "Replies of workers that the kernel did not take.",
    APP_EVENTS: "app_events_total" [APP, APP_EVENT] "Calls of an application, by what for.",
    APP_VERDICTS: "app_verdicts_total" [APP, APP_VERDICT]
        "What an application said of queries, by what it returned or by `finish`.",
    APP_METRICS: "app_metric_total" [METRIC_APP, METRIC] "Counters that applications have of their own.",
    GUEST_TRAPS: "guest_traps_total" [APP, TRAP] "Instances of an application thrown away, by reason.",
    GUEST_REPLIES_BAD: "guest_replies_bad_total" [APP, BAD_REPLY]
        "Queries that got the fallback because of what an application said, by what is wrong with it.",
    GUEST_CPU: "guest_cpu_nanoseconds_total" [APP]
        "Time spent in an application, estimated: one call in 64 is measured.",
    GUEST_MEMORY_REFUSED: "guest_memory_refused_total" [APP]
        "Times that an application was refused more memory.",
    GUEST_LOG_DROPPED: "guest_log_dropped_total" [APP]
        "Log lines of an application dropped because it wrote too many.",
    GUEST_HOSTCALLS_REFUSED: "guest_hostcalls_refused_total" [APP, HOSTCALL_REFUSED]
        "Hostcalls of an application that were refused, by reason.",
    ECS: "ecs_total" [ECS_RESULT]
        "Queries with a client subnet, and tailored answers without one (`none`), by what became of it.",
    ECS_SOURCE: "ecs_source_bits_total" [FAMILY, BITS]
        "Queries with a client subnet, by its SOURCE prefix length.",
    ECS_SCOPE: "ecs_scope_bits_total" [FAMILY, BITS]
        "Responses with a client subnet, by its SCOPE prefix length.",
    TAILORED: "tailored_total" [POOL, POP] "Tailored answers by pool and PoP.",
    TAILORED_BY: "tailored_by_total" [TAILORED_LAYER] "Tailored answers by what decided.",
    IDENTITY: "identity_total" [IDENTITY_TYPE] "Queries for the identity of whoever asks, by type.",
    BEACON_QUERIES: "beacon_queries_total" [] "Queries for the names of beacons.",
    BEACONS: "beacons_total" [BEACON] "Hits of beacons by what became of them.",
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
pub(super) const COUNTERS_OF_ALL: usize = LAYOUT[OF_ALL].start;
/// Those of the platform.
pub(super) const COUNTERS_OF_PLATFORM: usize = COUNTERS - COUNTERS_OF_ALL;
/// The counters of the largest family.
pub(super) const FAMILY_LEN_MAX: usize = {
    let (mut most, mut at) = (0, 0);
    while at < FAMILY_COUNT {
        if LAYOUT[at].len() > most {
            most = LAYOUT[at].len();
        }
        at += 1;
    }
    most
};

#[cfg(test)]
mod tests {
    use super::*;

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
                    Values::Apps | Values::Metrics | Values::Pools | Values::Pops => value.to_string(),
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
}
