//! Queries over TCP with a connection for each: connect, ask once, read the reply, close. A closed loop: so
//! many connections are under way at any time.
//!
//! Each takes another address of 127.0.0.0/8 as its source in turn, so that the ports of those that were
//! closed do not run out.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::super::queries::QuerySet;
use super::super::{Outcome, fail};
use super::{Harvest, Judge, is_right};

/// Source addresses that take turns. With some 28,000 ports each, one is not needed again within a minute.
const SOURCES: u64 = 240;
/// One connection may take so long before it counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// One connection with its one query.
struct Exchange {
    stream: TcpStream,
    began: Instant,
    query: usize,
    is_asked: bool,
    reply: Vec<u8>,
}

/// What a turn of a connection came to.
enum Turn {
    Waits,
    Done,
    Failed,
}

/// Asks for `duration` with `at_once` connections under way, each of which may take as long as `patience`.
///
/// # Errors
/// The host has no sockets left; interrupted by `stop`.
pub fn run(
    target: SocketAddr,
    queries: &QuerySet,
    at_once: usize,
    duration: Duration,
    patience: Duration,
    judge: Judge,
    stop: &AtomicBool,
) -> Outcome<Harvest> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(at_once);
    let mut harvest = Harvest::new();
    let began = Instant::now();
    let mut open: Vec<Option<Exchange>> = Vec::new();
    open.resize_with(at_once, || None);
    loop {
        let is_over = began.elapsed() >= duration;
        if stop.load(Ordering::Relaxed) {
            return fail("interrupted");
        }
        for (index, place) in open.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|exchange| exchange.began.elapsed() > patience) {
                *place = None;
                harvest.lost += 1;
            }
            if place.is_none() && !is_over {
                *place = Some(connect(target, harvest.sent, queries.len(), &poll, index)?);
                harvest.sent += 1;
            }
        }
        if is_over && open.iter().all(Option::is_none) {
            break;
        }
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(100)))
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            let place = &mut open[event.token().0];
            let Some(exchange) = place else { continue };
            match exchange.turn(queries) {
                Turn::Waits => {}
                Turn::Done => {
                    count(&mut harvest, exchange, queries, judge);
                    *place = None;
                }
                Turn::Failed => {
                    harvest.lost += 1;
                    *place = None;
                }
            }
        }
    }
    harvest.seconds = began.elapsed().as_secs_f64();
    Ok(harvest)
}

/// Begins connection `number`.
fn connect(target: SocketAddr, number: u64, queries: usize, poll: &Poll, index: usize) -> Outcome<Exchange> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if target.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let source = Ipv4Addr::new(127, 1, 0, (1 + number % SOURCES) as u8);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error.into()),
        _ => {}
    }
    let mut stream = TcpStream::from_std(socket.into());
    poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
    let query = (number % queries as u64) as usize;
    Ok(Exchange { stream, began: Instant::now(), query, is_asked: false, reply: Vec::new() })
}

impl Exchange {
    /// Goes as far as it can: asks once connected, reads what has come.
    fn turn(&mut self, queries: &QuerySet) -> Turn {
        if !self.is_asked {
            let packet = queries.get(self.query).0;
            let mut framed = (packet.len() as u16).to_be_bytes().to_vec();
            framed.extend(packet);
            match self.stream.write(&framed) {
                Ok(len) if len == framed.len() => self.is_asked = true,
                Err(error) if is_early(&error) => return Turn::Waits,
                _ => return Turn::Failed,
            }
        }
        let mut buffer = [0; 2048];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Turn::Failed,
                Ok(len) => self.reply.extend(&buffer[..len]),
                Err(error) if is_early(&error) => return Turn::Waits,
                Err(_) => return Turn::Failed,
            }
            let whole = self.reply.first_chunk().map(|&len| 2 + usize::from(u16::from_be_bytes(len)));
            if whole.is_some_and(|whole| self.reply.len() >= whole) {
                return Turn::Done;
            }
        }
    }
}

fn is_early(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::NotConnected, io::ErrorKind::Interrupted]
        .contains(&error.kind())
}

fn count(harvest: &mut Harvest, exchange: &Exchange, queries: &QuerySet, judge: Judge) {
    let (query, expected) = queries.get(exchange.query);
    let reply = &exchange.reply[2..];
    harvest.answered += 1;
    harvest.wrong += u64::from(reply[..2] != query[..2] || !is_right(query, &expected, reply, judge));
    harvest.rcodes[usize::from(reply.get(3).map_or(0, |byte| byte & 15))] += 1;
    record(&mut harvest.latency, exchange.began.elapsed());
}

fn record(histogram: &mut Histogram<u64>, elapsed: Duration) {
    histogram.saturating_record(elapsed.as_nanos() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_has_its_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let connections = std::thread::spawn(move || {
            let mut number = 0;
            loop {
                let (mut stream, peer) = listener.accept().unwrap();
                assert!(peer.ip().to_string().starts_with("127.1.0."));
                let mut len = [0; 2];
                if stream.read_exact(&mut len).is_err() {
                    return number;
                }
                let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut message).unwrap();
                message[2] |= 0x80;
                // In two parts, and every third connection without a reply.
                if number % 3 != 2 {
                    stream.write_all(&len).unwrap();
                    stream.write_all(&message).unwrap();
                }
                number += 1;
            }
        });
        let (queries, stop) = (QuerySet::ordinary(1, 10), AtomicBool::new(false));
        let (long, duration) = (Duration::from_secs(30), Duration::from_secs(2));
        let harvest = run(target, &queries, 4, duration, long, Judge::Echo, &stop).unwrap();
        // An empty connection, from such a source, ends the server.
        let end = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        end.bind(&SocketAddr::from(([127, 1, 0, 250], 0)).into()).unwrap();
        end.connect(&target.into()).unwrap();
        drop(end);
        assert_eq!(connections.join().unwrap(), harvest.sent);
        assert!(harvest.sent > 4, "one that is closed makes room for the next");
        assert_eq!((harvest.answered, harvest.wrong), (harvest.sent - harvest.sent / 3, 0));
        assert_eq!((harvest.lost, harvest.latency.len()), (harvest.sent / 3, harvest.answered));
    }
}
