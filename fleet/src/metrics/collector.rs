//! The collector: puts what comes into the history, and serves what is made of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use as112d::board::Board;
use as112d::commands::Failure;
use as112d::config::doors::{HttpListen, NodeView};
use as112d::history::fault::Fault;
use as112d::history::fleet::{FleetHistory, Heard, Said, Taken};
use as112d::history::unix_time;
use as112d::limits::{FLEET_SETTLED_AFTER, FLEET_TAKEN_AT_ONCE};
use as112d::log::{self, Log};
use as112d::report::prometheus::nodes::{Collected, Outcome};
use as112d::sys::confine::Confined;
use as112d::sys::inherited::Inherited;
use as112d::web::{self, Access, Admission, Beside, Gate, Listeners};
use tokio::signal::unix::{SignalKind, signal};

use super::source::{Message, Source};
use crate::limits::{COLLECT_EVERY, SAID_AGAIN_AFTER, TOTALS_EVERY};

/// What a collector is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The fleet's name.
    pub fleet: String,
    /// Where its history is.
    pub dir: PathBuf,
    /// Where everything is served, and what the public may see.
    pub http: SocketAddr,
    /// See [`http`](Self::http).
    pub public: Option<SocketAddr>,
    /// Names by which it is reached besides localhost and addresses.
    pub allowed_hosts: Vec<String>,
}

/// Collects from `source` and serves, until a signal.
///
/// # Errors
/// If the history, the listeners or a thread cannot be had.
pub async fn run(settings: Settings, source: Source) -> Result<String, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| cannot_start(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| cannot_start(&error))?;
    let log = own_log()?;
    let (mut collector, web) = Collector::start(settings, source, log.clone())?;
    loop {
        collector.turn().await;
        tokio::select! {
            () = tokio::time::sleep(COLLECT_EVERY) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if web.is_finished() {
            break;
        }
    }
    collector.gate.set(Admission::Over);
    let served = web.join().unwrap_or_else(|_| Err("the thread of HTTP has panicked".to_owned()));
    log.flush();
    served.map(|()| String::new()).map_err(Failure::from)
}

fn cannot_start(error: &std::io::Error) -> Failure {
    Failure::from(format!("cannot start: {error}"))
}

/// A log on standard error, which another thread writes.
fn own_log() -> Result<Log, Failure> {
    let (log, writer) = log::open(&log::Settings::default()).map_err(Failure::from)?;
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(|| writer.run())
        .map_err(|error| cannot_start(&error))?;
    Ok(log)
}

struct Collector {
    history: FleetHistory,
    source: Source,
    board: Arc<Board>,
    collected: Arc<Collected>,
    gate: Gate,
    log: Log,
    /// When totals were read.
    shown: Option<Instant>,
    /// What was said of what is wrong, and when.
    said: HashMap<String, Instant>,
}

impl Collector {
    fn start(
        settings: Settings,
        source: Source,
        log: Log,
    ) -> Result<(Self, thread::JoinHandle<Result<(), String>>), Failure> {
        let place = settings.dir.display().to_string();
        let failed = |fault: Fault| Failure::from(format!("{place}: {fault}"));
        let (history, news) = FleetHistory::open(&settings.dir, unix_time()).map_err(failed)?;
        if let Some(news) = news {
            log.error(format!("history: {news}"));
        }
        history.expect(source.expected(), unix_time()).map_err(failed)?;
        let board = Board::without_threads(&settings.fleet, env!("CARGO_PKG_VERSION"), log.clone());
        let board = Arc::new(board);
        let stored = history.reader().map_err(|error| Failure::from(format!("{place}: {error}")))?;
        let public = settings.public.map_or(HttpListen::Off, HttpListen::At);
        let listeners = Listeners::open(HttpListen::At(settings.http), public, &mut Inherited::default());
        let listeners = listeners.map_err(|(address, option, error)| {
            Failure::from(format!("{option} {address}: {error}; choose another address"))
        })?;
        for (listener, what) in listeners.all().zip(["web", "public"]) {
            let address = listener.local_addr().map_err(|error| cannot_start(&error))?;
            log.info(format!("{what}: http://{address}/"));
        }
        let (collected, gate) = (Arc::<Collected>::default(), Gate::default());
        gate.set(Admission::Open);
        let access = Access { node_view: NodeView::Loopback, allowed_hosts: settings.allowed_hosts };
        let (for_web, beside) = (Arc::clone(&board), Beside::Fleet(Arc::clone(&collected)));
        let for_gate = gate.clone();
        let serve = move || {
            web::run(listeners, for_web, stored, beside, (access, None), &for_gate, &Confined::default())
        };
        let web = thread::Builder::new()
            .name("http".to_owned())
            .spawn(serve)
            .map_err(|error| cannot_start(&error))?;
        let (shown, said) = (None, HashMap::new());
        Ok((Self { history, source, board, collected, gate, log, shown, said }, web))
    }

    /// Stores what has come, until nothing does; then the page may show it.
    async fn turn(&mut self) {
        loop {
            let (messages, faults) = self.source.next(&self.history).await;
            for fault in faults {
                self.say(&fault);
            }
            if messages.is_empty() {
                break;
            }
            if !self.store(messages) {
                break;
            }
            self.source.taken();
        }
        self.show();
    }

    /// Whether it is stored; else it comes again.
    fn store(&mut self, messages: Vec<Message>) -> bool {
        let mut heard = Vec::with_capacity(messages.len());
        for Message { kind, node, arrived, text } in messages {
            match Said::read(kind, &text) {
                Ok(said) => heard.push(Heard { node, arrived, said }),
                Err(error) => {
                    self.collected.add(Outcome::Malformed, 1);
                    self.say(&format!("{node}: a message is malformed and left out: {error}"));
                }
            }
        }
        for part in heard.chunks(FLEET_TAKEN_AT_ONCE) {
            match self.history.take(part, unix_time()) {
                Ok(Taken { minutes, repeated, late, strangers }) => {
                    self.collected.add(Outcome::Counted, minutes);
                    self.collected.add(Outcome::Repeated, repeated);
                    self.collected.add(Outcome::Late, late);
                    self.collected.add(Outcome::Stranger, strangers);
                }
                Err(fault) => {
                    self.board.history.failed(&fault);
                    self.say(&format!("history: {fault}; what came is asked for again"));
                    return false;
                }
            }
        }
        true
    }

    /// Has readers see what is stored, and that somebody looks.
    fn show(&mut self) {
        let now = Instant::now();
        if self.shown.is_none_or(|shown| now.duration_since(shown) >= TOTALS_EVERY) {
            self.shown = Some(now);
            match self.history.totals() {
                Ok(totals) => self.board.past.store(Arc::new(totals)),
                Err(fault) => self.say(&format!("history: {fault}")),
            }
        }
        self.board.observed.look_at_busy(now, Vec::new());
        self.board.history.written(unix_time().saturating_sub(FLEET_SETTLED_AFTER));
    }

    /// Says what is wrong, but not each second.
    fn say(&mut self, fault: &str) {
        let now = Instant::now();
        self.said.retain(|_, at| now.duration_since(*at) < SAID_AGAIN_AFTER);
        if self.said.insert(fault.to_owned(), now).is_none() {
            self.log.warning(fault);
        }
    }
}
