//! `as112d apps try`: one query, an application, and no node.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use domain::base::{Message, Name};

use crate::cli::{AppsTryOptions, QueryClass, QueryOptions};
use crate::commands::query::{packet, shown};
use crate::config::upstreams::fallback_name;
use crate::config::written::octets;
use crate::config::{self, apps, rules};
use crate::daemon::apps::verdict;
use crate::daemon::why;
use crate::dns::query::{Header, Query, parse};
use crate::limits::{FUEL_A_MILLISECOND, QUERY_TIMEOUT, TCP_REPLY_LEN_MAX};
use crate::log;
use crate::nets::places::Places as Databases;
use crate::policy::facts::{Facts, Later};
use crate::policy::phase::Phase;
use crate::policy::{Policy, Series};
use crate::problem::Problem;
use crate::serve::facts;
use crate::serve::job::UNROUTED;
use crate::stats::app_labels::{BAD_REPLY, HOSTCALL_REFUSED, TRAP};
use crate::stats::counters::{
    GUEST_HOSTCALLS_REFUSED, GUEST_LOG_DROPPED, GUEST_MEMORY_REFUSED, GUEST_REPLIES_BAD, GUEST_TRAPS, Totals,
};
use crate::stats::labels::{Label, Names};
use crate::stats::ledger::{LedgerSettings, ledger};
use crate::sys::files;
use crate::work::sandbox::call::{Call, Called, Order};
use crate::work::sandbox::{Apps, Sandbox, Tools};
use crate::work::{Place, Places};

/// Loads an application as `run` would, shows it one query, and prints what it says. What it logs goes to
/// standard error. Nothing is sent: of what it wants of others, only the wish is seen.
///
/// # Errors
/// Every mistake in it, and in the question.
pub fn trial(options: &AppsTryOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.config.config.as_deref(), &options.config.flags())?;
    let described = apps::read(&options.dir)?;
    let loaded = apps::load_all(&config, vec![described])?;
    let policy = rules::compile(&config, &[], loaded.guests(), Series::default())?;
    let apps = loaded.settled(&policy, &mut Names::default());
    let (databases, unread) = Databases::open(&config.databases);
    if let Some(problem) = unread.into_iter().next() {
        return Err(Problem::alone(problem));
    }
    let query = packet(&question(options)).map_err(Problem::alone)?;
    let arrival = why::arrival(&config, options.tcp, options.from, options.to).map_err(Problem::alone)?;
    let reply = options.reply.as_deref().map(message).transpose().map_err(|problem| vec![problem])?;
    let reply = reply.unwrap_or_default();
    let header = Header::read(&query, query.len()).ok_or_else(|| Problem::alone("it is not a query"))?;
    let mut read = Query::default();
    parse(&query, query.len(), &header, &mut read).map_err(|_| Problem::alone("it is not a query"))?;
    let mut known = facts(&arrival, &header, &query, &read);
    known.later = later(&reply, options.phase);
    let places = Places::new(move |address| {
        let (country, asn) = databases.look(address);
        Place { country, asn }
    });
    let mut trial = Trial { apps, policy: &policy, places, query: &query, out: String::new() };
    trial.run(options.phase, &arrival, &known, &reply)?;
    Ok(trial.out)
}

/// The question, as `as112d query` takes it.
fn question(options: &AppsTryOptions) -> QueryOptions {
    QueryOptions {
        name: Some(options.name.clone()),
        rtype: Some(options.rtype.clone()),
        reverse: None,
        class: QueryClass::In,
        tcp: options.tcp,
        nsid: false,
        dnssec: options.dnssec,
        rd: false,
        cd: false,
        no_edns: false,
        subnet: None,
        cache: Vec::new(),
        outcome: Vec::new(),
        rcode: Vec::new(),
        rtt: None,
        json: false,
        batch: None,
        why: false,
        from: options.from,
        to: options.to,
        colo: None,
        live: false,
        control: None,
        config: options.config.clone(),
    }
}

/// A message from a file: its bytes, or their digits.
fn message(path: &Path) -> Result<Vec<u8>, Problem> {
    let place = path.display().to_string();
    let bytes = files::read(path, 4 * TCP_REPLY_LEN_MAX as u64)
        .map_err(|error| Problem { place: place.clone(), message: format!("cannot be read: {error}") })?;
    let digits: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let message = octets(&digits).unwrap_or(bytes);
    if Message::from_octets(message.as_slice()).is_err() || message.len() > TCP_REPLY_LEN_MAX {
        let message =
            "is not a message of DNS; give one as it is sent, or its bytes in hexadecimal".to_owned();
        return Err(Problem { place, message });
    }
    Ok(message)
}

/// What is known in a phase of a query that has this reply.
fn later(reply: &[u8], phase: Phase) -> Later {
    let rcode = reply.get(3).map(|byte| u16::from(byte & 0xF));
    Later { rcode: rcode.filter(|_| phase >= Phase::Response), ..Later::default() }
}

struct Trial<'a> {
    apps: Arc<Apps>,
    policy: &'a Policy,
    places: Places,
    query: &'a [u8],
    out: String,
}

impl Trial<'_> {
    fn line(&mut self, text: impl AsRef<str>) {
        writeln!(self.out, ";; {}", text.as_ref()).expect("a String takes all that is written");
    }

    fn run(
        &mut self,
        phase: Phase,
        arrival: &crate::dns::arrival::Arrival,
        known: &Facts<'_>,
        reply: &[u8],
    ) -> Result<(), Vec<Problem>> {
        self.is_asked(phase, known);
        let settings = log::Settings { level: log::Level::Debug, ..log::Settings::default() };
        let (log, writer) = log::open(&settings).map_err(Problem::alone)?;
        let writing = std::thread::spawn(move || writer.run());
        let (mut ledger, stream) = ledger(&LedgerSettings::default());
        let now = Instant::now();
        let mut sandbox = Sandbox::new(Tools { places: self.places.clone(), log: log.clone() });
        sandbox.refresh(&self.apps, now, &mut ledger);
        let call = Call {
            app: 0,
            phase,
            token: 1,
            rule: UNROUTED,
            query: self.query,
            arrival,
            reply,
            later: known.later,
            deadline: now + QUERY_TIMEOUT,
            is_traced: true,
        };
        let called = sandbox.call(&self.apps, &call, now, &mut ledger);
        let spent = sandbox.fuel_left(0).map(|left| self.fuel().saturating_sub(left));
        self.verdict(called, &sandbox).map_err(Problem::alone)?;
        while let Some((_, token, order)) = sandbox.take_order() {
            let text = self.order(&order);
            self.line(format!("order {token}: {text}"));
        }
        ledger.end_batch();
        let mut totals = Totals::default();
        stream.counters.read(&mut totals);
        self.counted(&totals);
        let of = self.fuel();
        let app = self.apps.apps.first().map_or(0, |app| app.label);
        let traps = GUEST_TRAPS.of(&totals).get(app * TRAP.len..(app + 1) * TRAP.len).unwrap_or_default();
        // After a trap what is left is that of another instance.
        let spent = spent.filter(|_| traps.iter().all(|count| *count == 0));
        let spent = spent.map_or_else(
            || "not known of an instance that is gone".to_owned(),
            |spent| format!("{spent} units"),
        );
        self.line(format!("fuel: {spent}, of {of} for an event"));
        // What the guest has said stands before what is printed here.
        log.flush();
        drop((sandbox, log));
        let _ = writing.join();
        Ok(())
    }

    /// What one event may burn.
    fn fuel(&self) -> u64 {
        let time = self.apps.apps.first().map_or(0, |app| app.manifest.limits.time.as_millis());
        u64::try_from(time).unwrap_or(u64::MAX) * FUEL_A_MILLISECOND
    }

    /// Whether a node would ask it, and why.
    fn is_asked(&mut self, phase: Phase, known: &Facts<'_>) {
        let phases = if phase == Phase::Request { vec![Phase::Route, phase] } else { vec![phase] };
        let mut asked = Vec::new();
        for phase in phases {
            let explained = self.policy.explained(phase, known).1;
            asked.extend(explained.into_iter().map(|line| format!("{}: {line}", phase.name())));
        }
        asked.extend(self.policy.folded().iter().map(|line| format!("folded: {line}")));
        if asked.is_empty() {
            asked.push(format!("nothing calls it in the phase {}; it is asked all the same", phase.name()));
        }
        asked.into_iter().for_each(|line| self.line(line));
    }

    fn verdict(&mut self, called: Called, sandbox: &Sandbox) -> Result<(), String> {
        self.line(format!("verdict: {}", verdict(called, self.policy)));
        let fallback = self.apps.apps.first().map(|app| fallback_name(app.manifest.fallback));
        if let (Called::Failed, Some(fallback)) = (called, fallback) {
            self.line(format!("fallback: {fallback}"));
        }
        match called {
            Called::Reply => self.out += &shown(sandbox.reply())?,
            Called::Changed => {
                let text = question_of(sandbox.query());
                self.line(format!("now: {text}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn order(&self, order: &Order) -> String {
        let name =
            |wire: &[u8]| Name::from_slice(wire).map_or_else(|_| "?".to_owned(), |name| format!("{name}."));
        match order {
            Order::Ask { upstream, query, is_cached, timeout } => {
                let known = |id: &u16| self.policy.upstreams().get(usize::from(*id));
                let whom = upstream
                    .as_ref()
                    .map_or("the resolver", |id| known(id).map_or("?", |upstream| upstream.name.as_str()));
                let cached = if *is_cached { ", unless the cache has it" } else { "" };
                format!("ask {whom} for {}{cached}, for at most {timeout:?}", question_of(query))
            }
            Order::Timer(time) => format!("wait {time:?}"),
            Order::Cancel(token) => format!("end order {token}"),
            Order::Purge { qname, subtree } => {
                format!("purge {}{}", name(qname), if *subtree { " and all below" } else { "" })
            }
            Order::Open(path) => format!("connect to {}", path.display()),
            Order::Send(to, bytes) => format!("send {} bytes to the socket of order {to}", bytes.len()),
            Order::Receive(from) => format!("wait for something from the socket of order {from}"),
            Order::Close(socket) => format!("close the socket of order {socket}"),
        }
    }

    /// What went wrong on the way.
    fn counted(&mut self, totals: &Totals) {
        let names = Names::default();
        let Some(app) = self.apps.apps.first().map(|app| app.label) else { return };
        let families: [(&[u64], &Label, &str); 3] = [
            (GUEST_TRAPS.of(totals), &TRAP, "trap"),
            (GUEST_REPLIES_BAD.of(totals), &BAD_REPLY, "not taken"),
            (GUEST_HOSTCALLS_REFUSED.of(totals), &HOSTCALL_REFUSED, "refused hostcalls"),
        ];
        for (family, label, what) in families {
            let counts = family.get(app * label.len..(app + 1) * label.len).unwrap_or_default();
            for (value, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                self.line(format!("{what}: {} ({count})", names.value(label, value)));
            }
        }
        for (family, what) in [
            (GUEST_MEMORY_REFUSED.of(totals), "more memory was refused"),
            (GUEST_LOG_DROPPED.of(totals), "lines of its log were dropped"),
        ] {
            if let Some(count) = family.get(app).filter(|count| **count > 0) {
                self.line(format!("{what} ({count})"));
            }
        }
    }
}

/// What a query asks for, as text.
fn question_of(query: &[u8]) -> String {
    let question = Message::from_octets(query).ok().and_then(|message| message.first_question());
    question.map_or_else(|| "?".to_owned(), |question| format!("{}. {}", question.qname(), question.qtype()))
}
