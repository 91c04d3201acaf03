//! The end: what was received before it is answered, and the ports are free behind it.

use std::collections::HashSet;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use crate::common::daemon::{Daemon, V4, V6, read_message, send_message};
use crate::fault::{Flood, LENIENCY, alone, beside, collect_ids, honest_query, pause, report};

/// Clients of UDP, and queries that each sends: more than one shard has slots, and few enough for the receive
/// buffer of the smallest host.
const CLIENTS: usize = 20;
const QUERIES: usize = 50;
const CONNECTIONS: u16 = 4;

/// Nothing is left of it: every port can be had at once, without any option that shares it.
fn assert_free(port: u16) {
    for ip in [V4, V6] {
        UdpSocket::bind((ip, port)).expect("the port is free for UDP");
        TcpListener::bind((ip, port)).expect("the port is free for TCP");
    }
}

#[test]
fn everything_received_before_a_signal_is_answered() {
    let _turn = beside();
    for (datapath, shards, signal) in [
        ("io_uring", "1", libc::SIGTERM),
        ("io_uring", "2", libc::SIGINT),
        ("mmsg", "1", libc::SIGTERM),
        ("mmsg", "2", libc::SIGINT),
    ] {
        let daemon = Daemon::start(&["--datapath", datapath, "--shards", shards]);
        let port = daemon.port;
        let clients: Vec<UdpSocket> = (0..CLIENTS).map(|client| daemon.udp([V4, V6][client % 2])).collect();
        let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| daemon.tcp(V4)).collect();
        for stream in &mut streams {
            send_message(stream, &honest_query(0));
            assert!(read_message(stream).is_some(), "the connection is accepted");
        }

        daemon.signal(libc::SIGSTOP);
        for (number, client) in clients.iter().enumerate() {
            for query in 0..QUERIES {
                client.send(&honest_query((number * QUERIES + query) as u16)).expect("sent");
            }
        }
        for stream in &mut streams {
            (1..=10).for_each(|id| send_message(stream, &honest_query(id)));
        }
        daemon.signal(signal);
        let began = Instant::now();
        daemon.signal(libc::SIGCONT);
        let (status, said) = daemon.wait();
        assert_free(port);
        report(&format!("stop_{datapath}_ms"), began.elapsed().as_millis());

        assert_eq!(status.code(), Some(0), "{datapath}, signal {signal}");
        let answered: HashSet<u16> = clients.iter().flat_map(|client| collect_ids(client, QUERIES)).collect();
        assert_eq!(answered.len(), CLIENTS * QUERIES, "{datapath}, signal {signal}");
        for stream in &mut streams {
            for id in 1..=10_u16 {
                let reply = read_message(stream).expect("what came before the signal is answered");
                assert_eq!((reply.len(), &reply[..2]), (119, &id.to_be_bytes()[..]));
            }
            assert_eq!(read_message(stream), None, "the connection ends");
        }
        let total = CLIENTS * QUERIES + usize::from(CONNECTIONS) * 11;
        assert_eq!(said, [format!("stopped after {total} queries")], "{datapath}, signal {signal}");
    }
}

#[test]
fn a_flood_does_not_keep_it_alive() {
    let _turn = alone();
    for (datapath, signal) in [("io_uring", libc::SIGTERM), ("mmsg", libc::SIGINT)] {
        let daemon = Daemon::start(&["--datapath", datapath]);
        let port = daemon.port;
        let flood = Flood::start(daemon.address(V4));
        pause(Duration::from_millis(200));
        daemon.signal(signal);
        let began = Instant::now();
        let (status, _) = daemon.wait();
        let elapsed = began.elapsed();
        assert_free(port);
        assert!(flood.end() > 0);
        assert_eq!(status.code(), Some(0), "{datapath}");
        report(&format!("stop_under_flood_{datapath}_ms"), elapsed.as_millis());
        assert!(elapsed < LENIENCY * Duration::from_secs(2), "{datapath}: {elapsed:?}");
    }
}
