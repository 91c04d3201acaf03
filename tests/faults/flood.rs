//! More queries than there are slots, while nobody empties them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use as112d::sys::sockets::{self, UdpOptions};
use as112d::sys::{Arrived, Ring, Turn};

use crate::common::daemon::{Daemon, PATIENCE, V4, dropped_by_loopback};
use crate::fault::{Flood, alone, answers_again, pause, ping_pong, report, skipped, wait_until};

/// Echoes until `stop`, and stalls for a moment every thousand datagrams. Gives the sum of all turns, and how
/// many datagrams the kernel dropped because its queue was full.
fn echo_and_stall(mut ring: Ring, stop: &AtomicBool) -> (Turn, u32) {
    let (mut sum, mut seen) = (Turn::default(), 0_u32);
    let mut echo = |arrived: &Arrived, _: &mut [u8]| {
        seen += 1;
        if seen.is_multiple_of(1000) {
            pause(Duration::from_millis(20));
        }
        Some(arrived.len)
    };
    while !stop.load(Ordering::Relaxed) {
        sum += ring.turn(Duration::from_millis(20), &mut echo).expect("a flood is no error");
    }
    let drops = sockets::drops(&ring.sockets()[0]).expect("the kernel counts them");
    sum += ring.end(&mut echo).expect("it ends");
    (sum, drops)
}

#[test]
fn a_ring_of_two_slots_renews_its_receive_and_recovers() {
    let _turn = alone();
    for slots in [2, 4] {
        let options = UdpOptions { rcvbuf: 64 << 10, sndbuf: 1 << 20, ..UdpOptions::default() };
        let group = sockets::bind_udp_group("127.0.0.1:0".parse().expect("an address"), 1, &options);
        let group = group.expect("a port is free");
        let address = group[0].local_addr().expect("it is bound");
        let (stop, dropped) = (AtomicBool::new(false), dropped_by_loopback());
        let outcome = std::thread::scope(|scope| {
            let server = scope.spawn(|| Some(echo_and_stall(Ring::new(group, slots, 0).ok()?, &stop)));
            let flood = Flood::start(address);
            pause(Duration::from_millis(700));
            let sent = flood.end();
            let client = || {
                let client = UdpSocket::bind((V4, 0)).expect("a socket");
                client.connect(address).expect("connected");
                client
            };
            // The queue may be full of the flood for a moment yet.
            let mut probes = 0;
            let recovered = wait_until(PATIENCE, || {
                probes += 1;
                echoes(&client(), 1, Duration::from_millis(500)) == 1
            });
            let answered = echoes(&client(), 1000, PATIENCE);
            stop.store(true, Ordering::Relaxed);
            server
                .join()
                .expect("it does not panic")
                .map(|(turn, drops)| (turn, drops, sent + probes, recovered, answered))
        });
        let Some((turn, drops, sent, recovered, answered)) = outcome else {
            return skipped("this host denies io_uring");
        };
        report(&format!("ring_of_{slots}_slots_renewals"), turn.rearms.no_buffers);
        assert!(recovered.is_some(), "it answers again");
        assert_eq!(answered, 1000, "and every query");
        assert!(turn.rearms.no_buffers > 0, "the slots ran out: {turn:?}");
        let seen = u64::from(turn.received) + u64::from(drops);
        let unseen = (sent + 1000).checked_sub(seen);
        let dropped = dropped_by_loopback() - dropped;
        assert!(unseen.is_some_and(|unseen| unseen <= dropped), "{seen} of {sent} and 1000: {turn:?}");
        assert_eq!(turn.sent + turn.send_errors.total(), turn.received, "each got one reply: {turn:?}");
        assert_eq!(turn.overflows, 0, "the queue of completions is long enough");
    }
}

/// How many of `count` datagrams come back, one after the other.
fn echoes(client: &UdpSocket, count: u16, patience: Duration) -> usize {
    let mut reply = [0; 16];
    client.set_read_timeout(Some(patience)).expect("a time-out");
    (0..count)
        .filter(|number| {
            client.send(&number.to_be_bytes()).expect("sent");
            client.recv(&mut reply).is_ok_and(|len| reply[..len] == number.to_be_bytes())
        })
        .count()
}

#[test]
fn a_daemon_stopped_under_a_flood_answers_every_query_afterwards() {
    let _turn = alone();
    for datapath in ["io_uring", "mmsg"] {
        let daemon = Daemon::start(&["--datapath", datapath]);
        let flood = Flood::start(daemon.address(V4));
        pause(Duration::from_millis(200));
        daemon.signal(libc::SIGSTOP);
        pause(Duration::from_millis(1000));
        daemon.signal(libc::SIGCONT);
        pause(Duration::from_millis(200));
        let sent = flood.end();
        // What waits in the queue is answered first, a receive buffer full of it.
        let began_again = wait_until(PATIENCE, || answers_again(&daemon.udp(V4)));
        assert!(began_again.is_some(), "{datapath}: it answers again");
        assert_eq!(ping_pong(&daemon.udp(V4), 1000).len(), 1000, "{datapath}");
        let (status, said) = daemon.stop();
        assert_eq!(status.code(), Some(0), "{datapath}: {said:?}");
        let answered: u64 = said[0].split(' ').nth(2).expect("a count").parse().expect("a number");
        assert!((1001..=sent + 1000 + 10_000).contains(&answered), "{datapath}: {answered} of {sent}");
        report(&format!("flood_{datapath}_sent"), sent);
        report(&format!("flood_{datapath}_answered"), answered);
    }
}
