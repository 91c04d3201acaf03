//! A path that loses, doubles and reorders what goes over it. There is nothing that the node remembers from
//! one datagram to the next, and TCP mends itself.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::daemon::{
    Configured, Daemon, PATIENCE, V4, get, program, read_message, send_message, wait_until,
};
use crate::common::{ask, node, query, udp};
use crate::fault::{argument, beside, config, honest_query, in_own_loopback, output, pause, report, skipped};
use crate::mutate::Dice;

/// Queries over the bad path, and how many are on the way at once.
const QUERIES: u16 = 2000;
const WINDOW: usize = 100;
/// One in so many is lost each way; on the path that doubles, one in so many of the others comes twice.
const LOST: usize = 5;
const DOUBLED: usize = 10;
/// What a path that reorders holds back.
const HELD_MAX: usize = 8;

/// Queries that differ in more than their ID, and the answer that each must get.
fn exchanges() -> Vec<(Vec<u8>, Vec<u8>)> {
    let node = node(&[]);
    let exchange = |id: u16| {
        let mut query = query(&format!("{}.{}.168.192.in-addr.arpa.", id % 250, id / 250), 12);
        query[..2].copy_from_slice(&id.to_be_bytes());
        let answer = ask(&node, &udp(), &query).expect("it is answered");
        (query, answer)
    };
    (0..QUERIES).map(exchange).collect()
}

/// Asks each once, a window at a time; which were answered. Every answer is right, whenever it comes.
fn answered(socket: &UdpSocket, exchanges: &[(Vec<u8>, Vec<u8>)]) -> HashSet<u16> {
    let (mut ids, mut reply) = (HashSet::new(), [0; 1500]);
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    for window in exchanges.chunks(WINDOW) {
        for (query, _) in window {
            // A firewall may tell the sender.
            let _ = socket.send(query);
        }
        while let Ok(len) = socket.recv(&mut reply) {
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            assert!(reply[..len] == exchanges[usize::from(id)].1, "the answer to {id}: {:?}", &reply[..len]);
            ids.insert(id);
        }
    }
    ids
}

/// The share that comes through when each way loses one in [`LOST`], give or take what chance may.
fn assert_plausible(name: &str, answered: usize) {
    let share = answered as f64 / f64::from(QUERIES);
    report(&format!("{name}_answered_share"), format!("{share:.3}"));
    assert!((0.55..0.75).contains(&share), "{name}: {share}");
}

/// One after the other, and not one is missing.
fn assert_whole(socket: &UdpSocket, exchanges: &[(Vec<u8>, Vec<u8>)]) {
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut reply = [0; 1500];
    for (query, answer) in exchanges {
        socket.send(query).expect("sent");
        let len = socket.recv(&mut reply).expect("nothing is lost any more");
        assert!(reply[..len] == *answer, "{:?}", &reply[..len]);
    }
}

/// The sum of a family in /metrics.
fn sum(http: SocketAddr, family: &str) -> u64 {
    let metrics = get(http, "/metrics");
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{family}{{")));
    lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
}

//------------ A path that we make ---

/// Datagrams from one client to the node and back.
struct Path {
    is_bad: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// How many it gave to the node, and took from it.
    thread: JoinHandle<[u64; 2]>,
}

/// One of its directions.
#[derive(Default)]
struct Direction {
    held: Vec<Vec<u8>>,
    taken: u64,
    given: u64,
}

impl Direction {
    /// Takes what has come, loses or doubles it, and gives what it has held too long, in any order.
    /// Whether nothing came.
    fn carry(&mut self, dice: &mut Dice, is_bad: bool, from: &UdpSocket, mut to: impl FnMut(&[u8])) -> bool {
        let mut datagram = [0; 1500];
        let came = match from.recv(&mut datagram) {
            Ok(len) => Some(&datagram[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        };
        if let Some(datagram) = came {
            self.taken += 1;
            let is_lost = is_bad && dice.once_in(LOST);
            let copies = if is_lost { 0 } else { 1 + usize::from(is_bad && dice.once_in(DOUBLED)) };
            self.held.extend(std::iter::repeat_n(datagram.to_vec(), copies));
        }
        let held_max = if is_bad && came.is_some() { HELD_MAX } else { 0 };
        while self.held.len() > held_max {
            to(&self.held.swap_remove(dice.below(self.held.len())));
            self.given += 1;
        }
        came.is_none()
    }
}

impl Path {
    fn between(client: &UdpSocket, node: SocketAddr) -> Self {
        let socket = || UdpSocket::bind((V4, 0)).expect("a socket");
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let (near, far) = (socket(), socket());
        client.connect(address(&near)).expect("connected");
        near.connect(address(client)).expect("connected");
        far.connect(node).expect("connected");
        for socket in [&near, &far] {
            socket.set_nonblocking(true).expect("set");
        }
        let (is_bad, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (bad, stopped) = (Arc::clone(&is_bad), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let (mut there, mut back) = (Direction::default(), Direction::default());
            let mut dice = Dice::new(112);
            while !stopped.load(Ordering::Relaxed) {
                let is_bad = bad.load(Ordering::Relaxed);
                // No more are with the node than the buffer of a socket holds.
                let is_full = there.given - back.taken > WINDOW as u64;
                let is_idle = (is_full
                    || there.carry(&mut dice, is_bad, &near, |datagram| {
                        assert_eq!(far.send(datagram).expect("sent"), datagram.len());
                    }))
                    & back.carry(&mut dice, is_bad, &far, |datagram| {
                        assert_eq!(near.send(datagram).expect("sent"), datagram.len());
                    });
                if is_idle {
                    pause(Duration::from_micros(100));
                }
            }
            [there.given, back.taken]
        });
        Self { is_bad, stop, thread }
    }

    fn mend(&self) {
        self.is_bad.store(false, Ordering::Relaxed);
    }

    fn end(self) -> [u64; 2] {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only carries")
    }
}

#[test]
fn what_is_lost_doubled_and_reordered_leaves_no_trace() {
    let _turn = beside();
    let exchanges = exchanges();
    for datapath in ["io_uring", "mmsg"] {
        let node = Configured::new(&format!("[server]\ndatapath = '{datapath}'\n"));
        let daemon = node.start();
        let client = UdpSocket::bind((V4, 0)).expect("a socket");
        let path = Path::between(&client, daemon.address(V4));
        assert_plausible(&format!("lossy_{datapath}"), answered(&client, &exchanges).len());
        path.mend();
        // What was on the way has come.
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        while client.recv(&mut [0; 1500]).is_ok() {}
        assert_whole(&client, &exchanges);
        let [given, taken] = path.end();
        let http = daemon.http();
        wait_until("all that arrived is counted", || sum(http, "as112_queries_total") == given);
        assert_eq!(sum(http, "as112_responses_total"), given, "{datapath}: each had one answer");
        assert_eq!(taken, given, "{datapath}: and that left the node");
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

//------------ A path of the kernel's ---

/// Rules of nftables for what goes to the node and back. A counter knows what arrived.
const RULES: &str = "
table inet path {
    counter arrived { }
    chain input {
        type filter hook input priority 0;
        udp dport 5300 numgen random mod 100 < 20 drop
        udp dport 5300 counter name arrived
        udp sport 5300 numgen random mod 100 < 20 drop
        tcp dport 5300 numgen inc mod 10 == 9 drop
        tcp sport 5300 numgen inc mod 10 == 9 drop
    }
}";

/// Runs nft; what it says.
fn nft(words: &[&str]) -> Option<String> {
    let output = output(Command::new("nft").args(words))?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_kernel_that_drops_packets_costs_their_answers_alone() {
    let _turn = beside();
    if !in_own_loopback("lossy::a_kernel_that_drops_packets_costs_their_answers_alone") {
        return;
    }
    let rules = config(RULES);
    let exchanges = exchanges();
    for datapath in ["io_uring", "mmsg"] {
        let mut command = Command::new(program());
        let own = ["--http", "127.0.0.1:0", "--datapath", datapath, "--shards", "2"];
        command.args(Daemon::arguments(5300, &own));
        let daemon = Daemon::spawn(command, 5300);
        if nft(&["-f", argument(rules.path())]).is_none() {
            return skipped("there is no nft, or this kernel has no numbers for its rules");
        }
        let client = daemon.udp(V4);
        assert_plausible(&format!("dropped_{datapath}"), answered(&client, &exchanges).len());
        // TCP sends again what was lost.
        for id in 0..5 {
            let mut stream = daemon.tcp(V4);
            for id in [id, id + 5, id + 10] {
                send_message(&mut stream, &honest_query(id));
                let reply = read_message(&mut stream).expect("it comes in the end");
                assert_eq!((reply.len(), &reply[..2]), (119, &id.to_be_bytes()[..]));
            }
        }
        let arrived = nft(&["list", "counter", "inet", "path", "arrived"]).expect("it is there");
        let arrived = arrived.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        let arrived: u64 = arrived.and_then(|packets| packets.parse().ok()).expect("a number");
        assert!(arrived < u64::from(QUERIES), "some are lost: {arrived}");
        let http = daemon.http();
        let counted = || sum(http, "as112_queries_total");
        wait_until("all that arrived is counted", || counted() == arrived + 15);

        nft(&["delete", "table", "inet", "path"]).expect("it is there");
        assert_whole(&daemon.udp(V4), &exchanges);
        wait_until("and all of it", || counted() == arrived + 15 + u64::from(QUERIES));
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}
