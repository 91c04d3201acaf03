//! What a worker allocates for a query, under an allocator that counts: nothing for what its cache has, and
//! little for what it forwards. The only test of its program, as every other thread's allocations count.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::log::Log;
use as112d::serve::job::{Desk, JobSettings, Taken, desk};
use as112d::serve::published::Published;
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::ledger::LedgerSettings;
use as112d::sys::confine::Confined;
use as112d::sys::wake::Waker;
use as112d::work::trace::Tracing;
use as112d::work::{Habits, Place, Places, Plan, Workers, cache};
use as112d::zone;

use common::{options, policy, query, settings};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Queries of a measurement.
const QUERIES: u64 = 2000;

/// Allocations of all threads but those that play the others' parts.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread plays the others' parts. Constant and without a destructor.
    static IS_ANOTHER: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, counting.
struct Counting;

#[expect(unsafe_code, reason = "an allocator has no safe face; this one hands everything on")]
// SAFETY: every call goes to `System` with the arguments of the caller, who keeps the contract of
// `GlobalAlloc`, and what `System` returns is returned unchanged. Counting touches a thread-local flag and an
// atomic number, and never allocates or unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_ANOTHER.get() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: `layout` is the caller's, who keeps `GlobalAlloc::alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above, which is `System`'s, with this `layout`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A worker, and all whom it deals with, played by the test.
struct Floor {
    workers: Workers,
    published: std::sync::Arc<Published>,
    desk: Desk,
    listener: UdpSocket,
    client: UdpSocket,
    upstream: UdpSocket,
}

impl Floor {
    fn start() -> Self {
        let [listener, client, upstream] =
            [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        for socket in [&client, &upstream] {
            socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        }
        let at = upstream.local_addr().expect("it is bound");
        let rules = format!("src in {{ 127.0.0.0/8 }} and qname-suffix in {{ example }} forward {at}");
        let zones = zone::load(&options(&[])).expect("the zones load");
        let node = Snapshot::new(&zones, Settings { policy: policy(&rules, &[]), ..settings() });
        let published = Published::new(node.expect("sound"));
        let wakers = vec![Waker::new().expect("a descriptor")];
        let (desk, inboxes) = desk(&JobSettings { workers: 1, jobs: 64, share: 64 }, &wakers);
        let plan = Plan {
            cpus: vec![None],
            inboxes: vec![inboxes],
            wakers,
            sockets: vec![vec![listener.try_clone().expect("a second handle")]],
            tcp: None,
            published: std::sync::Arc::clone(&published),
            habits: Habits { cache: cache::Settings::default(), query_timeout: Duration::from_secs(10) },
            ledgers: LedgerSettings::default(),
            places: Places::new(|_| Place::default()),
            confined: Confined::default(),
            trace: Tracing::default(),
            log: Log::silent(),
        };
        let workers = Workers::start(plan, &crossbeam_channel::unbounded().0).expect("it starts");
        Self { workers, published, desk, listener, client, upstream }
    }

    fn hand_over(&mut self, packet: &[u8]) {
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let arrival = Arrival {
            transport: Transport::Udp,
            peer: address(&self.client),
            local: address(&self.listener),
            listener: 0,
            unix_time: 0,
            pace: Pace::Within,
        };
        let node = self.published.newest();
        let mut slot = vec![0; SLOT_PAYLOAD_LEN];
        slot[..packet.len()].copy_from_slice(packet);
        let mut account = Account::default();
        let verdict = serve(&node, &arrival, &mut slot, packet.len(), &mut account);
        let Verdict::HandOff(way) = verdict else { panic!("{verdict:?}") };
        let taken = Taken {
            arrival: &arrival,
            socket: 0,
            connection: None,
            account: &account,
            label: node.route_share(way).0,
            share: node.route_share(way).1,
            asked: Instant::now(),
            packet,
        };
        // Jobs come back a moment after their replies.
        let began = Instant::now();
        while self.desk.hand_over(way, &taken).is_err() {
            self.desk.end_turn();
            assert!(began.elapsed() < PATIENCE, "no job comes back");
        }
        self.desk.end_turn();
    }

    /// The upstream answers the next query.
    fn answer(&self) {
        let mut packet = [0; 512];
        let (_, from) = self.upstream.recv_from(&mut packet).expect("it is asked");
        let end = 12 + packet[12..].iter().position(|&byte| byte == 0).expect("a name ends") + 5;
        let record = [0xC0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1];
        let mut reply = [&packet[..end], &record].concat();
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        self.upstream.send_to(&reply, from).expect("sent");
    }

    fn receive(&self) {
        let mut reply = [0; 512];
        let len = self.client.recv(&mut reply).expect("a reply");
        assert_eq!((reply[3] & 0xF, reply[7]), (0, 1), "{:02x?}", &reply[..len]);
    }

    /// Queries for these names, so many at a time, of which the upstream is asked if so; what the worker
    /// allocates for one.
    fn measure(&mut self, window: u64, is_forwarded: bool, name: impl Fn(u64) -> String) -> f64 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for first in (0..QUERIES).step_by(window as usize) {
            for number in first..first + window {
                self.hand_over(&query(&name(number), 1));
            }
            (0..if is_forwarded { window } else { 0 }).for_each(|_| self.answer());
            (0..window).for_each(|_| self.receive());
        }
        (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / QUERIES as f64
    }
}

#[test]
fn a_worker_allocates_nothing_for_a_hit_and_little_for_what_it_forwards() {
    IS_ANOTHER.set(true);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    std::thread::spawn(|| drop(std::hint::black_box(vec![1_u8]))).join().expect("it only allocates");
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before, "the allocator counts");

    let mut floor = Floor::start();
    for window in [1, 20] {
        // Tables and buffers have come to their size.
        floor.measure(window, true, |number| format!("warm{window}-{number}.example"));
        let forwarded = floor.measure(window, true, |number| format!("name{window}-{number}.example"));
        floor.measure(window, false, |number| format!("name{window}-{}.example", number % 100));
        let hits = floor.measure(window, false, |number| format!("name{window}-{}.example", number % 100));
        println!("report: work_allocations {window} at a time: {forwarded} forwarded, {hits} a hit");
        assert!(hits == 0.0, "{hits} allocations for a hit");
        assert!(forwarded <= FORWARDED, "{forwarded} allocations for a query that is forwarded");
    }
    floor.workers.stop();
}

/// For a query that is forwarded: the entry of the cache, its key and its answer.
const FORWARDED: f64 = 3.1;
