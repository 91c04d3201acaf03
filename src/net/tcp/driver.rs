//! Moves the bytes: listeners, readiness, turns and deadlines, on one thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::SockRef;

use super::conn::{Conn, Ending, Slot};
use super::lists::Queue;
use super::table::{Entry, Room, Table};
use super::{Closed, TcpEvent, TcpHandler, TcpSettings};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::limits::{
    TCP_ACCEPT_PAUSE, TCP_ACCEPTS_PER_ROUND_MAX, TCP_DRAIN_MAX, TCP_EVENTS_MAX, TCP_KERNEL_RECEIVE_LEN,
    TCP_KERNEL_SEND_LEN, TCP_READ_LEN_MAX, TCP_REPLY_LEN_MAX, TCP_ROUND_MAX, TCP_TICK,
};
use crate::net::orders::Orders;
use crate::net::wall::WallClock;
use crate::serve::Verdict;
use crate::serve::job::{Connection, TcpReturn};

/// The token of the first listener; those of connections are their keys in the table, far below.
const FIRST_LISTENER: usize = usize::MAX / 2;

/// The token of what wakes the thread when replies have been made elsewhere.
const RETURN: usize = FIRST_LISTENER - 1;

/// The TCP side of the server: all listeners and all connections.
#[derive(Debug)]
pub struct TcpDriver {
    settings: TcpSettings,
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    /// When to accept again, after a pause.
    accept_after: Instant,
    table: Table<TcpStream>,
    /// Keys of the connections that are due a turn.
    queue: Queue,
    buffers: Buffers,
    clock: WallClock,
    draining: bool,
    /// Nothing is accepted: another process may.
    is_paused: bool,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    /// The local address of its connections; none for a wildcard, where each connection is asked
    /// (getsockname).
    local: Option<SocketAddr>,
    /// There may be a connection to accept.
    ready: bool,
}

/// What every turn needs and no connection owns.
#[derive(Debug)]
struct Buffers {
    input: Box<[u8; TCP_READ_LEN_MAX]>,
    slot: Box<Slot>,
    /// Answers, until they are sent.
    output: Vec<u8>,
}

/// The time of a turn.
struct Time {
    now: Instant,
    unix_time: u32,
    /// After which a connection is closed.
    idle: Duration,
}

impl TcpDriver {
    /// Prepares to serve `listeners`, which are bound and listen already. Their connections inherit no delay
    /// of small segments, and bounded buffers.
    ///
    /// # Errors
    /// What the kernel says when it refuses an option of a listener or its registration.
    pub fn new(listeners: Vec<std::net::TcpListener>, settings: TcpSettings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let listeners = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| {
                listener.set_nonblocking(true)?;
                SockRef::from(&listener).set_tcp_nodelay(true)?;
                SockRef::from(&listener).set_send_buffer_size(TCP_KERNEL_SEND_LEN)?;
                SockRef::from(&listener).set_recv_buffer_size(TCP_KERNEL_RECEIVE_LEN)?;
                let local = Some(listener.local_addr()?).filter(|local| !local.ip().is_unspecified());
                let mut socket = TcpListener::from_std(listener);
                poll.registry().register(&mut socket, Token(FIRST_LISTENER + index), Interest::READABLE)?;
                Ok(Listener { socket, local, ready: true })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            settings,
            poll,
            events: Events::with_capacity(TCP_EVENTS_MAX),
            listeners,
            accept_after: Instant::now(),
            table: Table::new(),
            queue: Queue::default(),
            buffers: Buffers {
                input: Box::new([0; TCP_READ_LEN_MAX]),
                slot: Box::new([0; TCP_REPLY_LEN_MAX]),
                output: Vec::new(),
            },
            clock: WallClock::new(),
            draining: false,
            is_paused: false,
        })
    }

    /// What wakes its thread from elsewhere.
    ///
    /// # Errors
    /// No descriptor, or no memory.
    pub fn waker(&self) -> io::Result<TcpReturn> {
        let waker = TcpReturn::new()?;
        let fd = waker.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(RETURN), Interest::READABLE)?;
        Ok(waker)
    }

    /// Serves until the orders say otherwise, which is seen within [`TCP_TICK`]. To pause is to accept
    /// nothing for now; to retire is to accept nothing more, and to serve the connections that are there
    /// until they close or fall idle, for at most the configured time. Then, or when it is to stop, it sends
    /// what is due, for at most [`TCP_DRAIN_MAX`], and closes everything.
    ///
    /// # Errors
    /// Errors of epoll itself, which neither a peer nor a shortage can cause.
    pub fn run(mut self, orders: &Orders, handler: &mut impl TcpHandler) -> io::Result<()> {
        while orders.is_serving() || orders.is_paused() {
            self.is_paused = orders.is_paused();
            if self.is_paused {
                handler.paused();
            }
            self.rounds(
                handler,
                |driver| {
                    if driver.is_paused { orders.is_paused() } else { orders.is_serving() }
                },
            )?;
        }
        self.close_listeners();
        let until = Instant::now() + self.settings.drain_timeout;
        self.rounds(handler, |driver| {
            orders.is_retiring() && driver.table.open() > 0 && Instant::now() < until
        })?;
        self.drain(handler)
    }

    /// Round after round, while `goes_on`.
    fn rounds(&mut self, handler: &mut impl TcpHandler, goes_on: impl Fn(&Self) -> bool) -> io::Result<()> {
        let mut tick_at = Instant::now() + TCP_TICK;
        while goes_on(self) {
            self.wait(tick_at)?;
            handler.woken();
            self.take_returned(handler);
            self.accept(handler);
            self.take_turns(handler);
            handler.rests();
            let now = Instant::now();
            if now >= tick_at {
                self.close_overdue(now, handler);
                tick_at = now + TCP_TICK;
            }
        }
        Ok(())
    }

    /// Lets go of the listeners. Others may hold them too, so closing them ends nothing with epoll.
    fn close_listeners(&mut self) {
        for mut listener in self.listeners.drain(..) {
            // A listener that another process holds too would still wake us (epoll(7)).
            let _ = self.poll.registry().deregister(&mut listener.socket);
        }
    }

    /// Waits until something is ready, or until `tick_at`; queues the connections that are.
    fn wait(&mut self, tick_at: Instant) -> io::Result<()> {
        let now = Instant::now();
        let until = if self.queue.len() > 0 {
            now
        } else if !self.is_paused && self.listeners.iter().any(|listener| listener.ready) {
            self.accept_after.min(tick_at)
        } else {
            tick_at
        };
        match self.poll.poll(&mut self.events, Some(until.saturating_duration_since(now))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            let Token(key) = event.token();
            if let Some(index) = key.checked_sub(FIRST_LISTENER) {
                if let Some(listener) = self.listeners.get_mut(index) {
                    listener.ready = true;
                }
            } else if let Some(entry) = self.table.get_mut(key) {
                let over = event.is_read_closed() || event.is_error();
                entry.readable |= event.is_readable() || over;
                entry.hung_up |= over;
                enqueue(&mut self.queue, key, entry);
            }
        }
        Ok(())
    }

    /// Gives the replies that were made elsewhere to their connections; those of connections that are gone
    /// fall. There are no more than were handed over.
    fn take_returned(&mut self, handler: &mut impl TcpHandler) {
        let now = Instant::now();
        while let Some(job) = handler.returned() {
            if let Some(Connection { key, generation }) = job.connection
                && let Some(entry) = self.table.get_mut(key).filter(|entry| entry.generation == generation)
            {
                entry.conn.reply(Some(&job.reply[..]).filter(|reply| !reply.is_empty()), now);
                enqueue(&mut self.queue, key, entry);
                self.keep_to_budget(key, handler);
            }
            handler.put(job);
        }
    }

    /// Learns what a connection holds; while all together hold too much, closes the largest.
    fn keep_to_budget(&mut self, key: usize, handler: &mut impl TcpHandler) {
        self.table.settle(key);
        while let Some(largest) = self.table.over_budget(&self.settings) {
            self.close(largest, Closed::Buffers, handler);
        }
    }

    /// Accepts a bounded number of connections from each listener.
    fn accept(&mut self, handler: &mut impl TcpHandler) {
        let now = Instant::now();
        if self.is_paused || now < self.accept_after {
            return;
        }
        for index in 0..self.listeners.len() {
            for _ in 0..TCP_ACCEPTS_PER_ROUND_MAX {
                if !self.listeners[index].ready {
                    break;
                }
                match self.listeners[index].socket.accept() {
                    Ok((stream, peer)) => self.admit(stream, peer, index, handler),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false;
                    }
                    Err(error) if is_of_one_connection(&error) => handler.count(TcpEvent::AcceptFailed),
                    Err(_) => {
                        handler.count(TcpEvent::AcceptPaused);
                        self.accept_after = now + TCP_ACCEPT_PAUSE;
                        return;
                    }
                }
            }
        }
    }

    /// Adds a connection. Where that exceeds a limit it closes another, or this one.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, listener: usize, handler: &mut impl TcpHandler) {
        let Ok(local) = self.listeners[listener].local.map_or_else(|| stream.local_addr(), Ok) else {
            handler.count(TcpEvent::AcceptFailed);
            return;
        };
        if handler.refuses(peer.ip()) {
            return;
        }
        handler.count(TcpEvent::Opened);
        let now = Instant::now();
        match self.table.room_for(peer.ip(), now, &self.settings) {
            Room::Free => {}
            Room::Instead(key, reason) => self.close(key, reason, handler),
            Room::Refused => return handler.count(TcpEvent::Closed(Closed::Refused)),
        }
        let key = self.table.insert(Entry::new(stream, Conn::new(now), peer, local, listener));
        let entry = self.table.get_mut(key).expect("it was just inserted");
        // Mostly its query has come with it.
        entry.readable = true;
        enqueue(&mut self.queue, key, entry);
    }

    /// Gives the queued connections their turn, as far as the time of one round goes.
    fn take_turns(&mut self, handler: &mut impl TcpHandler) {
        debug_assert!(self.queue.len() <= self.table.open(), "each connection waits once");
        let idle = self.idle_in_force();
        let began = Instant::now();
        let mut now = began;
        for _ in 0..self.queue.len() {
            if now.duration_since(began) >= TCP_ROUND_MAX {
                break;
            }
            let Some(key) = self.queue.pop() else { break };
            self.take_turn(key, idle, now, handler);
            now = Instant::now();
        }
    }

    fn take_turn(&mut self, key: usize, idle: Duration, now: Instant, handler: &mut impl TcpHandler) {
        let Some(entry) = self.table.get_mut(key) else { return };
        entry.queued = false;
        self.clock.tick(now);
        let time = Time { now, unix_time: self.clock.unix_time(), idle };
        let turn = entry.turn(key, &mut self.buffers, &time, handler).and_then(|()| {
            if entry.readable && entry.conn.wants_input() {
                enqueue(&mut self.queue, key, entry);
                return Ok(());
            }
            entry.watch(key, self.poll.registry()).map_err(|_| Closed::Failed)
        });
        match turn {
            Err(reason) => self.close(key, reason, handler),
            Ok(()) => self.keep_to_budget(key, handler),
        }
    }

    /// The idle time for all connections now: none at all while draining.
    fn idle_in_force(&self) -> Duration {
        if self.draining { Duration::ZERO } else { self.settings.idle_in_force(self.table.open()) }
    }

    fn close_overdue(&mut self, now: Instant, handler: &mut impl TcpHandler) {
        let idle = self.idle_in_force();
        let overdue = |(key, entry): (usize, &Entry<TcpStream>)| {
            Some((key, entry.conn.overdue(now, &self.settings, idle)?))
        };
        let overdue: Vec<_> = self.table.iter().filter_map(overdue).collect();
        for (key, reason) in overdue {
            self.close(key, reason, handler);
        }
    }

    fn close(&mut self, key: usize, reason: Closed, handler: &mut impl TcpHandler) {
        // Closing the socket, its only descriptor, also ends its registration with epoll.
        if let Some(entry) = self.table.remove(key) {
            if entry.queued {
                self.queue.remove(key);
            }
            handler.count(TcpEvent::Closed(reason));
        }
    }

    /// Answers what has come, sends what is due and closes every connection that has nothing more to read or
    /// to take.
    fn drain(mut self, handler: &mut impl TcpHandler) -> io::Result<()> {
        self.draining = true;
        let until = Instant::now() + TCP_DRAIN_MAX;
        let keys: Vec<usize> = self.table.iter().map(|(key, _)| key).collect();
        for key in keys {
            let entry = self.table.get_mut(key).expect("it was just listed");
            entry.readable = true;
            enqueue(&mut self.queue, key, entry);
        }
        loop {
            self.take_turns(handler);
            let late = Instant::now() >= until;
            let done = |entry: &Entry<TcpStream>| !entry.queued && entry.conn.is_settled();
            let keys = self.table.iter().filter(|(_, entry)| late || done(entry)).map(|(key, _)| key);
            for key in keys.collect::<Vec<_>>() {
                self.close(key, Closed::Stop, handler);
            }
            if self.table.open() == 0 {
                return Ok(());
            }
            handler.rests();
            self.wait(until)?;
            handler.woken();
            self.take_returned(handler);
        }
    }
}

fn enqueue(queue: &mut Queue, key: usize, entry: &mut Entry<TcpStream>) {
    if !entry.queued {
        entry.queued = true;
        queue.push(key);
    }
}

/// Whether an error of `accept` is about the connection that was to be accepted, so the next may be
/// well: accept(2) lists the network errors of a new socket, and says that a firewall's rule is EPERM. All
/// others are about this process: no descriptors, no memory.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EPROTO
                | libc::ETIMEDOUT
        )
    )
}

impl Entry<TcpStream> {
    /// Has epoll watch the connection, as its next turn is when something happens to it. Many never get that
    /// far: their query is there when they are accepted, and their end when that was answered. Epoll says at
    /// once what has come by now, so nothing is missed.
    fn watch(&mut self, key: usize, registry: &Registry) -> io::Result<()> {
        // EPOLLOUT only once it has had to wait for its send buffer, which is rare.
        let interest =
            if self.waits_to_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        match self.watched.replace(interest) {
            Some(watched) if watched == interest => Ok(()),
            Some(_) => registry.reregister(&mut self.stream, Token(key), interest),
            None => registry.register(&mut self.stream, Token(key), interest),
        }
    }

    /// One turn: sends what is due, reads at most once, answers, and sends the answers.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    fn turn(
        &mut self,
        key: usize,
        buffers: &mut Buffers,
        time: &Time,
        handler: &mut impl TcpHandler,
    ) -> Result<(), Closed> {
        let Time { now, unix_time, idle } = *time;
        // RFC 7828, section 3.1: the time-out in units of 100 milliseconds.
        let keepalive = u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX);
        let arrival = Arrival {
            transport: Transport::Tcp { keepalive },
            peer: self.peer,
            local: self.local,
            listener: self.listener,
            unix_time,
            pace: Pace::Within,
        };
        let connection = Connection { key, generation: self.generation };
        let mut answer = |slot: &mut [u8], len: usize| handler.answer(&arrival, connection, slot, len);
        let is_lent = self.conn.borrow(&mut buffers.output);
        let exchanged = self.exchange(buffers, now, &mut answer);
        self.conn.give_back(&mut buffers.output, is_lent);
        exchanged?;
        match self.conn.ending(now) {
            None => Ok(()),
            Some(Ending::Close(reason)) => Err(reason),
            Some(Ending::Fin) => self.stream.shutdown(Shutdown::Write).map_err(|_| self.conn.failed()),
        }
    }

    fn exchange(
        &mut self,
        Buffers { input, slot, .. }: &mut Buffers,
        now: Instant,
        answer: &mut impl FnMut(&mut [u8], usize) -> Verdict,
    ) -> Result<(), Closed> {
        self.send(slot, now, answer)?;
        if self.readable && self.conn.wants_input() {
            let len = self.read(&mut input[..])?;
            self.conn.receive(&input[..len], now, slot, answer);
            self.send(slot, now, answer)?;
        }
        Ok(())
    }

    /// Reads once; returns how many bytes came.
    fn read(&mut self, input: &mut [u8]) -> Result<usize, Closed> {
        match self.stream.read(input) {
            Ok(0) => {
                self.readable = false;
                self.conn.end_input();
                Ok(0)
            }
            Ok(len) => {
                // Epoll is edge-triggered: after a short read the next bytes, or the end, bring a new event,
                // unless that of the end has come already, or nobody watches.
                self.readable = len == input.len() || self.hung_up || self.watched.is_none();
                Ok(len)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(0)
                }
                ErrorKind::Interrupted => Ok(0),
                _ => Err(self.conn.failed()),
            },
        }
    }

    /// Sends what is due and, as far as that makes room, what messages held back have to be answered.
    fn send(
        &mut self,
        slot: &mut Slot,
        now: Instant,
        answer: &mut impl FnMut(&mut [u8], usize) -> Verdict,
    ) -> Result<(), Closed> {
        loop {
            while !self.conn.unsent().is_empty() {
                match self.stream.write(self.conn.unsent()) {
                    Ok(0) => return Err(self.conn.failed()),
                    Ok(len) => self.conn.sent(len, now),
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock => {
                            self.waits_to_write = true;
                            break;
                        }
                        ErrorKind::Interrupted => {}
                        _ => return Err(self.conn.failed()),
                    },
                }
            }
            if !self.conn.resume(now, slot, answer) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
