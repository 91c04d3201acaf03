//! What is tried with one input: the bodies of the fuzz targets, which the tests run with seeded input as
//! well.
//!
//! Each panics when something that must hold does not.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use as112d::config::{self, Flags};
use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::dns::message::{self, Message};
use as112d::limits::{QUERY_LEN_MAX, SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use as112d::net::orders::Orders;
use as112d::net::tcp::{Serving, TcpDriver, TcpSettings};
use as112d::problem::Problem;
use as112d::serve::published::Published;
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{UpdatePolicy, Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::ledger::{LedgerSettings, ledger};
use as112d::sys::sockets;
use as112d::zone::{self, Identity, ZoneEntry, ZoneOptions, ZoneSet, ZoneSource};

#[path = "../tests/common/invariants.rs"]
pub mod invariants;

/// A zone with everything that an answer can be made of; the target's node serves it beside the built-in
/// ones.
pub const RICH_ZONE: &str = "\
$TTL 3600
@ SOA ns.example.net. noc.example.net. 1 2 3 4 5
@ NS ns.example.net.
@ MX 10 www
@ TXT \"a text\" \"and another\"
www A 203.0.113.1
www AAAA 2001:db8::1
*.wild A 203.0.113.2
*.s TXT star
a.ent.deep A 203.0.113.3
cname CNAME www
chain CNAME cname.sub.dna
loop CNAME loop2
loop2 CNAME loop
dna DNAME s
far DNAME LONG.LONG.LONG.s
out DNAME example.net.
sub NS ns.sub
sub NS ns.elsewhere.example.
ns.sub A 203.0.113.4
srv SRV 0 0 53 www
big TXT BIG0 BIG1 BIG2 BIG3 BIG4 BIG5
";

/// The name of the node.
pub const NODE: &str = "node1.example";

/// [`RICH_ZONE`] as it is served: `big` does not fit a datagram without EDNS, nor with, and names below `far`
/// soon become too long.
pub fn rich_zone() -> String {
    (0..6).fold(RICH_ZONE.replace("LONG", &"l".repeat(60)), |zone, number| {
        zone.replace(&format!("BIG{number}"), &format!("\"{}\"", "x".repeat(250)))
    })
}

fn options(zone_file: PathBuf, with_builtin: bool) -> ZoneOptions {
    ZoneOptions {
        direct: with_builtin,
        dname: with_builtin,
        special_use: with_builtin,
        entries: vec![ZoneEntry {
            name: "example.com".to_owned(),
            source: ZoneSource::File(zone_file),
            force: false,
            place: String::new(),
        }],
        identity: Identity { node: NODE.to_owned(), ..Identity::default() },
        ..ZoneOptions::default()
    }
}

fn compile(zones: &ZoneSet) -> Result<Snapshot, Vec<Problem>> {
    let settings = Settings {
        edns_udp_size: 1232,
        nsid: NODE.into(),
        node: NODE.to_owned(),
        version: None,
        update: UpdatePolicy::Refused,
        cookies: None,
        rate_limit: None,
        drop: Vec::new(),
        policy: as112d::policy::Policy::default(),
        apps: Default::default(),
        tailor: None,
        identity_zone: None,
        beacons_over_tcp: false,
        pools: Vec::new(),
        pops: Vec::new(),
        metrics: Vec::new(),
        listeners: Vec::new(),
        series: Vec::new(),
    };
    Snapshot::new(zones, settings)
}

/// The node that packets are tried on.
pub fn node() -> &'static Snapshot {
    &published().1
}

/// The same as connections are served from it.
fn published() -> &'static (Arc<Published>, Arc<Snapshot>) {
    static NODE: OnceLock<(Arc<Published>, Arc<Snapshot>)> = OnceLock::new();
    NODE.get_or_init(|| {
        let zones =
            with_file("zone", rich_zone().as_bytes(), |path| zone::load(&options(path.to_owned(), true)));
        let published =
            Published::new(compile(&zones.expect("the zones load")).expect("the settings are sound"));
        let snapshot = published.newest();
        (published, snapshot)
    })
}

/// Runs `body` with a file of its own that holds `bytes`.
fn with_file<T>(kind: &str, bytes: &[u8], body: impl FnOnce(&Path) -> T) -> T {
    let thread = format!("{:?}", std::thread::current().id());
    let digits: String = thread.chars().filter(char::is_ascii_digit).collect();
    let name = format!("as112d-fuzz-{}-{digits}.{kind}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, bytes).expect("there is room for a file");
    let outcome = body(&path);
    fs::remove_file(&path).expect("it was just written");
    outcome
}

/// What `snapshot` replies to a packet, in a slot that is otherwise full of `filler`.
fn answer(snapshot: &Snapshot, transport: Transport, packet: &[u8], filler: u8) -> Option<Vec<u8>> {
    let slot_len = if transport == Transport::Udp { SLOT_PAYLOAD_LEN } else { TCP_REPLY_LEN_MAX };
    // What a transport hands over of a packet that is too long.
    let most = if transport == Transport::Udp { SLOT_PAYLOAD_LEN } else { QUERY_LEN_MAX + 1 };
    let len = packet.len().min(most);
    let mut slot = vec![filler; slot_len];
    slot[..len].copy_from_slice(&packet[..len]);
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let arrival = Arrival {
        transport,
        peer: at(40_000),
        local: at(5300),
        listener: 0,
        unix_time: 0,
        pace: Pace::Within,
    };
    let mut account = Account::default();
    match serve(snapshot, &arrival, &mut slot, len, &mut account) {
        Verdict::Reply(len) => Some(slot[..len].to_vec()),
        Verdict::Drop | Verdict::HandOff(_) => None,
    }
}

/// The reply to a packet of a client of UDP, or of TCP. It has no fault, and does not depend on what stood in
/// the slot.
pub fn reply(snapshot: &Snapshot, over_tcp: bool, packet: &[u8]) -> Option<Vec<u8>> {
    let transport = if over_tcp { Transport::Tcp { keepalive: 100 } } else { Transport::Udp };
    let reply = answer(snapshot, transport, packet, 0xEE);
    assert_eq!(reply, answer(snapshot, transport, packet, 0), "what is behind a packet is no part of it");
    let must = packet.len() >= 12 && packet[2] & 0x80 == 0;
    assert_eq!(reply.is_some(), must, "every query is answered, and nothing else");
    if let Some(reply) = &reply
        && let Err(fault) = invariants::check(packet, reply, over_tcp)
    {
        panic!("{fault}: over {transport:?}, {packet:02x?} got {reply:02x?}");
    }
    reply
}

/// A raw packet, over UDP and over TCP; the replies.
pub fn packet(bytes: &[u8]) -> [Option<Vec<u8>>; 2] {
    [false, true].map(|over_tcp| reply(node(), over_tcp, bytes))
}

/// What a connection must send for a stream of bytes: the replies to the whole messages, each behind its
/// length, up to the first that gets none.
fn replies(stream: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut rest = stream;
    while let Some((prefix, body)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*prefix));
        let Some(message) = body.get(..len) else { break };
        rest = &body[len..];
        let Some(reply) = reply(node(), true, message) else { break };
        sent.extend((reply.len() as u16).to_be_bytes());
        sent.extend(reply);
    }
    sent
}

/// A stream of bytes to a TCP server that serves [`node`] at `to`: the first byte says in which pieces the
/// others are sent.
pub fn tcp_stream(bytes: &[u8], to: SocketAddr) {
    let Some((&pieces, stream)) = bytes.split_first() else { return };
    let expected = replies(stream);
    let mut client = TcpStream::connect(to).expect("a connection");
    client.set_nodelay(true).expect("set");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    for piece in stream.chunks(1 + usize::from(pieces) * usize::from(pieces)) {
        // It may have closed already.
        if client.write_all(piece).is_err() {
            break;
        }
    }
    // It may be gone even.
    let _ = client.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("it answers, and ends");
    assert_eq!(got, expected, "the answers to {stream:02x?}");
}

/// The address of a TCP server in this process, which never ends.
pub fn tcp_server() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let listener = sockets::bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), 128).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let driver = TcpDriver::new(vec![listener], TcpSettings::default()).expect("it can be watched");
        std::thread::spawn(move || {
            let mut serving =
                Serving::new(published().0.follow(), ledger(&LedgerSettings::default()).0, None);
            driver.run(&Orders::default(), &mut serving).expect("it never ends");
        });
        address
    })
}

/// Mistakes are told: at least one, each with its place in `path`, and in one line.
fn assert_told(problems: &[Problem], path: &Path) {
    assert!(!problems.is_empty(), "a failure without a reason");
    for Problem { place, message } in problems {
        assert!(place.starts_with(&path.display().to_string()), "no place: {place}: {message}");
        assert!(!message.is_empty() && !message.contains('\n'), "no message for a line: {message:?}");
    }
}

/// A zone file. It is refused with reasons; or it is served without a fault, and printed so that it loads
/// again to the same. Whether it was served.
pub fn zone_file(bytes: &[u8]) -> bool {
    // Files elsewhere are not part of the input.
    let bytes: Vec<u8> = bytes.iter().map(|&byte| if byte == b'/' { b'_' } else { byte }).collect();
    let load = |path: &Path| {
        zone::load(&options(path.to_owned(), false)).map_err(|problems| {
            assert_told(&problems, path);
        })
    };
    let Ok(zones) = with_file("zone", &bytes, load) else { return false };
    let served = zones.zones.iter().find(|zone| zone.apex().to_string().starts_with("example.com"));
    let served = served.expect("it was configured");
    let mut printed = String::new();
    zone::write_zone(served, &mut printed).expect("strings take everything");
    let again = with_file("zone", printed.as_bytes(), |path| zone::load(&options(path.to_owned(), false)));
    let again =
        again.unwrap_or_else(|problems| panic!("{problems:?}: what was printed is refused:\n{printed}"));
    let again =
        again.zones.iter().find(|zone| zone.apex_wire() == served.apex_wire()).expect("it was configured");
    assert!(again.records().eq(served.records()), "what was printed is something else:\n{printed}");
    let snapshot = compile(&zones).expect("a checked zone compiles");
    for record in served.records().take(64) {
        for qtype in [record.rtype, 255] {
            let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend(record.owner.as_wire());
            query.extend(qtype.to_be_bytes());
            query.extend([0, 1]);
            reply(&snapshot, false, &query);
            reply(&snapshot, true, &query);
        }
    }
    true
}

/// A whole message: malformed, or all that is known of it is right, and it says the same without its OPT.
/// Whether it was sound.
pub fn message(bytes: &[u8]) -> bool {
    let Ok(read) = Message::read(bytes) else {
        assert!(!message::same(bytes, b"") || bytes.is_empty());
        return false;
    };
    assert!(message::same(bytes, bytes));
    assert!(read.ttls.is_sorted(), "they stand in their order");
    let records = read.counts[1..].iter().map(|&count| usize::from(count)).sum::<usize>();
    let with_ttl = records - usize::from(read.opt.is_some());
    assert_eq!(read.ttls.len(), with_ttl.min(message::TTLS_MAX));
    assert_eq!(read.has_more_ttls, with_ttl > message::TTLS_MAX);
    let ttl = |message: &[u8], at: u16| {
        let at = usize::from(at);
        let ttl = u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        if ttl >> 31 == 1 { 0 } else { ttl }
    };
    if !read.has_more_ttls {
        assert_eq!(read.ttl_min, read.ttls.iter().map(|&at| ttl(bytes, at)).min());
    }
    let mut out = Vec::new();
    if message::without_opt(bytes, &read, &mut out).is_ok() {
        let without = Message::read(&out).expect("without its OPT it is sound");
        assert_eq!(without.opt, None);
        assert_eq!(without.ttls[..], read.ttls_without_opt().collect::<Vec<_>>());
        assert_eq!((without.ttl_min, without.negative_ttl), (read.ttl_min, read.negative_ttl));
        let is_plain = read.opt.as_ref().is_none_or(|opt| opt.extended_rcode == 0);
        assert_eq!(message::same(bytes, &out), is_plain, "it says the same");
    }
    true
}

/// A configuration file: refused with reasons, or consistent. Whether it was taken.
pub fn configuration(bytes: &[u8]) -> bool {
    with_file("toml", bytes, |path| match config::load(Some(path), &Flags::default()) {
        Err(problems) => {
            assert_told(&problems, path);
            false
        }
        Ok(config) => {
            assert!(!config.listen.is_empty() && config.listen.iter().all(|address| address.port() != 0));
            assert!(!config.identity.node.is_empty() && config.identity.node.len() <= 128);
            assert!((512..=1232).contains(&config.edns_udp_size) && config.nsid.len() <= 128);
            assert!(config.tcp.connections_per_client_max <= config.tcp.connections_max);
            true
        }
    })
}
