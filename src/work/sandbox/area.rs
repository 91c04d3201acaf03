//! The area that host and guest share: what stands in a request, and how it is written.

use std::net::{IpAddr, SocketAddr};

use super::abi::{REPLY_LEN, REQUEST_LEN, SCRATCH_LEN};
use super::call::Call;
use crate::dns::arrival::Transport;
use crate::dns::consts::HEADER_LEN;
use crate::dns::query::{self, Header, Query};
use crate::policy::facts::{Cached, Outcome};
use crate::policy::phase::Phase;

/// A field of the request.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it stands.
    pub at: usize,
    /// What it is called.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// Makes a constant with the place of each field, and the table that the reference shows.
macro_rules! fields {
    ($($id:ident $at:literal $kind:literal $name:literal $meaning:literal,)*) => {
        $(pub(super) const $id: usize = $at;)*
        /// All fields, in their order.
        pub const FIELDS: &[Field] =
            &[$(Field { at: $at, name: $name, kind: $kind, meaning: $meaning },)*];
    };
}

fields! {
    SIZE 0 "u32" "size" "bytes of the request: 128",
    TOKEN 4 "u32" "token" "the query's number, for `finish` and `load`",
    PHASE 8 "u8" "phase" "the phase: its number in the table of phases",
    TRANSPORT 9 "u8" "transport" "0 UDP, 1 TCP",
    FAMILY 10 "u8" "family" "4 or 6: which addresses `peer` and `local` are",
    FLAGS 11 "u8" "flags" "bits: 1 RD, 2 DO, 4 EDNS, 8 the cache had an answer, 16 which is stale, 32 TCP, \
        64 the query is traced",
    QTYPE 12 "u16" "qtype" "the type that is asked for",
    QCLASS 14 "u16" "qclass" "the class",
    LISTENER 16 "u16" "listener" "the listener that took it, by its place in the configuration",
    QUESTION_END 18 "u16" "question_end" "where the question ends in the query",
    QUERY_LEN_AT 20 "u32" "query_len" "bytes of the query; a guest that changes the query sets it",
    REPLY_LEN_AT 24 "u32" "reply_len" "bytes of the reply so far, 0 without one; a guest that replies sets \
    it",
    PEER 28 "u8[16]" "peer" "the client's address; of IPv4 the first four bytes",
    LOCAL 44 "u8[16]" "local" "the address that was asked",
    PEER_PORT 60 "u16" "peer_port" "the client's port",
    LOCAL_PORT 62 "u16" "local_port" "the port that was asked",
    RULE 64 "u32" "rule" "the rule or hook that asks, by its place among all",
    RTT 68 "u32" "rtt_us" "microseconds that the response took, in phases that know; else 0",
    UNIX_NS 72 "u64" "unix_ns" "the time, in nanoseconds of Unix time",
    DEADLINE_NS 80 "u64" "deadline_ns" "when the query's time is up, by the same clock",
    COUNTRY 88 "u8[2]" "country" "where the client is (ISO 3166), where that was looked up; else 0",
    RCODE 90 "u16" "rcode" "the response code of the reply so far, with the bits of EDNS",
    ASN 92 "u32" "asn" "the client's autonomous system, where that was looked up; else 0",
    UPSTREAM 96 "u16" "upstream" "who was asked: its place in `[allow] forward`; 65535 nobody of these",
    OUTCOME 98 "u8" "outcome" "what came of that: 0 not asked, 1 a response, 2 timeout, 3 unreachable, 4 \
        nothing that can be read",
    OPCODE 99 "u8" "opcode" "the operation code",
}

/// Bits of `flags`.
pub mod flag {
    /// Recursion is desired.
    pub const RD: u8 = 1;
    /// DNSSEC OK.
    pub const DO: u8 = 2;
    /// It has an OPT.
    pub const EDNS: u8 = 4;
    /// The cache had an answer.
    pub const CACHE_HIT: u8 = 8;
    /// That is stale.
    pub const STALE: u8 = 16;
    /// It came over TCP.
    pub const TCP: u8 = 32;
    /// It is traced.
    pub const TRACED: u8 = 64;
}

/// No upstream, in `upstream`.
pub const UPSTREAM_NONE: u16 = u16::MAX;

/// The number of a phase, in requests and as the bit of `hook`.
#[must_use]
pub const fn phase_number(phase: Phase) -> u8 {
    match phase {
        Phase::Route => 0,
        Phase::Request => 1,
        Phase::PostCache => 2,
        Phase::Response => 3,
        Phase::Reply => 4,
        Phase::Done => 5,
    }
}

/// What the host knows of the outside of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub unix_ns: u64,
    pub deadline_ns: u64,
}

/// The parts of a query.
pub(super) fn read(packet: &[u8]) -> Option<(Header, Query)> {
    let header = Header::read(packet, packet.len())?;
    let mut parsed = Query::default();
    query::parse(packet, packet.len(), &header, &mut parsed).ok()?;
    Some((header, parsed))
}

/// The request about a query, and where its question ends. `upstream` is the place of who was asked.
pub(super) fn request(call: &Call<'_>, upstream: u16, times: Times) -> ([u8; REQUEST_LEN], usize) {
    let mut bytes = [0; REQUEST_LEN];
    let (header, query) = read(call.query).unzip();
    let mut flags = 0;
    let mut flag = |is: bool, bit: u8| flags |= if is { bit } else { 0 };
    flag(header.is_some_and(|header| header.is_recursion_desired()), flag::RD);
    let opt = query.as_ref().and_then(|query| query.opt);
    flag(opt.is_some_and(|opt| opt.dnssec_ok), flag::DO);
    flag(opt.is_some(), flag::EDNS);
    flag(matches!(call.later.cache, Some(Cached::Hit | Cached::Stale)), flag::CACHE_HIT);
    flag(call.later.cache == Some(Cached::Stale), flag::STALE);
    let is_tcp = call.arrival.transport != Transport::Udp;
    flag(is_tcp, flag::TCP);
    flag(call.is_traced, flag::TRACED);
    let question = query.map(|query| (query.question.qtype, query.question.qclass, query.question.end));
    let (qtype, qclass, end) = question.unwrap_or((0, 0, HEADER_LEN));
    let reply_len = call.reply.len().min(REPLY_LEN);

    put(&mut bytes, SIZE, (REQUEST_LEN as u32).to_le_bytes());
    put(&mut bytes, TOKEN, call.token.to_le_bytes());
    put(&mut bytes, PHASE, [phase_number(call.phase)]);
    put(&mut bytes, TRANSPORT, [u8::from(is_tcp)]);
    put(&mut bytes, FAMILY, [if call.arrival.peer.is_ipv4() { 4 } else { 6 }]);
    put(&mut bytes, FLAGS, [flags]);
    put(&mut bytes, QTYPE, qtype.to_le_bytes());
    put(&mut bytes, QCLASS, qclass.to_le_bytes());
    put(&mut bytes, LISTENER, (call.arrival.listener as u16).to_le_bytes());
    put(&mut bytes, QUESTION_END, (end as u16).to_le_bytes());
    put(&mut bytes, QUERY_LEN_AT, (call.query.len() as u32).to_le_bytes());
    put(&mut bytes, REPLY_LEN_AT, (reply_len as u32).to_le_bytes());
    address(&mut bytes, PEER, PEER_PORT, call.arrival.peer);
    address(&mut bytes, LOCAL, LOCAL_PORT, call.arrival.local);
    put(&mut bytes, RULE, u32::from(call.rule).to_le_bytes());
    let rtt = call.later.rtt.map_or(0, |rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
    put(&mut bytes, RTT, rtt.to_le_bytes());
    put(&mut bytes, UNIX_NS, times.unix_ns.to_le_bytes());
    put(&mut bytes, DEADLINE_NS, times.deadline_ns.to_le_bytes());
    put(&mut bytes, COUNTRY, call.later.country.unwrap_or_default());
    put(&mut bytes, RCODE, call.later.rcode.unwrap_or_default().to_le_bytes());
    put(&mut bytes, ASN, call.later.asn.unwrap_or_default().to_le_bytes());
    put(&mut bytes, UPSTREAM, upstream.to_le_bytes());
    let opcode = header.map_or(0, |header| header.opcode());
    put(&mut bytes, OUTCOME, [outcome_number(call.later.outcome)]);
    put(&mut bytes, OPCODE, [opcode]);
    (bytes, end)
}

const fn outcome_number(outcome: Option<Outcome>) -> u8 {
    match outcome {
        None => 0,
        Some(Outcome::Ok) => 1,
        Some(Outcome::Timeout) => 2,
        Some(Outcome::Refused) => 3,
        Some(Outcome::Bad) => 4,
    }
}

fn put<const N: usize>(bytes: &mut [u8; REQUEST_LEN], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn address(bytes: &mut [u8; REQUEST_LEN], at: usize, port_at: usize, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => put(bytes, at, ip.octets()),
        IpAddr::V6(ip) => put(bytes, at, ip.octets()),
    }
    put(bytes, port_at, address.port().to_le_bytes());
}

/// A number that a guest has set in the request at the beginning of `area`.
pub(super) fn u32_at(area: &[u8], at: usize) -> usize {
    area.get(at..at + 4).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

/// Says what is wrong with a condition: the column, the length of a message, and the message, cut to what
/// fits.
pub(super) fn wrong_condition(scratch: &mut [u8], column: usize, message: &str) {
    let room = SCRATCH_LEN.min(scratch.len()).saturating_sub(8);
    let message = &message.as_bytes()[..message.len().min(room)];
    let numbers = [column as u32, message.len() as u32].map(u32::to_le_bytes).concat();
    let bytes = [numbers.as_slice(), message].concat();
    if let Some(there) = scratch.get_mut(..bytes.len()) {
        there.copy_from_slice(&bytes);
    }
}
