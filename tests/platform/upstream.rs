//! An upstream server that does what a script says, and remembers what it was asked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::common::daemon::{V4, free_port, read_message, send_message};
use crate::common::decode::{Message, name_at};
use crate::common::packet::name_text;

/// So many queries are remembered; the others are only counted.
const SEEN_MAX: usize = 400_000;
/// How often threads look whether they are to end.
const TICK: Duration = Duration::from_millis(20);

/// A query as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub packet: Vec<u8>,
    pub from: SocketAddr,
    pub over_tcp: bool,
    pub at: Instant,
}

impl Seen {
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.packet[0], self.packet[1]])
    }

    /// The name in wire form, with its letter case.
    pub fn qname(&self) -> Vec<u8> {
        name_at(&self.packet, 12).0
    }

    /// The name as text in lower case, without the last dot.
    pub fn name(&self) -> String {
        name_text(&self.qname()).to_ascii_lowercase().trim_end_matches('.').to_owned()
    }

    fn question_end(&self) -> usize {
        name_at(&self.packet, 12).1 + 4
    }

    /// The data of an EDNS option; `None` without OPT or option.
    pub fn option(&self, code: u16) -> Option<Vec<u8>> {
        let message = Message::decode(&self.packet).ok()?;
        let mut bytes = &self.packet[message.opt()?.rdata.clone()];
        while let [high, low, len_high, len_low, rest @ ..] = bytes {
            let (data, behind) = rest.split_at(usize::from(u16::from_be_bytes([*len_high, *len_low])));
            if u16::from_be_bytes([*high, *low]) == code {
                return Some(data.to_vec());
            }
            bytes = behind;
        }
        None
    }

    pub fn has_edns(&self) -> bool {
        Message::decode(&self.packet).is_ok_and(|message| message.opt().is_some())
    }

    /// A reply without records: NOERROR, RA.
    pub fn reply(&self) -> Reply {
        let mut packet = self.packet[..self.question_end()].to_vec();
        packet[2] = 0x80 | packet[2] & 0x79;
        packet[3] = 0x80;
        packet[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        Reply { packet, opt: None, after: Duration::ZERO, elsewhere: false }
    }

    /// The true answer: an A record that follows from the name.
    pub fn truth(&self) -> Reply {
        self.reply().a(truth(&self.name()), 300)
    }
}

/// The address that a name truly has.
pub fn truth(name: &str) -> Ipv4Addr {
    let hash = name.trim_end_matches('.').bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    let [_, b, c, d] = hash.to_be_bytes();
    Ipv4Addr::new(10, b, c, d)
}

/// The address that only forgers give.
pub const FORGED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);

/// Something to send for a query.
#[derive(Clone, Debug)]
pub struct Reply {
    packet: Vec<u8>,
    opt: Option<Vec<u8>>,
    after: Duration,
    elsewhere: bool,
}

impl Reply {
    pub fn rcode(mut self, rcode: u8) -> Self {
        self.packet[3] = self.packet[3] & 0xF0 | rcode;
        self
    }

    pub fn a(self, address: Ipv4Addr, ttl: u32) -> Self {
        self.record(0, 1, ttl, &address.octets())
    }

    pub fn txt(self, text: &str, ttl: u32) -> Self {
        let rdata: Vec<u8> =
            text.as_bytes().chunks(255).flat_map(|part| [&[part.len() as u8], part].concat()).collect();
        self.record(0, 16, ttl, &rdata)
    }

    /// NXDOMAIN or no data as in RFC 2308, with this MINIMUM.
    pub fn soa(self, ttl: u32, minimum: u32) -> Self {
        let mut rdata = vec![0, 0];
        for number in [1, 3600, 600, 86_400, minimum] {
            rdata.extend(u32::to_be_bytes(number));
        }
        self.record(1, 6, ttl, &rdata)
    }

    /// A record of the name that was asked for: section 0 is the answer.
    pub fn record(mut self, section: usize, rtype: u16, ttl: u32, rdata: &[u8]) -> Self {
        self.packet[7 + 2 * section] += 1;
        self.packet.extend([0xC0, 12]);
        self.packet.extend(rtype.to_be_bytes());
        self.packet.extend([0, 1]);
        self.packet.extend(ttl.to_be_bytes());
        self.packet.extend((rdata.len() as u16).to_be_bytes());
        self.packet.extend(rdata);
        self
    }

    /// With an OPT, whose extended part of the response code and options are these.
    pub fn opt(mut self, extended: u8, options: &[u8]) -> Self {
        let mut opt = vec![0, 0, 41, 0x04, 0xD0, extended, 0, 0, 0];
        opt.extend((options.len() as u16).to_be_bytes());
        opt.extend(options);
        self.opt = Some(opt);
        self
    }

    pub fn cut(mut self) -> Self {
        self.packet[2] |= 2;
        self
    }

    pub fn authoritative(mut self) -> Self {
        self.packet[2] |= 4;
        self
    }

    /// With another ID.
    pub fn wrong_id(mut self) -> Self {
        self.packet[1] ^= 0x55;
        self
    }

    /// To another question: the first letter is the next one.
    pub fn wrong_question(mut self) -> Self {
        self.packet[13] =
            if self.packet[13].eq_ignore_ascii_case(&b'z') { b'a' } else { self.packet[13] + 1 };
        self
    }

    /// With the case of all letters of the name turned.
    pub fn wrong_case(mut self) -> Self {
        let end = name_at(&self.packet, 12).1;
        for byte in &mut self.packet[12..end] {
            if byte.is_ascii_alphabetic() {
                *byte ^= 0x20;
            }
        }
        self
    }

    /// From another port of the server.
    pub fn wrong_port(mut self) -> Self {
        self.elsewhere = true;
        self
    }

    /// Later.
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// The bytes themselves may be anything.
    pub fn bytes(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.packet);
        self
    }

    /// What is sent.
    pub fn message(&self) -> Vec<u8> {
        let Some(opt) = &self.opt else { return self.packet.clone() };
        let mut packet = [&self.packet[..], opt].concat();
        packet[11] += 1;
        packet
    }
}

/// What is sent for a query, in order; nothing is silence.
pub type Script = dyn Fn(&Seen) -> Vec<Reply> + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    seen: Mutex<Vec<Seen>>,
    count: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn replies(&self, seen: Seen) -> Vec<Reply> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let script = Arc::clone(&self.script.lock().expect("no script panics"));
        let replies = script(&seen);
        let mut all = self.seen.lock().expect("no reader panics");
        if all.len() < SEEN_MAX {
            all.push(seen);
        }
        replies
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The server: UDP and TCP on one port of an address.
pub struct Upstream {
    pub address: SocketAddr,
    /// Where its answers come from.
    pub socket: UdpSocket,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Upstream {
    pub fn start(script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::new(V4, free_port()), script)
    }

    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            seen: Mutex::default(),
            count: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let udp = UdpSocket::bind(address).expect("the port is free");
        udp.set_read_timeout(Some(TICK)).expect("a time-out");
        // Only root may have so much; less makes a busy test less exact, not wrong.
        let _ = setsockopt(&udp, sockopt::RcvBufForce, &(8 << 20));
        let tcp = TcpListener::bind(address).expect("the port is free");
        tcp.set_nonblocking(true).expect("it does not wait");
        let socket = udp.try_clone().expect("a second handle");
        let threads = vec![
            {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve_udp(&udp, &shared))
            },
            {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve_tcp(&tcp, &shared))
            },
        ];
        Self { address, socket, shared, threads }
    }

    /// Another script from now on.
    pub fn script(&self, script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no script panics") = Arc::new(script);
    }

    /// How many queries it has had.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// What it has been asked.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.shared.seen.lock().expect("no reader panics")
    }

    /// How many of its queries were for a name.
    pub fn asked_for(&self, name: &str) -> usize {
        self.seen().iter().filter(|seen| seen.name() == name).count()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// What leaves later.
struct Due {
    at: Instant,
    message: Vec<u8>,
    to: SocketAddr,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Arc<Shared>) {
    let ip = socket.local_addr().expect("it is bound").ip();
    let elsewhere = UdpSocket::bind((ip, 0)).expect("a socket");
    let (sender, later) = delayed(socket, shared);
    let mut packet = [0; 4096];
    while !shared.is_over() {
        let Ok((len, from)) = socket.recv_from(&mut packet) else { continue };
        if len < 17 {
            continue;
        }
        let seen = Seen { packet: packet[..len].to_vec(), from, over_tcp: false, at: Instant::now() };
        for reply in shared.replies(seen) {
            let message = reply.message();
            // What cannot be sent is lost, as anything is in a network.
            let _ = match (reply.elsewhere, reply.after.is_zero()) {
                (true, _) => elsewhere.send_to(&message, from).map(drop),
                (false, true) => socket.send_to(&message, from).map(drop),
                (false, false) => {
                    drop(sender.send(Due { at: Instant::now() + reply.after, message, to: from }));
                    Ok(())
                }
            };
        }
    }
    drop(sender);
    let _ = later.join();
}

/// A thread that sends in time.
fn delayed(socket: &UdpSocket, shared: &Arc<Shared>) -> (Sender<Due>, thread::JoinHandle<()>) {
    let (sender, receiver) = channel::<Due>();
    let socket = socket.try_clone().expect("a second handle");
    let shared = Arc::clone(shared);
    let thread = thread::spawn(move || {
        let mut due = BinaryHeap::<Reverse<Due>>::new();
        while !shared.is_over() {
            let now = Instant::now();
            while due.peek().is_some_and(|Reverse(first)| first.at <= now) {
                let Reverse(first) = due.pop().expect("there is one");
                let _ = socket.send_to(&first.message, first.to);
            }
            let patience =
                due.peek().map_or(TICK, |Reverse(first)| first.at.saturating_duration_since(now).min(TICK));
            match receiver.recv_timeout(patience) {
                Ok(next) => due.push(Reverse(next)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    (sender, thread)
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.is_over() {
        match listener.accept() {
            Ok((stream, from)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || serve_stream(stream, from, &shared));
            }
            Err(_) => thread::park_timeout(Duration::from_millis(2)),
        }
    }
}

/// One query after the other; it closes when it has nothing to say.
fn serve_stream(mut stream: TcpStream, from: SocketAddr, shared: &Shared) {
    stream.set_nonblocking(false).expect("it waits");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let _ = stream.set_nodelay(true);
    while let Some(packet) = read_message(&mut stream) {
        let replies = shared.replies(Seen { packet, from, over_tcp: true, at: Instant::now() });
        if replies.is_empty() || shared.is_over() {
            return;
        }
        for reply in replies {
            thread::park_timeout(reply.after);
            send_message(&mut stream, &reply.message());
        }
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), free_port())
}
