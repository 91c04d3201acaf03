//! Statistics and health over HTTP, on a thread and a budget of its own: a few connections, one request on
//! each, and little time. Whatever a client does here, no shard notices.

mod access;
mod beacon;
mod events;
mod listeners;
mod node;
mod pages;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::body::{Bytes, Incoming};
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::board::{Board, State};
use crate::history::{Stored, unix_time};
use crate::limits::{
    AGGREGATOR_STUCK_AFTER, HTTP_ACCEPT_PAUSE, HTTP_ANSWERS_LEN_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEAD_LEN_MAX,
    HTTP_PUBLIC_LEN_MAX, HTTP_READERS, HTTP_STEP_MAX, HTTP_STREAM_LIFE_MAX, HTTP_STREAMS_MAX, HTTP_TICK,
    STUCK_AFTER, THREAD_STACK_LEN,
};
use crate::report::explain::Question;
use crate::report::export::rssac002;
use crate::report::page::{self, Page, operator};
use crate::report::prometheus::Format;
use crate::report::{self, prometheus, radar};
use crate::sys::confine::{Class, Confined};

pub use access::Access;
pub use beacon::{Beacons, Served};
pub use listeners::{Addresses, Listeners, Opened};
pub use node::Explain;

use access::{EXPLAIN, METRICS, STATS};
use events::Events;
use node::{Answer, Asked, Node, Untaken, plain, response, with_policy};

/// The first second of the last year with four digits: from then on nobody is served.
const YEAR_9999: u64 = 253_370_764_800;

/// Whether clients are admitted: another process may have the same listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Admission {
    /// Who connects waits.
    Closed = 0,
    /// They are.
    Open,
    /// Nobody will be.
    Over,
}

/// Where that is said and read. It is looked at once in a while: to wake an event loop takes a system call.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicU8>);

impl Gate {
    /// From now on it is `admission`.
    pub fn set(&self, admission: Admission) {
        self.0.store(admission as u8, Ordering::Release);
    }

    fn is(&self, admission: Admission) -> bool {
        self.0.load(Ordering::Acquire) == admission as u8
    }
}

/// One of the two listeners, which has a budget of its own: whatever the public does, the operator's is open.
pub(super) struct Door {
    /// Where it is.
    local: SocketAddr,
    /// None where nobody is kept from anything, as nothing but what the public may see is there.
    access: Option<Access>,
    /// One count is its own, the others are those of connections.
    open: Arc<()>,
    /// One count is its own, the others are those of streams.
    streams: Arc<()>,
    /// Beacons, where there are any. One count is its own, the others are those that are being answered.
    beacons: (Option<Arc<Beacons>>, Arc<()>),
    untaken: Untaken,
}

impl Door {
    fn new(local: SocketAddr, access: Option<Access>, beacons: Option<Arc<Beacons>>) -> Self {
        let untaken = Untaken::new(if access.is_some() { HTTP_ANSWERS_LEN_MAX } else { HTTP_PUBLIC_LEN_MAX });
        Self {
            local,
            access,
            open: Arc::default(),
            streams: Arc::default(),
            beacons: (beacons, Arc::default()),
            untaken,
        }
    }

    /// Whether somebody waits for an answer. Who has a stream does not: he asks for the next one.
    fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.open) > Arc::strong_count(&self.streams)
    }
}

/// Serves as `gate` says.
///
/// # Errors
/// Why there can be no event loop.
pub fn run(
    listeners: Listeners,
    board: Arc<Board>,
    stored: Stored,
    explain: Explain,
    (access, beacons): (Access, Option<Arc<Beacons>>),
    gate: &Gate,
    confined: &Confined,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("no event loop: {error}");
    // Once it is confined this thread may not touch the file.
    let began = stored.began().unwrap_or_else(unix_time);
    let runtime = runtime(confined)?;
    let node = Arc::new(Node::new(board, stored, explain, began));
    runtime.block_on(async {
        let mut progress = Progress::new(node.board.turns(), Instant::now());
        node.note();
        let mut doors = Vec::new();
        for (opened, access) in [(listeners.operator, Some(access)), (listeners.public, None)] {
            let Some(listener) = opened.taken() else { continue };
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            let door = Arc::new(Door::new(local, access, beacons.clone()));
            doors.push((listener, door));
        }
        while !gate.is(Admission::Over) {
            match timeout(HTTP_TICK, accept(&doors, gate)).await {
                // One too many is closed at once; it can tell that from an answer.
                Ok((door, Ok((stream, peer)))) if Arc::strong_count(&door.open) <= HTTP_CONNECTIONS_MAX => {
                    let (node, door, open) = (Arc::clone(&node), Arc::clone(door), Arc::clone(&door.open));
                    tokio::spawn(exchange(stream, peer.ip(), node, door, open));
                }
                // Out of descriptors, it may be: so would be the next.
                Ok((_, Err(_))) => sleep(HTTP_ACCEPT_PAUSE).await,
                Ok((_, Ok(_))) | Err(_) => {}
            }
            if progress.is_due(Instant::now()) {
                let all_move = progress.look(&node.board.turns(), Instant::now());
                node.all_move.store(all_move, Ordering::Relaxed);
                node.note();
            }
        }
        // From now on who connects is another process's.
        let doors: Vec<Arc<Door>> = doors.into_iter().map(|(_, door)| door).collect();
        // Who was let in has an answer coming.
        let waited = Instant::now();
        while doors.iter().any(|door| door.is_awaited()) && waited.elapsed() < HTTP_STEP_MAX {
            sleep(HTTP_TICK / 10).await;
        }
        // A reader closes the history: this thread may not touch its files.
        let close = move || drop(node.stored.lock().unwrap_or_else(PoisonError::into_inner).take());
        tokio::task::spawn_blocking(close).await.map_err(|error| error.to_string())
    })
}

/// The next client while any are admitted. The operator's listener is the first: the public does not keep it
/// waiting.
async fn accept<'d>(
    doors: &'d [(TcpListener, Arc<Door>)],
    gate: &Gate,
) -> (&'d Arc<Door>, io::Result<(TcpStream, SocketAddr)>) {
    poll_fn(|context| {
        let doors = if gate.is(Admission::Open) { doors } else { &[] };
        let accepted = doors.iter().find_map(|(listener, door)| match listener.poll_accept(context) {
            Poll::Ready(accepted) => Some((door, accepted)),
            Poll::Pending => None,
        });
        accepted.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// The event loop, and next to it threads that read the history. All are there and confined when it returns,
/// because from then on no thread may be started.
fn runtime(confined: &Confined) -> Result<Runtime, String> {
    let unconfined: Arc<Mutex<Option<String>>> = Arc::default();
    let (for_readers, failed) = (confined.clone(), Arc::clone(&unconfined));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(HTTP_READERS)
        .thread_keep_alive(Duration::MAX)
        .thread_stack_size(THREAD_STACK_LEN)
        .on_thread_start(move || {
            if let Err(error) = for_readers.thread(Class::Reader) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        })
        .build()
        .map_err(|error| format!("no event loop: {error}"))?;
    // A thread that waits for the others cannot take a second of these.
    let all_there = Arc::new(Barrier::new(HTTP_READERS + 1));
    for _ in 0..HTTP_READERS {
        let there = Arc::clone(&all_there);
        runtime.spawn_blocking(move || there.wait());
    }
    all_there.wait();
    let unconfined = unconfined.lock().unwrap_or_else(PoisonError::into_inner).take();
    unconfined.map_or(Ok(()), Err)?;
    confined.thread(Class::Http)?;
    Ok(runtime)
}

/// One request and its answer, or the end of patience: each step has [`HTTP_STEP_MAX`]. A stream
/// is one step that lasts.
async fn exchange(stream: TcpStream, peer: IpAddr, node: Arc<Node>, door: Arc<Door>, open: Arc<()>) {
    let step = Notify::new();
    let is_stream = AtomicBool::new(false);
    let holds = AtomicUsize::new(0);
    let answer = service_fn(|request: Request<Incoming>| {
        let (node, open) = (Arc::clone(&node), Arc::clone(&open));
        let (door, step, is_stream, holds) = (&door, &step, &is_stream, &holds);
        async move {
            step.notify_one();
            let is_beacon = request.uri().path().starts_with(beacon::ROOT);
            let beacons = door.beacons.0.as_ref().filter(|_| is_beacon);
            let answer = match beacons.and_then(|beacons| Some((beacons, beacons.served()?))) {
                Some((beacons, served)) => {
                    // A connection counts once while its body comes.
                    drop(open);
                    beacons.answer(&served, request, peer, &door.beacons.1).await
                }
                None => answer(Arc::clone(&node), door, &request, peer, open).await,
            };
            let answer = door.untaken.within_bound(answer, holds);
            is_stream.store(matches!(answer.body(), Either::Right(_)), Ordering::Relaxed);
            step.notify_one();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(HTTP_HEAD_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // hyper keeps a date with four digits for the year, and would rather panic than use five.
    let connection = poll_fn(|context| {
        if unix_time() >= YEAR_9999 { Poll::Ready(()) } else { connection.as_mut().poll(context).map(drop) }
    });
    let patience = async {
        while timeout(HTTP_STEP_MAX, step.notified()).await.is_ok() {}
        if is_stream.load(Ordering::Relaxed) {
            sleep(HTTP_STREAM_LIFE_MAX).await;
        }
    };
    // What a client makes of its connection is its own affair. It goes first: an answer that is ready in the
    // last moment is in time.
    select! {
        biased;
        _ = connection => {}
        () = patience => {}
    }
    door.untaken.remove(holds.load(Ordering::Relaxed));
}

async fn answer(
    node: Arc<Node>,
    door: &Door,
    request: &Request<Incoming>,
    peer: IpAddr,
    open: Arc<()>,
) -> Answer {
    // hyper leaves the body out where the method is HEAD.
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed: use GET or HEAD.\n");
    }
    let (path, query) = (request.uri().path(), request.uri().query());
    if [radar::ROOT, rssac002::ROOT].iter().any(|root| path.starts_with(root)) {
        let (path, query) = (path.to_owned(), query.unwrap_or_default().to_owned());
        return look_back(node, path, query, open).await;
    }
    if let Some(page) = Page::at(path, query, node.first_span()) {
        return pages::page(node, page, open).await;
    }
    if path == page::EVENTS {
        return stream(node, door, request.method());
    }
    let for_all = for_all(&node, path);
    let Some(access) = &door.access else {
        return for_all.unwrap_or_else(|| not_found("Try /, /healthz or /readyz"));
    };
    let refused = for_all.or_else(|| access.refusal(request, door.local, peer));
    if refused.is_none() && path == EXPLAIN {
        return explained(&node, query.unwrap_or_default()).await;
    }
    refused
        .or_else(|| for_operators(&node, request, access.shows_view(request, door.local, peer)))
        .unwrap_or_else(|| not_found("Try /, /node, /explain, /metrics, /stats.json, /healthz or /readyz"))
}

/// Answers from the history, outside the event loop: that takes a while where much is asked. It ends when it
/// takes too long, or the client is gone; until then the connection counts as open.
async fn look_back(node: Arc<Node>, path: String, query: String, open: Arc<()>) -> Answer {
    let asked = (path, query);
    let kept = node.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&asked, unix_time());
    if let Some((content_type, body)) = kept {
        return response(StatusCode::OK, content_type, body);
    }
    let question = Asked::new(&node);
    let (number, reader) = (question.number, Arc::clone(&node));
    let look = move || {
        let _open = open;
        let now = unix_time();
        let (path, query) = (&asked.0, &asked.1);
        let answer = reader.answer_from_history(number, |stored| {
            if path.starts_with(rssac002::ROOT) {
                rssac002::answer(stored, &reader.board.named.load().node, path, now)
            } else {
                radar::answer(stored, path, query, now)
            }
        })?;
        let (status, content_type, body) = (answer.status, answer.content_type, Bytes::from(answer.body));
        if status == StatusCode::OK.as_u16() {
            let mut answers = reader.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.keep(asked, now, (content_type, body.clone()));
        }
        Some((status, content_type, body))
    };
    let refused = |why| plain(StatusCode::SERVICE_UNAVAILABLE, why);
    match timeout(HTTP_STEP_MAX, tokio::task::spawn_blocking(look)).await {
        Ok(Ok(Some((status, content_type, body)))) => {
            let status = StatusCode::from_u16(status).expect("it is one of ours");
            response(status, content_type, body)
        }
        Ok(_) => refused("The history is busy: try again.\n"),
        Err(_) => refused("The request took too long: ask for a shorter time range or a longer interval.\n"),
    }
}

/// What a client gets, explained by whoever may read the files of the maps.
async fn explained(node: &Node, query: &str) -> Answer {
    let json = |status, value: &Value| response(status, "application/json", format!("{value}\n").into());
    let asked = match Question::from_url(query) {
        Ok(asked) => asked,
        Err(error) => return json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    };
    let mut told = match timeout(HTTP_STEP_MAX, (node.explain)(asked)).await {
        Ok(Ok(told)) => told,
        _ => json!({ "error": "it takes too long; ask with `as112d explain --control`" }),
    };
    if told["ok"] == true {
        return json(StatusCode::OK, &told["explained"].take());
    }
    json(StatusCode::SERVICE_UNAVAILABLE, &told)
}

/// A stream of live numbers, if there may be one more.
fn stream(node: Arc<Node>, door: &Door, method: &Method) -> Answer {
    let open = Arc::clone(&door.streams);
    // The door's own count, and this one.
    if Arc::strong_count(&open) > HTTP_STREAMS_MAX + 1 {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Too many event streams are open: try again later.\n");
    }
    let answer = response(StatusCode::OK, "text/event-stream", Bytes::new());
    if method == Method::HEAD {
        return answer;
    }
    let news = move || node.news();
    answer.map(|_| Either::Right(Events::new(Box::new(news), open)))
}

/// What anybody may see, and needs no history.
fn for_all(node: &Node, path: &str) -> Option<Answer> {
    if let Some((content_type, text)) = page::asset(path) {
        return Some(response(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes())));
    }
    let state = node.board.life.state();
    Some(match path {
        "/healthz" if !node.all_move.load(Ordering::Relaxed) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "A thread that serves DNS is stuck.\n")
        }
        "/healthz" if node.board.observed.read().age >= AGGREGATOR_STUCK_AFTER => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "The thread that stores statistics is stuck.\n")
        }
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" if state == State::Serving => plain(StatusCode::OK, "ok\n"),
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("The node is {}.\n", state.name())),
        _ => return None,
    })
}

/// What is the operator's. Who asks is part of the numbers for those who may see the view, too.
fn for_operators(node: &Node, request: &Request<Incoming>, sees_view: bool) -> Option<Answer> {
    Some(match request.uri().path() {
        operator::PATH => {
            let body = operator::render(&node.board.read(), &node.pace());
            with_policy(response(StatusCode::OK, "text/html; charset=utf-8", body.into()), pages::POLICY)
        }
        METRICS => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            let format = Format::negotiated(accept.unwrap_or_default());
            let text = prometheus::render(&node.board.read_exported(), format);
            response(StatusCode::OK, format.content_type(), text.into())
        }
        STATS => {
            let top = sees_view.then(|| node.board.observed.talkers.top());
            let text = report::json::render(&node.board.read(), top.as_ref());
            response(StatusCode::OK, "application/json", text.into())
        }
        _ => return None,
    })
}

fn not_found(there_is: &str) -> Answer {
    plain(StatusCode::NOT_FOUND, &format!("Not found. {there_is}.\n"))
}

/// Whether threads move on, judged once in a while by how many turns each has made.
struct Progress {
    looked: Instant,
    /// For each thread its turns, and when they last were fewer.
    seen: Vec<(u64, Instant)>,
}

impl Progress {
    fn new(turns: Vec<u64>, now: Instant) -> Self {
        Self { looked: now, seen: turns.into_iter().map(|turns| (turns, now)).collect() }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.looked) >= Duration::from_secs(1)
    }

    /// Whether every thread has made a turn within [`STUCK_AFTER`].
    fn look(&mut self, turns: &[u64], now: Instant) -> bool {
        self.looked = now;
        for (seen, &turns) in self.seen.iter_mut().zip(turns) {
            if seen.0 != turns {
                *seen = (turns, now);
            }
        }
        self.seen.iter().all(|(_, moved)| now.duration_since(*moved) < STUCK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_still_is_noticed_and_forgiven() {
        let began = Instant::now();
        let mut progress = Progress::new(vec![5, 5], began);
        assert!(!progress.is_due(began + Duration::from_millis(999)));
        assert!(progress.is_due(began + Duration::from_secs(1)));
        assert!(progress.look(&[6, 5], began + STUCK_AFTER / 2));
        assert!(!progress.look(&[7, 5], began + STUCK_AFTER));
        assert!(progress.look(&[7, 6], began + STUCK_AFTER + Duration::from_secs(1)));
    }
}
