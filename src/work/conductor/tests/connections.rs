//! Connections over loopback, against a server that does as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::loopback::{Rig, name};
use super::sim::{Sim, upstream};
use crate::policy::facts::Outcome;
use crate::policy::upstream::{Over, Upstream};
use crate::stats::counters::UPSTREAM_QUERIES;
use crate::stats::labels::TRIAL_TRUNCATED;
use crate::work::conductor::Asked;

/// What a server does with a connection that was accepted, by its number.
type Serve = dyn Fn(usize, TcpStream) + Send + Sync;

/// A server over TCP, whose threads end with the test's process or with their clients. It counts connections.
fn listen(serve: Arc<Serve>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    (address, count)
}

fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    (answer[2], answer[3]) = (0x84, 0);
    [&(answer.len() as u16).to_be_bytes()[..], &answer].concat()
}

fn echo(_: usize, mut stream: TcpStream) {
    while let Some(query) = read(&mut stream) {
        if stream.write_all(&answer(&query)).is_err() {
            return;
        }
    }
}

fn over_tcp(address: SocketAddr) -> Upstream {
    // Connecting is one try, and on a busy host may take its time.
    Upstream { servers: vec![address], over: Over::Tcp, timeout: Duration::from_secs(5), ..upstream(1) }
}

#[test]
fn connections_are_few_shared_and_kept() {
    let (address, count) = listen(Arc::new(echo));
    let mut rig = Rig::new(&[over_tcp(address)]);
    // On a busy host a connection may be silent for longer than it may; that is not what this is about.
    rig.stopped = Some(Instant::now());
    for round in 0..5 {
        for number in 0..200 {
            assert_eq!(rig.ask(&Sim::asking(&name(200 * round + number)), number), Asked::Waiting);
        }
        rig.until(|rig| rig.done.len() == 200);
        let others = rig.done.iter().filter(|(_, (outcome, ..))| *outcome != Outcome::Ok);
        assert_eq!(others.count(), 0, "round {round}: {:?}", rig.done);
        rig.done.clear();
    }
    assert!(count.load(Ordering::Relaxed) <= 4, "{count:?}");
}

#[test]
fn more_than_fit_are_not_lost_in_silence() {
    let (address, _) = listen(Arc::new(|_, mut stream| {
        // It says nothing until the other side closes.
        let _ = stream.read_to_end(&mut Vec::new());
    }));
    let mut rig = Rig::new(&[Upstream { timeout: Duration::from_millis(400), ..over_tcp(address) }]);
    for number in 0..300 {
        rig.ask(&Sim::asking(&name(number)), number);
    }
    rig.until(|rig| rig.done.len() == 300);
    let refused = rig.done.values().filter(|(outcome, ..)| *outcome == Outcome::Refused).count();
    let timed_out = rig.done.values().filter(|(outcome, ..)| *outcome == Outcome::Timeout).count();
    assert_eq!((refused, timed_out), (300 - 256, 256));
}

#[test]
fn what_is_cut_comes_over_tcp() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (len, from) = udp.recv_from(&mut buffer).unwrap();
        buffer[2] = 0x86;
        udp.send_to(&buffer[..len], from).unwrap();
        let mut stream = listener.accept().unwrap().0;
        let query = read(&mut stream).unwrap();
        assert_eq!(query[2..len], [&[1, 0], &buffer[4..len]].concat()[..], "the same question");
        // Byte by byte.
        for byte in answer(&query) {
            stream.write_all(&[byte]).unwrap();
        }
        let _ = read(&mut stream);
    });
    let mut rig = Rig::new(&[Upstream { over: Over::Udp, ..over_tcp(address) }]);
    assert_eq!(rig.asked(&Sim::asking(&name(1))).0, Outcome::Ok);
    assert_eq!(rig.count(UPSTREAM_QUERIES.at([0, TRIAL_TRUNCATED])), 1);
}

#[test]
fn who_closes_is_asked_again_and_who_always_does_is_given_up() {
    // Each connection answers one query and closes; the next query finds it closed, or is sent into it.
    let (address, _) = listen(Arc::new(|_, mut stream: TcpStream| {
        if let Some(query) = read(&mut stream) {
            stream.write_all(&answer(&query)).unwrap();
        }
    }));
    let mut rig = Rig::new(&[over_tcp(address)]);
    for number in 0..30 {
        assert_eq!(rig.asked(&Sim::asking(&name(number))).0, Outcome::Ok, "{number}");
    }
    let (address, count) = listen(Arc::new(|_, stream| drop(stream)));
    let mut rig = Rig::new(&[over_tcp(address)]);
    assert_eq!(rig.asked(&Sim::asking(&name(1))).0, Outcome::Refused);
    assert_eq!(count.load(Ordering::Relaxed), 3, "three tries");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut rig = Rig::new(&[over_tcp(nobody)]);
    assert_eq!(rig.asked(&Sim::asking(&name(1))).0, Outcome::Refused);
}

#[test]
fn rubbish_breaks_the_connection_and_not_us() {
    let (address, _) = listen(Arc::new(|number, mut stream: TcpStream| {
        let query = read(&mut stream).unwrap();
        match number {
            0 => stream.write_all(&[0, 1, 0]).unwrap(),
            1 => stream.write_all(&[&[0, 13], &query[..2], &[0x84; 11]].concat()).unwrap(),
            _ => stream.write_all(&answer(&query)).unwrap(),
        }
        let _ = stream.read(&mut [0]);
    }));
    let mut rig = Rig::new(&[over_tcp(address)]);
    rig.asked(&Sim::asking(&name(1)));
    for number in 2..6 {
        if rig.asked(&Sim::asking(&name(number))).0 == Outcome::Ok {
            return;
        }
    }
    panic!("the third connection is good");
}
