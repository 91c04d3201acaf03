//! What the exchange with an upstream costs: a forwarder that is nothing else, in one thread, with a client
//! and a server in two others. Prints the processor time of the forwarder for each query.
//!
//! `cargo bench --bench forward`, or with two addresses, to listen on and to forward to, for clients and
//! servers of one's own.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use as112d::limits::SERVER_SERIES_MAX;
use as112d::policy::upstream::{Choose, Ecs, Over, Upstream};
use as112d::stats::ledger::{LedgerSettings, ledger};
use as112d::sys::datagrams::{Inbox, Outbox, Received};
use as112d::work::conductor::{Ask, Asked, Conductor, Waiter};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

/// Queries of the client that are on their way: what keeps everybody busy.
const WINDOW: usize = 256;
const SECONDS: u64 = 5;
const FIRST: usize = 16;
const SLOTS: usize = 8192;

/// What is forwarded: answered so far, and the processor time that it took, in nanoseconds.
#[derive(Default)]
struct Meter {
    answered: AtomicU64,
    cpu: AtomicU64,
}

/// The processor time of this thread.
fn cpu() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

fn main() {
    let addresses: Vec<SocketAddr> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let meter = Arc::new(Meter::default());
    let over = Arc::new(AtomicBool::new(false));
    let listener =
        UdpSocket::bind(addresses.first().map_or_else(|| "127.0.0.1:0".to_owned(), ToString::to_string))
            .expect("an address to listen on");
    let at = listener.local_addr().expect("it is bound");
    let upstream = addresses.get(1).copied();
    let mut threads = Vec::new();
    let to = upstream.unwrap_or_else(|| {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = server.local_addr().expect("it is bound");
        let over = Arc::clone(&over);
        threads.push(std::thread::spawn(move || serve(&server, &over)));
        address
    });
    let metered = Arc::clone(&meter);
    threads.push(std::thread::spawn({
        let over = Arc::clone(&over);
        move || forward(&listener, to, &metered, &over)
    }));
    if addresses.is_empty() {
        let over = Arc::clone(&over);
        threads.push(std::thread::spawn(move || ask(at, &over)));
    }
    let mut last = (0, 0);
    for _ in 0..SECONDS {
        let until = Instant::now() + Duration::from_secs(1);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        let now = (meter.answered.load(Ordering::Relaxed), meter.cpu.load(Ordering::Relaxed));
        let (answered, cpu) = (now.0 - last.0, now.1 - last.1);
        println!("{answered} queries/s, {:.2} us each", cpu as f64 / 1000.0 / answered.max(1) as f64);
        last = now;
    }
    over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

/// The server: every name is there, and has nothing.
fn serve(socket: &UdpSocket, over: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    let (mut inbox, mut outbox) = (Inbox::new().expect("memory"), Outbox::new().expect("memory"));
    let mut first = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        // Waits for one, and takes what has come meanwhile.
        let Ok((len, from)) = socket.recv_from(&mut first) else { continue };
        respond(&mut outbox, from, &mut first[..len]);
        if let Received::Some(count) = inbox.receive(socket) {
            for message in 0..count {
                if let Some((from, bytes)) = inbox.datagram(message)
                    && !outbox.is_full()
                {
                    respond(&mut outbox, from, bytes);
                }
            }
        }
        outbox.send(socket, &mut |_, _| {});
    }
}

fn respond(outbox: &mut Outbox, to: SocketAddr, query: &mut [u8]) {
    query[2] |= 0x80;
    outbox.push(&to, |out| {
        out[..query.len()].copy_from_slice(query);
        query.len()
    });
}

/// The client: keeps so many queries on their way, each for another name.
fn ask(to: SocketAddr, over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    let (mut inbox, mut outbox) = (Inbox::new().expect("memory"), Outbox::new().expect("memory"));
    let (mut number, mut window, mut first) = (0_u32, WINDOW, [0; 2048]);
    while !over.load(Ordering::Relaxed) {
        while window > 0 {
            window -= 1;
            number = number.wrapping_add(1);
            outbox.push(&to, |out| query(out, number));
            if outbox.is_full() {
                outbox.send(&socket, &mut |_, _| {});
            }
        }
        outbox.send(&socket, &mut |_, _| {});
        match socket.recv_from(&mut first) {
            Ok(_) => window += 1,
            // What was lost is asked again.
            Err(_) => window = WINDOW,
        }
        if let Received::Some(count) = inbox.receive(&socket) {
            window += count;
        }
    }
}

fn query(out: &mut [u8], number: u32) -> usize {
    let name = format!("{:x}", number.wrapping_mul(0x9E37_79B1));
    let tail = b"\x0210\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";
    out[..12].copy_from_slice(&[(number >> 8) as u8, number as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out[12] = name.len() as u8;
    let end = 13 + name.len();
    out[13..end].copy_from_slice(name.as_bytes());
    out[end..end + tail.len()].copy_from_slice(tail);
    end + tail.len()
}

fn upstream(server: SocketAddr) -> Upstream {
    Upstream {
        name: "bench".to_owned(),
        servers: vec![server],
        over: Over::Udp,
        choose: Choose::Fastest,
        timeout: Duration::from_millis(400),
        tries: 3,
        explore: 0.02,
        case_randomization: true,
        cookies: true,
        ecs: Ecs::Strip,
    }
}

/// The forwarder: what a worker does, without rules, cache and jobs.
fn forward(listener: &UdpSocket, to: SocketAddr, meter: &Meter, over: &AtomicBool) {
    listener.set_nonblocking(true).expect("a socket");
    let mut poll = Poll::new().expect("epoll");
    let registry = poll.registry();
    registry.register(&mut SourceFd(&listener.as_raw_fd()), Token(0), Interest::READABLE).expect("epoll");
    let mut conductor = Conductor::new(registry, FIRST, Instant::now()).expect("memory");
    conductor.take(0, &[upstream(to)], &|_, place| place.min(SERVER_SERIES_MAX), Instant::now());
    let (mut ledger, _stream) = ledger(&LedgerSettings::default());
    let (mut inbox, mut outbox) = (Inbox::new().expect("memory"), Outbox::new().expect("memory"));
    let mut clients = vec![(SocketAddr::from(([0; 4], 0)), [0; 2]); SLOTS];
    let mut free: Vec<u32> = (0..SLOTS as u32).collect();
    let mut events = Events::with_capacity(64);
    let (mut answered, mut metered) = (0, Instant::now());
    while !over.load(Ordering::Relaxed) {
        let wait = conductor.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let _ = poll.poll(&mut events, Some(wait.unwrap_or(Duration::from_millis(100))));
        let (now, mut has_queries) = (Instant::now(), false);
        for event in &events {
            match event.token().0 {
                0 => has_queries = true,
                token => conductor.ready(token, event.is_readable(), event.is_writable(), now, &mut ledger),
            }
        }
        while has_queries {
            let Received::Some(count) = inbox.receive(listener) else { break };
            has_queries = count == as112d::limits::MMSG_BATCH;
            for message in 0..count {
                let Some((from, bytes)) = inbox.datagram(message) else { continue };
                let Some(waiter) = free.pop() else { continue };
                let Some(end) = bytes[12..].iter().position(|&byte| byte == 0) else { continue };
                clients[waiter as usize] = (from, [bytes[0], bytes[1]]);
                let ask = Ask {
                    upstream: 0,
                    qname: &bytes[12..=12 + end],
                    qtype: u16::from_be_bytes([bytes[13 + end], bytes[14 + end]]),
                    qclass: u16::from_be_bytes([bytes[15 + end], bytes[16 + end]]),
                    recursion_desired: true,
                    checking_disabled: false,
                    authentic_data: false,
                    dnssec_ok: false,
                    subnet: None,
                    deadline: now + Duration::from_secs(2),
                    is_alone: false,
                    is_once: false,
                };
                if let Asked::Refused(_) = conductor.ask_of(0, &ask, Waiter(waiter), now, &mut ledger) {
                    free.push(waiter);
                }
            }
        }
        conductor.tick(now, &mut ledger);
        conductor.flush(now, &mut ledger);
        conductor.finished(&mut |finished| {
            for waiter in finished.waiters {
                free.push(waiter.0);
                if finished.message.is_empty() {
                    continue;
                }
                answered += 1;
                let (client, id) = clients[waiter.0 as usize];
                outbox.push(&client, |out| {
                    let len = finished.message.len().min(1232);
                    out[..len].copy_from_slice(&finished.message[..len]);
                    out[..2].copy_from_slice(&id);
                    len
                });
                if outbox.is_full() {
                    outbox.send(listener, &mut |_, _| {});
                }
            }
        });
        outbox.send(listener, &mut |_, _| {});
        ledger.end_batch();
        if now.saturating_duration_since(metered) >= Duration::from_millis(50) {
            metered = now;
            meter.answered.store(answered, Ordering::Relaxed);
            meter.cpu.store(cpu(), Ordering::Relaxed);
        }
    }
}
