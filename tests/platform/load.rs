//! Many queries at once, each with an answer that is judged.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use as112d::sys::sockets;

use crate::common::daemon::V4;

/// How long an answer may take before it is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(4);

/// How a load fared.
#[derive(Default)]
pub struct Tally {
    pub asked: AtomicU64,
    pub answered: AtomicU64,
    /// What the client itself had no room for.
    pub no_room: AtomicU64,
    /// Queries without an answer, by number.
    pub unanswered: Mutex<Vec<u64>>,
    /// The first answers that were not right.
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.asked().saturating_sub(self.answered() + self.no_room.load(Ordering::Relaxed))
    }

    pub fn is_wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().expect("nobody panics");
        if wrong.len() < 10 {
            wrong.push(what);
        }
    }

    /// Panics if an answer was wrong.
    pub fn check(&self) {
        let wrong = self.wrong.lock().expect("nobody panics");
        assert!(wrong.is_empty(), "wrong answers: {wrong:#?}");
    }
}

/// An open loop from one socket: `query(n)` is sent at a steady rate until `stop`, and `judge(n, reply, when
/// it was asked)` says what is wrong with a reply.
pub fn open_loop(
    to: SocketAddr,
    rate: u32,
    tally: &Tally,
    stop: &AtomicBool,
    query: &(impl Fn(u64) -> Vec<u8> + Sync),
    judge: &(impl Fn(u64, &[u8], Instant) -> Result<(), String> + Sync),
) {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    // Only root may have so much.
    let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20));
    let pending = Mutex::new(HashMap::<u16, (u64, Instant)>::new());
    let sent_all = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let due = began.elapsed().as_micros() as u64 * u64::from(rate) / 1_000_000;
                let until = due.min(number + 64);
                while number < until {
                    let mut packet = query(number);
                    let id = (number % 65_536) as u16;
                    packet[..2].copy_from_slice(&id.to_be_bytes());
                    pending.lock().expect("nobody panics").insert(id, (number, Instant::now()));
                    if socket.send(&packet).is_ok() {
                        tally.asked.fetch_add(1, Ordering::Relaxed);
                    }
                    number += 1;
                }
                thread::park_timeout(Duration::from_micros(500));
            }
            sent_all.store(true, Ordering::Relaxed);
        });
        let mut reply = [0; 4096];
        let mut last = Instant::now();
        loop {
            match socket.recv(&mut reply) {
                Ok(len) => {
                    last = Instant::now();
                    let id = u16::from_be_bytes([reply[0], reply[1]]);
                    let asked = pending.lock().expect("nobody panics").remove(&id);
                    let Some((number, at)) = asked else {
                        tally.is_wrong(format!("nobody asked with ID {id}"));
                        continue;
                    };
                    if let Err(why) = judge(number, &reply[..len], at) {
                        tally.is_wrong(format!("query {number}, after {:?}: {why}", at.elapsed()));
                    }
                    tally.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) if sent_all.load(Ordering::Relaxed) => {
                    let is_done = pending.lock().expect("nobody panics").is_empty();
                    if is_done || last.elapsed() > LOST_AFTER {
                        break;
                    }
                }
                Err(_) => {}
            }
        }
    });
    let unanswered = pending.into_inner().expect("nobody panics");
    tally.unanswered.lock().expect("nobody panics").extend(unanswered.values().map(|(number, _)| *number));
    let no_room = sockets::drops(&socket).expect("the kernel counts them");
    tally.no_room.fetch_add(u64::from(no_room), Ordering::Relaxed);
}

/// A closed loop: so many queries, at most `window` of them at once, each asked again when nothing comes for
/// `patience`. What came, by number.
pub fn all_of(
    to: SocketAddr,
    count: usize,
    window: usize,
    patience: Duration,
    query: impl Fn(usize) -> Vec<u8>,
) -> Vec<Option<Vec<u8>>> {
    assert!(count <= 65_536, "a number is an ID");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
    // Only root may have so much.
    let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20));
    let mut got: Vec<Option<Vec<u8>>> = vec![None; count];
    let mut pending = HashMap::<u16, Instant>::new();
    let (mut next, mut reply) = (0, vec![0; 65_535]);
    while next < count || !pending.is_empty() {
        while next < count && pending.len() < window {
            let mut packet = query(next);
            packet[..2].copy_from_slice(&(next as u16).to_be_bytes());
            socket.send(&packet).expect("sent");
            pending.insert(next as u16, Instant::now());
            next += 1;
        }
        if let Ok(len) = socket.recv(&mut reply) {
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            if pending.remove(&id).is_some() {
                got[usize::from(id)] = Some(reply[..len].to_vec());
            }
        }
        pending.retain(|_, at| at.elapsed() < patience);
    }
    got
}
