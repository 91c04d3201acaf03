//! Local sockets of applications: streams, or datagrams where the other side wants those. Nothing here waits:
//! what cannot be written or read now is, when the kernel says so.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::path::Path;

use mio::net::{UnixDatagram, UnixStream};
use mio::{Interest, Registry, Token};

use super::sandbox::InstanceId;
use super::sandbox::abi::SCRATCH_LEN;
use super::sandbox::call::{Order, Result};
use super::tasks::Tasks;
use crate::limits::WORK_SOCKETS_MAX;

/// Who is told what came of an order.
pub(super) type Tell<'a> = dyn FnMut(InstanceId, u32, Result<'_>) + 'a;

/// The sockets of all instances of a worker.
pub(super) struct Sockets {
    registry: Registry,
    /// Their tokens begin there.
    first: usize,
    open: Tasks<Socket>,
    numbers: HashMap<(InstanceId, u32), u32>,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Socket {
    instance: InstanceId,
    token: u32,
    end: End,
    /// Orders to write, and how much of the first is written.
    unsent: VecDeque<(u32, Vec<u8>)>,
    written: usize,
    /// The order to read.
    receiving: Option<u32>,
}

#[derive(Debug)]
enum End {
    Stream(UnixStream),
    Datagrams(UnixDatagram),
}

impl Sockets {
    /// None is open. They are registered under tokens from `first` on.
    ///
    /// # Errors
    /// No descriptors.
    pub(super) fn new(registry: &Registry, first: usize) -> io::Result<Self> {
        let registry = registry.try_clone()?;
        Ok(Self { registry, first, open: Tasks::new(), numbers: HashMap::new() })
    }

    /// Carries out an order about a socket.
    pub(super) fn carry_out(&mut self, instance: InstanceId, token: u32, order: Order, tell: &mut Tell<'_>) {
        let number = |sockets: &Self, socket: u32| sockets.numbers.get(&(instance, socket)).copied();
        match order {
            Order::Open(path) => {
                let is_open = self.open(instance, token, &path).is_ok();
                tell(instance, token, if is_open { Result::Bytes(&[]) } else { Result::Closed });
            }
            Order::Send(socket, bytes) => match number(self, socket) {
                Some(number) => self.change(number, tell, |socket| socket.unsent.push_back((token, bytes))),
                None => tell(instance, token, Result::Closed),
            },
            Order::Receive(socket) => match number(self, socket) {
                Some(number) => self.change(number, tell, |socket| socket.receiving = Some(token)),
                None => tell(instance, token, Result::Closed),
            },
            Order::Close(socket) => {
                if let Some(number) = number(self, socket) {
                    self.close(number);
                }
            }
            Order::Ask { .. } | Order::Timer(_) | Order::Cancel(_) | Order::Purge { .. } => {}
        }
    }

    fn open(&mut self, instance: InstanceId, token: u32, path: &Path) -> io::Result<()> {
        let full = || io::Error::from(io::ErrorKind::QuotaExceeded);
        let number = self.open.reserve(WORK_SOCKETS_MAX).ok_or_else(full)?;
        let place = Token(self.first + number as usize);
        let end = End::connect(path).and_then(|mut end| end.register(&self.registry, place).map(|()| end));
        match end {
            Ok(end) => {
                let (unsent, written, receiving) = (VecDeque::new(), 0, None);
                self.open.put(number, Socket { instance, token, end, unsent, written, receiving });
                self.numbers.insert((instance, token), number);
                Ok(())
            }
            Err(error) => {
                self.open.release(number);
                Err(error)
            }
        }
    }

    /// The kernel says that something can be done.
    pub(super) fn ready(&mut self, token: usize, tell: &mut Tell<'_>) {
        if let Some(number) = token.checked_sub(self.first).and_then(|number| u32::try_from(number).ok()) {
            self.change(number, tell, |_| {});
        }
    }

    /// Changes a socket, and does with it what can be done now.
    fn change(&mut self, number: u32, tell: &mut Tell<'_>, change: impl FnOnce(&mut Socket)) {
        let Some(socket) = self.open.get_mut(number) else { return };
        change(socket);
        if socket.send(tell).and_then(|()| socket.receive(tell)).is_ok() {
            return;
        }
        if let Some(socket) = self.close(number) {
            let orders = socket.unsent.iter().map(|(token, _)| *token).chain(socket.receiving);
            orders.for_each(|token| tell(socket.instance, token, Result::Closed));
        }
    }

    fn close(&mut self, number: u32) -> Option<Socket> {
        let mut socket = self.open.take(number)?;
        self.open.release(number);
        self.numbers.remove(&(socket.instance, socket.token));
        // It goes with its descriptor anyway.
        let _ = socket.end.deregister(&self.registry);
        Some(socket)
    }
}

impl Socket {
    fn send(&mut self, tell: &mut Tell<'_>) -> io::Result<()> {
        while let Some((token, bytes)) = self.unsent.front() {
            let rest = &bytes[self.written..];
            let sent = match &mut self.end {
                End::Stream(_) if rest.is_empty() => Ok(0),
                // `writev`, which a worker may call.
                End::Stream(stream) => stream.write_vectored(&[IoSlice::new(rest)]),
                End::Datagrams(socket) => socket.send(rest),
            };
            match sent {
                Ok(len) if self.written + len < bytes.len() => self.written += len,
                Ok(_) => {
                    tell(self.instance, *token, Result::Bytes(&[]));
                    self.unsent.pop_front();
                    self.written = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, tell: &mut Tell<'_>) -> io::Result<()> {
        let Some(token) = self.receiving else { return Ok(()) };
        let mut bytes = [0; SCRATCH_LEN];
        loop {
            let received = match &mut self.end {
                End::Stream(stream) => stream.read_vectored(&mut [IoSliceMut::new(&mut bytes)]),
                End::Datagrams(socket) => socket.recv(&mut bytes),
            };
            match received {
                Ok(0) if matches!(self.end, End::Stream(_)) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(len) => {
                    self.receiving = None;
                    tell(self.instance, token, Result::Bytes(&bytes[..len]));
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl End {
    /// Without waiting: where the other side has a full queue it is as if it were not there.
    fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).map(Self::Stream).or_else(|error| {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path).map(|()| Self::Datagrams(socket)).map_err(|_| error)
        })
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Stream(stream) => registry.register(stream, token, both),
            Self::Datagrams(socket) => registry.register(socket, token, both),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Stream(stream) => registry.deregister(stream),
            Self::Datagrams(socket) => registry.deregister(socket),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net as std_net;
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    const ME: InstanceId = InstanceId(7);
    const FIRST: usize = 100;

    /// What an instance was told: the token, and the bytes, or that it is closed.
    type Told = Vec<(u32, Option<Vec<u8>>)>;

    struct Floor {
        poll: Poll,
        sockets: Sockets,
        told: Told,
    }

    impl Floor {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let sockets = Sockets::new(poll.registry(), FIRST).unwrap();
            Self { poll, sockets, told: Vec::new() }
        }

        fn order(&mut self, token: u32, order: Order) -> &Told {
            let told = &mut self.told;
            self.sockets.carry_out(ME, token, order, &mut |instance, token, result| {
                assert_eq!(instance, ME);
                told.push((token, bytes(result)));
            });
            told
        }

        /// Makes turns until something was told.
        fn wait(&mut self) -> &Told {
            let mut events = Events::with_capacity(8);
            let before = self.told.len();
            for _ in 0..400 {
                self.poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
                let told = &mut self.told;
                for event in &events {
                    self.sockets
                        .ready(event.token().0, &mut |_, token, result| told.push((token, bytes(result))));
                }
                if self.told.len() > before {
                    break;
                }
            }
            &self.told
        }
    }

    fn bytes(result: Result<'_>) -> Option<Vec<u8>> {
        match result {
            Result::Bytes(bytes) => Some(bytes.to_vec()),
            Result::Closed => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_is_written_and_read_and_closes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let listener = std_net::UnixListener::bind(&path).unwrap();
        let mut floor = Floor::new();
        assert_eq!(*floor.order(1, Order::Open(path)), [(1, Some(vec![]))]);
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(floor.order(2, Order::Send(1, b"hello".to_vec()))[1..], [(2, Some(vec![]))]);
        let mut got = [0; 5];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        assert_eq!(floor.order(3, Order::Receive(1)).len(), 2, "there is nothing yet");
        peer.write_all(b"answer").unwrap();
        assert_eq!(floor.wait()[2..], [(3, Some(b"answer".to_vec()))]);
        // What was there before it is asked for is there at once.
        peer.write_all(b"more").unwrap();
        floor.order(4, Order::Receive(1));
        assert_eq!(floor.told[3..], [(4, Some(b"more".to_vec()))]);
        assert_eq!(floor.order(5, Order::Receive(1)).len(), 4);
        drop(peer);
        assert_eq!(floor.wait()[4..], [(5, None)]);
        floor.order(6, Order::Send(1, b"x".to_vec()));
        assert_eq!(floor.told[5..], [(6, None)], "it is gone");
    }

    #[test]
    fn what_does_not_fit_is_written_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let listener = std_net::UnixListener::bind(&path).unwrap();
        let mut floor = Floor::new();
        floor.order(1, Order::Open(path));
        let (mut peer, _) = listener.accept().unwrap();
        let large = vec![7; 4 << 20];
        floor.order(2, Order::Send(1, large.clone()));
        floor.order(3, Order::Send(1, b"end".to_vec()));
        assert_eq!(floor.told.len(), 1, "nobody reads");
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; large.len() + 3];
            peer.read_exact(&mut got).map(|()| got.ends_with(&[7, b'e', b'n', b'd'])).unwrap()
        });
        while floor.told.len() < 3 {
            floor.wait();
        }
        assert_eq!(floor.told[1..], [(2, Some(vec![])), (3, Some(vec![]))]);
        assert!(reader.join().unwrap());
    }

    #[test]
    fn datagrams_are_sent_where_those_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("datagrams");
        let peer = std_net::UnixDatagram::bind(&path).unwrap();
        let mut floor = Floor::new();
        floor.order(1, Order::Open(path));
        floor.order(2, Order::Send(1, b"a line".to_vec()));
        assert_eq!(floor.told, [(1, Some(vec![])), (2, Some(vec![]))]);
        let mut got = [0; 16];
        assert_eq!(peer.recv(&mut got).map(|len| got[..len].to_vec()).unwrap(), b"a line");
        floor.order(3, Order::Close(1));
        floor.order(4, Order::Send(1, b"x".to_vec()));
        assert_eq!(floor.told[2..], [(4, None)]);
    }

    #[test]
    fn where_nobody_listens_nothing_opens_and_there_is_an_end_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let mut floor = Floor::new();
        assert_eq!(*floor.order(1, Order::Open(path.clone())), [(1, None)]);
        let _listener = std_net::UnixDatagram::bind(&path).unwrap();
        for token in 0..WORK_SOCKETS_MAX as u32 {
            floor.order(token, Order::Open(path.clone()));
        }
        assert!(floor.told[1..].iter().all(|(_, told)| told.is_some()));
        floor.order(9999, Order::Open(path.clone()));
        assert_eq!(floor.told.last(), Some(&(9999, None)));
        floor.order(5000, Order::Close(0));
        floor.order(9999, Order::Open(path));
        assert_eq!(floor.told.last(), Some(&(9999, Some(vec![]))));
    }
}
