//! Replies that are made on another thread, by real sockets.

use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::*;
use super::harness::{Server, Toy, breathe, expect_end, framed_query, read_reply};
use crate::limits;
use crate::serve::job::{Desk, Inbox, Job, JobSettings, Taken, Way, desk};
use crate::stats::account::Account;
use crate::sys::wake::Waker;

/// Hands every query over, and counts.
struct Handing {
    desk: Desk,
    toy: Toy,
}

impl TcpHandler for Handing {
    fn woken(&mut self) {
        self.toy.woken();
    }

    fn answer(&mut self, arrival: &Arrival, connection: Connection, slot: &mut [u8], len: usize) -> Verdict {
        let (way, account) = (Way { rule: 0, serial: 0 }, Account::default());
        let connection = Some(connection);
        let (asked, packet) = (Instant::now(), &slot[..len]);
        let taken = Taken {
            arrival,
            socket: 0,
            connection,
            account: &account,
            label: 0,
            share: u32::MAX,
            asked,
            packet,
        };
        self.desk.hand_over(way, &taken).expect("there are jobs enough");
        Verdict::HandOff(way)
    }

    fn returned(&mut self) -> Option<Box<Job>> {
        self.desk.returned()
    }

    fn put(&mut self, job: Box<Job>) {
        self.desk.put(job);
    }

    fn rests(&mut self) {
        self.desk.wake();
    }

    fn count(&mut self, event: TcpEvent) {
        self.toy.count(event);
    }
}

/// A driver, and a worker that replies when it is told to.
struct Rig {
    server: Server,
    /// Which of the queries that it has taken the worker replies to, by their IDs; with whether it replies at
    /// all.
    orders: Sender<(u16, bool)>,
    /// What it has taken.
    taken: Receiver<u16>,
}

impl Rig {
    fn start() -> Self {
        let wakers = [Waker::new().unwrap()];
        let (desk, mut inboxes) = desk(&JobSettings::default(), &wakers);
        let (orders, ordered) = channel();
        let (takes, taken) = channel();
        let server = Server::start_with(TcpSettings::default(), |driver, toy| {
            let (inbox, rings) = (inboxes.remove(0), driver.waker().unwrap());
            std::thread::spawn(move || work(inbox, &rings, &ordered, &takes));
            Handing { desk, toy }
        });
        Self { server, orders, taken }
    }

    fn reply(&self, id: u16) {
        self.orders.send((id, true)).unwrap();
    }

    /// Waits until the worker has taken so many.
    fn wait_taken(&self, count: usize) -> Vec<u16> {
        let next = || self.taken.recv_timeout(Duration::from_secs(10)).unwrap();
        (0..count).map(|_| next()).collect()
    }
}

fn work(mut inbox: Inbox, rings: &TcpReturn, ordered: &Receiver<(u16, bool)>, takes: &Sender<u16>) {
    let id = |job: &Job| u16::from_be_bytes([job.query[0], job.query[1]]);
    let (mut held, mut due): (Vec<Box<Job>>, Vec<(u16, bool)>) = (Vec::new(), Vec::new());
    loop {
        while let Some(job) = inbox.take() {
            if takes.send(id(&job)).is_err() {
                return;
            }
            held.push(job);
        }
        due.extend(ordered.try_iter());
        for (wanted, replies) in std::mem::take(&mut due) {
            let Some(at) = held.iter().position(|job| id(job) == wanted) else {
                due.push((wanted, replies));
                continue;
            };
            let mut job = held.remove(at);
            job.reply = if replies { [&job.query()[..2], &[0x80], &[0; 20]].concat() } else { Vec::new() };
            inbox.give_back(job);
            rings.ring();
        }
        breathe();
    }
}

fn ask(stream: &mut TcpStream, ids: impl IntoIterator<Item = u16>) {
    let queries: Vec<u8> = ids.into_iter().flat_map(|id| framed_query(id, 0)).collect();
    stream.write_all(&queries).unwrap();
}

fn id_of_reply(stream: &mut TcpStream) -> u16 {
    let reply = read_reply(stream).unwrap();
    assert_eq!((reply.len(), reply[2]), (23, 0x80));
    u16::from_be_bytes([reply[0], reply[1]])
}

#[test]
fn replies_come_back_in_the_order_in_which_they_are_made() {
    let rig = Rig::start();
    let mut stream = rig.server.connect();
    ask(&mut stream, 1..=5);
    rig.wait_taken(5);
    for id in [3, 1, 5, 2, 4] {
        rig.reply(id);
        assert_eq!(id_of_reply(&mut stream), id);
    }
}

#[test]
fn what_is_over_the_pending_is_read_once_there_is_room() {
    let rig = Rig::start();
    let mut stream = rig.server.connect();
    ask(&mut stream, 0..100);
    rig.wait_taken(limits::TCP_PENDING_MAX);
    breathe();
    assert!(rig.taken.try_recv().is_err(), "no more is read");
    (0..100).for_each(|id| rig.reply(id));
    let mut ids: Vec<u16> = (0..100).map(|_| id_of_reply(&mut stream)).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..100));
}

#[test]
fn the_replies_of_a_connection_that_is_gone_fall() {
    let rig = Rig::start();
    let mut gone = rig.server.connect();
    ask(&mut gone, [1, 2]);
    rig.wait_taken(2);
    // A reset: nothing is read any more, so not even an end is seen in order.
    SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    rig.server.wait_closed(Closed::Failed, 1);
    // The next connection has its key, and is not meant.
    let mut next = rig.server.connect();
    ask(&mut next, [3]);
    rig.wait_taken(1);
    [1, 2, 3].into_iter().for_each(|id| rig.reply(id));
    assert_eq!(id_of_reply(&mut next), 3);
    // All jobs are back: there are no more than are handed over here.
    for round in 0..JobSettings::default().jobs / 16 {
        ask(&mut next, 100..116);
        rig.wait_taken(16);
        (100..116).for_each(|id| rig.reply(id));
        (0..16).for_each(|_| assert!(id_of_reply(&mut next) >= 100, "round {round}"));
    }
}

#[test]
fn who_has_closed_its_half_has_its_replies_and_no_reply_closes() {
    let rig = Rig::start();
    let mut stream = rig.server.connect();
    ask(&mut stream, [1, 2]);
    stream.shutdown(Shutdown::Write).unwrap();
    rig.wait_taken(2);
    rig.reply(2);
    assert_eq!(id_of_reply(&mut stream), 2);
    rig.reply(1);
    assert_eq!(id_of_reply(&mut stream), 1);
    expect_end(&mut stream);
    let mut stream = rig.server.connect();
    ask(&mut stream, [7, 8]);
    rig.wait_taken(2);
    rig.orders.send((7, false)).unwrap();
    rig.reply(8);
    assert_eq!(id_of_reply(&mut stream), 8, "what was due is sent");
    expect_end(&mut stream);
}

#[test]
fn a_stop_waits_for_replies_that_are_still_made() {
    let mut rig = Rig::start();
    let mut stream = rig.server.connect();
    ask(&mut stream, [1]);
    rig.wait_taken(1);
    rig.server.orders.stop();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It has been told to stop by now, mostly.
            breathe();
            rig.orders.send((1, true)).unwrap();
        });
        assert_eq!(id_of_reply(&mut stream), 1);
    });
    rig.server.stop();
    assert_eq!(rig.server.closed(Closed::Stop), 1);
}
