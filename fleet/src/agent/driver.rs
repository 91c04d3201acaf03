//! An agent at work: what the [core](super::core) wants done is done, and what is heard goes in. One thread,
//! on which everything waits for servers, for the node, and for time.

use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use as112d::release::{Pointer, Refused, Scope, Signed, Taken, layout};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::RngExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::core::{Core, Line, Outcome, Step, Told, Verdict};
use super::drain::Order;
use super::fetch::pointer_name;
use super::folder::Folder;
use super::journal::Journal;
use super::keys::KeyRing;
use super::node::Node;
use super::report::Report;
use super::settings::Settings;
use super::shared::Shared;
use super::watch::Watch;
use crate::carry::{Carrier, Fault, Wake, Wakes};
use crate::limits::{
    BAKE_LOOK_MAX, BAKE_LOOK_MIN, LOOK_PAUSE, READY_TIMEOUT, REPORT_PAUSE, REPORT_PAUSE_MIN, STATUS_PAUSE,
};
use crate::metrics::teller::Teller;

/// In the node's folder: the last of the node's minutes that the hub has taken.
const MINUTES: &str = "minutes";

/// An agent.
pub struct Agent {
    shared: Rc<Shared>,
    core: Core,
    journal: Journal,
    wakes: Wakes,
    /// What woke us and was not read yet.
    pending: HashMap<Scope, Vec<u8>>,
    start: Instant,
    /// Pointers as they were signed: those that the core knows, to be written down.
    signed: HashMap<Scope, Vec<u8>>,
    /// Pointers as they were last seen at the source: the same is not verified again.
    seen: HashMap<Scope, Vec<u8>>,
    work: Option<(Step, Job)>,
    jobs: FuturesUnordered<Job>,
    looking: bool,
    asking: bool,
    reporting: bool,
    ordering: Option<Order>,
    look_at: Duration,
    ask_at: Duration,
    report_at: Duration,
    /// When the source was read last.
    viewed: Option<Duration>,
    status: Option<Value>,
    watch: Watch,
    said: Option<(Report, Duration)>,
    verdict: (Verdict, Duration),
    kept_drain: Option<super::drain::Drained>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("core", &self.core).finish_non_exhaustive()
    }
}

type Job = Pin<Box<dyn Future<Output = Event>>>;

/// What came of something.
enum Event {
    Did(Step, Outcome),
    Told(Step, Told),
    Looked(Vec<Look>),
    Status(Option<Value>),
    Reported(Result<(), Fault>),
    Ordered(Order),
    Probed(Result<(), String>),
}

/// What the source has of a scope.
struct Look {
    scope: Scope,
    found: Result<Option<Vec<u8>>, Fault>,
    /// What that says, unless it was seen before.
    pointer: Option<Result<Signed<Pointer>, Refused>>,
}

impl Agent {
    /// An agent of these settings, with what its folder says of the past.
    ///
    /// # Errors
    /// If the folder cannot be used, or the source cannot be opened.
    pub async fn open(settings: Settings) -> Result<Self, String> {
        let folder = Folder::open(&settings.dir)?;
        let keys = KeyRing::open(&folder, &settings.who.fleet, &settings.keys)
            .map_err(|trouble| trouble.to_string())?;
        let carrier = Carrier::open(&settings.source, &settings.access, settings.who.fleet.as_str()).await;
        let carrier = carrier.map_err(|fault| fault.to_string())?;
        let names: Vec<String> = settings.who.scopes().map(|scope| pointer_name(&scope)).collect();
        let wakes = carrier.wakes(&names).await.map_err(|fault| fault.to_string())?;
        let past = folder.past(&settings.who, &keys.eras());
        let signed: HashMap<Scope, Vec<u8>> = settings
            .who
            .scopes()
            .filter_map(|scope| Some((scope.clone(), folder.pointer(&scope)?)))
            .collect();
        let kept_drain = past.drained.clone();
        let seed = rand::rng().random();
        let core = Core::new(settings.who.clone(), settings.bake, past, seed, Duration::ZERO);
        let journal = Journal::new(folder.root());
        let program = semver::Version::parse(env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string())?;
        let shared = Shared { settings, carrier, folder, keys, program };
        let zero = Duration::ZERO;
        Ok(Self {
            shared: Rc::new(shared),
            verdict: (core.verdict(), zero),
            core,
            journal,
            wakes,
            pending: HashMap::new(),
            start: Instant::now(),
            seen: signed.clone(),
            signed,
            work: None,
            jobs: FuturesUnordered::new(),
            looking: false,
            asking: false,
            reporting: false,
            ordering: None,
            look_at: zero,
            ask_at: zero,
            report_at: zero,
            viewed: None,
            status: None,
            watch: Watch::default(),
            said: None,
            kept_drain,
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Follows the fleet until `stop` ends.
    pub async fn run(&mut self, stop: impl Future<Output = ()>, mut again: impl AsyncFnMut()) {
        tokio::pin!(stop);
        self.tell_minutes();
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = again() => {
                    // Whatever was refused is tried once more.
                    self.core.again(self.now());
                    self.look_at = self.now();
                }
                () = self.turn() => {}
            }
        }
    }

    /// Begins to tell the hub of the node's minutes, where there are both.
    fn tell_minutes(&self) {
        let Shared { settings, carrier, folder, .. } = &*self.shared;
        let (Node::At(sockets), Carrier::Nats(nats)) = (&settings.node, carrier) else { return };
        let node = settings.who.node.to_string();
        let teller = Teller {
            sockets: sockets.clone(),
            node: node.clone(),
            colo: settings.who.colo.as_ref().map(ToString::to_string).unwrap_or_default(),
            nats: nats.clone(),
            memory: folder.root().join(MINUTES),
        };
        // A hub that is away for hours is told of once.
        let mut last = String::new();
        let say = move |fault: String| {
            if fault != last {
                eprintln!("{node}: {fault}");
                last = fault;
            }
        };
        self.jobs.push(Box::pin(async move {
            teller.run(say).await;
            std::future::pending().await
        }));
    }

    /// Follows it until what is wanted is there and has proved itself, or cannot be had.
    ///
    /// # Errors
    /// Why it is not there.
    pub async fn run_once(&mut self) -> Result<String, String> {
        self.shared.carrier.ready(READY_TIMEOUT).await.map_err(|fault| fault.to_string())?;
        let mut tried = false;
        loop {
            self.turn().await;
            let is_idle = self.work.is_none() && self.viewed.is_some();
            let away = self.core.problems().map(str::to_owned).collect::<Vec<_>>().join("; ");
            match self.core.verdict() {
                Verdict::Settled | Verdict::Held if is_idle => {
                    let has =
                        self.core.current().map_or_else(|| "no release".to_owned(), |name| name.to_string());
                    return Ok(format!(
                        "{has}: {}\n",
                        if away.is_empty() { "as it should be" } else { &away }
                    ));
                }
                Verdict::Unled if is_idle => return Err(format!("no pointer leads this node {away}")),
                Verdict::FellBack if is_idle => return Err(format!("fell back: {away}")),
                _ if !away.is_empty() && self.work.is_none() && tried => return Err(away),
                _ => tried |= !self.looking,
            }
        }
    }

    /// Begins what is due, and takes in whatever comes first.
    async fn turn(&mut self) {
        self.begin();
        self.write_lines();
        let until = self.start + self.due();
        let work = async {
            match &mut self.work {
                Some((_, job)) => job.await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = work => {
                self.work = None;
                event
            }
            Some(event) = self.jobs.next(), if !self.jobs.is_empty() => event,
            Some(wake) = self.wakes.next() => return self.woken(wake),
            () = sleep_until(until) => return,
        };
        self.heard(event);
    }

    /// When something is due though nothing is heard.
    fn due(&self) -> Duration {
        let now = self.now();
        let looks = (!self.looking).then_some(self.look_at);
        let asks = (!self.asking).then_some(self.ask_at);
        let reports = (!self.reporting).then_some(self.report_at);
        let soonest = [looks, asks, reports, self.core.due(now)].into_iter().flatten().min();
        soonest.unwrap_or(now + LOOK_PAUSE)
    }

    //------------ What is begun ---

    fn begin(&mut self) {
        let now = self.now();
        let step = self.core.step(now);
        if self.work.as_ref().is_none_or(|(under_way, _)| *under_way != step) {
            // What is under way and is wanted no more ends here.
            self.work = (step != Step::Wait).then(|| (step, self.job(step)));
        }
        if !self.looking {
            if let Some(scope) = self.pending.keys().next().cloned() {
                let value = self.pending.remove(&scope);
                self.look(vec![scope], value);
            } else if now >= self.look_at {
                self.look_at = now + rand::rng().random_range(LOOK_PAUSE / 2..LOOK_PAUSE * 3 / 2);
                self.look(self.shared.settings.who.scopes().collect(), None);
            }
        }
        if !self.asking && now >= self.ask_at {
            self.asking = true;
            let shared = Rc::clone(&self.shared);
            self.jobs.push(Box::pin(async move { Event::Status(shared.settings.node.status().await.ok()) }));
        }
        if !self.reporting {
            self.report(now);
        }
    }

    /// Reads the pointers of these scopes. With `value` the one that woke us is there, or will be in a
    /// moment.
    fn look(&mut self, scopes: Vec<Scope>, value: Option<Vec<u8>>) {
        self.looking = true;
        let shared = Rc::clone(&self.shared);
        let seen = self.seen.clone();
        self.jobs.push(Box::pin(async move {
            let mut looks = Vec::new();
            for scope in scopes {
                let found = shared.stored(&scope, value.as_deref()).await;
                let pointer = match &found {
                    Ok(Some(bytes)) if seen.get(&scope) != Some(bytes) => {
                        Some(shared.keys.pointer(bytes, &shared.carrier, &shared.folder).await)
                    }
                    _ => None,
                };
                looks.push(Look { scope, found, pointer });
            }
            Event::Looked(looks)
        }));
    }

    fn job(&self, step: Step) -> Job {
        let shared = Rc::clone(&self.shared);
        match step {
            Step::Wait => Box::pin(std::future::pending()),
            Step::Fetch(name, again) => {
                let needed = self.core.needed();
                Box::pin(async move {
                    let fetched = shared.fetch(&needed).release(&name, again).await;
                    Event::Did(step, fetched)
                })
            }
            Step::Tell(_) => Box::pin(async move { Event::Told(step, shared.settings.node.reload().await) }),
            Step::Point => {
                let written = self.write_pointers();
                Box::pin(async move { Event::Did(step, written) })
            }
            Step::Swap(name) => {
                let swapped = self
                    .write_pointers()
                    .and_then(|()| shared.folder.floor(self.core.floor().max(name.number)))
                    .and_then(|()| shared.folder.lead(layout::CURRENT, &name));
                Box::pin(async move { Event::Did(step, swapped) })
            }
            Step::Keep(name) => {
                let kept = shared.folder.lead(layout::GOOD, &name);
                let kept = kept.and_then(|()| shared.folder.fell(None::<&()>));
                // What could not be removed is in nobody's way until the next time.
                let kept = kept.and_then(|()| shared.folder.tidy(&[name]).or(Ok(())));
                Box::pin(async move { Event::Did(step, kept) })
            }
            Step::Back(name) => {
                let fell = shared.folder.fell(self.core.falling_now().as_ref());
                let back = fell.and_then(|()| shared.folder.lead(layout::CURRENT, &name));
                Box::pin(async move { Event::Did(step, back) })
            }
        }
    }

    fn write_pointers(&self) -> Outcome {
        let scopes = self.core.unwritten().iter();
        scopes
            .filter_map(|scope| Some((scope, self.signed.get(scope)?)))
            .try_for_each(|(scope, bytes)| self.shared.folder.point(scope, bytes))
    }

    //------------ What is heard ---

    fn woken(&mut self, wake: Wake) {
        match wake {
            Wake::Value { name, value } => {
                let mut scopes = self.shared.settings.who.scopes();
                if let Some(scope) = scopes.find(|scope| pointer_name(scope) == name) {
                    self.pending.insert(scope, value);
                }
            }
            // What is being read now may be what was before.
            Wake::Anything => self.look_at = self.now(),
        }
    }

    fn heard(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Looked(looks) => self.looked(looks, now),
            Event::Did(Step::Fetch(name, _), outcome) => self.core.fetched(name, outcome, now),
            Event::Did(Step::Swap(name), outcome) => self.core.swapped(name, outcome, now),
            Event::Did(Step::Keep(name), outcome) => self.core.kept(name, outcome, now),
            Event::Did(Step::Back(name), outcome) => self.core.went_back(name, outcome, now),
            Event::Did(_, outcome) => self.core.pointed(outcome, now),
            Event::Told(Step::Tell(name), told) => {
                self.core.told(name, told, now);
                // The node is asked at once: what it does from now on is compared with what it did before.
                self.watch.begin(self.core.baking(now).is_some());
                self.ask_at = now;
            }
            Event::Told(..) => {}
            Event::Status(status) => self.asked(status, now),
            Event::Reported(reported) => {
                self.reporting = false;
                match reported {
                    Ok(()) => self.core.fine("report"),
                    Err(Fault::Away(_)) => {}
                    Err(fault) => self.core.problem("report", format!("report: {fault}")),
                }
            }
            Event::Ordered(order) => {
                self.ordering = self.ordering.filter(|newer| *newer != order);
                self.ask_at = now;
            }
            Event::Probed(probed) => {
                // One that failed is made again soon.
                if probed.is_err() {
                    self.ask_at = now + BAKE_LOOK_MIN;
                }
                self.watch.probed(probed);
            }
        }
    }

    fn looked(&mut self, looks: Vec<Look>, now: Duration) {
        self.looking = false;
        let is_whole = looks.len() > 1;
        let mut away = None;
        for Look { scope, found, pointer } in looks {
            let bytes = match found {
                Ok(bytes) => bytes,
                Err(fault) => {
                    away = Some(fault.to_string());
                    continue;
                }
            };
            let (Some(bytes), Some(pointer)) = (bytes, pointer) else { continue };
            let is_verified = pointer.is_ok();
            let taken = self.core.heard(&scope, pointer, now);
            // One that does not verify may do so once more keys are known.
            if is_verified {
                self.seen.insert(scope.clone(), bytes.clone());
            }
            if taken == Taken::New {
                self.signed.insert(scope, bytes);
                // It may order a drain.
                self.ask_at = now;
            }
        }
        match away {
            Some(text) => self.core.problem("source", text),
            None => {
                self.core.fine("source");
                if is_whole || self.viewed.is_some() {
                    self.viewed = Some(now);
                }
            }
        }
    }

    fn asked(&mut self, status: Option<Value>, now: Duration) {
        self.asking = false;
        let baking = self.core.baking(now);
        let pause = baking.map_or(STATUS_PAUSE, |left| (left / 10).clamp(BAKE_LOOK_MIN, BAKE_LOOK_MAX));
        self.ask_at = now + pause;
        if let Some(status) = &status {
            let worse = self.watch.saw(status, baking.is_some(), now);
            if baking.is_some() && !worse.is_empty() {
                self.core.worse(&worse.join("; "));
            }
            if let Some(addresses) = baking.and_then(|_| self.watch.probe(status)) {
                self.jobs.push(Box::pin(async move { Event::Probed(super::watch::probe(addresses).await) }));
            }
            self.check_drift(status, now);
            let state = status["state"].as_str().unwrap_or_default();
            if let Some(order) = self.core.drain().order(state, now) {
                self.order(order);
            }
            if self.core.problems().any(|problem| problem.starts_with("gone: ")) {
                self.core.again_now();
            }
        }
        self.status = status;
        self.keep_drain(now);
    }

    /// Whether the node serves what is current.
    fn check_drift(&mut self, status: &Value, now: Duration) {
        let Some(current) = self.core.current() else { return };
        let release = &status["release"];
        if matches!(self.shared.settings.node, Node::Nobody) {
            return;
        }
        if release.is_null() {
            let words = "the node follows no fleet; give [fleet] in its configuration, and restart it";
            return self.core.problem("node", words.to_owned());
        }
        self.core.fine("node");
        if release["name"].as_str() != Some(&current.to_string()) {
            self.core.drifted(now);
        }
    }

    fn order(&mut self, order: Order) {
        // The same one may still be waiting for the last clients of the node.
        if self.ordering.replace(order) == Some(order) {
            return;
        }
        let word = match order {
            Order::Drain => "drain",
            Order::Undrain => "undrain",
        };
        self.write(&Line { word, release: self.core.current(), text: String::new() });
        let shared = Rc::clone(&self.shared);
        // What comes of it shows in the state of the node.
        self.jobs.push(Box::pin(async move {
            let _ = shared.settings.node.order(word).await;
            Event::Ordered(order)
        }));
        self.ask_at = self.now() + REPORT_PAUSE_MIN;
    }

    /// Writes down what is left of a drain, so that a restart of the agent does not begin it again.
    fn keep_drain(&mut self, now: Duration) {
        let kept = self.core.drain().kept(now);
        if kept != self.kept_drain {
            match self.shared.folder.drained(kept.as_ref()) {
                Ok(()) => self.kept_drain = kept,
                Err(trouble) => self.core.problem("disk", trouble.to_string()),
            }
        }
    }

    //------------ What is told ---

    fn report(&mut self, now: Duration) {
        if self.core.verdict() != self.verdict.0 {
            self.verdict = (self.core.verdict(), now);
        }
        let report = self.now_reported(now);
        // The first one waits for the node's first word, but not for long.
        let at = self.said.as_ref().map_or(Duration::ZERO, |(_, at)| *at);
        let is_news = self.said.as_ref().is_none_or(|(said, _)| report.differs(said));
        if is_news {
            self.report_at = at + REPORT_PAUSE_MIN;
        }
        if now < self.report_at {
            return;
        }
        self.report_at = now + rand::rng().random_range(REPORT_PAUSE * 3 / 4..REPORT_PAUSE * 5 / 4);
        let (node, text) = (report.node.clone(), report.to_bytes());
        self.said = Some((report, now));
        if !self.shared.carrier.takes_reports() {
            return;
        }
        self.reporting = true;
        let shared = Rc::clone(&self.shared);
        self.jobs.push(Box::pin(async move { Event::Reported(shared.carrier.report(&node, &text).await) }));
    }

    fn now_reported(&mut self, now: Duration) -> Report {
        let name = |name: Option<as112d::release::ReleaseName>| name.map(|name| name.to_string());
        let settings = &self.shared.settings;
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut report = Report {
            node: settings.who.node.to_string(),
            colo: settings.who.colo.as_ref().map(ToString::to_string),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            version: None,
            pid: None,
            state: String::new(),
            wants: name(self.core.wants()),
            has: name(self.core.current()),
            serves: None,
            from: None,
            good: name(self.core.good()),
            since: now.saturating_sub(self.verdict.1).as_secs(),
            clock: clock.as_secs(),
            verdict: self.verdict.0,
            problems: self.core.problems().map(str::to_owned).collect(),
            drift: false,
            routes: Vec::new(),
            qps: 0.0,
            view_age: self.viewed.map(|viewed| now.saturating_sub(viewed).as_secs()),
            source: settings.source.to_string(),
            baking: self.core.baking(now).is_some(),
            fell: name(self.core.fallen().map(|fallen| fallen.release)),
            drained: self.core.drain().is_wanted(now),
            answers: None,
        };
        report.hear(self.status.as_ref());
        report.drift = report.serves.is_some() && report.serves != report.has;
        report
    }

    fn write_lines(&mut self) {
        for line in self.core.lines() {
            self.write(&line);
        }
    }

    /// What cannot be written is lost: the log is for people, and a full disk has other signs.
    fn write(&self, line: &Line) {
        let name = line.release.map(|name| format!(" {name}")).unwrap_or_default();
        let node = &self.shared.settings.who.node;
        if !matches!(self.shared.settings.node, Node::Nobody) {
            eprintln!("{node}: {}{name} {}", line.word, line.text);
        }
        let _ = self.journal.write(line, self.now());
    }
}
