//! The self-test: a query for each interface and family goes through the program as a frame before it is
//! attached, and what comes out is what the sockets would have sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::filter::{Filter, Port};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{class, rtype};
use crate::limits::SLOT_PAYLOAD_LEN;
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, serve};
use crate::stats::account::Account;

/// Who seems to ask: an address that is nobody's, and a station.
const CLIENTS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 112)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 112)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x112, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 1)),
];
const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const CLIENT_PORT: u16 = 40_000;

/// A frame with a query, and the one that must come of it.
pub(super) struct Trial {
    pub(super) query: Vec<u8>,
    pub(super) reply: Vec<u8>,
}

/// What `port` is tried with: of each family an address that is answered at, asked for a name below `zone`.
pub(super) fn trials(filter: &Filter, port: &Port, snapshot: &Snapshot, zone: &[u8]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for is_ipv4 in [true, false] {
        let node = filter.example(is_ipv4);
        let is_free = |ip: &&IpAddr| ip.is_ipv4() == is_ipv4 && !filter.has(**ip);
        let client = CLIENTS.iter().find(is_free).map(|ip| SocketAddr::new(*ip, CLIENT_PORT));
        let (Some((node, listener)), Some(client)) = (node, client) else { continue };
        if !snapshot.policy().is_free(listener) {
            continue; // The sockets answer there.
        }
        let query = query(zone);
        let mut slot = vec![0; SLOT_PAYLOAD_LEN];
        slot[..query.len()].copy_from_slice(&query);
        let arrival = Arrival {
            transport: Transport::Udp,
            peer: client,
            local: node,
            listener,
            unix_time: 0,
            pace: Pace::Within,
        };
        let verdict = serve(snapshot, &arrival, &mut slot, query.len(), &mut Account::default());
        let Verdict::Reply(len) = verdict else { continue };
        trials.push(Trial {
            query: frame((CLIENT_MAC, client), (port.mac, node), &query),
            reply: frame((port.mac, node), (CLIENT_MAC, client), &slot[..len]),
        });
    }
    trials
}

/// For the PTR records of a name below `zone`, with an OPT.
fn query(zone: &[u8]) -> Vec<u8> {
    let mut query = vec![0x11, 0x2D, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend(b"\x09self-test");
    query.extend(zone);
    query.extend(rtype::PTR.to_be_bytes());
    query.extend(class::IN.to_be_bytes());
    query.extend([0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]);
    query
}

/// A datagram as the program writes it: no fragment, 64 hops, no identification.
fn frame(from: ([u8; 6], SocketAddr), to: ([u8; 6], SocketAddr), payload: &[u8]) -> Vec<u8> {
    let ((from_mac, from), (to_mac, to)) = (from, to);
    let len = payload.len() as u16 + 8;
    let addresses = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (from, to) => [from, to].map(octets).concat(),
    };
    let mut datagram = [from.port(), to.port(), len, 0].map(u16::to_be_bytes).concat();
    datagram.extend(payload);
    let pseudo_header = u32::from(len) + 17;
    let check = !folded(sum(&addresses) + sum(&datagram) + pseudo_header);
    datagram[6..8].copy_from_slice(&(if check == 0 { 0xFFFF } else { check }).to_be_bytes());
    let mut frame = [to_mac, from_mac].concat();
    if from.is_ipv4() {
        let mut header = [0x4500, len + 20, 0, 0x4000, 0x4011, 0].map(u16::to_be_bytes).concat();
        header.extend(addresses);
        let check = !folded(sum(&header));
        header[10..12].copy_from_slice(&check.to_be_bytes());
        frame.extend([0x08, 0x00]);
        frame.extend(header);
    } else {
        frame.extend([0x86, 0xDD]);
        frame.extend([0x6000, 0, len, 0x1140].map(u16::to_be_bytes).concat());
        frame.extend(addresses);
    }
    frame.extend(datagram);
    frame
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low))).sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}
