//! What `query --why` tells of a query, for thousands of them at once: that is what the running node does.
//! Rules are random, in all phases; servers answer what the name says, or not at all.
//!
//! `SEED=` chooses the rules and queries, and `WHY_QUERIES=` how many there are.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::common::daemon::{PATIENCE, V4, program, read_message, send_message};
use crate::mutate::Dice;
use crate::node::{Answer, Node, Setup};
use crate::upstream::{Reply, Seen, Upstream};

/// Queries under one set of rules.
const A_ROUND: usize = 400;
/// Queries that wait at a time: fewer than what one rule may have of the jobs.
const WINDOW: usize = 64;
/// What servers say, by the digit in a name; the last one is silence.
const SAID: [&str; 6] = ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "NOTAUTH", ""];
const CODES: [u8; 5] = [0, 3, 2, 5, 9];
const UPSTREAMS: [&str; 3] = ["one", "two", "gone"];
/// What names begin with whose answers are kept for a second.
const SHORT: char = 'q';
/// How long the node waits for a server.
const SILENCE: Duration = Duration::from_millis(400);
const SUFFIXES: [&str; 6] =
    ["example", "a.example", "b.example", "x.a.example", "10.in-addr.arpa", "1.10.in-addr.arpa"];
const TYPES: [(&str, u16); 4] = [("A", 1), ("PTR", 12), ("TXT", 16), ("TYPE65280", 65_280)];

//------------ Rules ---

fn some<'a>(dice: &mut Dice, of: &[&'a str]) -> Vec<&'a str> {
    (0..=dice.below(2)).map(|_| *dice.pick(of)).collect()
}

/// A condition that is known from this phase on: route 0, post-cache 2, response 3, reply 4.
fn term(dice: &mut Dice, phase: usize) -> String {
    let of_response = if phase >= 3 { 5 } else { 0 };
    match dice.below(9 + usize::from(phase >= 2) + of_response) {
        0 => "any".to_owned(),
        1 => format!("qtype in {{ {} }}", some(dice, &TYPES.map(|(name, _)| name)).join(" ")),
        2 | 3 => format!("qname-suffix in {{ {} }}", some(dice, &SUFFIXES).join(" ")),
        4 => format!("src in {{ 127.0.0.{}/31 127.0.1.0/24 }}", 2 * dice.below(2)),
        5 => format!("transport = {}", dice.pick(&["udp", "tcp"])),
        6 => format!("{} = {}", dice.pick(&["rd", "do", "edns"]), dice.pick(&["true", "false"])),
        7 => format!("{} tag = {}", dice.pick(&["", "not"]), dice.pick(&["t1", "t2"])),
        8 => format!("sample = 1/{}", 2 + dice.below(3)),
        9 => format!("cache = {}", dice.pick(&["hit", "miss", "stale"])),
        10 | 11 => format!("rcode in {{ {} }}", some(dice, &SAID[..5]).join(" ")),
        12 => format!("outcome = {}", dice.pick(&["ok", "timeout", "refused", "bad"])),
        13 => format!("upstream = {}", dice.pick(&UPSTREAMS)),
        _ => format!("rtt {} 60m", dice.pick(&["<", ">"])),
    }
}

fn condition(dice: &mut Dice, phase: usize) -> String {
    let first = term(dice, phase);
    // Few queries are taken early, so that many come far.
    match dice.below(4) {
        0..=2 if phase < 3 && dice.below(4) > 0 => format!("({first}) and ({})", term(dice, phase)),
        0 => format!("not ({first})"),
        1 => first,
        2 => format!("({first}) or ({})", term(dice, phase)),
        _ => format!("({first}) and ({})", term(dice, phase)),
    }
}

/// What a rule of a phase may do.
fn action(dice: &mut Dice, phase: usize) -> String {
    let upstream = |dice: &mut Dice| *dice.pick(&["one", "one", "one", "two", "two", "gone"]);
    let common = |dice: &mut Dice| match dice.below(if phase < 3 { 12 } else { 8 }) {
        0 => format!("answer {}", dice.pick(&["YXDOMAIN", "NXRRSET", "NOTZONE"])),
        1 => "drop".to_owned(),
        2 => "truncate".to_owned(),
        3 => "pass".to_owned(),
        _ => format!("tag t{}", 1 + dice.below(2)),
    };
    match (phase, dice.below(8)) {
        (0..=2, 0..=2) => format!("forward upstream {}", upstream(dice)),
        (0..=2, 3) => "native".to_owned(),
        (0 | 1, 4) if dice.once_in(3) => "cache-only".to_owned(),
        (3, 0..=3) => format!("retry upstream {}", upstream(dice)),
        (3, 4) => "no-store".to_owned(),
        _ => common(dice),
    }
}

fn rules(dice: &mut Dice, is_short: bool) -> String {
    let mut text = String::new();
    for nth in 0..4 + dice.below(24) {
        let phase = dice.below(5);
        let name = ["route", "request", "post-cache", "response", "reply"][phase];
        let (condition, action) = (condition(dice, phase), action(dice, phase));
        // Where something stale is there, a server that is not may take all the time of a query.
        if is_short && action == "retry upstream gone" {
            continue;
        }
        // Whoever may ask others is named.
        let allowed = if phase == 0 { "src in { 127.0.0.0/8 } and " } else { "" };
        let _ = write!(text, "r{nth}: phase = {name} and {allowed}({condition}) {action}");
        if dice.once_in(8) {
            text += " dry-run";
        }
        if action.starts_with("forward") || action == "cache-only" {
            let _ = write!(
                text,
                " fallback {}",
                dice.pick(&["fail", "refuse", "native", "drop", "next", "stale"])
            );
        }
        text.push('\n');
    }
    // What nobody else takes is forwarded, but for the node's own names.
    text + "\
s1: phase = request and sample = 1/5 tag t1
s2: phase = post-cache and sample = 1/4 tag t2
last: phase = route and src in { 127.0.0.0/8 } and qname-suffix in { example } forward upstream one\n"
}

//------------ Queries ---

#[derive(Clone, Debug)]
struct Query {
    name: String,
    qtype: (&'static str, u16),
    source: Ipv4Addr,
    says: [usize; 2],
    is_tcp: bool,
    rd: bool,
    cd: bool,
    edns: bool,
    dnssec_ok: bool,
    /// What the cache has of it, as options.
    cache: String,
    /// Whose answer that is.
    kept: Option<usize>,
}

impl Query {
    /// One that nobody has asked before; with `is_short` its answer may be kept for a second only.
    fn random(dice: &mut Dice, nonce: u64, is_short: bool) -> Self {
        // Silence takes its time: there is little.
        let mut says = || if dice.once_in(60) { 5 } else { dice.below(5) };
        let says = [says(), says()];
        let kind = if is_short && dice.once_in(2) { SHORT } else { 'n' };
        let name = format!("{kind}{nonce}.s{}{}.{}", says[0], says[1], dice.pick(&SUFFIXES));
        let edns = !dice.once_in(4);
        Self {
            name,
            qtype: *dice.pick(&TYPES),
            source: Ipv4Addr::new(127, 0, dice.below(2) as u8, 1 + dice.below(3) as u8),
            says,
            is_tcp: dice.once_in(40),
            rd: dice.once_in(2),
            cd: dice.once_in(4),
            edns,
            dnssec_ok: edns && dice.once_in(3),
            cache: String::new(),
            kept: None,
        }
    }

    /// The same once more, after what was told of it.
    fn again(&self, told: &Value) -> Self {
        let last = told["asked"].as_array().and_then(|asked| asked.last()?.as_str());
        let server = UPSTREAMS.iter().position(|name| Some(*name) == last);
        let kept = server.filter(|_| !told["stored"].is_null());
        let mut cache = String::new();
        let mut add = |views: &Value, what: &str| {
            for view in views.as_array().into_iter().flatten() {
                match view.as_str() {
                    Some(view) => cache.push_str(&format!(" --cache {view}={what}")),
                    // What is said of all comes before what is said of one.
                    None => cache.insert_str(0, &format!(" --cache {what}")),
                }
            }
        };
        add(&told["failed"], "failure");
        if let Some(server) = kept {
            let what = if self.name.starts_with(SHORT) { "stale" } else { "hit" };
            add(&told["stored"], &format!("{what}={}", SAID[self.says[server]]));
        }
        Self { cache, kept, ..self.clone() }
    }

    fn packet(&self, id: u16) -> Vec<u8> {
        let mut packet = id.to_be_bytes().to_vec();
        packet.extend([u8::from(self.rd), u8::from(self.cd) << 4, 0, 1, 0, 0, 0, 0, 0, u8::from(self.edns)]);
        for label in self.name.split('.') {
            packet.push(label.len() as u8);
            packet.extend(label.bytes());
        }
        packet.push(0);
        packet.extend(self.qtype.1.to_be_bytes());
        packet.extend([0, 1]);
        if self.edns {
            packet.extend([0, 0, 41, 4, 0xD0, 0, 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0]);
        }
        packet
    }

    /// As a line of a batch.
    fn line(&self, to: SocketAddr) -> String {
        let mut line = format!("{} {} --from {} --to {to}", self.name, self.qtype.0, self.source);
        let flags = [
            (self.is_tcp, " --tcp"),
            (self.rd, " --rd"),
            (self.cd, " --cd"),
            (!self.edns, " --no-edns"),
            (self.dnssec_ok, " --do"),
        ];
        line.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag));
        line += &self.cache;
        line += " --outcome gone=refused";
        for (upstream, says) in UPSTREAMS.iter().zip(self.says) {
            let _ = match SAID[says] {
                "" => write!(line, " --outcome {upstream}=timeout"),
                code => write!(line, " --rcode {upstream}={code}"),
            };
        }
        line + "\n"
    }
}

/// What a server says to a name: where the answer comes from is in its records.
fn said(server: usize, seen: &Seen) -> Vec<Reply> {
    let name = seen.name();
    let digits = name.split('.').nth(1).and_then(|label| label.strip_prefix('s')).unwrap_or("00");
    let says = usize::from(digits.as_bytes()[server] - b'0');
    let ttl = if name.starts_with(SHORT) { 1 } else { 3600 };
    match CODES.get(says) {
        None => vec![],
        Some(0) => {
            let qname = seen.qname().len();
            let qtype = u16::from_be_bytes([seen.packet[12 + qname], seen.packet[13 + qname]]);
            let rdata = match qtype {
                12 => [&[4][..], &marker(server), &[0]].concat(),
                16 => [&[4][..], &marker(server)].concat(),
                _ => marker(server).to_vec(),
            };
            vec![seen.reply().record(0, qtype, ttl, &rdata)]
        }
        Some(3) => {
            let soa = [&[0, 0][..], &marker(server), &u32::to_be_bytes(ttl).repeat(4)].concat();
            vec![seen.reply().record(1, 6, ttl, &soa).rcode(3)]
        }
        Some(code) => vec![seen.reply().rcode(*code)],
    }
}

const fn marker(server: usize) -> [u8; 4] {
    [192, 0, 2, 211 + server as u8]
}

//------------ The node ---

/// What clients get, `None` where that is no reply; and connections that wait for none.
fn ask_all(to: SocketAddr, queries: &[Query], expected: &[Value]) -> (Vec<Option<Vec<u8>>>, Vec<TcpStream>) {
    let mut got = vec![None; queries.len()];
    let mut sockets = HashMap::new();
    let is_of_udp = |at: &usize| !queries[*at].is_tcp;
    let mut left: Vec<usize> = (0..queries.len()).filter(is_of_udp).rev().collect();
    let mut pending: HashMap<usize, Instant> = HashMap::new();
    let mut reply = [0; 4096];
    while !left.is_empty() || !pending.is_empty() {
        while pending.len() < WINDOW
            && let Some(at) = left.pop()
        {
            let query = &queries[at];
            let socket = sockets.entry(query.source).or_insert_with(|| {
                let socket = UdpSocket::bind((query.source, 0)).expect("a socket");
                socket.connect(to).expect("connected");
                socket.set_nonblocking(true).expect("it does not wait");
                socket
            });
            socket.send(&query.packet(at as u16)).expect("sent");
            // Whether those that get no reply were seen is told by counters.
            if !expected[at]["rcode"].is_null() {
                pending.insert(at, Instant::now());
            }
        }
        let mut is_idle = true;
        for socket in sockets.values() {
            while let Ok(len) = socket.recv(&mut reply) {
                is_idle = false;
                let at = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                pending.remove(&at);
                got[at] = Some(reply[..len].to_vec());
            }
        }
        pending.retain(|_, at| at.elapsed() < PATIENCE);
        if is_idle {
            thread::park_timeout(Duration::from_micros(200));
        }
    }
    // A connection that gets no reply stays open until all is counted.
    let mut open = Vec::new();
    for (at, query) in queries.iter().enumerate().filter(|(_, query)| query.is_tcp) {
        let mut stream = connect(to, query.source);
        send_message(&mut stream, &query.packet(0));
        match expected[at]["rcode"].is_null() {
            true => open.push(stream),
            false => got[at] = read_message(&mut stream),
        }
    }
    (got, open)
}

fn connect(to: SocketAddr, source: Ipv4Addr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).expect("bound");
    socket.connect(&to.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// What `--why` tells of queries.
fn told(node: &Node, queries: &[Query]) -> Vec<Value> {
    let to = node.address();
    let batch: String = queries.iter().map(|query| query.line(to)).collect();
    let file = node.path("batch");
    fs::write(&file, batch).expect("written");
    let mut command = Command::new(program());
    command.args(["query", "--why", "--json", "--batch"]).arg(&file);
    command.arg("--config").arg(node.path("as112d.toml")).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), queries.len());
    told
}

/// How often each rule has matched, and how often the node has given up waiting: for a worker, for an answer,
/// or for a refusal of the kernel's.
fn counted(node: &Node) -> (BTreeMap<String, u64>, u64) {
    let metrics = node.metrics();
    let mut hits = BTreeMap::new();
    for line in metrics.0.lines() {
        for (family, sign) in [("as112_rule_hits_total{", "+"), ("as112_rule_would_total{", "?")] {
            if let Some(rest) = line.strip_prefix(family)
                && let Some((rule, rest)) = rest.strip_prefix("rule=\"").and_then(|rest| rest.split_once('"'))
                && let Some(count) = rest.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok())
            {
                *hits.entry(format!("{sign}{rule}")).or_insert(0) += count;
            }
        }
    }
    let jobs = metrics.sum("work_refused_total", &["reason=\"late\""]);
    let waits = ["late", "timeout"].map(|outcome| format!("outcome=\"{outcome}\""));
    let waits = waits.iter().map(|outcome| metrics.sum("upstream_queries_total", &[outcome]));
    (hits, jobs + waits.sum::<u64>())
}

/// How often servers are silent when these are asked.
fn silences(queries: &[Query], told: &[Value]) -> u64 {
    let of = |(query, told): (&Query, &Value)| {
        let asked = told["asked"].as_array().expect("names").iter();
        let is_silent = |name: &Value| {
            let server = UPSTREAMS.iter().position(|upstream| name == upstream);
            server.and_then(|server| query.says.get(server)).is_some_and(|says| SAID[*says].is_empty())
        };
        asked.filter(|name| is_silent(name)).count() as u64
    };
    queries.iter().zip(told).map(of).sum()
}

/// What is told of each query, and what all hits come to.
fn expected_hits(told: &[Value]) -> BTreeMap<String, u64> {
    let mut hits = BTreeMap::new();
    for one in told {
        for (kind, sign) in [("hits", "+"), ("would", "?")] {
            for (rule, count) in one[kind].as_object().expect("counts") {
                *hits.entry(format!("{sign}{rule}")).or_insert(0) += count.as_u64().expect("a number");
            }
        }
    }
    hits
}

/// Whether a reply is what was told.
fn check(query: &Query, told: &Value, got: Option<&Vec<u8>>) -> Result<(), String> {
    let rcode = told["rcode"].as_str();
    let Some((packet, rcode)) = got.zip(rcode) else {
        return if got.is_none() && rcode.is_none() {
            Ok(())
        } else {
            Err("one of them is no reply".to_owned())
        };
    };
    let answer = Answer::of(packet);
    let code = as112d::policy::rcode_text(answer.rcode);
    let is_cut = answer.flags & 0x0200 != 0;
    if code != rcode || told["truncated"] != is_cut {
        return Err(format!("{query:?} got {code}, truncated: {is_cut}"));
    }
    let from = match told["source"].as_str() {
        Some("upstream") => told["asked"].as_array().and_then(|asked| asked.last()?.as_str()),
        Some("cache" | "stale") => query.kept.map(|server| UPSTREAMS[server]),
        _ => None,
    };
    let has = |server: usize| packet.windows(4).any(|bytes| bytes == marker(server));
    let marked = UPSTREAMS.iter().enumerate().filter(|(at, _)| has(*at)).map(|(_, name)| *name).next();
    match marked == from {
        true => Ok(()),
        false => Err(format!("an answer from {marked:?}, and not from {from:?}")),
    }
}

/// The machine stood still, and the node gave up waiting for what was on its way: this says nothing, and the
/// node knows things now that nobody was told of.
struct Spoiled;

/// Asks all under the rules that there are, and compares. Gives what was told. `silent` counts how often the
/// node was told to wait in vain: it has no reason to do so more often.
fn compare(node: &Node, queries: &[Query], text: &str, silent: &mut u64) -> Result<Vec<Value>, Spoiled> {
    let told = told(node, queries);
    *silent += silences(queries, &told);
    let (before, _) = counted(node);
    let (got, _open) = ask_all(node.address(), queries, &told);
    let expected = expected_hits(&told);
    let began = Instant::now();
    loop {
        let (now, gave_up) = counted(node);
        if gave_up > *silent {
            return Err(Spoiled);
        }
        let grown = |(rule, count): (&String, &u64)| {
            let grown = count - before.get(rule).copied().unwrap_or_default();
            (grown > 0).then(|| (rule.clone(), grown))
        };
        let hits: BTreeMap<String, u64> = now.iter().filter_map(grown).collect();
        if hits == expected {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "hits {hits:?}\ntold {expected:?}\n{text}");
        thread::park_timeout(Duration::from_millis(5));
    }
    for (at, query) in queries.iter().enumerate() {
        let Err(why) = check(query, &told[at], got[at].as_ref()) else { continue };
        // What comes late is waited for, for a second.
        thread::park_timeout(Duration::from_secs(2));
        if counted(node).1 > *silent {
            return Err(Spoiled);
        }
        panic!("{why}\n{query:?}\n{:#}\n{text}", told[at]);
    }
    Ok(told)
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// What nodes forward to.
struct Surroundings {
    servers: [Upstream; 2],
    /// Where nobody listens.
    gone: (UdpSocket, SocketAddr),
}

impl Surroundings {
    fn new() -> Self {
        // Who is connected takes nothing from others: they are told so, and nobody else gets this port.
        let gone = UdpSocket::bind((V4, 0)).expect("a socket");
        gone.connect((V4, 1)).expect("connected");
        let address = gone.local_addr().expect("it is bound");
        Self {
            servers: [0, 1].map(|server| Upstream::start(move |seen| said(server, seen))),
            gone: (gone, address),
        }
    }

    fn node(&self) -> Node {
        let further = format!("timeout = '{}ms'\ntries = 1\nexplore = 0.0", SILENCE.as_millis());
        let mut node = Setup::new()
            .section("[cache]\nprefetch = false\nfailure_ttl = '5m'")
            .platform("colo = 'test1'\nquery_timeout = '10s'\nworkers = 1");
        let addresses = [self.servers[0].address, self.servers[1].address, self.gone.1];
        for (name, server) in UPSTREAMS.iter().zip(addresses) {
            node = node.upstream(name, &[server], &further);
        }
        node.section("[server]\nlisten = ['127.0.0.1:PORT', '[::1]:PORT']\nshards = 1")
            .rules("10-random.rules", "any pass")
            .start()
    }
}

#[test]
fn the_node_does_with_each_query_what_is_told_of_it() {
    let surroundings = Surroundings::new();
    let (mut node, mut silent) = (surroundings.node(), 0);
    let (seed, wanted) = (number("SEED", 112), number("WHY_QUERIES", 2000));
    let (mut done, mut round, mut nonce, mut sources) = (0, 0_u64, 0, BTreeMap::<String, usize>::new());
    while done < wanted {
        let mut dice = Dice::new(seed as u64 ^ round << 20);
        round += 1;
        let is_short = round % 8 == 1;
        let text = rules(&mut dice, is_short);
        let mut spoiled = 0;
        let (queries, mut told) = loop {
            node.write_rules("10-random.rules", &text);
            node.reload();
            let mut query = |_| {
                nonce += 1;
                Query::random(&mut dice, nonce, is_short)
            };
            let queries: Vec<Query> = (0..A_ROUND * 3 / 4).map(&mut query).collect();
            match compare(&node, &queries, &text, &mut silent) {
                Ok(told) => break (queries, told),
                Err(Spoiled) => (node, silent, spoiled) = (surroundings.node(), 0, spoiled + 1),
            }
            assert!(spoiled < 20, "this machine stands still too often");
        };
        done += queries.len();
        if is_short {
            #[expect(clippy::disallowed_methods, reason = "what is kept for a second has to become stale")]
            thread::sleep(Duration::from_millis(1200));
        }
        // Some of them once more: the cache has what it was told to store.
        let step = 1 + dice.below(3);
        let again = queries.iter().zip(&told).step_by(step).take(A_ROUND / 4);
        let again: Vec<Query> = again.map(|(query, told)| query.again(told)).collect();
        match compare(&node, &again, &text, &mut silent) {
            Ok(more) => {
                done += again.len();
                told.extend(more);
            }
            Err(Spoiled) => (node, silent) = (surroundings.node(), 0),
        }
        for source in told.iter().filter_map(|one| one["source"].as_str()) {
            *sources.entry(source.to_owned()).or_default() += 1;
        }
        // Most of these get a fresh answer all the same.
        let stale = told.iter().filter(|one| one["cache"] == "stale").count();
        *sources.entry("(stale)".to_owned()).or_default() += stale;
    }
    println!("report: {done} queries under {round} sets of rules: {sources:?}");
    for source in ["native", "rule", "fallback", "upstream", "cache", "(stale)"] {
        assert!(sources.get(source).is_some_and(|count| *count > 0), "{source}: {sources:?}");
    }
}
