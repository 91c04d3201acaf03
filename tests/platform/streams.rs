//! Upstreams over TCP that cut answers anywhere, send them byte by byte, in another order, or not at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::daemon::{V4, free_port, read_message};
use crate::common::query;
use crate::load::all_of;
use crate::node::{Answer, Node, SERVFAIL, Setup};
use crate::upstream::{FORGED, Seen, Upstream, truth};

const A: u16 = 1;
const AT_MOST: Duration = Duration::from_secs(8);

/// A server over TCP alone; each connection is given to `serve` on a thread of its own.
struct Streams {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Streams {
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let address = SocketAddr::new(V4, free_port());
        let listener = TcpListener::bind(address).expect("the port is free");
        listener.set_nonblocking(true).expect("it does not wait");
        let (stop, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::park_timeout(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).expect("it waits");
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
                stream.set_nodelay(true).expect("no delay");
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn node(&self, keys: &str) -> Node {
        Setup::new()
            .upstream("up", &[self.address], &format!("over = 'tcp'\n{keys}"))
            .route("all", "any", "forward upstream up", "")
            .start()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn seen(stream: &mut TcpStream) -> Option<Seen> {
    let from = stream.peer_addr().ok()?;
    Some(Seen { packet: read_message(stream)?, from, over_tcp: true, at: Instant::now() })
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// The first answer to each name is cut after so many bytes; the second one comes in single bytes.
#[test]
fn answers_that_are_cut_anywhere() {
    let known = Mutex::new(Vec::<String>::new());
    let server = Streams::start(move |mut stream| {
        while let Some(seen) = seen(&mut stream) {
            let whole = framed(&seen.truth().message());
            let is_first = {
                let mut known = known.lock().expect("nobody panics");
                let is_first = !known.contains(&seen.name());
                known.push(seen.name());
                is_first
            };
            let cut: usize = seen.name()[1..].split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            if is_first && cut < whole.len() {
                let _ = stream.write_all(&whole[..cut]);
                return;
            }
            if whole.iter().any(|byte| stream.write_all(&[*byte]).is_err()) {
                return;
            }
        }
    });
    let node = server.node("timeout = '1s'");
    for cut in 0..60 {
        let name = format!("n{cut}.torn.example");
        assert_eq!(node.ask(&name, A).address(), Some(truth(&name)), "cut after {cut} bytes");
    }
}

/// On one connection answers come in whatever order the server likes.
#[test]
fn answers_in_another_order() {
    let server = Streams::start(|mut stream| {
        let mut waiting = Vec::new();
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
        loop {
            let mut first = [0];
            match stream.peek(&mut first) {
                Ok(0) => return,
                Ok(_) => waiting.extend(seen(&mut stream)),
                // Nothing more at the moment: the last one goes first.
                Err(_) => {
                    let all: Vec<u8> =
                        waiting.drain(..).rev().flat_map(|seen| framed(&seen.truth().message())).collect();
                    if stream.write_all(&all).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let node = server.node("timeout = '1900ms'");
    let name = |n: usize| format!("n{n}.order.example");
    for (n, reply) in all_of(node.address(), 300, 30, AT_MOST, |n| query(&name(n), A)).into_iter().enumerate()
    {
        let answer = Answer::of(&reply.expect("a reply"));
        assert_eq!(answer.address(), Some(truth(&name(n))), "{answer:?}");
    }
}

/// Garbage, other people's answers, silence, a connection that is closed at once: a failure, in time, and no
/// harm.
#[test]
fn streams_that_make_no_sense() {
    for kind in ["garbage", "other ID", "other question", "endless", "closed", "silent", "empty"] {
        let server = Streams::start(move |mut stream| {
            let Some(seen) = seen(&mut stream) else { return };
            let forged = seen.reply().a(FORGED, 60);
            let bytes = match kind {
                "garbage" => vec![0xFF; 3000],
                "other ID" => framed(&forged.wrong_id().message()),
                "other question" => framed(&forged.wrong_question().message()),
                "endless" => vec![0; 5_000_000],
                "empty" => vec![0, 0],
                "closed" => return,
                _ => vec![],
            };
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 16]);
        });
        let node = server.node("timeout = '300ms'");
        let began = Instant::now();
        let answer = node.ask("nonsense.example", A);
        assert_eq!((answer.rcode, answer.address()), (SERVFAIL, None), "{kind}: {answer:?}");
        assert!(began.elapsed() < AT_MOST, "{kind} takes {:?}", began.elapsed());
        assert!(node.daemon.lives(), "{kind}");
        let threads = std::fs::read_dir(format!("/proc/{}/fd", node.process())).expect("it runs").count();
        assert!(threads < 200, "{kind}: {threads} descriptors");
    }
}

/// Few connections carry many queries, and idle ones are not kept for ever.
#[test]
fn connections_are_kept_and_few() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = Setup::new()
        .upstream("up", &[server.address], "over = 'tcp'\ntimeout = '1s'")
        .route("all", "any", "forward upstream up", "")
        .start();
    let name = |n: usize| format!("n{n}.few.example");
    let all = all_of(node.address(), 2000, 16, AT_MOST, |n| query(&name(n), A));
    for (n, reply) in all.into_iter().enumerate() {
        assert_eq!(Answer::of(&reply.expect("a reply")).address(), Some(truth(&name(n))));
    }
    let mut ports: Vec<u16> = server.seen().iter().map(|seen| seen.from.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() <= 16, "{} connections for 2000 queries", ports.len());
    assert!(server.seen().iter().all(|seen| seen.over_tcp));
}
