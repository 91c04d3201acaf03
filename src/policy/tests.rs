//! The language, field by field; what is decided, and why.

mod guests;
mod mistakes;

use core::net::SocketAddr;
use core::time::Duration;
use std::net::IpAddr;

use super::facts::{Cached, Facts, Later, Outcome, Tags};
use super::phase::Phase;
use super::upstream::Upstream;
use super::{
    Action, Decision, Fallback, Guest, Hit, Phrase, Policy, Route, Series, Source, World, check_hook,
};
use crate::dns::consts::{HEADER_LEN, rtype};
use crate::dns::name::{Name, Walk};
use crate::limits::{
    PHASE_RULES_MAX, ROUTE_RULES_MAX, RULE_NAMES_MAX, RULE_NESTING_MAX, RULE_NETWORKS_MAX, RULE_SERIES_MAX,
    RULE_TESTS_MAX, SERVER_SERIES_MAX, TAGS_MAX,
};

/// The condition of the article, and its rule, to the letter.
const ARTICLE_ROUTER: &str = include_str!("../../tests/policy/article.when");
const ARTICLE_RULE: &str = include_str!("../../tests/policy/article.rules");

const LISTENERS: [&str; 3] = ["192.0.2.53:53", "[::]:53", "192.175.48.6:53"];

struct Node {
    listeners: Vec<SocketAddr>,
    upstreams: Vec<Upstream>,
    resolver: Option<Upstream>,
    series: Series,
    guests: Vec<Guest>,
    colo: &'static str,
    has_databases: bool,
}

impl Default for Node {
    fn default() -> Self {
        let server = |address: &str| vec![address.parse().unwrap()];
        Self {
            listeners: LISTENERS.iter().map(|listener| listener.parse().unwrap()).collect(),
            upstreams: vec![
                Upstream::of_servers("lan".to_owned(), server("192.0.2.1:53")),
                Upstream::of_servers("wan".to_owned(), server("192.0.2.2:53")),
            ],
            resolver: Some(Upstream::of_servers("any name".to_owned(), server("127.0.0.1:5354"))),
            series: Series::default(),
            guests: Vec::new(),
            colo: "test1",
            has_databases: true,
        }
    }
}

impl Node {
    fn compile(&self, text: &str, routes: &[Route]) -> Result<Policy, Vec<String>> {
        let world = World {
            colo: self.colo,
            node: "node1.example",
            listeners: &self.listeners,
            upstreams: &self.upstreams,
            guests: &self.guests,
            resolver: self.resolver.clone(),
            series: self.series.clone(),
            has_databases: self.has_databases,
        };
        let files = [Source { path: "rules.d/10-test.rules", text }];
        Policy::compile(&files, routes, &world)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }
}

fn policy(text: &str) -> Policy {
    Node::default().compile(text, &[]).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

fn problems(text: &str) -> Vec<String> {
    Node::default().compile(text, &[]).map(|policy| format!("{:?}", policy.rules())).unwrap_err()
}

fn route(when: &str, then: &str, allow: &[&str]) -> Route {
    Route {
        name: "r".to_owned(),
        when: when.to_owned(),
        then: then.to_owned(),
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        fallback: Fallback::Refuse,
        place: "as112d.toml:7:1".to_owned(),
    }
}

/// A query for a name, which labels are joined to by dots.
struct Query {
    packet: Vec<u8>,
    walk: Walk,
}

impl Query {
    fn new(name: &str) -> Self {
        let labels = name.split('.').rev().filter(|label| !label.is_empty());
        let name = labels.fold(Name::root(), |name, label| name.prepend(label.as_bytes()).unwrap());
        let packet = [&[0; HEADER_LEN][..], name.as_wire()].concat();
        let walk = Walk::new(&packet, HEADER_LEN).unwrap();
        Self { packet, walk }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            packet: &self.packet,
            qname: &self.walk,
            qtype: rtype::PTR,
            qclass: 1,
            opcode: 0,
            recursion_desired: true,
            has_edns: false,
            dnssec_ok: false,
            has_ecs: false,
            src: "198.51.100.7:4711".parse().unwrap(),
            dst: "192.0.2.53:53".parse().unwrap(),
            listener: 0,
            is_tcp: false,
            tags: Tags(0),
            later: Later::default(),
        }
    }
}

fn decide(policy: &Policy, phase: Phase, facts: &Facts<'_>) -> Decision {
    let decision = policy.decide(phase, facts, &mut |_| {});
    assert_eq!(policy.explained(phase, facts).0, decision);
    decision
}

/// Whether a condition of the phase `done`, which knows everything, is true.
fn holds(cond: &str, facts: &Facts<'_>) -> bool {
    let policy = policy(&format!("tagger: phase = request tag t\nit: phase = done and ({cond}) pass"));
    decide(&policy, Phase::Done, facts).taken.is_some()
}

#[test]
fn the_texts_of_the_article_work_to_the_letter() {
    let routed = route(ARTICLE_ROUTER, "native", &[]);
    let policy = Node::default().compile("", &[routed]).unwrap();
    let query = Query::new("1.1.168.192.in-addr.arpa");
    for (dst, listener, is_taken) in
        [("192.175.48.6:53", 2, true), ("192.0.2.53:53", 0, false), ("[2620:4f:8000::6]:53", 1, true)]
    {
        let facts = Facts { dst: dst.parse().unwrap(), listener, ..query.facts() };
        let taken = decide(&policy, Phase::Route, &facts).taken;
        assert_eq!(taken, is_taken.then_some((0, Action::Native)), "{dst}");
        assert_eq!(policy.is_free(listener), listener == 0);
    }

    let policy = Node::default().compile(ARTICLE_RULE, &[]).unwrap();
    assert_eq!(policy.rules()[0].phase, Phase::PostCache);
    assert_eq!(policy.upstreams().last().unwrap().servers, ["192.175.48.6:53".parse().unwrap()]);
    let forward = Action::Forward(policy.upstreams().len() as u16 - 1);
    for (name, qtype, is_taken) in [
        ("1.1.168.192.in-addr.arpa", rtype::PTR, true),
        ("1.31.172.IN-ADDR.ARPA", rtype::PTR, true),
        ("10.in-addr.arpa", rtype::PTR, true),
        ("1.1.168.192.in-addr.arpa", rtype::A, false),
        ("x10.in-addr.arpa", rtype::PTR, false),
        ("1.32.172.in-addr.arpa", rtype::PTR, false),
    ] {
        let query = Query::new(name);
        let facts = Facts { qtype, ..query.facts() };
        assert_eq!(decide(&policy, Phase::PostCache, &facts).taken.is_some(), is_taken, "{name} {qtype}");
        assert_eq!(decide(&policy, Phase::PostCache, &facts).taken, is_taken.then_some((0, forward)));
        assert_eq!(decide(&policy, Phase::Route, &facts).taken, None);
        assert_eq!(policy.may_concern(&facts), is_taken);
    }
    assert!(policy.needs_workers() && !policy.is_free(0));

    let elsewhere = Node { colo: "test3", ..Node::default() }.compile(ARTICLE_RULE, &[]).unwrap();
    assert!(elsewhere.is_free(0) && !elsewhere.needs_workers() && !elsewhere.has_rules(Phase::PostCache));
    assert_eq!(
        elsewhere.folded(),
        ["rule \"10-test.rules:1\" (rules.d/10-test.rules:1:1), phase post-cache: colo in {test1 test2} is \
          false: folded away at load"]
    );
}

#[test]
fn every_field_is_compared() {
    let query = Query::new("www.Example.com");
    let later = Later {
        country: Some(*b"PT"),
        asn: Some(112),
        cache: Some(Cached::Stale),
        upstream: Some(1),
        rtt: Some(Duration::from_millis(20)),
        outcome: Some(Outcome::Bad),
        rcode: Some(2),
    };
    let facts = Facts { later, tags: Tags(1), has_edns: true, is_tcp: true, ..query.facts() };
    for (is_so, is_not) in [
        ("colo = test1", "colo = Test1"),
        ("node in { node1.example }", "node = node2.example"),
        ("listener = 0", "listener in { 1 2 }"),
        ("listener = 192.0.2.53:53", "listener = 192.0.2.53:54"),
        ("listener in { 192.0.2.53 }", "listener = [::]:53"),
        ("dst = 192.0.2.53", "dst = 192.0.2.54"),
        ("src in { 198.51.100.0/24 }", "src not in { 198.51.100.0/24, }"),
        ("country = pt", "country in { US DE }"),
        ("asn = AS112", "asn in { 113 4294967295 }"),
        ("transport = tcp", "transport = udp"),
        ("family = ipv4", "family = 6"),
        ("opcode = QUERY", "opcode in { NOTIFY 5 }"),
        ("qname = WWW.example.COM.", "qname = example.com"),
        ("qname-suffix = example.com", "qname-suffix = ample.com"),
        ("qname-suffix = .", "qname = ."),
        ("qname-suffix = w\\119w.example.com", "qname-suffix = www.example\\.com"),
        ("qname-labels = 3", "qname-labels in { 1 2 4 100 }"),
        ("qname-labels >= 3", "qname-labels > 3"),
        ("qname-labels <= 3", "qname-labels < 3"),
        ("qtype = ptr", "qtype not in { PTR A }"),
        ("qtype in { TYPE65280 12 }", "qtype = TYPE65280"),
        ("qclass in { IN ANY }", "qclass = CLASS3"),
        ("rd = true", "rd = no"),
        ("do = false", "do = 1"),
        ("edns = yes", "edns = 0"),
        ("ecs = no", "ecs = true"),
        ("rcode = SERVFAIL", "rcode in { NOERROR 5 BADVERS }"),
        ("outcome in { bad timeout }", "outcome = ok"),
        ("upstream = wan", "upstream in { lan resolver }"),
        ("rtt = 20ms", "rtt > 20ms"),
        ("rtt <= 20000us", "rtt < 20ms"),
        ("rtt < 1s", "rtt > 1m"),
        ("cache = stale", "cache in { hit miss }"),
        ("tag = t", "tag != t"),
        ("tag in { t u }", "tag = u"),
        ("sample = 1/1", "sample != 1/1"),
        ("any", "not any"),
    ] {
        assert!(holds(is_so, &facts), "{is_so}");
        assert!(!holds(is_not, &facts), "{is_not}");
        assert!(holds(&format!("not ({is_not})"), &facts), "not ({is_not})");
    }
}

#[test]
fn what_is_not_known_equals_nothing() {
    let query = Query::new("example.com");
    let facts = query.facts();
    for (field, value) in [
        ("country", "PT"),
        ("asn", "112"),
        ("rcode", "NOERROR"),
        ("outcome", "ok"),
        ("upstream", "lan"),
        ("cache", "hit"),
        ("rtt", "1s"),
    ] {
        assert!(!holds(&format!("{field} = {value}"), &facts), "{field}");
        assert!(holds(&format!("{field} != {value} and {field} not in {{ {value} }}"), &facts), "{field}");
    }
    assert!(["<", ">", "<=", ">="].iter().all(|op| !holds(&format!("rtt {op} 1s"), &facts)));
}

#[test]
fn conditions_bind_as_the_grammar_says() {
    let query = Query::new("example.com");
    let facts = query.facts();
    for (cond, expected) in [
        ("rd = yes or rd = no and qtype = A", true),
        ("(rd = yes or rd = no) and qtype = A", false),
        ("not rd = no and qtype = PTR", true),
        ("not (rd = no or qtype = PTR)", false),
        ("not (rd = no and not (qtype = A))", true),
        ("not any or any", true),
        ("((any))", true),
    ] {
        assert_eq!(holds(cond, &facts), expected, "{cond}");
    }
    let spread = "a-name :\n  qtype in {A,\nPTR} # or, and more\n\n and(rd=yes)or rd!=yes\n  drop dry-run\n";
    let policy = policy(spread);
    assert_eq!((&*policy.rules()[0].name, policy.rules()[0].dry_run), ("a-name", true));
    assert_eq!(policy.rules()[0].place, "rules.d/10-test.rules:1:1");
    let mut hits = Vec::new();
    assert_eq!(policy.decide(Phase::Route, &facts, &mut |hit| hits.push(hit)), Decision::default());
    assert_eq!(hits, [Hit { rule: 0, is_dry_run: true }]);
}

#[test]
fn every_action_and_option_is_read() {
    let query = Query::new("example.com");
    let facts = Facts { later: Later { rcode: Some(2), ..Later::default() }, ..query.facts() };
    let mine = "src in { 198.51.100.0/24 }";
    for (rule, phase, action) in [
        ("any native", Phase::Route, Action::Native),
        ("any answer NXDOMAIN", Phase::Route, Action::Answer(3)),
        ("any answer 2", Phase::Route, Action::Answer(2)),
        ("any refuse", Phase::Route, Action::Answer(5)),
        ("any drop", Phase::Route, Action::Drop),
        ("any truncate", Phase::Route, Action::Truncate),
        ("MINE forward upstream wan", Phase::Route, Action::Forward(1)),
        ("MINE forward 192.0.2.9", Phase::Route, Action::Forward(3)),
        ("MINE forward 192.0.2.9:54, [2001:db8::53]", Phase::Route, Action::Forward(3)),
        ("MINE resolve", Phase::Route, Action::Resolve),
        ("MINE cache-only", Phase::Route, Action::CacheOnly),
        ("any pass", Phase::Route, Action::Pass),
        ("any retry upstream lan", Phase::Response, Action::Retry(0)),
        ("rcode = SERVFAIL drop", Phase::Response, Action::Drop),
        ("cache != hit forward upstream lan", Phase::PostCache, Action::Forward(0)),
        ("country != PT resolve", Phase::Request, Action::Resolve),
    ] {
        let policy = policy(&rule.replace("MINE", mine));
        assert_eq!(policy.rules()[0].phase, phase, "{rule}");
        assert_eq!(decide(&policy, phase, &facts).taken, Some((0, action)), "{rule}");
    }
    let policy = policy(
        "a: any tag one log\nb: tag = one divert 192.0.2.9\nc: any divert 192.0.2.8:53\nd: any no-store\n\
         e: src = 198.51.100.7 forward 192.0.2.9 timeout 300ms fallback stale",
    );
    let routed = decide(&policy, Phase::Route, &facts);
    assert_eq!((routed.tags, routed.is_traced, routed.divert), (Tags(1), true, Some((1, 3))));
    assert_eq!(routed.taken, Some((4, Action::Forward(3))));
    assert!(decide(&policy, Phase::Response, &facts).no_store);
    let rule = &policy.rules()[4];
    assert_eq!((rule.timeout, rule.fallback), (Some(Duration::from_millis(300)), Fallback::Stale));
    assert_eq!(policy.upstreams()[3].servers, ["192.0.2.9:53".parse().unwrap()]);
    assert_eq!((policy.resolver(), &*policy.upstreams()[2].name), (Some(2), "resolver"));
    for fallback in Fallback::ALL {
        let policy = self::policy(&format!("any drop fallback {}", fallback.name()));
        assert_eq!(policy.rules()[0].fallback, fallback);
    }
}

#[test]
fn a_phase_ends_with_its_first_terminal_action() {
    let query = Query::new("example.com");
    let policy = policy("d: any drop dry-run\na: qtype = A drop\nb: any tag t\np: tag = t pass\nz: any drop");
    let mut hits = Vec::new();
    let decision =
        policy.decide(Phase::Route, &query.facts(), &mut |hit: Hit| hits.push((hit.rule, hit.is_dry_run)));
    assert_eq!(decision.taken, Some((3, Action::Pass)));
    assert_eq!(hits, [(0, true), (2, false), (3, false)]);
    assert_eq!(
        policy.explain(Phase::Route, &query.facts()),
        [
            "rule \"d\" (rules.d/10-test.rules:1:1): any: dry-run, would be drop",
            "rule \"a\" (rules.d/10-test.rules:2:1): qtype = A is false: no",
            "rule \"b\" (rules.d/10-test.rules:3:1): any: tag t, and on",
            "rule \"p\" (rules.d/10-test.rules:4:1): tag = t is true: pass",
        ]
    );
}

#[test]
fn a_rule_may_be_asked_in_several_phases() {
    let query = Query::new("example.com");
    let policy = policy("phase in { request reply } and qtype = PTR drop");
    for phase in Phase::ALL {
        let is_asked = matches!(phase, Phase::Request | Phase::Reply);
        assert_eq!(decide(&policy, phase, &query.facts()).taken.is_some(), is_asked, "{phase:?}");
        assert_eq!(policy.has_rules(phase), is_asked);
    }
}

#[test]
fn routes_are_rules_that_say_for_whom() {
    let query = Query::new("example.com");
    let node = Node::default();
    let compile = |route: &Route| node.compile("", std::slice::from_ref(route));
    let policy = compile(&route("qtype = PTR", "resolve timeout 1s", &["198.51.100.0/24"])).unwrap();
    let rule = &policy.rules()[0];
    assert_eq!((&*rule.name, &*rule.place, rule.fallback), ("r", "as112d.toml:7:1", Fallback::Refuse));
    assert_eq!((rule.phase, rule.timeout), (Phase::Route, Some(Duration::from_secs(1))));
    assert!(decide(&policy, Phase::Route, &query.facts()).taken.is_some());
    let elsewhere = Facts { src: "198.51.101.7:4711".parse().unwrap(), ..query.facts() };
    assert_eq!(decide(&policy, Phase::Route, &elsewhere).taken, None);
    assert!(policy.needs_workers());
    let after_files = node.compile("a: any drop", &[route("any", "native", &[])]).unwrap();
    assert_eq!(after_files.rules().iter().map(|rule| &*rule.name).collect::<Vec<_>>(), ["a", "r"]);
    for (when, then, words) in [
        ("any", "resolve", "`then`, column 1: `resolve` in the phase `route` without clients"),
        ("any", "resolve", "say for whom: `allow = [\"192.0.2.0/24\"]`"),
        ("any", "forward upstream lan", "open resolver"),
        ("qtipe = A", "native", "`when`, column 1: unknown field `qtipe`; did you mean `qtype`?"),
        ("any and\nrd = maybe", "native", "`when`, line 2, column 6"),
        ("any drop", "native", "`drop` is an action; here only a condition stands"),
        ("any", "nativ", "`then`, column 1: unknown action `nativ`; did you mean `native`?"),
        ("any", "native native", "the end should stand here"),
        (
            "any",
            "native fallback drop",
            "`then`, column 17: the fallback of a route is its `fallback_action`",
        ),
        ("phase = reply", "drop", "routes are asked in the phase `route`"),
        ("rcode = NOERROR", "drop", "`rcode` is not known in the phase `route`"),
        ("any", "retry upstream lan", "`then`, column 1: `retry` is not done in the phase `route`"),
        ("any", "", "the rule is not whole"),
    ] {
        let problems = compile(&route(when, then, &[])).map(|_| ()).unwrap_err();
        let [problem] = &*problems else { panic!("{when} {then}: {problems:?}") };
        assert!(problem.starts_with("as112d.toml:7:1: "), "{problem}");
        assert!(problem.contains(words), "{when}, {then}: {problem}");
    }
    let unnamed = Route { name: "a b".to_owned(), ..route("any", "native", &[]) };
    assert!(compile(&unnamed).unwrap_err()[0].contains("`name`, column 1"));
}

#[test]
fn what_cannot_be_here_costs_no_listener_anything() {
    let facts_at = |query: &Query, listener: usize, dst: &str| -> Decision {
        let policy =
            policy("here: dst = 192.175.48.6 drop\nnowhere: dst = 192.0.2.77 and family = ipv4 drop");
        let facts = Facts { listener, dst: dst.parse().unwrap(), ..query.facts() };
        decide(&policy, Phase::Route, &facts)
    };
    let query = Query::new("example.com");
    // A wildcard is asked at any address.
    assert!(facts_at(&query, 1, "192.0.2.77:53").taken.is_some());
    assert!(facts_at(&query, 2, "192.175.48.6:53").taken.is_some());
    assert!(facts_at(&query, 0, "192.0.2.53:53").taken.is_none());
    let mut node = Node::default();
    node.listeners.remove(1);
    let policy =
        node.compile("a: dst = 192.175.48.6 drop\nb: dst = 192.0.2.77 drop\nc: listener = [::]:53 drop", &[]);
    let policy = policy.unwrap();
    assert_eq!((policy.is_free(0), policy.is_free(1)), (true, false));
    assert_eq!(
        policy.folded(),
        [
            "rule \"b\" (rules.d/10-test.rules:2:1), phase route: at no listener can this be: \
             dst = 192.0.2.77: folded away at load",
            "rule \"c\" (rules.d/10-test.rules:3:1), phase route: listener = [::]:53 is false: folded \
             away at load",
        ]
    );
    assert!(Policy::default().is_free(0) && !Policy::default().needs_workers());
    let query = Query::new("example.com");
    assert_eq!(Policy::default().decide(Phase::Route, &query.facts(), &mut |_| {}), Decision::default());
}

#[test]
fn later_rules_concern_what_the_shard_cannot_rule_out() {
    let policy = policy("rcode = SERVFAIL and qtype = PTR and not tag = t drop\nany tag t");
    let query = Query::new("example.com");
    assert!(policy.may_concern(&query.facts()));
    assert!(!policy.may_concern(&Facts { qtype: rtype::A, ..query.facts() }));
    assert!(policy.may_concern(&Facts { tags: Tags(1), ..query.facts() }), "tags may change");
    assert!(policy.needs_workers());
    assert!(!self::policy("any drop").needs_workers());
    assert!(!self::policy("src = 192.0.2.1 resolve dry-run").needs_workers());
    assert!(self::policy("any divert 192.0.2.1").needs_workers());
}

#[test]
fn labels_keep_their_place() {
    let mut node = Node::default();
    let first = node.compile("a: any pass\nb: any pass", &[]).unwrap();
    assert_eq!(first.series().rules, ["none", "a", "b"]);
    assert_eq!(first.series().servers[0], "lan/192.0.2.1:53");
    node.series = first.series().clone();
    node.upstreams.remove(0);
    let second = node.compile("c: any pass\nb: any pass", &[]).unwrap();
    assert_eq!(second.series().rules, ["none", "a", "b", "c"]);
    assert_eq!(second.rules().iter().map(|rule| rule.label).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(second.server_label(0, 0), 1, "that of wan");
    assert_eq!(second.server_label(0, 1), SERVER_SERIES_MAX);
    assert_eq!(second.server_label(9, 0), SERVER_SERIES_MAX);
    let rules: String = (0..RULE_SERIES_MAX).map(|at| format!("rule{at}: any pass\n")).collect();
    let many = Node::default().compile(&rules, &[]).unwrap();
    assert_eq!(many.series().rules.len(), RULE_SERIES_MAX);
    let labels: Vec<u8> = many.rules()[RULE_SERIES_MAX - 2..].iter().map(|rule| rule.label).collect();
    assert_eq!(labels, [254, 255], "the last of its own, and that of all others");
    assert_eq!(Node::default().compile("", &[]).unwrap().series().rules, [""; 0]);
}

#[test]
fn notes_say_where_each_rule_is_asked() {
    let policy = policy(
        "a: dst = 192.175.48.6 and qname-suffix in { a b } drop\nb: colo = elsewhere drop\n\
         c: src = 192.0.2.1 forward upstream lan\nd: phase = reply pass dry-run\n",
    );
    assert_eq!(
        policy.notes(),
        [
            "rule \"a\": phase route, listeners 1-2, 2 names, 1 network, drop, decided on the shard",
            "rule \"b\": phase route, never true here",
            "rule \"c\": phase route, listeners 0-2, 1 network, forward lan, on a worker",
            "rule \"d\": phase reply, listeners 0-2, dry-run, would be pass, on a worker",
        ]
    );
}

#[test]
fn conditions_are_told_as_they_are_written() {
    let text =
        "a: any drop\n# one more\nqtype = A and # two\n (tag = x or not any) # said\n  tag x dry-run\n";
    let written = super::conditions(text);
    let texts: Vec<&str> = written.iter().map(|written| written.text).collect();
    assert_eq!(texts, ["any", "qtype = A and # two\n (tag = x or not any) # said"]);
    assert_eq!(written.iter().map(|written| written.tests).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(written.iter().map(|written| written.asks_tags).collect::<Vec<_>>(), [false, true]);
    assert!(super::conditions("not phase = reply drop")[0].asks_phase && !written[1].asks_phase);
    let policy = policy("a: colo = nowhere drop\nb: phase in { route reply } pass\nc: any drop\n");
    let asked = |phase| policy.asked_in(phase).collect::<Vec<_>>();
    assert_eq!([Phase::Route, Phase::Request, Phase::Reply].map(asked), [vec![1, 2], vec![], vec![1]]);
}

#[test]
fn samples_are_of_the_size_that_is_said() {
    let policy = policy("sample = 1/10 drop");
    let mut chosen = 0;
    for client in 0..10_000_u32 {
        let query = Query::new(if client % 2 == 0 { "EXAMPLE.com" } else { "x.net" });
        let src = SocketAddr::new(IpAddr::V4((client / 2 + 0x0A00_0000).into()), 53);
        let facts = Facts { src, ..query.facts() };
        chosen += u32::from(decide(&policy, Phase::Route, &facts).taken.is_some());
    }
    assert!((850..1150).contains(&chosen), "{chosen} of 10000");
    let facts = |name: &str, src: &str| {
        let query = Query::new(name);
        let facts = Facts { src: src.parse().unwrap(), ..query.facts() };
        decide(&policy, Phase::Route, &facts).taken.is_some()
    };
    for client in 0..250 {
        let (src, other_port) = (format!("192.0.2.{client}:1"), format!("[::ffff:192.0.2.{client}]:2"));
        assert_eq!(facts("Example.COM", &src), facts("example.com", &other_port));
    }
}
