//! Every bound and size that we chose, each with its reason. Numbers that a standard fixes live in
//! [`crate::dns::consts`].

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

/// Slots of a shard's ring: at least four times the largest natural batch (33 datagrams per socket), and few
/// enough that the heads of all of them stay in the cache. Bursts belong in the socket's receive buffer.
pub const RING_SLOTS: u16 = 512;
/// Most slots a ring can have: the submission queue, at most 32,768 entries, must hold a reply for each.
pub const RING_SLOTS_MAX: u16 = 1 << 14;
const _: () = assert!(RING_SLOTS <= RING_SLOTS_MAX && RING_SLOTS_MAX.is_power_of_two());

/// Most sockets that one shard reads: addresses of a node. Bounds the arrays of poll and of the ring's files.
pub const SHARD_SOCKETS_MAX: usize = 1024;

/// Calls into the kernel that the end of a ring makes at most before it gives up waiting for its receives to
/// end.
pub const RING_END_TURNS_MAX: usize = 16;

/// Datagrams in one call of recvmmsg or sendmmsg: past 16 to 32 the cost of the call no longer shows.
pub const MMSG_BATCH: usize = 32;

/// Batches that the end of a socket still reads from it, so that a flood cannot keep it open: 16,384
/// datagrams, more than a receive buffer of [`UDP_RCVBUF_LEN`] holds (a small datagram is charged 768 bytes).
pub const DRAIN_BATCHES_MAX: usize = 512;
const _: () = assert!(DRAIN_BATCHES_MAX * MMSG_BATCH * 768 > UDP_RCVBUF_LEN);

/// Receive buffer asked for each UDP socket, in bytes: 10 to 20 ms of a full load.
pub const UDP_RCVBUF_LEN: usize = 8 << 20;
/// Send buffer asked for each UDP socket, in bytes: a packet is charged until the network card has sent it.
pub const UDP_SNDBUF_LEN: usize = 4 << 20;

/// How long binding a busy address is tried again, in milliseconds: a ring whose process was killed holds its
/// ports for up to 48 ms.
pub const BIND_RETRY_MS_MAX: u64 = 500;
/// Pause between two such trials, in milliseconds.
pub const BIND_RETRY_PAUSE_MS: u64 = 20;

/// How long the self-test of the ring may take, in milliseconds. It needs under 5.
pub const SELF_TEST_MS_MAX: u64 = 1000;
