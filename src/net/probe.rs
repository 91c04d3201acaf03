//! The self-test of a shard: a few queries through a datapath like its own, made by its thread, answered from
//! its snapshot. No shard serves before all have passed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use domain::base::Name;

use super::udp::UdpIo;
use super::{Datapath, NetError};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{class, rcode, rtype};
use crate::limits::{SELF_TEST_MS_MAX, SLOT_PAYLOAD_LEN};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, native};
use crate::stats::account::Account;
use crate::sys::Arrived;
use crate::sys::sockets::{UdpOptions, bind_udp_group};

/// How a query comes in here.
fn arrival(peer: SocketAddr, local: SocketAddr) -> Arrival {
    Arrival { transport: Transport::Udp, peer, local, listener: 0, unix_time: 0, pace: Pace::Within }
}

/// Asks the node for its name, and for the SOA of its first zone: at a socket of one address, and at one of a
/// wildcard address, which has to answer from the address asked.
///
/// # Errors
/// If there can be no such datapath, or it does not answer as [`native`] does. A host without a loopback, or
/// with one that is down, passes.
pub(super) fn probe(datapath: Datapath, busy_poll: usize, snapshot: &Snapshot) -> Result<(), NetError> {
    let failed = |reason: String| NetError::Datapath { datapath, reason };
    let Ok(fixed) = pair((Ipv4Addr::LOCALHOST, 0).into(), Ipv4Addr::LOCALHOST.into())
        .or_else(|_| pair((Ipv6Addr::LOCALHOST, 0).into(), Ipv6Addr::LOCALHOST.into()))
    else {
        return Ok(());
    };
    // Without the address in the reply it would come from 127.0.0.1, and the client would not see it.
    let wildcard = pair((Ipv4Addr::UNSPECIFIED, 0).into(), Ipv4Addr::new(127, 0, 0, 2).into());
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for (server, client, local) in std::iter::once(fixed).chain(wildcard) {
        let peer = client.local_addr().map_err(|error| failed(error.to_string()))?;
        servers.push(server);
        clients.push((client, arrival(peer, local)));
    }
    let mut udp = UdpIo::new(datapath, servers, busy_poll)?;
    for (client, arrival) in clients {
        for (question, query) in queries(snapshot) {
            let expected = answer(snapshot, &arrival, &query);
            let reply = ask(&mut udp, &client, &query, snapshot, &arrival);
            let from = arrival.local.ip();
            let reply = reply.map_err(|error| failed(format!("self-test failed at {from}: {error}")))?;
            if reply != expected || !answers(&reply) {
                return Err(failed(format!("self-test failed at {from}: wrong answer to {question}")));
            }
        }
    }
    let ended = udp.end(&mut |_, _| None);
    ended.map(|_| ()).map_err(|error| failed(format!("self-test did not end: {error}")))
}

/// A socket for the datapath, bound to `server`, and one that is connected to it at the address `local`. A
/// loopback that is down does not count.
fn pair(server: SocketAddr, local: IpAddr) -> io::Result<(UdpSocket, UdpSocket, SocketAddr)> {
    let loopback: IpAddr =
        if local.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let server = bind_udp_group(server, 1, &UdpOptions::default())?.remove(0);
    let client = UdpSocket::bind((loopback, 0))?;
    let local = SocketAddr::new(local, server.local_addr()?.port());
    client.connect(local)?;
    client.set_nonblocking(true)?;
    client.send(b"?")?;
    server.set_read_timeout(Some(Duration::from_millis(SELF_TEST_MS_MAX / 4)))?;
    server.recv(&mut [0; 1])?;
    server.set_read_timeout(None)?;
    Ok((server, client, local))
}

fn queries(snapshot: &Snapshot) -> Vec<(String, Vec<u8>)> {
    let zone = snapshot.names().zones.first().and_then(|zone| query(zone, rtype::SOA, class::IN));
    let node = query("id.server", rtype::TXT, class::CH);
    node.into_iter().chain(zone).collect()
}

fn query(name: &str, qtype: u16, qclass: u16) -> Option<(String, Vec<u8>)> {
    let wire = Name::<Vec<u8>>::from_str(name).ok()?;
    let mut query = vec![0x11, 0x2D, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(wire.as_slice());
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&qclass.to_be_bytes());
    Some((name.to_owned(), query))
}

/// Without errors, and with a record at least.
fn answers(reply: &[u8]) -> bool {
    reply.len() > 12 && reply[3] & 0xF == rcode::NOERROR && reply[6..8] != [0, 0]
}

/// The answer of `serve` without a socket, not counted.
fn answer(snapshot: &Snapshot, arrival: &Arrival, query: &[u8]) -> Vec<u8> {
    let mut slot = vec![0; SLOT_PAYLOAD_LEN];
    slot[..query.len()].copy_from_slice(query);
    match native(snapshot, arrival, &mut slot, query.len(), &mut Account::default()) {
        Verdict::Reply(len) => slot[..len].to_vec(),
        Verdict::Drop | Verdict::HandOff(_) => Vec::new(),
    }
}

fn ask(
    udp: &mut UdpIo,
    client: &UdpSocket,
    query: &[u8],
    snapshot: &Snapshot,
    arrival: &Arrival,
) -> io::Result<Vec<u8>> {
    client.send(query)?;
    let until = Instant::now() + Duration::from_millis(SELF_TEST_MS_MAX);
    let mut reply = vec![0; SLOT_PAYLOAD_LEN];
    while Instant::now() < until {
        udp.turn(Duration::from_millis(5), &mut |arrived: &Arrived, slot: &mut [u8]| {
            let verdict = native(snapshot, arrival, slot, arrived.len, &mut Account::default());
            match verdict {
                Verdict::Reply(len) if arrived.peer == arrival.peer => Some(len),
                _ => None,
            }
        })?;
        if let Ok(len) = client.recv(&mut reply) {
            reply.truncate(len);
            return Ok(reply);
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no reply in time"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::UpdatePolicy;
    use crate::serve::snapshot::Settings;
    use crate::zone::{self, Identity, ZoneOptions};

    fn snapshot(direct: bool) -> Snapshot {
        let identity = Identity { node: "node1.example".to_owned(), ..Identity::default() };
        let settings = Settings {
            edns_udp_size: 1232,
            nsid: Vec::new(),
            node: identity.node.clone(),
            version: None,
            update: UpdatePolicy::Refused,
            cookies: None,
            rate_limit: None,
            drop: Vec::new(),
            policy: crate::policy::Policy::default(),
            apps: crate::serve::snapshot::Apps::default(),
            tailor: None,
            identity_zone: None,
            beacons_over_tcp: false,
            pools: Vec::new(),
            pops: Vec::new(),
            metrics: Vec::new(),
            listeners: Vec::new(),
            series: Vec::new(),
        };
        let entries = Vec::new();
        let options = ZoneOptions { direct, entries, identity, ..ZoneOptions::default() };
        Snapshot::new(&zone::load(&options).unwrap(), settings).unwrap()
    }

    #[test]
    fn a_shard_that_answers_passes() {
        for datapath in [Datapath::IoUring, Datapath::Mmsg] {
            if datapath == Datapath::IoUring && crate::sys::self_test().is_err() {
                eprintln!("skipped: there is no io_uring here");
                continue;
            }
            assert_eq!(queries(&snapshot(true)).len(), 2);
            probe(datapath, 0, &snapshot(true)).unwrap();
        }
    }

    #[test]
    fn what_is_no_answer_is_told_from_one() {
        let snapshot = snapshot(true);
        let (peer, local) = ("127.0.0.1:4096".parse().unwrap(), "127.0.0.1:53".parse().unwrap());
        let arrival = arrival(peer, local);
        let (_, unknown) = query("example.com", rtype::SOA, class::IN).unwrap();
        assert!(!answers(&answer(&snapshot, &arrival, &unknown)), "refused");
        let (_, known) = queries(&snapshot).remove(0);
        assert!(answers(&answer(&snapshot, &arrival, &known)));
        assert!(!answers(&answer(&snapshot, &arrival, &known[..5])) && !answers(&[]));
    }
}
