//! As many queries as one thread can send, whatever becomes of them: a server that answers fewer is busy all
//! the time, so that what an answer costs it is not diluted by waiting. The open loop keeps a schedule, and
//! dnsperf waits for replies; both reach their own limit below that of a fast server.
//!
//! Each query has an ID of its own, so a reply tells which one it answers. Nothing is kept of a query that
//! was sent: there is no latency, and what was lost is what is missing in the end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::bounds::{SECONDS_MAX, SOCKETS, VOLLEY};
use super::super::queries::QuerySet;
use super::super::{Outcome, fail};
use super::volley::Volley;
use super::{Harvest, Judge, client, is_right};

/// After the last query, replies are waited for as long as they come, with pauses no longer than this.
const QUIET: Duration = Duration::from_millis(50);

/// Floods the targets, which are one server, in turn for `duration`. Of a set with more queries than there
/// are IDs only so many are sent.
///
/// # Errors
/// There are no sockets or queries, or it would last too long; interrupted by `stop`.
pub fn run(
    targets: &[SocketAddr],
    queries: &QuerySet,
    duration: Duration,
    judge: Judge,
    stop: &AtomicBool,
) -> Outcome<Harvest> {
    let count = queries.len().min(1 << 16);
    if targets.is_empty() || count == 0 || duration > Duration::from_secs(SECONDS_MAX) {
        return fail(format!("a flood needs targets and queries, and lasts at most {SECONDS_MAX} s"));
    }
    let sockets = (0..SOCKETS.next_multiple_of(targets.len()))
        .map(|number| client(targets[number % targets.len()]))
        .collect::<Outcome<Vec<UdpSocket>>>()?;
    let (mut volley, mut harvest) = (Volley::new(), Harvest::new());
    let began = Instant::now();
    let mut next = 0;
    for socket in sockets.iter().cycle() {
        if began.elapsed() >= duration {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return fail("interrupted");
        }
        volley.clear();
        for _ in 0..VOLLEY {
            volley.push(queries.get(next).0, next as u16);
            next = (next + 1) % count;
        }
        harvest.sent += volley.send(socket)? as u64;
        gather(&mut volley, socket, queries, judge, &mut harvest)?;
    }
    harvest.seconds = began.elapsed().as_secs_f64();
    let mut heard = Instant::now();
    while heard.elapsed() < QUIET {
        let before = harvest.answered;
        for socket in &sockets {
            gather(&mut volley, socket, queries, judge, &mut harvest)?;
        }
        if harvest.answered > before {
            heard = Instant::now();
        }
    }
    harvest.lost = harvest.sent.saturating_sub(harvest.answered);
    Ok(harvest)
}

/// Takes the replies that a socket has, and judges each by the query with its ID.
fn gather(
    volley: &mut Volley,
    socket: &UdpSocket,
    queries: &QuerySet,
    judge: Judge,
    harvest: &mut Harvest,
) -> Outcome<()> {
    volley.receive(socket, &mut |reply| {
        let number = reply.first_chunk().map_or(usize::MAX, |&id| usize::from(u16::from_be_bytes(id)));
        if number >= queries.len() {
            harvest.stray += 1;
            return;
        }
        let (query, expected) = queries.get(number);
        harvest.answered += 1;
        harvest.wrong += u64::from(!is_right(query, &expected, reply, judge));
        harvest.rcodes[usize::from(reply.get(3).map_or(0, |byte| byte & 15))] += 1;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_counts_what_comes_back() {
        let servers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let targets = servers.each_ref().map(|socket| socket.local_addr().unwrap());
        let threads = servers.map(|socket| {
            std::thread::spawn(move || {
                let (mut buffer, mut number) = ([0; 2048], 0_u64);
                loop {
                    let (len, peer) = socket.recv_from(&mut buffer).unwrap();
                    if len < 12 {
                        return number;
                    }
                    number += 1;
                    buffer[2] |= 0x80;
                    buffer[15] ^= u8::from(number.is_multiple_of(7));
                    socket.send_to(&buffer[..len], peer).unwrap();
                }
            })
        });
        let (queries, stop) = (QuerySet::ordinary(1, 50), AtomicBool::new(false));
        let harvest = run(&targets, &queries, Duration::from_millis(300), Judge::Echo, &stop).unwrap();
        let end = UdpSocket::bind("127.0.0.1:0").unwrap();
        targets.iter().for_each(|target| assert_eq!(end.send_to(&[0], target).unwrap(), 1));
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert!(one > 0 && other > 0, "each address gets its share");
        assert!(harvest.answered > 0 && harvest.answered <= one + other);
        assert_eq!(harvest.sent, harvest.answered + harvest.lost);
        assert!(harvest.wrong > 0 && harvest.wrong <= one / 7 + other / 7, "{}", harvest.wrong);
        assert_eq!((harvest.stray, harvest.latency.len()), (0, 0));
        assert_eq!(harvest.rcodes.iter().sum::<u64>(), harvest.answered);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let target = [SocketAddr::from(([127, 0, 0, 1], 9))];
        let flood = |targets: &[SocketAddr], seconds| {
            let (queries, stop) = (QuerySet::ordinary(1, 1), AtomicBool::new(true));
            let duration = Duration::from_secs(seconds);
            run(targets, &queries, duration, Judge::Echo, &stop).unwrap_err().to_string()
        };
        assert!(flood(&[], 1).contains("needs targets"));
        assert!(flood(&target, SECONDS_MAX + 1).contains("lasts at most"));
        assert_eq!(flood(&target, 1), "interrupted");
    }
}
