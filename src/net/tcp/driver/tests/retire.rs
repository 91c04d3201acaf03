//! A driver whose process was succeeded: it serves what it has, and takes in nothing more.

use std::sync::atomic::Ordering;

use super::harness::{Server, ask, breathe, expect_end, framed_query};
use super::*;

/// While another process tries to serve, new connections are its; if it fails they are ours again.
#[test]
fn in_a_pause_connections_are_served_and_new_ones_wait() {
    let (server, successor) = Server::start_beside(TcpSettings::default());
    let mut early = server.connect();
    ask(&mut early, 1).unwrap();
    server.orders.pause();
    let wakes = || server.toy.wakes.load(Ordering::Relaxed);
    let before = wakes();
    while wakes() < before + 2 {
        breathe();
    }
    let (taken, mut left) = (server.connect(), server.connect());
    left.write_all(&framed_query(2, 0)).unwrap();
    let before = wakes();
    for id in 3..20 {
        ask(&mut early, id).unwrap();
    }
    while wakes() < before + 20 {
        breathe();
    }
    assert_eq!(server.counted(TcpEvent::Opened), 1);
    successor.set_nonblocking(false).unwrap();
    let (accepted, _) = successor.accept().unwrap();
    assert_eq!(accepted.peer_addr().unwrap(), taken.local_addr().unwrap());
    successor.set_nonblocking(true).unwrap();
    server.orders.resume();
    let mut reply = [0; 14];
    left.read_exact(&mut reply).unwrap();
    ask(&mut server.connect(), 21).unwrap();
    assert_eq!(server.counted(TcpEvent::Opened), 3);
}

#[test]
fn connections_that_are_there_are_served_and_new_ones_are_left_to_the_successor() {
    let (server, successor) = Server::start_beside(TcpSettings::default());
    let mut early = server.connect();
    ask(&mut early, 1).unwrap();
    server.orders.retire();
    // The round that goes on may accept still; with the wake-up after its own, it is over.
    let wakes = || server.toy.wakes.load(Ordering::Relaxed);
    let before = wakes();
    while wakes() < before + 2 {
        breathe();
    }
    let mut late = server.connect();
    late.write_all(&framed_query(2, 0)).unwrap();
    for id in 3..20 {
        ask(&mut early, id).unwrap();
    }
    assert_eq!(server.counted(TcpEvent::Opened), 1);
    successor.set_nonblocking(false).unwrap();
    let (mut taken, _) = successor.accept().unwrap();
    assert_eq!(taken.local_addr().unwrap().port(), late.peer_addr().unwrap().port());
    let mut query = [0; 42];
    taken.read_exact(&mut query).unwrap();
    assert_eq!(query[..], framed_query(2, 0), "what it had sent is there");
    drop(early);
    server.wait_end();
    assert_eq!(server.closed(Closed::Client), 1);
}

#[test]
fn the_idle_ones_are_closed_and_that_is_the_end() {
    let settings = TcpSettings {
        idle_timeout: Duration::from_millis(500),
        drain_timeout: Duration::from_secs(100),
        ..TcpSettings::default()
    };
    let (server, _successor) = Server::start_beside(settings);
    let mut idle = server.connect();
    while server.counted(TcpEvent::Opened) == 0 {
        breathe();
    }
    server.orders.retire();
    expect_end(&mut idle);
    server.wait_end();
    assert_eq!((server.closed(Closed::Idle), server.closed(Closed::Stop)), (1, 0));
}

#[test]
fn the_busy_ones_are_closed_when_the_time_is_over() {
    let drain_timeout = Duration::from_secs(1);
    let (server, _successor) = Server::start_beside(TcpSettings { drain_timeout, ..TcpSettings::default() });
    let mut busy = server.connect();
    ask(&mut busy, 1).unwrap();
    let began = Instant::now();
    server.orders.retire();
    let mut id = 1;
    while ask(&mut busy, id).is_ok() {
        id += 1;
        breathe();
    }
    assert!(began.elapsed() >= drain_timeout, "{:?}", began.elapsed());
    server.wait_end();
    assert_eq!((server.closed(Closed::Idle), server.closed(Closed::Stop)), (0, 1));
}

#[test]
fn a_stop_ends_it_before_its_time() {
    let (mut server, _successor) = Server::start_beside(TcpSettings::default());
    let mut stream = server.connect();
    ask(&mut stream, 1).unwrap();
    server.orders.retire();
    ask(&mut stream, 2).unwrap();
    assert!(server.stop() < Duration::from_secs(5));
    expect_end(&mut stream);
    assert_eq!(server.closed(Closed::Stop), 1);
}
