//! A node in this process, and packets.
#![allow(dead_code, reason = "each test uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::limits::TCP_REPLY_LEN_MAX;
use as112d::policy::{Policy, Series, Source, World};
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{UpdatePolicy, Verdict, serve};
use as112d::stats::account::Account;
use as112d::tailor::Tailor;
use as112d::tailor::spec::Spec;
use as112d::zone::{self, Identity, ZoneEntry, ZoneOptions, ZoneSource};

/// The name of the node that tests run.
pub const NODE: &str = "node1.example";

/// What a node serves when nothing but its name is configured, and the zone files `files` (name and path).
pub fn options(files: &[(&str, &str)]) -> ZoneOptions {
    let entry = |&(name, path): &(&str, &str)| ZoneEntry {
        name: name.to_owned(),
        source: ZoneSource::File(path.into()),
        force: false,
        place: String::new(),
    };
    ZoneOptions {
        direct: true,
        dname: true,
        special_use: true,
        entries: files.iter().map(entry).collect(),
        identity: Identity { node: NODE.to_owned(), ..Identity::default() },
        ..ZoneOptions::default()
    }
}

pub fn settings() -> Settings {
    Settings {
        edns_udp_size: 1232,
        nsid: NODE.into(),
        node: NODE.to_owned(),
        version: None,
        update: UpdatePolicy::Refused,
        cookies: None,
        rate_limit: None,
        drop: Vec::new(),
        policy: Policy::default(),
        apps: Default::default(),
        tailor: None,
        identity_zone: None,
        beacons_over_tcp: false,
        pools: Vec::new(),
        pops: Vec::new(),
        metrics: Vec::new(),
        listeners: Vec::new(),
        series: Vec::new(),
    }
}

/// What makes a node read client subnets and send them back, though no answer depends on one.
pub fn tailor() -> Arc<Tailor> {
    Arc::new(Tailor::new(&Spec::default(), Arc::default()).expect("there is nothing to read"))
}

/// These rules, for a node in `test1` that listens on `listeners`.
pub fn policy(rules: &str, listeners: &[SocketAddr]) -> Policy {
    let world = World {
        colo: "test1",
        node: NODE,
        listeners,
        upstreams: &[],
        guests: &[],
        resolver: None,
        series: Series::default(),
        has_databases: false,
    };
    let rules = Source { path: "test.rules", text: rules };
    Policy::compile(&[rules], &[], &world).expect("the rules are sound")
}

/// A node with the built-in zones and `files`.
pub fn node(files: &[(&str, &str)]) -> Snapshot {
    let zones = zone::load(&options(files)).expect("the zones load");
    Snapshot::new(&zones, settings()).expect("the settings are sound")
}

pub fn udp() -> Arrival {
    arrival(Transport::Udp)
}

pub fn tcp() -> Arrival {
    arrival(Transport::Tcp { keepalive: 100 })
}

fn arrival(transport: Transport) -> Arrival {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Arrival { transport, peer: at(40_000), local: at(5300), listener: 0, unix_time: 0, pace: Pace::Within }
}

/// What `node` replies to `packet`; `None` for nothing.
pub fn ask(node: &Snapshot, arrival: &Arrival, packet: &[u8]) -> Option<Vec<u8>> {
    let mut slot = vec![0xEE; TCP_REPLY_LEN_MAX.max(packet.len())];
    slot[..packet.len()].copy_from_slice(packet);
    match serve(node, arrival, &mut slot, packet.len(), &mut Account::default()) {
        Verdict::Reply(len) => Some(slot[..len].to_vec()),
        Verdict::Drop | Verdict::HandOff(_) => None,
    }
}

/// The wire form of a name in presentation form.
pub fn wire_name(text: &str) -> Vec<u8> {
    zone::name_from_text(text).unwrap_or_else(|error| panic!("{text}: {error}")).as_wire().to_vec()
}

/// A query of class IN with RD.
pub fn query(name: &str, qtype: u16) -> Vec<u8> {
    question(&wire_name(name), qtype, 1)
}

/// A query for a name in wire form.
pub fn question(name: &[u8], qtype: u16, qclass: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(name);
    packet.extend(qtype.to_be_bytes());
    packet.extend(qclass.to_be_bytes());
    packet
}

/// `packet` with an OPT that says `size` and holds `options`.
pub fn with_opt(mut packet: Vec<u8>, size: u16, options: &[u8]) -> Vec<u8> {
    packet[11] += 1;
    packet.extend([0, 0, 41]);
    packet.extend(size.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend((options.len() as u16).to_be_bytes());
    packet.extend(options);
    packet
}
