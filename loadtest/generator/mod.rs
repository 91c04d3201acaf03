//! The generator of ours: an open loop. Every query has an intended time, by the rate alone; a reply's
//! latency counts from there, so that a server that stalls pays for all that should have been sent meanwhile.
//!
//! One thread, which spins: it has its CPU to itself. Every reply is checked: ID, question, response code.

mod volley;
mod window;

pub mod connections;
pub mod flood;
pub mod slo;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::bounds::{RATE_MAX, SECONDS_MAX, SOCKETS_MAX, VOLLEY};
use super::measure::whole;
use super::queries::{Expected, QuerySet};
use super::{Outcome, fail};
use volley::Volley;
use window::Window;

/// Nanoseconds between two looks for queries that nobody will answer any more.
const SWEEP_EVERY: u64 = 10_000_000;
/// With nothing due for longer than this, the generator sleeps until something comes.
const IDLE: u64 = 2_000_000;
/// Latencies are kept from 1 ns to 60 s with three digits.
const LATENCY_MAX: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// What is to be sent.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// The addresses of one server, over which the sockets are spread.
    pub targets: &'a [SocketAddr],
    /// Queries a second.
    pub rate: u64,
    pub duration: Duration,
    pub sockets: usize,
    pub queries: &'a QuerySet,
    pub judge: Judge,
    /// A query without a reply is lost after this long.
    pub timeout: Duration,
}

/// What a reply has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// What our own code says, with its response code for every query.
    Ours,
    /// The same where all servers agree.
    AnyServer,
    /// The query again, with QR set.
    Echo,
}

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Harvest {
    pub sent: u64,
    pub answered: u64,
    /// Without a reply in time.
    pub lost: u64,
    /// Replies that belong to no query under way: too late, or twice.
    pub stray: u64,
    /// Replies with the right ID that are wrong otherwise.
    pub wrong: u64,
    /// Replies by response code.
    pub rcodes: [u64; 16],
    /// Seconds from the first query's time to the last one's.
    pub seconds: f64,
    /// Nanoseconds from a query's intended time to its reply.
    pub latency: Histogram<u64>,
    /// Nanoseconds from a query's intended time to its departure: the generator's own delay.
    pub lag: Histogram<u64>,
}

impl Harvest {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("the bounds are sound");
        Self {
            sent: 0,
            answered: 0,
            lost: 0,
            stray: 0,
            wrong: 0,
            rcodes: [0; 16],
            seconds: 0.0,
            latency: histogram(),
            lag: histogram(),
        }
    }

    /// The share of the queries that got no reply.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64
    }

    /// A quantile of the latency, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// Sends a load and gathers the replies.
///
/// # Errors
/// A bound of [`bounds`](super::bounds) is passed, or there are no sockets; interrupted by `stop`.
pub fn run(load: &Load, progress: &ProgressBar, stop: &AtomicBool) -> Outcome<Harvest> {
    if !(1..=RATE_MAX).contains(&load.rate) || !(1..=SOCKETS_MAX).contains(&load.sockets) {
        return fail(format!("the rate must be 1 to {RATE_MAX} a second, over 1 to {SOCKETS_MAX} sockets"));
    }
    if load.duration > Duration::from_secs(SECONDS_MAX) || load.queries.len() == 0 || load.targets.is_empty()
    {
        return fail(format!("a load needs targets and queries and lasts at most {SECONDS_MAX} s"));
    }
    Generator::new(load)?.run(progress, stop)
}

struct Generator<'a> {
    load: &'a Load<'a>,
    sockets: Vec<UdpSocket>,
    windows: Vec<Window>,
    ready: Epoll,
    volley: Volley,
    harvest: Harvest,
    began: Instant,
    total: u64,
}

impl<'a> Generator<'a> {
    fn new(load: &'a Load<'a>) -> Outcome<Self> {
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut sockets = Vec::with_capacity(load.sockets);
        for number in 0..load.sockets {
            let socket = client(load.targets[number % load.targets.len()])?;
            ready.add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            sockets.push(socket);
        }
        let total = whole(load.rate as f64 * load.duration.as_secs_f64());
        let windows = (0..load.sockets).map(|_| Window::new()).collect();
        let (volley, harvest) = (Volley::new(), Harvest::new());
        Ok(Self { load, sockets, windows, ready, volley, harvest, began: Instant::now(), total })
    }

    fn run(mut self, progress: &ProgressBar, stop: &AtomicBool) -> Outcome<Harvest> {
        let last = self.intended(self.total);
        let (mut socket, mut next_sweep) = (0, SWEEP_EVERY);
        progress.set_length(self.total);
        self.began = Instant::now();
        loop {
            let now = self.now();
            let due = self.due(now).saturating_sub(self.harvest.sent);
            if due > 0 {
                self.send(socket, due.min(VOLLEY as u64) as usize)?;
                socket = (socket + 1) % self.sockets.len();
            }
            self.gather(if due > 0 { 0 } else { self.wait_ns(now) })?;
            if now >= next_sweep {
                self.sweep(now);
                next_sweep = now + SWEEP_EVERY;
                progress.set_position(self.harvest.sent);
                if stop.load(Ordering::Relaxed) {
                    return fail("interrupted");
                }
                let is_sent = self.harvest.sent == self.total;
                if is_sent && self.windows.iter().all(Window::is_empty) {
                    break;
                }
            }
        }
        self.harvest.seconds = last as f64 / 1e9;
        Ok(self.harvest)
    }

    /// Nanoseconds since the begin.
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// When query `number` should be sent.
    fn intended(&self, number: u64) -> u64 {
        (u128::from(number) * 1_000_000_000 / u128::from(self.load.rate)) as u64
    }

    /// How many queries should have been sent by `now`.
    fn due(&self, now: u64) -> u64 {
        let due = u128::from(now) * u128::from(self.load.rate) / 1_000_000_000 + 1;
        (due as u64).min(self.total)
    }

    /// How long there will be nothing to send, if that is long enough to sleep.
    fn wait_ns(&self, now: u64) -> u64 {
        let next = if self.harvest.sent == self.total {
            now + SWEEP_EVERY
        } else {
            self.intended(self.harvest.sent)
        };
        let wait = next.saturating_sub(now);
        if wait > IDLE { wait - IDLE / 2 } else { 0 }
    }

    /// Sends `count` queries over one socket.
    fn send(&mut self, socket: usize, count: usize) -> Outcome<()> {
        let window = &mut self.windows[socket];
        let now = self.began.elapsed().as_nanos() as u64;
        let first = self.harvest.sent;
        self.volley.clear();
        for number in first..first + count as u64 {
            let intended = (u128::from(number) * 1_000_000_000 / u128::from(self.load.rate)) as u64;
            let query = (number % self.load.queries.len() as u64) as usize;
            let (id, is_lost) = window.open(intended, query as u32);
            self.harvest.lost += u64::from(is_lost);
            // The histogram takes what is in its bounds, and more as the most.
            self.harvest.lag.saturating_record(now.saturating_sub(intended).max(1));
            self.volley.push(self.load.queries.get(query).0, id);
        }
        self.harvest.sent += count as u64;
        // What the kernel does not take is not sent, gets no reply and is lost: the schedule does not wait.
        self.volley.send(&self.sockets[socket])?;
        Ok(())
    }

    /// Takes the replies that are there, or waits up to `wait_ns` for the first.
    fn gather(&mut self, wait_ns: u64) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); SOCKETS_MAX];
        let wait_ms = u16::try_from(wait_ns / 1_000_000).unwrap_or(u16::MAX);
        let count = match self.ready.wait(&mut events, EpollTimeout::from(wait_ms)) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return fail(format!("epoll: {error}")),
        };
        for event in &events[..count] {
            let socket = event.data() as usize;
            let Self { volley, sockets, windows, harvest, load, began, .. } = self;
            let mut now = None;
            volley.receive(&sockets[socket], &mut |reply| {
                let now = *now.get_or_insert_with(|| began.elapsed().as_nanos() as u64);
                judge(harvest, &mut windows[socket], load, reply, now);
            })?;
        }
        Ok(())
    }

    /// Gives up what has waited too long.
    fn sweep(&mut self, now: u64) {
        let limit = now.saturating_sub(self.load.timeout.as_nanos() as u64);
        self.harvest.lost += self.windows.iter_mut().map(|window| window.sweep(limit)).sum::<u64>();
    }
}

/// A socket that asks a server, and does not block.
fn client(target: SocketAddr) -> Outcome<UdpSocket> {
    let any: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    // Replies that wait for the generator's thread; the host may allow less.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    Ok(socket)
}

/// Counts one reply.
fn judge(harvest: &mut Harvest, window: &mut Window, load: &Load, reply: &[u8], now: u64) {
    let opened = reply.first_chunk().and_then(|&id| window.close(u16::from_be_bytes(id)));
    let Some((intended, query)) = opened else {
        harvest.stray += 1;
        return;
    };
    harvest.answered += 1;
    harvest.latency.saturating_record(now.saturating_sub(intended).max(1));
    let (query, expected) = load.queries.get(query as usize);
    harvest.wrong += u64::from(!is_right(query, &expected, reply, load.judge));
    harvest.rcodes[usize::from(reply.get(3).map_or(0, |byte| byte & 15))] += 1;
}

/// Whether a reply answers a query; the IDs are equal.
pub fn is_right(query: &[u8], expected: &Expected, reply: &[u8], judge: Judge) -> bool {
    let end = usize::from(expected.question_end);
    let is_reply = reply.len() >= 12 && reply[2] & 0x80 != 0;
    let is_code_right = || reply[3] & 15 == expected.rcode;
    match judge {
        Judge::Echo => is_reply && reply.len() == query.len() && reply[3..] == query[3..],
        // A server may leave the question out when it refuses an update (RFC 2136, section 3.8).
        Judge::AnyServer if !expected.by_all => is_reply,
        Judge::AnyServer | Judge::Ours => {
            is_reply
                && is_code_right()
                && (reply.get(12..end) == query.get(12..end) || reply[4..6] == [0, 0] && !expected.by_all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many queries fit into a receive buffer of the usual size. With no more, nothing is lost however
    /// long a thread has to stand still.
    const FIT: u64 = 250;

    /// A server that answers all but each `skip`-th query, spoils each `spoil`-th, and holds everything back
    /// for `stall` once.
    fn server(skip: u64, spoil: u64, stall: Duration) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        std::thread::spawn(move || {
            let (mut buffer, mut number) = ([0; 2048], 0);
            while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
                number += 1;
                if number == 20 && !stall.is_zero() {
                    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
                    mute.set_read_timeout(Some(stall)).unwrap();
                    let _ = mute.recv(&mut [0]);
                }
                if number % skip == 0 {
                    continue;
                }
                buffer[2] |= 0x80;
                buffer[15] ^= u8::from(number % spoil == 0);
                let _ = socket.send_to(&buffer[..len], peer);
            }
        });
        address
    }

    /// What becomes of [`FIT`] queries, one a millisecond.
    fn harvest(target: SocketAddr) -> Harvest {
        let queries = QuerySet::ordinary(1, 50);
        let (duration, timeout) = (Duration::from_millis(FIT), Duration::from_secs(5));
        let load = Load {
            targets: &[target],
            rate: 1000,
            duration,
            sockets: 4,
            queries: &queries,
            judge: Judge::Echo,
            timeout,
        };
        run(&load, &ProgressBar::hidden(), &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn losses_and_wrong_replies_are_counted() {
        let harvest = harvest(server(10, 7, Duration::ZERO));
        assert_eq!((harvest.sent, harvest.lost, harvest.answered, harvest.stray), (FIT, 25, 225, 0));
        // Each 7th of 250, without those that are also a 10th.
        assert_eq!(harvest.wrong, 35 - 3);
        assert_eq!(harvest.latency.len(), 225);
        assert!((harvest.loss() - 0.1).abs() < 1e-9);
    }

    /// A closed loop would have seen one late reply: the open loop has all that should have been sent
    /// meanwhile.
    #[test]
    fn a_stall_counts_for_all_that_waited() {
        let harvest = harvest(server(u64::MAX, u64::MAX, Duration::from_millis(200)));
        assert_eq!((harvest.sent, harvest.lost, harvest.wrong), (FIT, 0, 0));
        let late = harvest.latency.iter_recorded().filter(|step| step.value_iterated_to() > 100_000_000);
        let late: u64 = late.map(|step| step.count_at_value()).sum();
        assert!(late >= 90, "{late} of the 100 replies that waited over 100 ms");
        assert!(harvest.latency_ms(0.5) < harvest.latency_ms(0.99));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let queries = QuerySet::ordinary(1, 1);
        let target = SocketAddr::from(([127, 0, 0, 1], 9));
        let load = |rate, seconds, sockets| {
            let duration = Duration::from_secs(seconds);
            let (judge, timeout) = (Judge::Ours, duration);
            let load =
                Load { targets: &[target], rate, duration, sockets, queries: &queries, judge, timeout };
            run(&load, &ProgressBar::hidden(), &AtomicBool::new(true)).unwrap_err().to_string()
        };
        assert!(load(0, 1, 1).contains("the rate must be"));
        assert!(load(RATE_MAX + 1, 1, 1).contains("the rate must be"));
        assert!(load(1, 1, SOCKETS_MAX + 1).contains("sockets"));
        assert!(load(1, SECONDS_MAX + 1, 1).contains("lasts at most"));
        assert_eq!(load(1, 1, 1), "interrupted");
    }

    #[test]
    fn a_reply_is_right_by_question_and_code() {
        let set = QuerySet::ordinary(1, 1);
        let (query, expected) = set.get(0);
        let mut reply = query.to_vec();
        reply[2] |= 0x80;
        assert!(is_right(query, &expected, &reply, Judge::Echo));
        assert!(!is_right(query, &expected, query, Judge::Echo), "QR is not set");
        reply[3] = expected.rcode;
        assert!(
            [Judge::Ours, Judge::AnyServer].iter().all(|&judge| is_right(query, &expected, &reply, judge))
        );
        reply[13] ^= 0x20;
        assert!(!is_right(query, &expected, &reply, Judge::AnyServer), "other letters");
        reply[13] ^= 0x20;
        reply[3] ^= 1;
        assert!(!is_right(query, &expected, &reply, Judge::Ours), "another code");
        assert!(!is_right(query, &expected, &reply[..11], Judge::Ours), "too short");
        let update = Expected { rcode: 5, by_all: false, ..expected };
        assert!(is_right(query, &update, &reply, Judge::AnyServer), "servers differ there");
        assert!(!is_right(query, &update, &reply, Judge::Ours), "but we know our own");
    }
}
