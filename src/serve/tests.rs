//! What rules make of queries, and replies that are made elsewhere.

use std::net::SocketAddr;

use super::job::{UNROUTED, Way};
use super::snapshot::tests::snapshot;
use super::snapshot::{Cookies, Settings, Snapshot};
use super::{Made, Verdict, answer_code, complete, fallback, native, serve, truncated};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{class, flag, rcode, rtype};
use crate::dns::cookie::{Secret, Secrets};
use crate::limits::{SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use crate::policy::{Policy, Series, Source, World};
use crate::stats::account::Account;
use crate::stats::labels::DROPPED_RULE;

const LISTENERS: [&str; 2] = ["192.0.2.53:53", "[2001:db8::53]:53"];
const UDP: Transport = Transport::Udp;
const TCP: Transport = Transport::Tcp { keepalive: 100 };

/// A node with these rules.
fn ruled(rules: &str) -> Snapshot {
    ruled_and(rules, |_| ())
}

fn ruled_and(rules: &str, change: impl FnOnce(&mut Settings)) -> Snapshot {
    snapshot(|_, settings| {
        let listeners: Vec<SocketAddr> = LISTENERS.iter().map(|one| one.parse().unwrap()).collect();
        let world = World {
            colo: "test1",
            node: "node1.example",
            listeners: &listeners,
            upstreams: &[],
            guests: &[],
            resolver: None,
            series: Series::default(),
            has_databases: false,
        };
        let source = Source { path: "test.rules", text: rules };
        settings.policy = Policy::compile(&[source], &[], &world).unwrap_or_else(|problems| {
            panic!("{rules}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        settings.listeners = listeners;
        change(settings);
    })
    .unwrap()
}

fn arrival(transport: Transport) -> Arrival {
    let [local, peer] = ["192.0.2.53:53", "198.51.100.7:4242"].map(|text| text.parse().unwrap());
    Arrival { transport, peer, local, listener: 0, unix_time: 7, pace: Pace::Within }
}

fn name(text: &str) -> Vec<u8> {
    crate::zone::name_from_text(text).unwrap().as_wire().to_vec()
}

fn question(text: &str, qtype: u16, qclass: u16) -> Vec<u8> {
    [&name(text)[..], &qtype.to_be_bytes(), &qclass.to_be_bytes()].concat()
}

/// With RD and CD.
fn query(text: &str, qtype: u16) -> Vec<u8> {
    [&[0x12, 0x34, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0][..], &question(text, qtype, class::IN)].concat()
}

fn with_opt(mut query: Vec<u8>, size: u16, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend([0, 0, 41]);
    query.extend(size.to_be_bytes());
    query.extend([0, 0, 0x80, 0]);
    query.extend((options.len() as u16).to_be_bytes());
    query.extend(options);
    query
}

const NSID: [u8; 4] = [0, 3, 0, 0];
const COOKIE: [u8; 12] = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
/// A name of ours, and one of nobody's.
const OURS: &str = "1.2.0.10.in-addr.arpa";
const OTHERS: &str = "www.example.com";

struct Asked {
    verdict: Verdict,
    slot: Vec<u8>,
    account: Account,
}

impl Asked {
    /// The reply.
    fn reply(&self) -> &[u8] {
        let Verdict::Reply(len) = self.verdict else { panic!("{:?} {:?}", self.verdict, self.account) };
        &self.slot[..len]
    }

    fn rcode(&self) -> u8 {
        self.reply()[3] & 0xF
    }

    /// The rules that matched, by their labels; and those that would have.
    fn hits(&self) -> (Vec<usize>, Vec<usize>) {
        let ruled = self.account.ruled.unwrap_or_default();
        let labels =
            |set: &[u64]| (0..64 * set.len()).filter(|at| set[at / 64] >> (at % 64) & 1 == 1).collect();
        (labels(&ruled.hits), labels(&ruled.would))
    }
}

fn slot_for(arrival: &Arrival, packet: &[u8]) -> Vec<u8> {
    let len = if arrival.transport == UDP { SLOT_PAYLOAD_LEN } else { TCP_REPLY_LEN_MAX };
    let mut slot = vec![0xEE; len];
    slot[..packet.len()].copy_from_slice(packet);
    slot
}

fn ask_as(node: &Snapshot, arrival: &Arrival, packet: &[u8]) -> Asked {
    let (mut slot, mut account) = (slot_for(arrival, packet), Account::default());
    let verdict = serve(node, arrival, &mut slot, packet.len(), &mut account);
    if let Verdict::HandOff(way) = verdict {
        assert_eq!(slot, slot_for(arrival, packet), "the slot is as it came");
        assert_eq!(way.serial, node.serial());
    }
    Asked { verdict, slot, account }
}

fn ask(node: &Snapshot, packet: &[u8]) -> Asked {
    ask_as(node, &arrival(UDP), packet)
}

/// What the query gets without rules.
fn plain(arrival: &Arrival, packet: &[u8]) -> Vec<u8> {
    ask_as(&ruled(""), arrival, packet).reply().to_vec()
}

/// The label of the rule of this name.
fn label(node: &Snapshot, name: &str) -> usize {
    let rule = node.policy().rules().iter().find(|rule| rule.name == name).unwrap();
    usize::from(rule.label)
}

/// The way of the rule of this name.
fn way(node: &Snapshot, name: &str) -> Way {
    let rule = node.policy().rules().iter().position(|rule| rule.name == name).unwrap();
    Way { rule: rule as u16, serial: node.serial() }
}

#[test]
fn what_a_rule_decides_here_is_decided_in_the_slot() {
    let node = ruled(
        "passes: qname-suffix in { pass.test } pass
         tags: qname-suffix in { test } tag blue
         answers: qname-suffix in { answer.test } answer NXDOMAIN
         refuses: qname-suffix in { 10.in-addr.arpa } refuse
         drops: qname-suffix in { drop.test } drop
         cuts: qname-suffix in { cut.test } truncate
         own: qname-suffix in { 168.192.in-addr.arpa } native
         would: tag in { blue } drop dry-run",
    );
    let options = [&NSID[..], &[0, 11, 0, 0]].concat();
    for transport in [UDP, TCP] {
        let arrival = arrival(transport);
        let asked = |text: &str| ask_as(&node, &arrival, &with_opt(query(text, rtype::PTR), 1232, &options));
        for (text, rule, expected) in
            [("x.answer.test", "answers", rcode::NXDOMAIN), (OURS, "refuses", rcode::REFUSED)]
        {
            let reply = asked(text);
            assert_eq!(reply.rcode(), expected, "{text}");
            let packet = reply.reply();
            let question_end = 12 + question(text, rtype::PTR, 1).len();
            assert_eq!(packet[12..question_end], query(text, rtype::PTR)[12..]);
            assert_eq!(packet[4..12], [0, 1, 0, 0, 0, 0, 0, 1], "OPT and nothing else");
            // The DO bit, NSID, and over TCP the keepalive.
            assert_eq!(packet[question_end + 7], 0x80);
            assert!(packet.windows(13).any(|part| part == b"node1.example"));
            let keepalive = [0, 11, 0, 2, 0, 100];
            assert_eq!(packet.windows(6).any(|part| part == keepalive), transport == TCP);
            assert!(reply.hits().0.contains(&label(&node, rule)), "{rule}");
        }
        let dropped = asked("drop.test");
        assert_eq!((dropped.verdict, dropped.account.dropped), (Verdict::Drop, Some(DROPPED_RULE)));
        assert_eq!(dropped.hits(), (vec![label(&node, "tags"), label(&node, "drops")], vec![]));
        let cut = asked("cut.test");
        assert_eq!(cut.reply()[2] & 2 != 0, transport == UDP, "over TCP it is where it is sent to");
        for text in ["x.pass.test", "other.test", OTHERS, "1.1.168.192.in-addr.arpa"] {
            let packet = with_opt(query(text, rtype::PTR), 1232, &options);
            let reply = ask_as(&node, &arrival, &packet);
            assert_eq!(reply.reply(), plain(&arrival, &packet), "{text}");
            let would = if text == "other.test" { vec![label(&node, "would")] } else { vec![] };
            assert_eq!(reply.hits().1, would, "{text}");
        }
    }
}

#[test]
fn what_no_rule_concerns_is_as_it_was() {
    // Whatever the listener: none of these can be asked here.
    for rules in ["", "colo in { test3 } refuse", "dst in { 192.0.2.54 } refuse"] {
        let node = ruled(rules);
        for text in [OURS, OTHERS] {
            let asked = ask(&node, &query(text, rtype::PTR));
            assert_eq!(asked.reply(), plain(&arrival(UDP), &query(text, rtype::PTR)));
            assert!(asked.account.ruled.is_none() || !rules.is_empty());
        }
    }
}

const FORWARD: &str = "src in { 198.51.100.0/24 } and ";

#[test]
fn what_may_wait_is_handed_over_as_it_came() {
    let node = ruled(&format!(
        "copy: qname-suffix in {{ copied.test }} divert 192.0.2.2:53
         tags: qname-suffix in {{ test }} tag blue
         far: {FORWARD} qname-suffix in {{ far.test copied.test }} forward 192.0.2.1:53
         far-ours: {FORWARD} qname-suffix in {{ 10.in-addr.arpa }} forward 192.0.2.1:53 log
         kept: qname-suffix in {{ kept.test }} answer NOERROR
         copy-ours: qname-suffix in {{ 168.192.in-addr.arpa }} divert 192.0.2.2:53"
    ));
    let handed = |packet: &[u8]| {
        let asked = ask(&node, packet);
        let Verdict::HandOff(way) = asked.verdict else { panic!("{:?}", asked.verdict) };
        (node.policy().rules()[usize::from(way.rule)].name.clone(), asked.account)
    };
    let packet = with_opt(query("a.far.test", rtype::PTR), 1232, &[]);
    let (rule, account) = handed(&packet);
    assert_eq!(rule, "far");
    assert_eq!((account.question, account.len), (Some((rtype::PTR, class::IN)), packet.len()));
    assert!(account.edns.is_some() && account.recursion_desired && account.dropped.is_none());
    let ruled = account.ruled.unwrap();
    assert_eq!((ruled.tags.count_ones(), ruled.divert, ruled.is_traced), (1, None, false));
    let (rule, account) = handed(&query(OURS, rtype::PTR));
    assert_eq!((&rule[..], account.ruled.unwrap().is_traced), ("far-ours", true));
    // A copy goes with whatever else becomes of the query.
    let (rule, account) = handed(&query("copied.test", rtype::A));
    assert_eq!(rule, "far");
    assert_eq!(account.ruled.unwrap().divert.unwrap().0, way(&node, "copy").rule);
    let (rule, account) = handed(&query("1.1.168.192.in-addr.arpa", rtype::PTR));
    assert_eq!(rule, "copy-ours");
    assert_eq!(account.ruled.unwrap().divert.unwrap().0, way(&node, "copy-ours").rule);
    // Whoever is not allowed, is answered as if there were no such rule.
    let elsewhere = Arrival { peer: "203.0.113.1:999".parse().unwrap(), ..arrival(UDP) };
    assert_eq!(ask_as(&node, &elsewhere, &query("a.far.test", 1)).rcode(), rcode::REFUSED);
    // Transfers are refused, not handed over.
    for qtype in [rtype::AXFR, rtype::IXFR] {
        assert_eq!(ask(&node, &query("a.far.test", qtype)).rcode(), rcode::REFUSED);
        assert_eq!(ask(&node, &query("kept.test", qtype)).rcode(), rcode::NOERROR, "a rule may answer");
    }
}

/// What is no query, or over the limit, gets what it gets without rules, and no rule sees it.
#[test]
fn rules_see_no_more_than_sound_queries_within_the_limit() {
    let secrets = || Secrets([[1; 16]].map(Secret::new).into_iter().collect());
    let cookies = || Some(Cookies { secrets: secrets(), dry_run: false });
    let node = ruled_and("all: any drop", |settings| settings.cookies = cookies());
    let plain = ruled_and("", |settings| settings.cookies = cookies());
    let mut update = query(OURS, 6);
    update[2] = 5 << 3;
    let mut response = query(OURS, 6);
    response[2] |= 0x80;
    let mut version = with_opt(query(OURS, 6), 1232, &[]);
    let len = version.len();
    version[len - 5] = 1;
    let tsig =
        [&[0][..], &[0, 250, 0, 255, 0, 0, 0, 0, 0, 17, 0], &[0; 8], &[0; 2], &[0; 2], &[0; 4]].concat();
    let mut signed = [query(OURS, 6), tsig].concat();
    signed[11] = 1;
    let malformed_cookie = with_opt(query(OURS, 6), 1232, &[0, 10, 0, 1, 7]);
    let status = [&[0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
    let no_question = with_opt(vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1232, &COOKIE);
    let unsound = [&query(OURS, 6)[..11], &[9], &query(OURS, 6)[12..]].concat();
    for packet in
        [update, response, version, signed, malformed_cookie, status, no_question, unsound, vec![0; 11]]
    {
        let (with, without) = (ask(&node, &packet), ask(&plain, &packet));
        assert_eq!((with.verdict, with.account.dropped), (without.verdict, without.account.dropped));
        assert!(with.slot == without.slot && with.account.ruled.is_none(), "{packet:02x?}");
    }
    for pace in [Pace::Slip, Pace::Drop] {
        let arrival = Arrival { pace, ..arrival(UDP) };
        let (with, without) =
            (ask_as(&node, &arrival, &query(OURS, 12)), ask_as(&plain, &arrival, &query(OURS, 12)));
        assert_eq!((with.verdict, with.slot == without.slot), (without.verdict, true));
        assert!(with.account.ruled.is_none());
    }
    // Who is exempt is not over it; and other classes are queries too.
    let exempt = Arrival { pace: Pace::Exempt, ..arrival(UDP) };
    assert_eq!(ask_as(&node, &exempt, &query(OURS, 12)).account.dropped, Some(DROPPED_RULE));
    let chaos = [&query(".", 1)[..12], &question("id.server", rtype::TXT, class::CH)].concat();
    assert_eq!(ask(&node, &chaos).account.dropped, Some(DROPPED_RULE));
}

#[test]
fn rules_of_later_phases_concern_the_nodes_own_names_alone() {
    let node = ruled(
        "article: phase = post-cache and qtype in { PTR } and colo in { test1 test2 } and
            qname-suffix in { 10.in-addr.arpa example.com } forward 192.175.48.6:53
         over: qname-suffix in { 1.10.in-addr.arpa } native",
    );
    let unrouted = |asked: &Asked| matches!(asked.verdict, Verdict::HandOff(Way { rule: UNROUTED, .. }));
    let asked = ask(&node, &query(OURS, rtype::PTR));
    assert!(unrouted(&asked) && asked.account.zone.is_some());
    assert_eq!(node.route_share(Way { rule: UNROUTED, serial: 0 }), (0, u32::MAX));
    for (text, qtype) in [
        (OURS, rtype::A),
        ("1.168.192.in-addr.arpa", rtype::PTR),
        // Not ours: this would be an open resolver.
        ("www.example.com", rtype::PTR),
        // A rule has ended the first phase.
        ("7.1.10.in-addr.arpa", rtype::PTR),
        (OURS, rtype::AXFR),
    ] {
        let packet = query(text, qtype);
        assert_eq!(ask(&node, &packet).reply(), plain(&arrival(UDP), &packet), "{text} {qtype}");
    }
    let chaos = [&query(".", 1)[..12], &question(OURS, rtype::PTR, class::CH)].concat();
    assert_eq!(ask(&node, &chaos).rcode(), rcode::REFUSED);
    // Elsewhere it is as if there were no such rule.
    let elsewhere = ruled("phase = post-cache and colo in { test3 } and qtype = PTR forward 192.175.48.6:53");
    assert!(elsewhere.policy().is_free(0));
}

#[test]
fn without_a_worker_a_query_gets_the_fallback_of_its_rule() {
    let rule = |fallback: &str| {
        format!(
            "{fallback}: {FORWARD} qname-suffix in {{ {fallback}.test 10.in-addr.arpa }} \
                 forward 192.0.2.1:53 fallback {fallback}\n"
        )
    };
    let names = ["fail", "refuse", "native", "drop", "next", "stale"];
    let mut rules: String = names.map(rule).concat();
    rules += &format!("after: {FORWARD} qname-suffix in {{ a.next.test }} forward 192.0.2.9:53\n");
    rules += "both: qname-suffix in { both.test } divert 192.0.2.2:53
              taken: qname-suffix in { both.test } answer YXDOMAIN
              cuts: qname-suffix in { cut.test } divert 192.0.2.2:53
              cut: qname-suffix in { cut.test } truncate";
    let node = ruled(&rules);
    let instead = |transport, way, packet: &[u8]| {
        let arrival = arrival(transport);
        let asked = ask_as(&node, &arrival, packet);
        assert!(matches!(asked.verdict, Verdict::HandOff(_)), "{:?}", asked.verdict);
        let (mut slot, mut account) = (asked.slot, asked.account);
        let verdict = fallback(&node, way, &arrival, &mut slot, packet.len(), &mut account);
        assert!(account.ruled.is_some(), "what rules said is not forgotten");
        Asked { verdict, slot, account }
    };
    for transport in [UDP, TCP] {
        for fallback in names.into_iter().filter(|name| *name != "next") {
            let packet = with_opt(query(&format!("a.{fallback}.test"), 1), 1232, &NSID);
            let got = instead(transport, way(&node, fallback), &packet);
            match fallback {
                "fail" | "stale" => assert_eq!(got.rcode(), rcode::SERVFAIL),
                "refuse" => assert_eq!(got.rcode(), rcode::REFUSED),
                "drop" => assert_eq!((got.verdict, got.account.dropped), (Verdict::Drop, Some(DROPPED_RULE))),
                _ => assert_eq!(got.reply(), plain(&arrival(transport), &packet)),
            }
            if fallback == "fail" {
                assert!(got.reply().windows(13).any(|part| part == b"node1.example"), "OPT and NSID");
            }
        }
        let packet = query(OURS, rtype::PTR);
        let got = instead(transport, way(&node, "native"), &packet);
        assert_eq!(got.reply(), plain(&arrival(transport), &packet));
        assert!(got.account.zone.is_some());
        let nowhere = query("a.next.test", 1);
        let asked = ask_as(&node, &arrival(transport), &nowhere);
        let (mut slot, mut account) = (asked.slot, asked.account);
        let way_of_next = way(&node, "next");
        let got = fallback(&node, way_of_next, &arrival(transport), &mut slot, nowhere.len(), &mut account);
        assert_eq!(got, Verdict::HandOff(way(&node, "after")), "what the next rule says");
        assert_eq!(slot, slot_for(&arrival(transport), &nowhere), "as it came");
        let got = Asked { verdict: got, slot, account };
        assert_eq!(got.hits().0, ["next", "after"].map(|name| label(&node, name)));
        let unrouted = Way { rule: UNROUTED, serial: 0 };
        assert_eq!(instead(transport, unrouted, &packet).reply(), plain(&arrival(transport), &packet));
        // The copy alone is what cannot be.
        let got = instead(transport, way(&node, "taken"), &with_opt(query("both.test", 1), 1232, &[]));
        assert_eq!(got.rcode(), rcode::YXDOMAIN);
        let got = instead(transport, way(&node, "cut"), &query("cut.test", 1));
        assert_eq!(got.reply()[2] & 2 != 0, transport == UDP);
    }
}

#[test]
fn natively_no_rule_is_asked_and_what_they_said_stays() {
    let node = ruled("all: any drop");
    let (arrival, packet) = (arrival(UDP), with_opt(query(OURS, rtype::PTR), 1232, &COOKIE));
    let mut asked = ask_as(&node, &arrival, &packet);
    let verdict = native(&node, &arrival, &mut asked.slot, packet.len(), &mut asked.account);
    let asked = Asked { verdict, ..asked };
    assert_eq!(asked.reply(), plain(&arrival, &packet));
    assert_eq!(asked.hits(), (vec![label(&node, "all")], vec![]));
}

/// A response: the header's flags, the question, records.
fn message(flags: u16, question: &[u8], records: &[u8], counts: [u16; 3]) -> Vec<u8> {
    let mut message = vec![0xAB, 0xCD];
    for word in [0x8000 | flags, 1, counts[0], counts[1], counts[2]] {
        message.extend(word.to_be_bytes());
    }
    [&message[..], question, records].concat()
}

fn made(message: &[u8], rcode: u16, error: Option<u16>) -> Made<'_> {
    Made { message, rcode, error, knows_subnet: false }
}

/// A PTR record whose owner and data point to the question's name.
fn record() -> Vec<u8> {
    [&[0xC0, 12][..], &[0, 12, 0, 1, 0, 0, 0, 60], &[0, 7], b"\x04host", &[0xC0, 14]].concat()
}

#[test]
fn a_message_from_elsewhere_is_completed_as_ours() {
    let secrets = Secrets([[1; 16]].map(Secret::new).into_iter().collect());
    let node = ruled_and("", |settings| settings.cookies = Some(Cookies { secrets, dry_run: false }));
    // Its letters are the client's, whatever case the server was asked in.
    let asked = query("1.2.0.10.IN-ADDR.arpa", rtype::PTR);
    let theirs = question("1.2.0.10.in-addr.ARPA", rtype::PTR, class::IN);
    let response = message(flag::AA | flag::RA | 0x0040, &theirs, &record(), [1, 0, 0]);
    let (arrival, mut out) = (arrival(UDP), vec![0xEE; SLOT_PAYLOAD_LEN]);
    let len = complete(&node, &arrival, &asked, &made(&response, 0, None), &mut out);
    // RD and CD are the client's; AA and RA the message's; Z is nobody's. Without RA there is no CD.
    let flags = flag::QR | flag::AA | flag::RD | flag::RA | flag::CD;
    let head = [&asked[..2], &flags.to_be_bytes(), &[0, 1, 0, 1, 0, 0, 0, 0]].concat();
    assert_eq!(out[..len], [&head[..], &asked[12..], &record()].concat());
    let authoritative = message(flag::AA, &theirs, &record(), [1, 0, 0]);
    complete(&node, &arrival, &asked, &made(&authoritative, 0, None), &mut out);
    assert_eq!(out[2..4], (flag::QR | flag::AA | flag::RD).to_be_bytes());
    // With OPT, all that it asks for, and an extended error.
    let asked = with_opt(query(OURS, rtype::PTR), 1232, &[&NSID[..], &COOKIE].concat());
    let len = complete(&node, &arrival, &asked, &made(&response, 0, Some(3)), &mut out);
    let question_end = 12 + theirs.len();
    assert_eq!(out[10..12], [0, 1]);
    assert_eq!(out[question_end..question_end + record().len()], record());
    let opt = &out[question_end + record().len()..len];
    assert_eq!(opt[..9], [0, 0, 41, 0x04, 0xD0, 0, 0, 0x80, 0]);
    let options = [&[0, 3, 0, 13][..], b"node1.example", &[0, 15, 0, 2, 0, 3], &[0, 10, 0, 24], &COOKIE[4..]];
    let options = options.concat();
    assert_eq!(opt[11..11 + options.len()], options);
    assert_eq!(usize::from(opt[10]), opt.len() - 11);
    // High bits of a response code have their place there, or there are none.
    complete(&node, &arrival, &asked, &made(&response, 0x123, None), &mut out);
    assert_eq!((out[3] & 0xF, out[question_end + record().len() + 5]), (3, 0x12));
    complete(&node, &arrival, &query(OURS, rtype::PTR), &made(&response, 0x123, None), &mut out);
    assert_eq!(out[3] & 0xF, rcode::SERVFAIL);
}

#[test]
fn what_a_client_cannot_take_is_left_out_whole() {
    let node = ruled("");
    let theirs = question(OURS, rtype::PTR, class::IN);
    let mut out = vec![0; TCP_REPLY_LEN_MAX];
    let mut lens = |transport, packet: &[u8], records: usize| {
        let response = message(flag::RA, &theirs, &record().repeat(records), [records as u16, 0, 0]);
        let len = complete(&node, &arrival(transport), packet, &made(&response, 0, None), &mut out);
        assert_eq!(out[..2], packet[..2]);
        let cut = out[2] & 2 != 0;
        let counted = usize::from(u16::from_be_bytes([out[6], out[7]]));
        assert_eq!((counted, out[5]), (if cut { 0 } else { records }, 1));
        (cut, len)
    };
    let head = 12 + theirs.len();
    let plain = query(OURS, rtype::PTR);
    let fits = (512 - head) / record().len();
    assert_eq!(lens(UDP, &plain, fits), (false, head + fits * record().len()));
    assert_eq!(lens(UDP, &plain, fits + 1), (true, head));
    // The client's size, ours, and the room that OPT takes.
    let wide = with_opt(plain.clone(), 4096, &[]);
    let fits = (1232 - head - 11) / record().len();
    assert_eq!(lens(UDP, &wide, fits), (false, head + fits * record().len() + 11));
    assert_eq!(lens(UDP, &wide, fits + 1), (true, head + 11));
    let fits = (TCP_REPLY_LEN_MAX - head) / record().len();
    assert!(!lens(TCP, &plain, fits).0);
    assert_eq!(lens(TCP, &plain, fits + 1), (true, head));
}

#[test]
fn a_message_with_another_question_is_none() {
    let node = ruled("");
    let mut out = vec![0; SLOT_PAYLOAD_LEN];
    let asked = query(OURS, rtype::PTR);
    let ours = question(OURS, rtype::PTR, class::IN);
    let mut two = message(0, &[&ours[..], &ours].concat(), &[], [0; 3]);
    two[5] = 2;
    let mut none = message(0, &[], &record(), [1, 0, 0]);
    none[5] = 0;
    for response in [
        message(0, &question("1.3.0.10.in-addr.arpa", rtype::PTR, class::IN), &record(), [1, 0, 0]),
        message(0, &question("2.0.10.in-addr.arpa", rtype::PTR, class::IN), &record(), [1, 0, 0]),
        message(0, &question(OURS, rtype::A, class::IN), &record(), [1, 0, 0]),
        message(0, &question(OURS, rtype::PTR, class::CH), &record(), [1, 0, 0]),
        message(0, &ours[..8], &[], [0; 3]),
        two,
        none,
        vec![0; 11],
        Vec::new(),
    ] {
        let len = complete(&node, &arrival(UDP), &asked, &made(&response, 0, None), &mut out);
        assert_eq!((len, out[3] & 0xF), (asked.len(), rcode::SERVFAIL), "{response:02x?}");
        assert_eq!(out[6..12], [0; 6]);
    }
}

#[test]
fn codes_and_truncations_are_made_of_a_copy_as_in_the_slot() {
    let node = ruled("all: any refuse\n");
    let cuts = ruled("all: any truncate\n");
    for packet in [query(OURS, 12), with_opt(query(OTHERS, 1), 1232, &NSID)] {
        let (arrival, mut out) = (arrival(UDP), vec![0xEE; SLOT_PAYLOAD_LEN]);
        let len = answer_code(&node, &arrival, &packet, rcode::REFUSED.into(), None, &mut out);
        assert_eq!(&out[..len], ask(&node, &packet).reply());
        let len = truncated(&node, &arrival, &packet, &mut out);
        assert_eq!(&out[..len], ask(&cuts, &packet).reply());
    }
    // What does not parse is no reason to fail.
    let mut out = vec![0; SLOT_PAYLOAD_LEN];
    assert_eq!(answer_code(&node, &arrival(UDP), &[0; 5], 2, None, &mut out), 0);
    assert_eq!(answer_code(&node, &arrival(UDP), &[1; 20], 2, None, &mut out), 12);
}

/// Whatever is in the bytes of a query, of a message and of a way, a reply is one: to this query, no longer
/// than its client can take, and nothing panics.
#[test]
fn random_bytes_make_replies_or_nothing() {
    let node = ruled(&format!("far: {FORWARD} any forward 192.0.2.1:53 fallback next\ncut: any truncate"));
    let mut random = Random::new();
    let (mut slot, mut completed, mut cut) = (vec![0; TCP_REPLY_LEN_MAX], 0, 0);
    for _ in 0..20_000 {
        let arrival = arrival(if random.below(2) == 0 { UDP } else { TCP });
        let options = [&NSID[..], &COOKIE, &[0, 8, 0, 4, 0, 1, 0, 0]][random.below(3)].to_vec();
        let mut packet = query([OURS, OTHERS][random.below(2)], [1, 12, 252][random.below(3)]);
        if random.below(2) == 0 {
            packet = with_opt(packet, random.below(5000) as u16, &options);
        }
        let theirs = packet[12..].to_vec();
        let mut response =
            message(random.below(0x8000) as u16, &theirs, &record().repeat(random.below(60)), [3; 3]);
        for bytes in [&mut packet, &mut response] {
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let len = bytes.len() - random.below(4).saturating_sub(1) * random.below(bytes.len()) / 3;
            bytes.truncate(len);
        }
        let most = if arrival.transport == UDP { 1232 } else { TCP_REPLY_LEN_MAX };
        let is_reply = |out: &[u8], len: usize| {
            assert!(len <= most && (len == 0 || len >= 12), "{len}");
            assert!(len == 0 || out[..2] == packet[..2] && out[2] & 0x80 != 0);
            len > 12
        };
        let code = random.below(4096) as u16;
        let error = (random.below(2) == 0).then_some(22);
        let len = complete(&node, &arrival, &packet, &made(&response, code, error), &mut slot);
        completed += usize::from(is_reply(&slot, len) && slot[6..8] != [0, 0]);
        cut += usize::from(len > 12 && slot[2] & 2 != 0);
        let len = answer_code(&node, &arrival, &packet, code, error, &mut slot);
        is_reply(&slot, len);
        let len = truncated(&node, &arrival, &packet, &mut slot);
        is_reply(&slot, len);
        let (way, mut account) = (Way { rule: random.below(4) as u16, serial: 0 }, Account::default());
        slot[..packet.len()].copy_from_slice(&packet);
        if let Verdict::Reply(len) = fallback(&node, way, &arrival, &mut slot, packet.len(), &mut account) {
            is_reply(&slot, len);
        }
    }
    assert!(completed > 2_000 && cut > 300, "{completed} {cut}");
}

/// SplitMix64, for a failure to be repeated: `SEED=... cargo test`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
        println!("SEED={seed}");
        Self(seed)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 32)) % bound as u64) as usize
    }
}
