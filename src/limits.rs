//! Every bound and size that we chose, each with its reason. Numbers that a standard fixes live in
//! [`crate::dns::consts`].

mod announce;
mod apps;
mod cache;
mod clients;
mod conductor;
mod history;
mod jobs;
mod learn;
mod limiting;
mod platform;
mod policy;
mod resolver;
mod sandbox;
mod wire;
mod work;

use std::time::Duration;

pub use announce::*;
pub use apps::*;
pub use cache::*;
pub use clients::*;
pub use conductor::*;
pub use history::*;
pub use jobs::*;
pub use learn::*;
pub use limiting::*;
pub use platform::*;
pub use policy::*;
pub use resolver::*;
pub use sandbox::*;
pub use wire::*;
pub use work::*;

/// Longest NSID payload and node name, in bytes: with it the longest negative answer still fits 512 bytes.
pub const NSID_LEN_MAX: usize = 128;

/// Links of a chain of CNAMEs (synthesised ones included) that an answer follows. Longer chains are an error
/// of the zone; resolvers stop at 8 to 16.
pub const CHAIN_LINKS_MAX: usize = 8;

/// Zones that one node serves, those built in included: a million and some of an operator, at 200 bytes each.
/// Bounded so that a mistaken `dir` does not eat the memory.
pub const ZONES_MAX: usize = 1 << 20;

/// While zones are compiled the trees of those with so many names at most are freed and made again; and of
/// them so many names at most are kept.
pub const TREE_SMALL_MAX: usize = 256;
/// See [`TREE_SMALL_MAX`].
pub const TREES_KEPT_MAX: usize = 1 << 12;

/// Records in one zone file, and bytes of it.
pub const ZONE_RECORDS_MAX: usize = 1_000_000;
/// See [`ZONE_RECORDS_MAX`].
pub const ZONE_FILE_LEN_MAX: u64 = 256 << 20;

/// Bytes of a file with many zones: a thousand for each of a million.
pub const PACK_LEN_MAX: u64 = 1 << 30;
/// Bytes of one of its records: an rdata of 65,535 bytes has four times as many, each written as `\DDD`.
pub const PACK_ENTRY_LEN_MAX: usize = 1 << 20;
/// Bytes of it that are read at once.
pub const PACK_READ_LEN: usize = 256 << 10;

/// Values of one entry of a zone file: rdata of 65,535 bytes can be as many empty strings, and little else
/// may stand with them.
pub const ZONE_ENTRY_TOKENS_MAX: usize = 66_000;

/// Files within files that `$INCLUDE` opens. Operators use one or two; a file that includes itself ends here.
pub const ZONE_INCLUDE_DEPTH_MAX: usize = 8;

/// Mistakes told of one zone file: nobody fixes more at once, and what is not a zone file is all mistakes.
pub const ZONE_PROBLEMS_MAX: usize = 100;

/// Wire length of one RRset, owners counted as pointers: it must fit a reply over TCP with the question, a
/// chain of aliases and OPT.
pub const RRSET_LEN_MAX: usize = 60_000;
const _: () = {
    use crate::dns::consts::{NAME_LEN_MAX, UDP_LEN_MAX};
    // A link of a chain is a DNAME and the CNAME made of it, each with one new name; the rest fits 512 bytes.
    assert!(RRSET_LEN_MAX + CHAIN_LINKS_MAX * 2 * (12 + NAME_LEN_MAX) + UDP_LEN_MAX < TCP_REPLY_LEN_MAX);
};

/// Bytes of all answers, compiled. Every alias of a large RRset can hold it once more, so a small zone
/// file may ask for any amount; and offsets into the answers have 32 bits.
pub const ANSWERS_LEN_MAX: usize = 1 << 30;
const _: () = assert!(ANSWERS_LEN_MAX <= u32::MAX as usize);

/// How often a file is read that differs from what was read of it just now. Somebody is writing it: after so
/// many times it is an error, and the old configuration stays.
pub const FILE_READINGS_MAX: u32 = 4;

/// Bytes of the configuration file: room for a hundred thousand entries of `[[zone]]`, and an end to a wrong
/// file.
pub const CONFIG_LEN_MAX: u64 = 16 << 20;

/// Mistakes that one reading of the configuration finds: each takes a reading of its own.
pub const CONFIG_MISTAKES_MAX: usize = 256;
/// Mistakes that a command prints: as many as fit a screen with the first of them; the rest is counted.
pub const PROBLEMS_SHOWN_MAX: usize = 20;

/// Addresses to listen on. Every shard has a socket for each; a node of AS112 needs 10.
pub const LISTEN_MAX: usize = 64;

/// Shards: more than any host needs for what one NIC takes, and a bound on sockets and counters.
pub const SHARDS_MAX: usize = 1024;

/// One more than the highest CPU number: Linux's own bound (CONFIG_NR_CPUS) is 8192.
pub const CPUS_MAX: usize = 8192;

/// Microseconds for which a shard may poll the NIC before it sleeps. The kernel's documentation
/// speaks of 50 to 100; who wants more wants the thread to spin, and that much does it.
pub const BUSY_POLL_US_MAX: usize = 1000;

/// Bytes of one text of `[identity]`: each becomes one string of a TXT record (RFC 1035, section 3.3.14).
pub const TEXT_LEN_MAX: usize = 255;

/// Entries of `extra_txt` and of `unique_ip`: more do not fit an answer of 512 bytes.
pub const IDENTITY_LIST_MAX: usize = 16;

/// Receive and send buffer of a socket, in bytes. The kernel doubles the number and keeps it in 31 bits.
pub const SOCKET_BUFFER_MIN: usize = 4 << 10;
/// See [`SOCKET_BUFFER_MIN`].
pub const SOCKET_BUFFER_MAX: usize = 512 << 20;
const _: () = assert!(2 * SOCKET_BUFFER_MAX <= i32::MAX as usize);

/// Most TCP connections that may be configured, for all and for one client: a million is more than one port
/// can have open to most networks.
pub const TCP_CONNECTIONS_CEILING: usize = 1_000_000;

/// The shortest and the longest of TCP's time-outs, in milliseconds. Below, a client that is far away or lost
/// one segment is cut off; above, the keepalive option could not say it (16 bits of 100 ms, RFC 7828).
pub const TCP_TIMEOUT_FLOOR_MS: u64 = 1000;
/// See [`TCP_TIMEOUT_FLOOR_MS`].
pub const TCP_TIMEOUT_CEILING_MS: u64 = 3_600_000;
const _: () = assert!(TCP_TIMEOUT_CEILING_MS / 100 <= u16::MAX as u64);

/// Least and most bytes that may be configured for the buffers of all TCP connections together: at least some
/// of the longest replies, at most what one would give a name server.
pub const TCP_BUFFERS_LEN_FLOOR: usize = 1 << 20;
/// See [`TCP_BUFFERS_LEN_FLOOR`].
pub const TCP_BUFFERS_LEN_CEILING: usize = 64 << 30;
const _: () = assert!(TCP_BUFFERS_LEN_FLOOR >= 8 * TCP_REPLY_LEN_MAX);

/// TCP connections of the process, and of one client (an address; for IPv6 its /64). One more is let in and
/// the idlest goes, unless its own client is at its limit and uses them all. An idle connection costs under
/// 1 KiB of ours, so the first number bounds file descriptors rather than memory. The second leaves room for
/// 16 greedy clients, and is more than other servers' default for all clients together (NSD 100, BIND 150):
/// networks that share one address, and load generators, open a hundred.
pub const TCP_CONNECTIONS_MAX: usize = 4096;
/// See [`TCP_CONNECTIONS_MAX`].
pub const TCP_CONNECTIONS_PER_CLIENT_MAX: usize = 256;
const _: () = assert!(TCP_CONNECTIONS_PER_CLIENT_MAX <= TCP_CONNECTIONS_MAX);

/// Time for a whole message from its first byte: a query fits one segment, so 2 s allow for its loss and
/// one retransmission, and a client that drips bytes gains nothing by it.
pub const TCP_MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle time for a connection while the table is at most half full (RFC 7766, 6.2.3, wants "a few seconds").
pub const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left of the idle time when the table is full: a round trip to anywhere and time to think. A
/// connection that has rested for less is in use.
pub const TCP_IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const _: () = assert!(TCP_IDLE_TIMEOUT_MIN.as_millis() <= TCP_IDLE_TIMEOUT.as_millis());
/// Time for which a client may take nothing of the answers that wait for it.
pub const TCP_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the deadlines are looked at, and how late the stop flag is seen at most.
pub const TCP_TICK: Duration = Duration::from_millis(100);
const _: () = assert!(TCP_TICK.as_millis() * 10 <= TCP_MESSAGE_TIMEOUT.as_millis());

/// Bytes of all TCP buffers together; beyond it the largest holder is closed.
pub const TCP_BUFFERS_LEN_MAX: usize = 64 << 20;
/// Unsent bytes at which a connection is no longer read, nor answered.
pub const TCP_UNSENT_LEN_MAX: usize = 64 << 10;
/// Bytes that one turn of a connection reads at most: some 400 queries, so a full table of greedy
/// clients delays an honest one by well under a second, and a system call still serves many queries.
pub const TCP_READ_LEN_MAX: usize = 16 << 10;
const _: () = assert!(TCP_READ_LEN_MAX >= 2 + SLOT_PAYLOAD_LEN);
/// Send buffer of the kernel for one connection: with the kernel's own sizing a client that takes nothing
/// could leave megabytes there, uncounted by [`TCP_BUFFERS_LEN_MAX`].
pub const TCP_KERNEL_SEND_LEN: usize = 64 << 10;

/// Receive buffer of the kernel for one connection, for the same reason: its own sizing follows a client
/// that takes its answers up to megabytes, and they stay when he stops. At a round trip of 100 ms it lets a
/// client ask 15,000 queries a second.
pub const TCP_KERNEL_RECEIVE_LEN: usize = 64 << 10;

/// Connections that one listener accepts before those that are open get their turn.
pub const TCP_ACCEPTS_PER_ROUND_MAX: usize = 64;
/// Readiness events that one wait reports; more stay with the kernel for the next.
pub const TCP_EVENTS_MAX: usize = 1024;
/// Time for the turns of one round; connections still waiting stay first in line for the next, and new
/// events, the deadlines and the stop flag are looked at in between.
pub const TCP_ROUND_MAX: Duration = Duration::from_millis(50);
const _: () = assert!(TCP_ROUND_MAX.as_millis() <= TCP_TICK.as_millis());
/// How long nothing is accepted after the process ran out of something (descriptors, memory).
pub const TCP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a process that was succeeded serves the connections that it has: most clients are done within
/// the idle time, and a client that pipelines for longer can be asked to connect again.
pub const TCP_DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for sending what is due when the process stops.
pub const TCP_DRAIN_MAX: Duration = Duration::from_secs(1);

/// Slots of a shard's ring: some four natural batches (33 datagrams per socket). They are used in turn, so
/// all of them have to fit the cache, and each is a page of memory: 512 answer no more in a flood, and cost
/// 1.5 MiB and some 2 % of CPU more. Bursts belong in the socket's receive buffer.
pub const RING_SLOTS: u16 = 128;
/// Most slots a ring can have: the submission queue, at most 32,768 entries, must hold a reply for each.
pub const RING_SLOTS_MAX: u16 = 1 << 14;
const _: () = assert!(RING_SLOTS <= RING_SLOTS_MAX && RING_SLOTS_MAX.is_power_of_two());

/// Most sockets that one shard reads: addresses of a node. Bounds the arrays of poll and of the ring's files.
pub const SHARD_SOCKETS_MAX: usize = 1024;

/// Calls into the kernel that the end of a ring makes at most before it waits no longer for its receives.
pub const RING_END_TURNS_MAX: usize = 16;

/// Datagrams in one call of recvmmsg or sendmmsg: past 16 to 32 the cost of the call no longer shows.
pub const MMSG_BATCH: usize = 32;

/// Batches that the end of a socket still reads from it: a flood cannot keep it open: 16,384
/// datagrams, more than a receive buffer of [`UDP_RCVBUF_LEN`] holds (a small datagram is charged 768 bytes).
pub const DRAIN_BATCHES_MAX: usize = 512;
const _: () = assert!(DRAIN_BATCHES_MAX * MMSG_BATCH * 768 > UDP_RCVBUF_LEN);

/// Receive buffer asked for each UDP socket, in bytes: 10 to 20 ms of a full load.
pub const UDP_RCVBUF_LEN: usize = 8 << 20;
/// Send buffer asked for each UDP socket, in bytes: a packet is charged until the NIC has sent it.
pub const UDP_SNDBUF_LEN: usize = 4 << 20;

/// How long binding a busy address is tried again, in milliseconds: a ring whose process was killed holds its
/// ports for up to 48 ms.
pub const BIND_RETRY_MS_MAX: u64 = 500;
/// Pause between two such trials, in milliseconds.
pub const BIND_RETRY_PAUSE_MS: u64 = 20;

/// How long the self-test of the ring may take, in milliseconds. It needs under 5.
pub const SELF_TEST_MS_MAX: u64 = 1000;
/// Turns of 5 ms that the self-test of the ring may take beyond that time: a host may stall for a
/// second. It needs some 12 altogether.
pub const SELF_TEST_LATE_TURNS_MAX: u32 = 40;

/// How long a shard waits for a datagram before it looks for the stop and the second of its error cap.
pub const SHARD_TICK: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`, 4096 by default.
pub const TCP_BACKLOG: i32 = 4096;

/// Zones that have a counter of their own: the 24 built-in ones and the first that are configured. The others
/// share one.
pub const ZONE_SERIES_MAX: usize = 24 + 64;
const _: () = assert!(ZONE_SERIES_MAX < u8::MAX as usize);

/// How often whoever publishes a snapshot looks whether all have changed over.
pub const PUBLISH_LOOK: Duration = Duration::from_millis(1);
/// How long it waits for them: a thread that has not made a turn by then is stuck.
pub const PUBLISH_WAIT_MAX: Duration = STUCK_AFTER;

/// How long a reload may take: as long as a start. Whatever has not come by then is on a disk that does not
/// respond.
pub const RELOAD_MAX: Duration = HANDOVER_LOAD_MAX;
/// How late a running node sees that a drain is over, or tells the service manager something.
pub const LIFE_TICK: Duration = Duration::from_millis(200);
/// How long the node waits for its own answer before it asks once more, and at most.
pub const ITSELF_TRY_MAX: Duration = Duration::from_millis(200);
/// See [`ITSELF_TRY_MAX`].
pub const ITSELF_WAIT_MAX: Duration = Duration::from_secs(2);
/// Orders that are looked through for those that ask for the same.
pub const ORDERS_WAITING_MAX: usize = 64;
/// A drain is over once this part of the former rate is left: some clients keep an address for ever.
pub const DRAINED_BELOW: f64 = 0.01;
/// A drain ends after so many times its time, however many still come.
pub const DRAIN_TIMES_MAX: u32 = 3;
/// The longest time that a drain may be given.
pub const DRAIN_TIME_MAX_MS: u64 = 3_600_000;
/// How long a node that announces its routes drains at least, unless somebody says otherwise: BGP takes the
/// news of a withdrawal through most of the world in that time.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Clients of the control socket at one time: a person, a monitor, and those who watch.
pub const CONTROL_CLIENTS_MAX: usize = 32;
/// Those of them that watch: an order always has a place.
pub const CONTROL_WATCHERS_MAX: usize = CONTROL_CLIENTS_MAX / 2;
/// Bytes of a request on the control socket.
pub const CONTROL_LINE_LEN_MAX: u64 = 1024;
/// Time for a client of the control socket to ask, and to take its answer.
pub const CONTROL_STEP_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether a client that waits for its answer is still there.
pub const CONTROL_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of an answer on the control socket: all mistakes of a configuration, each with its place.
pub const CONTROL_ANSWER_LEN_MAX: u64 = 1 << 20;
/// How long nobody is accepted after the process ran out of something.
pub const CONTROL_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the end of the process waits for the last answers to leave.
pub const CONTROL_STOP_MAX: Duration = Duration::from_secs(1);

/// Connections to each listener of HTTP at one time; one more is closed at once. A scraper or two, a health
/// checker, a person: each needs one, for milliseconds.
pub const HTTP_CONNECTIONS_MAX: usize = 32;
/// Bytes of a request's head, the least that hyper can be told. Ours are under 300.
pub const HTTP_HEAD_LEN_MAX: usize = 8 << 10;
/// Time for each step of an exchange: the head of a request, what answers it, the taking of the answer. Ours
/// take milliseconds, so the network has the rest.
pub const HTTP_STEP_MAX: Duration = Duration::from_secs(1);
/// Bytes of all answers together that clients have not taken yet; what would pass it is refused. The largest
/// documents have some hundred KiB, and `/metrics` 32 KiB for each shard: honest clients never meet it.
pub const HTTP_ANSWERS_LEN_MAX: usize = 64 << 20;
const _: () = assert!(HTTP_ANSWERS_LEN_MAX >= SHARDS_MAX * (32 << 10));
/// Answers about the past that are kept until the quarter of an hour is over, and their bytes: what a
/// dashboard of some clients asks for. Others are made each time.
pub const ANSWERS_KEPT_MAX: usize = 128;
/// See [`ANSWERS_KEPT_MAX`].
pub const ANSWERS_KEPT_LEN_MAX: usize = 8 << 20;
/// The same of the public listener, which has no `/metrics`: half a MiB for each connection.
pub const HTTP_PUBLIC_LEN_MAX: usize = HTTP_CONNECTIONS_MAX * (512 << 10);
/// Names by which the operator's listener may be reached.
pub const ALLOWED_HOSTS_MAX: usize = 16;
/// How late the HTTP thread sees at most that it is to admit nobody, or to end.
pub const HTTP_TICK: Duration = Duration::from_millis(100);
/// How long no HTTP is accepted after the process ran out of something.
pub const HTTP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A thread that made no turn for so long is stuck: it makes one at least each [`SHARD_TICK`] or
/// [`TCP_TICK`], and a busy host may delay that by a second or two.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
const _: () = assert!(STUCK_AFTER.as_millis() >= 10 * SHARD_TICK.as_millis());

/// Time that `as112d stats` and `as112d top` give a node for each step of its answer: it needs a millisecond,
/// so the network has the rest.
pub const STATS_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer that they read at most: a shard takes about 16 KiB.
pub const STATS_LEN_MAX: u64 = 64 << 20;
const _: () = assert!(STATS_LEN_MAX >= SHARDS_MAX as u64 * (32 << 10));
/// Time over which `as112d stats` takes rates: long enough for a steady one, short enough to wait for.
pub const STATS_RATE_OVER: Duration = Duration::from_secs(1);
/// How often `as112d stats --watch` asks.
pub const STATS_WATCH_EVERY: Duration = Duration::from_secs(2);
/// How often `as112d top` may be told to ask, in seconds, and how often it does by default. A node would bear
/// much more; eyes would not.
pub const TOP_INTERVALS_S: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// Keys and answers that wait for it to draw; whoever has more of them waits.
pub const TOP_EVENTS_MAX: usize = 16;
/// Rates that it remembers: more than a terminal has columns.
pub const TOP_HISTORY_MAX: usize = 1000;

/// Series that one request to the Radar paths may ask for: this week, the last one, and a few more.
pub const RADAR_SERIES_MAX: usize = 8;
/// Places that `top` shows unless somebody asks for more, as Radar does.
pub const RADAR_TOP: usize = 5;
/// Bytes of the name of such a series.
pub const RADAR_NAME_LEN_MAX: usize = 64;
/// Values of one answer: a year by the hour of twenty groups. Each takes some 50 bytes while it is made.
pub const RADAR_VALUES_MAX: usize = 200_000;
/// Time for which a reader of the history waits for the store of a minute, which takes some milliseconds.
pub const HISTORY_READ_WAIT_MAX: Duration = Duration::from_millis(500);
const _: () = assert!(HISTORY_READ_WAIT_MAX.as_millis() < HTTP_STEP_MAX.as_millis());

/// Days whose RSSAC002 files one minute writes at most. More is due only where a directory is new to a node
/// with a long history; each day costs four files that must reach the disk, and the next minute must be
/// stored.
pub const RSSAC002_DAYS_PER_MINUTE_MAX: u64 = 31;
/// DSC files that are kept: those of three days, as a presenter may be gone for a weekend; of 5 KiB each.
pub const DSC_FILES_MAX: usize = 3 * 24 * 60;
/// Values of one dimension in a DSC file, the largest ones; what DSC's own example has for networks.
pub const DSC_CELLS_MAX: usize = 200;

/// Networks and names that are told apart to find the most frequent ones of a minute: one that has a
/// thousandth of all queries is counted short by a quarter at most. And how many are shown.
pub const TALKERS_TOLD_APART_MAX: usize = 4096;
/// See [`TALKERS_TOLD_APART_MAX`].
pub const TALKERS_SHOWN: usize = 10;
/// Names of sampled queries that wait for the aggregator, of one thread, in some 300 KiB: with one query in
/// 64 sampled enough for a quarter of a million queries a second. The rest is left out: it is a sample.
pub const NAMES_QUEUED_MAX: usize = 4 << 10;
/// Sources that wait for the aggregator, of one thread: with one query in 64 sampled and a look each second
/// that is enough for a million queries a second, in some 300 KiB. What comes on top is dropped and counted.
pub const SAMPLES_QUEUED_MAX: usize = 16 << 10;
/// One source in so many is sampled unless somebody says otherwise: on a busy node thousands in a second.
pub const SAMPLE_EVERY: u32 = 64;
/// The rarest sample that can be asked for.
pub const SAMPLE_EVERY_MAX: usize = 1 << 20;

/// One query in so many of a shard has its service time recorded.
pub const SERVICE_TIME_EVERY: u32 = 64;
/// Significant digits of service times: a per cent, in some ten kilobytes.
pub const SERVICE_TIME_DIGITS: u8 = 2;
/// The longest service time that is told apart: what takes longer is a fault, however much.
pub const SERVICE_TIME_MAX: Duration = Duration::from_secs(1);
/// How often a shard hands its service times over, at most.
pub const SERVICE_TIME_HANDED_EVERY: Duration = Duration::from_secs(1);

/// How often the aggregator looks at what the threads hand over.
pub const AGGREGATOR_TICK: Duration = Duration::from_secs(1);
/// After how long without a look it hangs: a store that waits for a lock, and then makes a day of it, takes
/// some seconds.
pub const AGGREGATOR_STUCK_AFTER: Duration = Duration::from_secs(75);

/// Databases of places: one of countries and one of ASes are usual.
pub const DATABASES_MAX: usize = 4;
/// Different networks, countries or ASes that are told apart within a minute; the rest is `other`. There are
/// some 80,000 ASes, and 16,384 samples in a second of each thread.
pub const SOURCES_TOLD_APART_MAX: usize = 1 << 17;
/// Of them so many are kept in each row of the history, the largest.
pub const SOURCES_KEPT_MAX: usize = 100;

/// Queries in the shown time that a country, an AS or a network must have sent, as estimated, to be named
/// on the public page: below, its line might tell what a single household or office does. The rest is
/// `other`.
pub const SHOWN_SOURCE_QUERIES_MIN: u64 = 1000;
/// Groups of one figure of the page that are shown by themselves: what comes after them is too small to see.
pub const SHOWN_GROUPS_MAX: usize = 10;
/// What a document of the page shows is kept for a step of its time, divided by this: 1 s where it has
/// minutes, 15 s where it has quarters of an hour, 24 min where it has days. So often, at most, can the
/// public make the node read its history for it.
pub const PAGE_KEPT_DIVISOR: u64 = 60;
/// How long a visitor waits for a page while another reads the history, and how often it is looked whether
/// he is done.
pub const PAGE_WAIT_MAX: Duration = Duration::from_millis(500);
/// See [`PAGE_WAIT_MAX`].
pub const PAGE_WAIT_STEP: Duration = Duration::from_millis(50);
const _: () = assert!(PAGE_WAIT_MAX.as_millis() < HTTP_STEP_MAX.as_millis());
/// Threads besides HTTP's event loop: one reads the history, one tells the next client that it is taken.
pub const HTTP_READERS: usize = 2;
/// Streams of live numbers at one time, of the connections that a listener has: the rest is for answers.
pub const HTTP_STREAMS_MAX: usize = 8;
const _: () = assert!(HTTP_STREAMS_MAX * 2 <= HTTP_CONNECTIONS_MAX);
/// How long such a stream lasts; then the browser asks for another, if there is one for it.
pub const HTTP_STREAM_LIFE_MAX: Duration = Duration::from_secs(60);
/// How often it has news.
pub const HTTP_STREAM_EVERY: Duration = Duration::from_secs(2);
/// Seconds over which "now" is an average on the pages, of which each has a sample.
pub const NOW_SECONDS: usize = 10;
/// How often the operator's view is refreshed in a browser that shows it.
pub const NODE_VIEW_REFRESH_SECONDS: u32 = 10;
/// How often `as112d site` asks for a document before it stops trying, and how long it waits in between: the
/// first document about a year takes a busy node some seconds.
pub const SITE_TRIES_MAX: u32 = 8;
/// See [`SITE_TRIES_MAX`].
pub const SITE_TRY_EVERY: Duration = Duration::from_secs(1);

/// Bytes of a file in which the kernel counts for the host: it has some ten kilobytes. And bytes read at
/// once.
pub const HOST_COUNTS_LEN_MAX: usize = 1 << 20;
/// See [`HOST_COUNTS_LEN_MAX`].
pub const HOST_COUNTS_READ_LEN: usize = 16 << 10;

/// System calls that are counted one by one where they are refused: the kernel's numbers end below 480.
pub const SYSCALLS_MAX: usize = 512;
/// Stack of each thread that we start, in bytes. Nothing recurses: SQLite and the pages take the most, some
/// 100 KiB in a debug build.
pub const THREAD_STACK_LEN: usize = 512 << 10;
/// Bytes of its file that SQLite keeps at hand for each connection: its own default.
pub const HISTORY_CACHE_LEN: usize = 2 << 20;
/// Connections to the history: the aggregator's, and those of HTTP and of the exports.
pub const HISTORY_CONNECTIONS: usize = 3;
/// What is added to the bound on memory for what nobody counts: the C library, the runtime of the HTTP
/// thread, rows on their way into the history.
pub const MEMORY_UNCOUNTED_LEN: usize = 8 << 20;

/// Lines that wait to be written to the log: what a start says twenty times over. What comes on top while a
/// disk or a pipe does not take them is lost and counted.
pub const LOG_QUEUED_MAX: usize = 1024;
/// Bytes of a message in the log; what is longer is cut.
pub const LOG_LINE_LEN_MAX: usize = 8 << 10;
/// Bytes of lines after which they are written, however many more wait.
pub const LOG_WRITE_LEN_MAX: usize = 64 << 10;
/// How long a log that could not be written, or has repetitions to tell of, waits for a line.
pub const LOG_TICK: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the log: somebody may have stopped reading.
pub const LOG_FLUSH_MAX: Duration = Duration::from_secs(1);
/// How often the log tells of what happens and is only counted: often enough to be seen, and no flood.
pub const REMARKS_EVERY: Duration = Duration::from_secs(600);
/// How often the same line is written within [`LOG_REPEATS_TIME`]; the rest is told in one line after it.
pub const LOG_REPEATS_PER_TIME_MAX: u32 = 3;
/// See [`LOG_REPEATS_PER_TIME_MAX`].
pub const LOG_REPEATS_TIME: Duration = Duration::from_secs(60);
/// Lines whose repetitions are counted at one time.
pub const LOG_REPEATS_TOLD_APART_MAX: usize = 64;

/// Records of queries that were copied out and wait for the thread that reports, of one thread. With one look
/// each [`TAP_TICK`] that is enough for 200,000 of them a second, in 3.5 MiB, and only where somebody wants
/// them. What comes on top is missed and counted.
pub const TAPPED_MAX: usize = 1024;
/// How often that thread looks: nobody wakes it, for that would be a system call on the way of a query.
pub const TAP_TICK: Duration = Duration::from_millis(5);
/// Bytes of a query and its reply that are copied out: the longest query with the longest reply over UDP.
/// Of what is longer over TCP the length is told, and no more.
pub const TAPPED_LEN_MAX: usize = QUERY_LEN_MAX + EDNS_UDP_SIZE_MAX;
/// The rarest copy that can be asked for.
pub const TAP_EVERY_MAX: usize = 1 << 20;
/// One query in so many goes to dnstap by default: what a small receiver bears of a busy node.
pub const DNSTAP_EVERY: u32 = 64;
/// Bytes of frames that wait for the receiver of dnstap. What comes on top is dropped and counted.
pub const DNSTAP_QUEUED_LEN_MAX: usize = 1 << 20;
/// How long after a failure dnstap tries to connect again.
pub const DNSTAP_RETRY: Duration = Duration::from_secs(1);
/// How long the receiver may take for its part of the handshake, and for the first byte of what waits for it;
/// then the connection is closed.
pub const DNSTAP_STALL_MAX: Duration = Duration::from_secs(10);
/// How long the end of the process waits for it to take the rest.
pub const DNSTAP_END_MAX: Duration = Duration::from_millis(500);
/// Bytes of one control frame that are read (the library of Frame Streams has the same bound).
pub const DNSTAP_CONTROL_LEN_MAX: usize = 512;
/// How long XDP answers after the node has last said that it lives: a few looks at its threads, so a
/// busy host does not send everything to the sockets, and a dead one does not answer for long.
pub const XDP_ALIVE: Duration = Duration::from_secs(3);
/// How often the node looks at its threads for that, and takes over what XDP has counted.
pub const XDP_BEAT: Duration = Duration::from_millis(500);
const _: () = assert!(XDP_ALIVE.as_millis() >= 4 * XDP_BEAT.as_millis());
/// How long a run of the program can last where the kernel does not say that all have ended.
pub const XDP_RUN_MAX: Duration = Duration::from_millis(100);
/// One query in so many that XDP could answer passes to the sockets, by default: at a
/// million in a second a thousand, enough for samples of sources and to keep the way warm.
pub const XDP_SAMPLE_EVERY: usize = 1024;
/// How often XDP is told again what the host is like, and drivers are asked what they lost.
pub const XDP_LOOK: Duration = Duration::from_secs(10);
/// How long an answer of rtnetlink may take: it is there when the question returns.
pub const NETLINK_ANSWER_MAX: Duration = Duration::from_secs(1);
/// Bytes of one datagram of it: the kernel fills 32 KiB at most.
pub const NETLINK_BUFFER_LEN: usize = 64 << 10;
/// Counters of a driver that are read: with a hundred queues mlx5 has eight thousand.
pub const DRIVER_COUNTERS_MAX: usize = 65_536;
/// Bytes of the name of an interface: the kernel's IFNAMSIZ without the end.
pub const INTERFACE_NAME_LEN_MAX: usize = 15;
/// Bins of sizes that XDP counts in: it looks at messages of up to 512 bytes.
pub const XDP_BINS: usize = 33;

/// Descriptors in one message from process to process: the kernel takes 253 (SCM_MAX_FD).
pub const PASSED_AT_ONCE: usize = 128;
/// Descriptors that belong to one message of a hand-over: every shard's socket for each address, a listener
/// for each, and a few more.
pub const PASSED_MAX: usize = LISTEN_MAX * (SHARDS_MAX + 1) + 16;
/// Bytes of one message of a hand-over: where sockets stand, or every counter by its name, of which there are
/// some 4,000 with 100 bytes each.
pub const HANDOVER_LEN_MAX: usize = 16 << 20;
/// Bytes of a history that was in memory.
pub const HANDOVER_IMAGE_LEN_MAX: usize = HISTORY_IN_MEMORY_LEN_MAX as usize + (1 << 20);
/// How long a process that hands over, or takes over, waits for the other to take what it sends.
pub const HANDOVER_SEND_MAX: Duration = Duration::from_secs(5);
/// How long a successor may take to load and check everything: a million zones and large databases
/// take some seconds on a busy host.
pub const HANDOVER_LOAD_MAX: Duration = Duration::from_secs(60);
/// How long it may take to adopt the sockets and test itself, and then to serve. It needs some ten
/// milliseconds for each.
pub const HANDOVER_STEP_MAX: Duration = Duration::from_secs(10);
/// How long the old process may take to store its history, for the new one to have it.
pub const HANDOVER_LEND_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(HANDOVER_LEND_MAX.as_millis() > HISTORY_BUSY_MAX.as_millis());
/// How long the new one may take to open that and everything else, and to ask itself. It serves meanwhile.
pub const HANDOVER_DONE_MAX: Duration = Duration::from_secs(30);
const _: () =
    assert!(HANDOVER_DONE_MAX.as_millis() > HISTORY_BUSY_MAX.as_millis() + HTTP_STEP_MAX.as_millis());
/// How long a successor that waits for the commit may take to hear it. The old process does nothing else
/// meanwhile.
pub const HANDOVER_TAKEN_MAX: Duration = Duration::from_secs(5);
/// How long a successor that is not wanted has to answer what it has read, before it is killed.
pub const HANDOVER_ABORT_MAX: Duration = Duration::from_secs(1);
/// How late a process that was succeeded sees that its last connection is gone.
pub const SUCCESSION_TICK: Duration = Duration::from_millis(50);
/// How long the service manager may take to take a message in.
pub const MANAGER_WAIT_MAX: Duration = Duration::from_millis(500);
/// How long a successor waits before it leaves its sockets with the service manager: by then it is the main
/// process there.
pub const KEEP_AFTER: Duration = Duration::from_secs(1);
/// How long the watchdog waits while a successor takes over.
pub const WATCHDOG_WAIT_MAX: Duration = HANDOVER_LOAD_MAX;
/// How often a command asks again because the node was just succeeded: each time is an upgrade.
pub const CONTROL_TRIES_MAX: u32 = 8;

/// Files that a node has open besides its sockets: rings, event loops, the history and its readers, exports,
/// standard streams. `as112d doctor` counts with it.
pub const DESCRIPTORS_BESIDE: usize = 64;
/// Bytes of one part of what `as112d doctor --bundle` writes: a large node's metrics fit, a firewall with a
/// million rules does not.
pub const BUNDLE_PART_LEN_MAX: usize = 1 << 20;
