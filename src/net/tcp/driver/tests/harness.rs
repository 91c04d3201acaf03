//! A toy in the place of the answers, a running driver, and what a client does.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use super::*;

/// Answers a query with its arrival in place of the counts: the keepalive time-out, our port, the client's
/// port. Bytes 12 and 13 are the least length of the reply; a response is dropped.
#[derive(Clone, Default)]
pub(super) struct Toy {
    counts: Arc<Mutex<HashMap<TcpEvent, usize>>>,
    pub(super) wakes: Arc<AtomicUsize>,
}

impl Toy {
    pub(super) fn counts(&self) -> MutexGuard<'_, HashMap<TcpEvent, usize>> {
        self.counts.lock().unwrap()
    }
}

impl TcpHandler for Toy {
    fn woken(&mut self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    fn answer(&mut self, arrival: &Arrival, _: Connection, slot: &mut [u8], len: usize) -> Verdict {
        let Transport::Tcp { keepalive } = arrival.transport else { panic!("{arrival:?}") };
        assert!(arrival.local.ip().is_loopback() && arrival.peer.ip().is_loopback());
        if slot[2] & 0x80 != 0 {
            return Verdict::Drop;
        }
        slot[2] |= 0x80;
        slot[4..6].copy_from_slice(&keepalive.to_be_bytes());
        slot[6..8].copy_from_slice(&arrival.local.port().to_be_bytes());
        slot[8..10].copy_from_slice(&arrival.peer.port().to_be_bytes());
        Verdict::Reply(len.max(usize::from(u16::from_be_bytes([slot[12], slot[13]]))))
    }

    fn count(&mut self, event: TcpEvent) {
        *self.counts().entry(event).or_default() += 1;
    }
}

/// A running driver, stopped and checked at the end.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) toy: Toy,
    pub(super) orders: Arc<Orders>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    pub(super) fn start(settings: TcpSettings) -> Self {
        Self::start_beside(settings).0
    }

    /// One whose listener another process has as well: that handle.
    pub(super) fn start_beside(settings: TcpSettings) -> (Self, std::net::TcpListener) {
        Self::start_all(settings, |_, toy| toy)
    }

    /// One with the handler that `make` makes.
    pub(super) fn start_with<H: TcpHandler + Send + 'static>(
        settings: TcpSettings,
        make: impl FnOnce(&TcpDriver, Toy) -> H,
    ) -> Self {
        Self::start_all(settings, make).0
    }

    fn start_all<H: TcpHandler + Send + 'static>(
        settings: TcpSettings,
        make: impl FnOnce(&TcpDriver, Toy) -> H,
    ) -> (Self, std::net::TcpListener) {
        // The standard library's own backlog of 128 is too short for thousands of connections at once.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(4096).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let other = listener.try_clone().unwrap();
        let driver = TcpDriver::new(vec![listener], settings).unwrap();
        let (toy, orders) = (Toy::default(), Arc::new(Orders::default()));
        let (mut handler, told) = (make(&driver, toy.clone()), Arc::clone(&orders));
        let thread = std::thread::spawn(move || driver.run(&told, &mut handler));
        (Self { address, toy, orders, thread: Some(thread) }, other)
    }

    pub(super) fn connect(&self) -> TcpStream {
        self.connect_from(1)
    }

    /// A connection from 127.0.`source`.
    pub(super) fn connect_from(&self, source: u16) -> TcpStream {
        let [high, low] = source.to_be_bytes();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, high, low], 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    pub(super) fn counted(&self, event: TcpEvent) -> usize {
        self.toy.counts().get(&event).copied().unwrap_or(0)
    }

    pub(super) fn closed(&self, reason: Closed) -> usize {
        self.counted(TcpEvent::Closed(reason))
    }

    /// Waits until so many connections were closed for this reason.
    pub(super) fn wait_closed(&self, reason: Closed, count: usize) {
        let began = Instant::now();
        while self.closed(reason) < count {
            assert!(began.elapsed() < Duration::from_secs(15), "{reason:?}: {:?}", self.toy.counts());
            breathe();
        }
    }

    /// Waits for the end of a driver that was told to retire.
    pub(super) fn wait_end(&self) {
        let began = Instant::now();
        while !self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            assert!(began.elapsed() < Duration::from_secs(15), "{:?}", self.toy.counts());
            breathe();
        }
    }

    /// Stops; returns how long that took. Every connection that was opened has been closed then.
    pub(super) fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.orders.stop();
        self.thread.take().expect("a server is stopped once").join().unwrap().unwrap();
        let took = began.elapsed();
        let counts = self.toy.counts();
        let closed = counts.iter().filter(|(event, _)| matches!(event, TcpEvent::Closed(_)));
        let opened = counts.get(&TcpEvent::Opened).copied().unwrap_or(0);
        assert_eq!(closed.map(|(_, count)| count).sum::<usize>(), opened, "{counts:?}");
        took
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A query with its length before it, whose reply has `reply_len` bytes.
pub(super) fn framed_query(id: u16, reply_len: u16) -> Vec<u8> {
    let mut framed = vec![0, 40];
    framed.extend_from_slice(&id.to_be_bytes());
    framed.resize(2 + 12, 0);
    framed.extend_from_slice(&reply_len.to_be_bytes());
    framed.resize(2 + 40, 0);
    framed
}

pub(super) fn read_reply(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Asks and checks the reply; returns how long that took.
pub(super) fn ask(stream: &mut TcpStream, id: u16) -> io::Result<Duration> {
    let began = Instant::now();
    stream.write_all(&framed_query(id, 0))?;
    let reply = read_reply(stream)?;
    assert_eq!((reply.len(), &reply[..3]), (40, &[id.to_be_bytes()[0], id.to_be_bytes()[1], 0x80][..]));
    Ok(began.elapsed())
}

/// Checks that answers took less than `most`: half of them, as the host may hold up a few, but none for good.
pub(super) fn assert_soon(mut latencies: Vec<Duration>, most: Duration) {
    latencies.sort_unstable();
    assert!(latencies[latencies.len() / 2] < most, "{latencies:?}");
    assert!(latencies.last() < Some(&Duration::from_secs(10)), "{latencies:?}");
}

pub(super) fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).map(|_| rest.len()).unwrap(), 0);
}

/// Lets the others work for a moment.
pub(super) fn breathe() {
    std::thread::park_timeout(Duration::from_millis(5));
}

/// Whether the other end has closed or reset the connection.
pub(super) fn is_over(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]), Ok(1..))
}
