//! Traces for a collector of OpenTelemetry: OTLP over HTTP, as JSON. One trace for each query: a span for the
//! whole, and below it one for each step of its life.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde_json::{Value, json};

use super::trace::Trace;
use crate::limits::{OTLP_BATCH_MAX, OTLP_EVERY, OTLP_REPLY_LEN_MAX, OTLP_TIME_MAX, OTLP_WAIT_MAX};

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its address.
    pub address: SocketAddr,
    /// Where on it, such as `/v1/traces`.
    pub path: String,
}

/// SPAN_KIND_SERVER and SPAN_KIND_INTERNAL.
const KINDS: [u8; 2] = [2, 1];

/// Random numbers that nobody else has: no secrets.
#[derive(Debug, Default)]
struct Ids {
    random: RandomState,
    next: u64,
}

impl Ids {
    /// An ID of this many words of 8 bytes, in hexadecimal; never 0.
    fn id<const WORDS: usize>(&mut self) -> String {
        (0..WORDS).fold(String::new(), |id, _| {
            self.next += 1;
            id + &format!("{:016x}", self.random.hash_one(self.next).max(1))
        })
    }
}

fn attribute(key: &str, value: Value) -> Option<Value> {
    let value = match value {
        Value::String(text) => json!({ "stringValue": text }),
        // 64 bits are text in the JSON of protocol buffers.
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        _ => return None,
    };
    Some(json!({ "key": key, "value": value }))
}

/// The spans of a query.
fn spans(trace: &Trace, ids: &mut Ids) -> Vec<Value> {
    let (trace_id, root) = (ids.id::<2>(), ids.id::<1>());
    let began = trace.asked.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = |since: Duration| (began + since).as_nanos().to_string();
    let span =
        |id: String, parent: Option<&str>, name: &str, times: [Duration; 2], attributes: Vec<Value>| {
            json!({
                "traceId": trace_id,
                "spanId": id,
                "parentSpanId": parent.unwrap_or_default(),
                "name": name,
                "kind": KINDS[usize::from(parent.is_some())],
                "startTimeUnixNano": nanos(times[0]),
                "endTimeUnixNano": nanos(times[1]),
                "attributes": attributes,
            })
        };
    let told = trace.json();
    let of = |key: &str, name: &str| attribute(key, told[name].clone());
    let attributes = [
        of("dns.question.name", "name"),
        of("dns.question.type", "type"),
        of("dns.question.class", "class"),
        of("dns.response.code", "rcode"),
        of("client.address", "client"),
        attribute("server.address", trace.server.ip().to_string().into()),
        attribute("server.port", trace.server.port().into()),
        of("network.transport", "transport"),
        of("as112.rule", "rule"),
        of("as112.cache", "cache"),
        of("as112.upstream", "upstream"),
        of("as112.outcome", "outcome"),
        of("as112.upstream.microseconds", "rtt"),
        of("as112.reply.bytes", "reply_bytes"),
    ];
    let name = format!("DNS {}", told["type"].as_str().unwrap_or("query"));
    let whole = [Duration::ZERO, trace.took];
    let mut all = vec![span(root.clone(), None, &name, whole, attributes.into_iter().flatten().collect())];
    let ends = trace.steps.iter().skip(1).map(|(_, began)| *began).chain([trace.took]);
    for ((step, began), end) in trace.steps.iter().zip(ends) {
        // Only who was asked belongs to a step; the rest to the query.
        let of_step = if *step == "ask" { of("as112.upstream", "upstream") } else { None };
        all.push(span(
            ids.id::<1>(),
            Some(&root),
            step,
            [*began, end.max(*began)],
            of_step.into_iter().collect(),
        ));
    }
    all
}

/// What is sent for some traces of a node.
fn document(traces: &[Box<Trace>], node: &str, ids: &mut Ids) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| spans(trace, ids)).collect();
    let of = |key: &str, value: &str| attribute(key, value.into());
    json!({ "resourceSpans": [{
        "resource": { "attributes": [of("service.name", "as112d"), of("service.instance.id", node)] },
        "scopeSpans": [{
            "scope": { "name": "as112d", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] })
}

/// Why a collector does not have what was sent.
#[derive(Debug)]
enum Failed {
    /// It may have it later.
    Now(String),
    /// It does not want it.
    Ever(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Now(error.to_string())
    }
}

/// Sends a document, on a connection of its own.
fn post(collector: &Collector, body: &[u8]) -> Result<(), Failed> {
    let until = Instant::now() + OTLP_TIME_MAX;
    let mut stream = TcpStream::connect_timeout(&collector.address, OTLP_TIME_MAX)?;
    stream.set_nonblocking(true)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         User-Agent: as112d/{}\r\nConnection: close\r\n\r\n",
        collector.path,
        collector.address,
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    let message = [head.as_bytes(), body].concat();
    let mut sent = 0;
    while sent < message.len() {
        sent += in_time(until, || stream.write(&message[sent..]))?;
    }
    let mut reply = Vec::new();
    let mut part = [0; 512];
    while !reply.contains(&b'\n') && reply.len() < OTLP_REPLY_LEN_MAX {
        let len = in_time(until, || stream.read(&mut part))?;
        reply.extend_from_slice(&part[..len]);
    }
    let line = String::from_utf8_lossy(&reply);
    let line = line.lines().next().unwrap_or_default().trim();
    match line.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(200..300_u16) if line.starts_with("HTTP/1.") => Ok(()),
        // OTLP: these, and no others, are worth another try.
        Some(429 | 502 | 503 | 504) => Err(Failed::Now(line.to_owned())),
        _ => Err(Failed::Ever(if line.is_empty() { "no reply of HTTP".to_owned() } else { line.to_owned() })),
    }
}

/// What is done to a stream that does not wait, when it is ready; 0 bytes are its end.
fn in_time(until: Instant, mut step: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        match step() {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                if Instant::now() >= until {
                    return Err(ErrorKind::TimedOut.into());
                }
                thread::park_timeout(LOOK);
            }
            result => return result,
        }
    }
}

/// Sends what comes to the collector, some traces at a time, until there is no more `stop`. While nobody
/// takes them they stay in the queue, and workers count what does not fit. Gives each failure to `warn`.
pub fn run(
    traces: &Receiver<Box<Trace>>,
    stop: &Receiver<()>,
    collector: &Collector,
    node: &str,
    mut warn: impl FnMut(String),
) {
    let (mut ids, mut batch, mut wait) = (Ids::default(), Vec::new(), OTLP_EVERY);
    loop {
        let is_over = stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        loop {
            batch.extend(traces.try_iter().take(OTLP_BATCH_MAX - batch.len()));
            if batch.is_empty() {
                break;
            }
            let is_last = batch.len() < OTLP_BATCH_MAX;
            let sent = post(collector, document(&batch, node, &mut ids).to_string().as_bytes());
            let to = collector.address;
            match sent {
                Ok(()) => wait = OTLP_EVERY,
                Err(Failed::Ever(why)) => {
                    warn(format!("trace: the collector at {to} has not taken {} traces: {why}", batch.len()));
                }
                Err(Failed::Now(why)) => {
                    // It is told once until it works again.
                    if wait == OTLP_EVERY {
                        warn(format!("trace: the collector at {to} does not take traces: {why}; they wait"));
                    }
                    wait = (wait * 2).min(OTLP_WAIT_MAX);
                    break;
                }
            }
            batch.clear();
            if is_last {
                break;
            }
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::work::trace::tests::traced;

    /// What it says to each document, and how many it gets.
    fn collector(says: &'static [&'static str]) -> (Collector, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut spans = 0;
            for says in says {
                let (mut stream, _) = listener.accept().unwrap();
                let mut got = String::new();
                // The end of the document is that of the last object.
                while !got.ends_with("]}]}") {
                    let mut part = [0; 4096];
                    let len = stream.read(&mut part).unwrap();
                    got += std::str::from_utf8(&part[..len]).unwrap();
                }
                spans += got.matches("\"parentSpanId\":\"\"").count();
                stream.write_all(says.as_bytes()).unwrap();
            }
            spans
        });
        (Collector { address, path: "/v1/traces".to_owned() }, thread)
    }

    /// What is told, how many queries were sent, and how many traces nobody has taken.
    fn warnings(says: &'static [&'static str], count: usize) -> (Vec<String>, usize, usize) {
        let (collector, thread) = collector(says);
        let (sender, traces) = bounded(1024);
        (0..count).for_each(|_| sender.send(Box::new(traced())).unwrap());
        let (stop, stopped) = bounded::<()>(0);
        let mut warned = Vec::new();
        let spans = thread::scope(|scope| {
            scope.spawn(|| run(&traces, &stopped, &collector, "node", |text| warned.push(text)));
            let spans = thread.join().unwrap();
            drop(stop);
            spans
        });
        (warned, spans, traces.len())
    }

    #[test]
    fn what_a_collector_does_not_want_is_told_and_what_it_cannot_take_is_sent_again() {
        const OK: &str = "HTTP/1.1 200 OK\r\n\r\n{}";
        const BUSY: &str = "HTTP/1.0 503 Busy\r\n\r\n";
        assert_eq!(warnings(&[OK], 3), (Vec::new(), 3, 0));
        let (warned, ..) = warnings(&["HTTP/1.1 400 Bad Request\r\n\r\n"], 3);
        assert!(warned.len() == 1 && warned[0].ends_with("has not taken 3 traces: HTTP/1.1 400 Bad Request"));
        let (warned, spans, left) = warnings(&[BUSY, BUSY, OK, OK], OTLP_BATCH_MAX + 1);
        assert_eq!((warned.len(), spans, left), (1, 3 * OTLP_BATCH_MAX + 1, 0), "{warned:?}");
    }
}
