//! Every bound and size that we chose, each with its reason. Numbers that a standard fixes live in
//! [`crate::dns::consts`].

use std::time::Duration;

/// Longest query that is read in full, in bytes (UDP and TCP alike). An ordinary query has under 100 bytes, one with
/// TSIG and cookies under 400; what is longer is answered FORMERR.
pub const QUERY_LEN_MAX: usize = 2048;

/// Bytes of a slot that a transport offers to a datagram or message: one more than [`QUERY_LEN_MAX`], so that the
/// length alone says "too long", rounded up so that slots start on cache lines.
pub const SLOT_PAYLOAD_LEN: usize = 2112;
const _: () = assert!(SLOT_PAYLOAD_LEN > QUERY_LEN_MAX && SLOT_PAYLOAD_LEN.is_multiple_of(64));

/// Smallest and largest UDP payload that we may be configured to send, in bytes. 1232 is what passes an IPv6 path of
/// 1280 bytes unfragmented (RFC 9715).
pub const EDNS_UDP_SIZE_MIN: usize = 512;
/// See [`EDNS_UDP_SIZE_MIN`].
pub const EDNS_UDP_SIZE_MAX: usize = 1232;
const _: () = assert!(EDNS_UDP_SIZE_MAX <= SLOT_PAYLOAD_LEN);

/// Largest reply over TCP, in bytes: the length prefix of RFC 1035, section 4.2.2, counts no further.
pub const TCP_REPLY_LEN_MAX: usize = 65_535;

/// Longest NSID payload and node name, in bytes: with it the longest negative answer still fits 512 bytes.
pub const NSID_LEN_MAX: usize = 128;

/// Links of a chain of CNAMEs (synthesised ones included) that an answer follows. Longer chains are an error of the
/// zone; resolvers stop at 8 to 16.
pub const CHAIN_LINKS_MAX: usize = 8;

/// FORMERR and NOTIMP replies a shard sends over UDP in one second of its clock: enough for people who test, too few
/// to make two broken programs keep each other busy.
pub const ERROR_REPLIES_PER_SECOND_MAX: u32 = 1000;

/// Zones that one node serves. Bounded so that a mistaken `dir` does not eat the memory.
pub const ZONES_MAX: usize = 100_000;

/// Records in one zone file, and bytes of it.
pub const ZONE_RECORDS_MAX: usize = 1_000_000;
/// See [`ZONE_RECORDS_MAX`].
pub const ZONE_FILE_LEN_MAX: u64 = 256 << 20;

/// TCP connections of the process, and of one client (an address; for IPv6 its /64). One more than either is
/// let in and the idlest goes: a connection costs about 1 KiB of ours while idle, so the first number bounds
/// file descriptors rather than memory; the second leaves room for 64 greedy clients, and no resolver needs
/// more.
pub const TCP_CONNECTIONS_MAX: usize = 4096;
/// See [`TCP_CONNECTIONS_MAX`].
pub const TCP_CONNECTIONS_PER_CLIENT_MAX: usize = 64;
const _: () = assert!(TCP_CONNECTIONS_PER_CLIENT_MAX <= TCP_CONNECTIONS_MAX);

/// Time for a whole message from its first byte: a query fits one segment, so that 2 s allow for its loss and
/// one retransmission, and a client that drips bytes gains nothing by it.
pub const TCP_MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle time after which a connection is closed while the table is at most half full (RFC 7766, section
/// 6.2.3: "on the order of seconds").
pub const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left of the idle time when the table is full: a round trip to anywhere and time to think.
pub const TCP_IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const _: () = assert!(TCP_IDLE_TIMEOUT_MIN.as_millis() <= TCP_IDLE_TIMEOUT.as_millis());
/// Time for which a client may take nothing of the answers that wait for it.
pub const TCP_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the deadlines are looked at, and how late the stop flag is seen at most.
pub const TCP_TICK: Duration = Duration::from_millis(100);
const _: () = assert!(TCP_TICK.as_millis() * 10 <= TCP_MESSAGE_TIMEOUT.as_millis());

/// Bytes of all TCP buffers together; beyond it the largest holder is closed.
pub const TCP_BUFFERS_LEN_MAX: usize = 64 << 20;
/// Unsent bytes at which a connection is not read any more, nor answered.
pub const TCP_UNSENT_LEN_MAX: usize = 64 << 10;
/// Capacity that a connection keeps for its next answers when all are sent: enough for a handful.
pub const TCP_UNSENT_KEPT_LEN: usize = 1 << 10;
const _: () = assert!(TCP_CONNECTIONS_MAX * TCP_UNSENT_KEPT_LEN <= TCP_BUFFERS_LEN_MAX / 4);
/// Bytes that one turn of a connection reads at most: some 400 queries, so that a full table of greedy
/// clients delays an honest one by less than a second, and a system call still serves many queries.
pub const TCP_READ_LEN_MAX: usize = 16 << 10;
const _: () = assert!(TCP_READ_LEN_MAX >= 2 + SLOT_PAYLOAD_LEN);
/// Send buffer of the kernel for one connection: with the kernel's own sizing a client that takes nothing
/// could leave megabytes there, behind the back of [`TCP_BUFFERS_LEN_MAX`].
pub const TCP_KERNEL_SEND_LEN: usize = 64 << 10;

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
/// Time for sending what is due when the process stops.
pub const TCP_DRAIN_MAX: Duration = Duration::from_secs(1);
