//! The program beside what the sockets would answer from, and what the tests send it.

use std::net::{IpAddr, SocketAddr};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::counters::{Counters, DROPPED, FAMILIES, Totals, XDP_PASSED};
use as112d::stats::labels::{DROPPED_LISTED, Values, XDP_REASON};
use as112d::xdp::{Fate, Filter, Growth, Port, Responder};
use as112d::zone::{self, ZoneEntry, ZoneSource};

use super::common::{options, settings};
use super::frames::{CLIENT_MAC, Frame, NODE_MAC, Read, Sum, read};

const LISTEN: [&str; 4] =
    ["192.175.48.1:53", "192.0.2.53:5300", "[2620:4f:8000::1]:53", "[2001:db8:53::1]:53"];
/// Without a socket of their own, but for the first of each.
const PREFIXES: [&str; 2] = ["192.175.48.0/24", "2620:4f:8000::/48"];

/// The program, and what the sockets would answer from.
pub struct Rig {
    pub responder: Responder,
    pub snapshot: Snapshot,
    listeners: Vec<SocketAddr>,
    /// What the node would have counted for what the program answered.
    counters: Counters,
    pub answered: u64,
    pub passed: u64,
    pub dropped: u64,
}

pub fn filter() -> Filter {
    Filter {
        ports: vec![
            Port { mac: [2, 0, 0, 0, 0, 9], vlans: vec![9] },
            Port { mac: NODE_MAC, vlans: vec![7, 4094] },
        ],
        absent: Vec::new(),
        listeners: LISTEN.iter().map(|one| one.parse().expect("an address")).collect(),
        prefixes: PREFIXES.iter().map(|one| one.parse().expect("a prefix")).collect(),
        sample: 0,
    }
}

impl Rig {
    pub fn new(snapshot: Snapshot, growth: Growth) -> Self {
        let responder = Responder::load(&filter(), &snapshot, growth).expect("it loads");
        responder.serve(true);
        let listeners = filter().listeners;
        Self {
            responder,
            snapshot,
            listeners,
            counters: Counters::default(),
            answered: 0,
            passed: 0,
            dropped: 0,
        }
    }

    /// Which listener a datagram to `to` is for; one in a prefix is for the one that stands there.
    fn listener(&self, to: SocketAddr) -> Option<usize> {
        let exact = self.listeners.iter().position(|listener| *listener == to);
        let within = || {
            let prefix = filter().prefixes.into_iter().find(|prefix| prefix.contains(&to.ip()))?;
            self.listeners.iter().position(|one| prefix.contains(&one.ip()) && one.port() == to.port())
        };
        exact.or_else(within)
    }

    /// Lets a frame in; whether it was answered. If so, the answer is right in every byte.
    pub fn try_frame(&mut self, frame: &[u8]) -> bool {
        self.responder.beat();
        match self.responder.run(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}")) {
            Fate::Passes => {
                self.passed += 1;
                false
            }
            Fate::Dropped => {
                let asked = read(frame).expect("what is dropped has a source");
                assert!(self.snapshot.drops(asked.source), "{frame:02x?}");
                self.dropped += 1;
                false
            }
            Fate::Answered(out) => {
                self.answered += 1;
                self.check(frame, &out)
                    .unwrap_or_else(|wrong| panic!("{wrong}\n in {frame:02x?}\nout {out:02x?}"));
                true
            }
        }
    }

    fn check(&mut self, frame: &[u8], out: &[u8]) -> Result<(), String> {
        let asked = read(frame).ok_or("no datagram was answered")?;
        let told = read(out).ok_or("the answer is no datagram")?;
        let (from, to) = (
            SocketAddr::new(asked.source, asked.source_port),
            SocketAddr::new(asked.destination, asked.port),
        );
        let listener = self.listener(to).ok_or("connection refused: nothing listens there")?;
        if asked.to != NODE_MAC
            || is_martian(asked.source)
            || asked.source.is_ipv4() != asked.destination.is_ipv4()
        {
            return Err("it was not for us".to_owned());
        }
        let mut slot = vec![0xEE; 2112.max(asked.payload.len())];
        slot[..asked.payload.len()].copy_from_slice(&asked.payload);
        let arrival = Arrival {
            transport: Transport::Udp,
            peer: from,
            local: to,
            listener,
            unix_time: 0,
            pace: Pace::Within,
        };
        let mut account = Account::default();
        let Verdict::Reply(len) =
            serve(&self.snapshot, &arrival, &mut slot, asked.payload.len(), &mut account)
        else {
            return Err("the sockets would have dropped it".to_owned());
        };
        account.post(Some(&slot[..len]), &self.counters);
        if told.payload != slot[..len] {
            return Err(format!("the sockets would have sent\n    {:02x?}", &slot[..len]));
        }
        let right = Read {
            to: asked.from.clone(),
            from: asked.to.clone(),
            source: asked.destination,
            destination: asked.source,
            source_port: asked.port,
            port: asked.source_port,
            payload: told.payload.clone(),
            is_udp_check_right: asked.is_udp_check_right,
            rest: 0,
            hops: 64,
            // What was wrong stays wrong, and 0 stays 0.
            udp_check: if asked.udp_check == 0 { 0 } else { told.udp_check },
            ..asked.clone()
        };
        if asked.udp_check == 0 {
            // Then there is none to be right, and only IPv4 may do so.
            let is_right = told.udp_check == 0 && asked.source.is_ipv4();
            let told = Read { is_udp_check_right: asked.is_udp_check_right, ..told };
            return if is_right && told == right {
                Ok(())
            } else {
                Err(format!("expected {right:?}\ngot {told:?}"))
            };
        }
        if told != right || told.udp_check == 0 {
            return Err(format!("expected {right:?}\n got {told:?}"));
        }
        Ok(())
    }

    /// The program has counted what the node would have.
    pub fn assert_counts(&mut self) {
        let mut expected = Totals::default();
        self.counters.read(&mut expected);
        let counted = self.responder.totals();
        expected.add(DROPPED.at([DROPPED_LISTED]), self.dropped);
        for family in FAMILIES.iter().filter(|family| family.name != XDP_PASSED.name) {
            assert_eq!(family.of(&counted), family.of(&expected), "{}", family.name);
        }
        assert_eq!(counted.sum(XDP_PASSED), self.passed);
    }

    /// How many frames passed for this reason.
    pub fn passed_for(&self, reason: &str) -> u64 {
        let Values::Partly(reasons, _) = XDP_REASON.values else { unreachable!() };
        let at = reasons.iter().position(|one| *one == reason).expect("a reason");
        XDP_PASSED.of(&self.responder.totals())[at]
    }
}

/// What the kernel takes no packet from.
fn is_martian(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_loopback() || ip.octets()[0] >= 224,
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local() || ip.segments()[..4] == [0; 4],
    }
}

/// A frame with `payload` for the first listener of a family.
pub fn frame(is_ipv6: bool, payload: &[u8]) -> Frame {
    let [source, destination] = match is_ipv6 {
        false => ["198.51.100.7", "192.175.48.1"],
        true => ["2001:db8:7::7", "2620:4f:8000::1"],
    };
    Frame {
        to: NODE_MAC,
        from: CLIENT_MAC,
        tags: Vec::new(),
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        source_port: 40_000,
        port: 53,
        payload: payload.to_vec(),
        sum: Sum::Right,
        padding: 0,
    }
}

/// A node with the built-in zones and an operator's, of every shape that matters here.
pub fn snapshot() -> Snapshot {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(&[]);
    let mut zone = |name: &str, soa: &str, more: &str| {
        let path = folder.path().join(format!("{name}.zone"));
        std::fs::write(&path, format!("@ 3600 IN SOA {soa} 1 2 3 4 5\n@ 3600 IN NS ns.example.net.\n{more}"))
            .expect("written");
        options.entries.push(ZoneEntry {
            name: name.to_owned(),
            source: ZoneSource::File(path),
            force: true,
            place: String::new(),
        });
    };
    zone("example.com", "ns.example.com. noc.example.com.", "");
    zone("Odd.Example", "a.very.long.name.for.a.server.example.org. b.very.long.name.example.org.", "");
    zone("deep.and.deeper.down.it.goes.with.labels", "@ @", "");
    zone("labels.and.deeper.down.it.goes.with.them", "@ @", "");
    zone("nine.labels.and.deeper.down.it.goes.with.them", "@ @", "");
    zone("full.test", "@ @", "www 60 IN A 192.0.2.1\n");
    zone("1.10.in-addr.arpa", "@ @", "");
    zone("2.20.172.in-addr.arpa", "@ @", "x 60 IN A 192.0.2.1\n");
    zone("x", "@ @", "");
    let long = ["l"; 4].map(|label| label.repeat(60)).join(".");
    zone("long.test", &format!("{long}. {long}."), "");
    zone("longlonglonglonglonglonglonglonglonglonglonglonglonglonglong.test", "@ @", "");
    // Names that end in the same 32 bytes, which one of them has alone.
    for name in THIRTY_TWO {
        zone(name, "@ @", "");
    }
    let zones = zone::load(&options).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let settings = Settings { listeners: filter().listeners, ..settings() };
    Snapshot::new(&zones, settings).expect("the settings are sound")
}

/// A name of 32 bytes, which the program finds in one cache line, and names below it.
const THIRTY_TWO: [&str; 3] = [
    "thirty-two-bytes-in-wire.test1",
    "x.thirty-two-bytes-in-wire.test1",
    "y.thirty-two-bytes-in-wire.test1",
];

/// Apexes of zones whose names below are answered.
pub const EMPTY: [&str; 17] = [
    THIRTY_TWO[0],
    THIRTY_TWO[1],
    THIRTY_TWO[2],
    "10.in-addr.arpa",
    "16.172.in-addr.arpa",
    "31.172.in-addr.arpa",
    "168.192.in-addr.arpa",
    "254.169.in-addr.arpa",
    "empty.as112.arpa",
    "home.arpa",
    "service.arpa",
    "example.com",
    "odd.example",
    "1.10.in-addr.arpa",
    "x",
    "longlonglonglonglonglonglonglonglonglonglonglonglonglonglong.test",
    "deep.and.deeper.down.it.goes.with.labels",
];

/// An OPT with these options behind `packet`, which counts it.
pub fn with_opt(
    mut packet: Vec<u8>,
    size: u16,
    flags: u16,
    version: u8,
    options: &[(u16, usize)],
) -> Vec<u8> {
    packet[11] += 1;
    packet.extend([0, 0, 41]);
    packet.extend(size.to_be_bytes());
    packet.extend([0, version]);
    packet.extend(flags.to_be_bytes());
    let mut rdata = Vec::new();
    for &(code, len) in options {
        rdata.extend(code.to_be_bytes());
        rdata.extend((len as u16).to_be_bytes());
        rdata.extend((0..len).map(|byte| byte as u8 ^ 0x5A));
    }
    packet.extend((rdata.len() as u16).to_be_bytes());
    packet.extend(rdata);
    packet
}

/// What of EDNS the program answers itself.
pub fn all_opts(packet: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![packet.to_vec()];
    for (size, flags) in [(1232, 0), (4096, 0x8000), (0, 0x7FFF), (512, 0xFFFF)] {
        for options in [
            &[][..],
            &[(10, 8)],
            &[(10, 24)],
            &[(10, 3)],
            &[(8, 7)],
            &[(12, 41)],
            &[(11, 0)],
            &[(10, 8), (8, 8), (12, 1), (65_001, 5)],
            &[(10, 16), (10, 8)],
        ] {
            all.push(with_opt(packet.to_vec(), size, flags, 0, options));
        }
    }
    all
}
