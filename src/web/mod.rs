//! Statistics and health over HTTP, on a thread and a budget of its own: a few connections, one request on
//! each, and little time. Whatever a client does here, no shard notices.

mod events;
mod node;
mod pages;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::body::{Bytes, Incoming};
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::board::{Board, State};
use crate::config::doors::{DEFAULT_ADDRESS, HttpListen, NodeView};
use crate::history::{Stored, lookback, unix_time};
use crate::limits::{
    HTTP_ACCEPT_PAUSE, HTTP_CONNECTIONS_MAX, HTTP_HEAD_LEN_MAX, HTTP_READERS, HTTP_STEP_MAX,
    HTTP_STREAM_LIFE_MAX, HTTP_STREAMS_MAX, HTTP_TICK, STUCK_AFTER, THREAD_STACK_LEN,
};
use crate::report::export::rssac002;
use crate::report::page::{self, Page, operator};
use crate::report::prometheus::Format;
use crate::report::{json, prometheus, radar};
use crate::sys::confine::{Class, Confined};
use crate::sys::inherited::Inherited;

use events::Events;
use node::{Answer, Node, Untaken, plain, response};

/// What came of the wish to serve HTTP.
#[derive(Debug)]
pub enum Opened {
    /// A listener.
    At(StdListener),
    /// The default address is not available. Serving DNS does not depend on it.
    Busy(io::Error),
    /// None is wanted.
    Off,
}

impl Opened {
    /// Where it is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::At(listener) => listener.local_addr().ok(),
            Self::Busy(_) | Self::Off => None,
        }
    }
}

/// Opens the listener, or takes the one that was there before this process.
///
/// # Errors
/// The address that was asked for, and why it is not available.
pub fn open(listen: HttpListen, inherited: &mut Inherited) -> Result<Opened, (SocketAddr, io::Error)> {
    let mut bind = |address: SocketAddr| {
        let listener = inherited.take_listener(address).map_or_else(|| StdListener::bind(address), Ok)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    match listen {
        HttpListen::Off => Ok(Opened::Off),
        HttpListen::IfFree => Ok(bind(DEFAULT_ADDRESS).map_or_else(Opened::Busy, Opened::At)),
        HttpListen::At(address) => bind(address).map(Opened::At).map_err(|error| (address, error)),
    }
}

/// Serves until `stop`.
///
/// # Errors
/// Why there can be no event loop.
pub fn run(
    listener: StdListener,
    board: Arc<Board>,
    stored: Stored,
    node_view: NodeView,
    stop: &AtomicBool,
    confined: &Confined,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("no event loop: {error}");
    // Once it is confined this thread may not touch the file.
    let began = lookback::began(stored.connection()).ok().flatten().unwrap_or_else(unix_time);
    let runtime = runtime(confined)?;
    let node = Arc::new(Node {
        board,
        stored: Mutex::new(Some(stored)),
        began,
        all_move: AtomicBool::new(true),
        recent: Mutex::default(),
        kept: Mutex::default(),
        streams: Arc::new(()),
        untaken: Untaken::default(),
        node_view,
    });
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let mut progress = Progress::new(node.board.turns(), Instant::now());
        node.note();
        // One count is the loop's own.
        let open = Arc::new(());
        while !stop.load(Ordering::Relaxed) {
            match timeout(HTTP_TICK, listener.accept()).await {
                // One too many is closed at once; it can tell that from an answer.
                Ok(Ok((stream, peer))) if Arc::strong_count(&open) <= HTTP_CONNECTIONS_MAX => {
                    tokio::spawn(exchange(stream, peer.ip(), Arc::clone(&node), Arc::clone(&open)));
                }
                // Out of descriptors, it may be: so would be the next.
                Ok(Err(_)) => sleep(HTTP_ACCEPT_PAUSE).await,
                Ok(Ok(_)) | Err(_) => {}
            }
            if progress.is_due(Instant::now()) {
                let all_move = progress.look(&node.board.turns(), Instant::now());
                node.all_move.store(all_move, Ordering::Relaxed);
                node.note();
            }
        }
        // Who was let in has an answer coming; who has a stream asks for the next one.
        let waited = Instant::now();
        while Arc::strong_count(&open) > Arc::strong_count(&node.streams) && waited.elapsed() < HTTP_STEP_MAX
        {
            sleep(HTTP_TICK / 10).await;
        }
        // A reader closes the history: this thread may not touch its files.
        let close = move || drop(node.stored.lock().unwrap_or_else(PoisonError::into_inner).take());
        tokio::task::spawn_blocking(close).await.map_err(|error| error.to_string())
    })
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
async fn exchange(stream: TcpStream, peer: IpAddr, node: Arc<Node>, open: Arc<()>) {
    let step = Notify::new();
    let is_stream = AtomicBool::new(false);
    let holds = AtomicUsize::new(0);
    let answer = service_fn(|request: Request<Incoming>| {
        let (node, open) = (Arc::clone(&node), Arc::clone(&open));
        let (step, is_stream, holds) = (&step, &is_stream, &holds);
        async move {
            step.notify_one();
            let answer = answer(Arc::clone(&node), &request, peer, open).await;
            let answer = node.within_bound(answer, holds);
            is_stream.store(matches!(answer.body(), Either::Right(_)), Ordering::Relaxed);
            step.notify_one();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(HTTP_HEAD_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
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
    node.untaken.remove(holds.load(Ordering::Relaxed));
}

async fn answer(node: Arc<Node>, request: &Request<Incoming>, peer: IpAddr, open: Arc<()>) -> Answer {
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
    match path {
        page::EVENTS => stream(node, request.method()),
        operator::PATH => node.operator(peer, request.headers()),
        _ => now(&node, peer, request),
    }
}

/// Answers from the history, outside the event loop: that takes a while where much is asked. The connection
/// counts as open until it is done, even if the client is gone or was told that it takes too long.
async fn look_back(node: Arc<Node>, path: String, query: String, open: Arc<()>) -> Answer {
    let look = move || {
        let _open = open;
        let stored = node.stored.try_lock().ok()?;
        let stored = stored.as_ref()?;
        Some(if path.starts_with(rssac002::ROOT) {
            rssac002::answer(stored, &node.board.named.load().node, &path, unix_time())
        } else {
            radar::answer(stored, &path, &query, unix_time())
        })
    };
    let refused = |why| plain(StatusCode::SERVICE_UNAVAILABLE, why);
    match timeout(HTTP_STEP_MAX, tokio::task::spawn_blocking(look)).await {
        Ok(Ok(Some(radar::Answer { status, content_type, body }))) => {
            let status = StatusCode::from_u16(status).expect("it is one of ours");
            response(status, content_type, body.into())
        }
        Ok(_) => refused("The history is busy: try again.\n"),
        Err(_) => refused("The request took too long: ask for a shorter time range.\n"),
    }
}

/// A stream of live numbers, if there may be one more.
fn stream(node: Arc<Node>, method: &Method) -> Answer {
    let open = Arc::clone(&node.streams);
    // The node's own count, and this one.
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

/// What needs no history.
fn now(node: &Node, peer: IpAddr, request: &Request<Incoming>) -> Answer {
    let path = request.uri().path();
    if let Some((content_type, text)) = page::asset(path) {
        return response(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()));
    }
    match path {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            let format = Format::negotiated(accept.unwrap_or_default());
            let text = prometheus::render(&node.board.read(), format);
            response(StatusCode::OK, format.content_type(), text.into())
        }
        "/stats.json" => {
            let top = node.may_see_all(peer, request.headers()).then(|| node.board.observed.talkers.top());
            response(
                StatusCode::OK,
                "application/json",
                json::render(&node.board.read(), top.as_ref()).into(),
            )
        }
        "/healthz" if node.all_move.load(Ordering::Relaxed) => plain(StatusCode::OK, "ok\n"),
        "/healthz" => plain(StatusCode::SERVICE_UNAVAILABLE, "A thread that serves DNS is stuck.\n"),
        "/readyz" if node.board.life.state() == State::Serving => plain(StatusCode::OK, "ok\n"),
        "/readyz" => {
            let state = node.board.life.state().name();
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("The node is {state}.\n"))
        }
        _ => plain(
            StatusCode::NOT_FOUND,
            "Not found. Try /, /node, /metrics, /stats.json, /healthz or /readyz.\n",
        ),
    }
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
    fn an_address_that_was_asked_for_must_be_free() {
        let Opened::At(listener) =
            open(HttpListen::At("127.0.0.1:0".parse().unwrap()), &mut Inherited::default()).unwrap()
        else {
            panic!("a listener was asked for");
        };
        let address = listener.local_addr().unwrap();
        let (refused, error) = open(HttpListen::At(address), &mut Inherited::default()).unwrap_err();
        assert_eq!((refused, error.kind()), (address, io::ErrorKind::AddrInUse));
        let mut kept = Inherited::sort(vec![listener.into()]);
        let Ok(Opened::At(again)) = open(HttpListen::At(address), &mut kept) else {
            panic!("it was there before");
        };
        assert_eq!(again.local_addr().unwrap(), address);
        assert!(matches!(open(HttpListen::Off, &mut Inherited::default()), Ok(Opened::Off)));
    }

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
