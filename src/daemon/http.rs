//! Statistics and health over HTTP, on a thread and a budget of its own: a few connections, one request on
//! each, and little time. Whatever a client does here, no shard notices.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::written::Written;
use crate::limits::{
    HTTP_ACCEPT_PAUSE, HTTP_CONNECTIONS_MAX, HTTP_EXCHANGE_MAX, HTTP_HEAD_LEN_MAX, HTTP_HEAD_TIMEOUT,
    HTTP_TICK, STUCK_AFTER,
};
use crate::report::export::rssac002;
use crate::report::history::{Stored, unix_time};
use crate::report::prometheus::Format;
use crate::report::{Board, json, prometheus, radar};

/// Where HTTP is served unless somebody says otherwise.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9112);

/// Where HTTP is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpListen {
    /// On [`DEFAULT_ADDRESS`] if nobody else is there.
    #[default]
    IfFree,
    /// There, or there is no start. Port 0 is any that is free.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl Written for HttpListen {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:9112\", or \"off\"";

    fn read(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse().map_err(|_| {
            format!(
                "`{text}` is no address with a port; give one as 127.0.0.1:9112 or [::1]:9112, or \"off\""
            )
        });
        address.map(Self::At)
    }
}

impl std::fmt::Display for HttpListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IfFree => write!(f, "{DEFAULT_ADDRESS}, if it is free"),
            Self::At(address) => write!(f, "{address}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// What came of the wish to serve HTTP.
#[derive(Debug)]
pub enum Opened {
    /// A listener.
    At(StdListener),
    /// The default address cannot be had. Serving DNS does not depend on it.
    Busy(io::Error),
    /// None is wanted.
    Off,
}

/// Opens the listener.
///
/// # Errors
/// The address that was asked for, and why it cannot be had.
pub fn open(listen: HttpListen) -> Result<Opened, (SocketAddr, io::Error)> {
    let bind = |address: SocketAddr| {
        let listener = StdListener::bind(address)?;
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
    stop: &AtomicBool,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("no event loop: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // One reads the history, the other tells the next client that it is taken.
        .max_blocking_threads(2)
        .build()
        .map_err(failed)?;
    let node = Arc::new(Node { board, stored: Mutex::new(stored), all_move: AtomicBool::new(true) });
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let mut progress = Progress::new(node.board.turns(), Instant::now());
        // One count is the loop's own.
        let open = Arc::new(());
        while !stop.load(Ordering::Relaxed) {
            match timeout(HTTP_TICK, listener.accept()).await {
                // One too many is closed at once; it can tell that from an answer.
                Ok(Ok((stream, _))) if Arc::strong_count(&open) <= HTTP_CONNECTIONS_MAX => {
                    tokio::spawn(exchange(stream, Arc::clone(&node), Arc::clone(&open)));
                }
                // Out of descriptors, it may be: so would be the next.
                Ok(Err(_)) => sleep(HTTP_ACCEPT_PAUSE).await,
                Ok(Ok(_)) | Err(_) => {}
            }
            if progress.is_due(Instant::now()) {
                let all_move = progress.look(&node.board.turns(), Instant::now());
                node.all_move.store(all_move, Ordering::Relaxed);
            }
        }
        Ok(())
    })
}

/// What requests are answered from.
struct Node {
    board: Arc<Board>,
    stored: Mutex<Stored>,
    /// Whether every thread that serves makes turns.
    all_move: AtomicBool,
}

/// One request and its answer, or the end of patience.
async fn exchange(stream: TcpStream, node: Arc<Node>, open: Arc<()>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (node, open) = (Arc::clone(&node), Arc::clone(&open));
        async move {
            let is_read = [Method::GET, Method::HEAD].contains(request.method());
            let is_past =
                [radar::ROOT, rssac002::ROOT].iter().any(|root| request.uri().path().starts_with(root));
            if is_read && is_past {
                return Ok::<_, Infallible>(look_back(node, request.uri().clone(), open).await);
            }
            Ok(node.answer(&request))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_buf_size(HTTP_HEAD_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // What a client makes of its connection is its own affair.
    let _ = timeout(HTTP_EXCHANGE_MAX, connection).await;
}

/// Answers from the history, beside the event loop: that takes a while where much is asked. The connection
/// counts as open until it is done, even if the client is gone.
async fn look_back(node: Arc<Node>, uri: Uri, open: Arc<()>) -> Response<Full<Bytes>> {
    let look = move || {
        let _open = open;
        let stored = node.stored.try_lock().ok()?;
        Some(if uri.path().starts_with(rssac002::ROOT) {
            rssac002::answer(&stored, &node.board.facts.node, uri.path(), unix_time())
        } else {
            radar::answer(&stored, uri.path(), uri.query().unwrap_or_default(), unix_time())
        })
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(Some(radar::Answer { status, content_type, body })) => {
            let status = StatusCode::from_u16(status).expect("it is one of ours");
            response(status, content_type, body)
        }
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "Somebody else reads the history: try again.\n"),
    }
}

impl Node {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // hyper leaves the body out where the method is HEAD.
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "There is nothing to change here: use GET.\n");
        }
        match request.uri().path() {
            "/metrics" => {
                let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
                let format = Format::negotiated(accept.unwrap_or_default());
                response(
                    StatusCode::OK,
                    format.content_type(),
                    prometheus::render(&self.board.read(), format),
                )
            }
            "/stats.json" => response(StatusCode::OK, "application/json", json::render(&self.board.read())),
            "/healthz" if self.all_move.load(Ordering::Relaxed) => plain(StatusCode::OK, "ok\n"),
            "/healthz" => plain(StatusCode::SERVICE_UNAVAILABLE, "A thread that serves DNS is stuck.\n"),
            "/readyz" if self.board.ready.load(Ordering::Relaxed) => plain(StatusCode::OK, "ok\n"),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "The node does not serve any more.\n"),
            _ => plain(
                StatusCode::NOT_FOUND,
                "There is nothing here. There is /metrics, /stats.json, /healthz and /readyz.\n",
            ),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: StatusCode, content_type: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'");
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header(ALLOW, "GET, HEAD");
    }
    response.body(Full::new(body.into())).expect("every header is a literal of ours")
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
    fn addresses_need_a_port() {
        assert_eq!(HttpListen::read("off"), Ok(HttpListen::Off));
        assert_eq!(HttpListen::read("127.0.0.1:9112"), Ok(HttpListen::At(DEFAULT_ADDRESS)));
        for bad in ["", "127.0.0.1", "on", "localhost:9112", "::1:9112:x", "[::1]"] {
            let message = HttpListen::read(bad).unwrap_err();
            assert!(message.contains("give one as 127.0.0.1:9112"), "{bad}: {message}");
        }
    }

    #[test]
    fn an_address_that_was_asked_for_must_be_free() {
        let Opened::At(listener) = open(HttpListen::At("127.0.0.1:0".parse().unwrap())).unwrap() else {
            panic!("a listener was asked for");
        };
        let address = listener.local_addr().unwrap();
        let (refused, error) = open(HttpListen::At(address)).unwrap_err();
        assert_eq!((refused, error.kind()), (address, io::ErrorKind::AddrInUse));
        assert!(matches!(open(HttpListen::Off), Ok(Opened::Off)));
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
