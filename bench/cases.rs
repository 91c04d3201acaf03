//! The queries that are timed, and what they get.
#![allow(dead_code, reason = "each bench uses a part")]

use std::num::NonZeroU32;
use std::time::Instant;

use as112d::dns::arrival::Arrival;
use as112d::dns::consts::HEADER_LEN;
use as112d::dns::cookie::{Cookie, Secret, Secrets};
use as112d::limits::{SAMPLE_EVERY, SLOT_PAYLOAD_LEN};
use as112d::serve::job::{Desk, Inbox, JobSettings, Taken, desk};
use as112d::serve::limiter::{self, Limiter, RateLimit};
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{Cookies, Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use as112d::sys::wake::Waker;
use as112d::zone;

use crate::common::{options, policy, query, settings, tailor, udp, with_opt};

/// Queries of a batch: about what a busy shard finds at a time.
pub const BATCH: usize = 32;

/// How queries arrive: from another host.
pub fn arrival() -> Arrival {
    let [peer, local] = ["192.0.2.7:40000", "192.175.48.1:53"].map(|at| at.parse().expect("an address"));
    Arrival { peer, local, ..udp() }
}

/// A query, and what it gets.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub query: Vec<u8>,
    /// Bytes of the reply.
    pub len: usize,
    pub rcode: u8,
    /// Where the apex of its zone begins in the name, if it is in one of ours.
    pub apex_at: Option<usize>,
}

/// All cases, the usual one first.
pub fn cases() -> [Case; 9] {
    const NSID: [u8; 4] = [0, 3, 0, 0];
    let ptr = || query("1.1.168.192.in-addr.arpa", 12);
    let longest = format!("{}10.in-addr.arpa", "1.".repeat(119));
    let edns = |query| with_opt(query, 1232, &[]);
    [
        ("PTR, NXDOMAIN, EDNS", edns(ptr()), 130, 3, Some(4)),
        ("PTR, NXDOMAIN", ptr(), 119, 3, Some(4)),
        ("PTR, NXDOMAIN, NSID", with_opt(ptr(), 1232, &NSID), 147, 3, Some(4)),
        ("PTR, NXDOMAIN, 255 bytes", edns(query(&longest, 12)), 359, 3, Some(238)),
        ("NODATA", edns(query("168.192.in-addr.arpa", 1)), 126, 0, Some(0)),
        ("SOA", edns(query("168.192.in-addr.arpa", 6)), 126, 0, Some(0)),
        ("NS", edns(query("168.192.in-addr.arpa", 2)), 109, 0, Some(0)),
        ("TXT", edns(query("hostname.as112.net", 16)), 133, 0, Some(0)),
        ("REFUSED", edns(query("www.example.com", 1)), 50, 5, None),
    ]
    .map(|(name, query, len, rcode, apex_at)| Case { name, query, len, rcode, apex_at })
}

/// A node with cookies.
pub fn node_with_cookies() -> Snapshot {
    let cookies = Some(Cookies { secrets: secrets(), dry_run: false });
    let zones = zone::load(&options(&[])).expect("the built-in zones load");
    Snapshot::new(&zones, Settings { cookies, ..settings() }).expect("the settings are sound")
}

fn secrets() -> Secrets {
    Secrets([[1; 16], [2; 16]].map(Secret::new).into_iter().collect())
}

/// What such a node gets: a client's cookie, and one of its own that is fresh.
pub fn cookie_cases() -> [Case; 2] {
    let arrival = arrival();
    let (fresh, _): (Cookie, _) = secrets().answer(&[7; 8], arrival.peer.ip(), arrival.unix_time);
    [("PTR, NXDOMAIN, client cookie", &fresh[..8]), ("PTR, NXDOMAIN, server cookie", &fresh[..])].map(
        |(name, cookie)| {
            let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
            let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &option);
            Case { name, query, len: 158, rcode: 3, apex_at: Some(4) }
        },
    )
}

/// A node of which answers depend on the client.
pub fn node_with_clients() -> Snapshot {
    let zones = zone::load(&options(&[])).expect("the built-in zones load");
    Snapshot::new(&zones, Settings { tailor: Some(tailor()), ..settings() }).expect("the settings are sound")
}

/// What of its usual queries depends on nobody: without a client subnet, and with one.
pub fn client_cases() -> [Case; 4] {
    let [usual, plain, .., refused] = cases();
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 11, 1, 3];
    let with_subnet = Case {
        name: "clients: PTR, NXDOMAIN, client subnet",
        query: with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &subnet),
        len: usual.len + subnet.len(),
        ..usual
    };
    let named = |name, case: &Case| Case { name, query: case.query.clone(), ..*case };
    [
        named("clients: PTR, NXDOMAIN, EDNS", &usual),
        named("clients: PTR, NXDOMAIN", &plain),
        named("clients: REFUSED", &refused),
        with_subnet,
    ]
}

/// A node with rules: none concerns the listener that is asked, or they do.
pub fn node_with_rules(rules: &str) -> Snapshot {
    let listeners = [arrival().local, "192.0.2.1:53".parse().expect("an address")];
    let policy = policy(rules, &listeners);
    let zones = zone::load(&options(&[])).expect("the built-in zones load");
    Snapshot::new(&zones, Settings { policy, ..settings() }).expect("the settings are sound")
}

/// Rules, and the usual query or another that they concern or not.
pub fn ruled_cases() -> [(&'static str, Case); 4] {
    let [usual, .., refused] = cases();
    let elsewhere = "dst in { 192.0.2.1 } refuse";
    let suffix = "qname-suffix in { example.com } answer NXDOMAIN";
    let named = |name, case: &Case| Case { name, query: case.query.clone(), ..*case };
    [
        (elsewhere, named("rules elsewhere", &usual)),
        (suffix, named("rules, none takes it", &usual)),
        (suffix, Case { len: refused.len - 6, rcode: 3, ..named("a rule answers", &refused) }),
        (HANDED, named("handed over", &usual)),
    ]
}

/// Hands over the usual query.
const HANDED: &str =
    "src in { 192.0.2.0/24 } and qname-suffix in { 168.192.in-addr.arpa } forward 192.0.2.1:53";

/// A batch of the usual query, handed over and given back.
pub fn handed(node: &Snapshot, usual: &Case, desk: &mut Desk, inbox: &mut Inbox) {
    let arrival = arrival();
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    let asked = Instant::now();
    for _ in 0..BATCH {
        let mut account = Account::default();
        let verdict = usual.answer(node, &arrival, std::hint::black_box(&mut slot), &mut account);
        let Verdict::HandOff(way) = verdict else { panic!("{verdict:?}") };
        let ((label, share), packet) = (node.route_share(way), &slot[..usual.query.len()]);
        let (arrival, account, connection) = (&arrival, &account, None);
        let taken = Taken { arrival, socket: 0, connection, account, label, share, asked, packet };
        assert_eq!(desk.hand_over(way, std::hint::black_box(&taken)), Ok(()));
    }
    desk.end_turn();
    while let Some(job) = inbox.take() {
        inbox.give_back(job);
    }
}

/// Where it is handed over.
pub fn new_desk() -> (Desk, Inbox) {
    let wakers = [Waker::new().expect("a descriptor")];
    let (desk, mut inboxes) = desk(&JobSettings::default(), &wakers);
    (desk, inboxes.remove(0))
}

/// A rate limit that the batch is within, and its table.
pub fn new_limiter() -> (Limiter, RateLimit) {
    let limit = RateLimit::new(&limiter::Settings {
        per_second: 1_000_000,
        dry_run: false,
        slip: 1,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        exempt: Vec::new(),
    });
    (Limiter::default(), limit)
}

/// What a batch costs at a rate limit, of sources in different networks: a place in the table, and a charge.
pub fn limited(limiter: &mut Limiter, limit: &RateLimit, first: u32) {
    for number in 0..BATCH as u32 {
        let source = std::net::Ipv4Addr::from_bits(first.wrapping_add(number).wrapping_mul(0x9E37_79B1));
        let claim = limiter.look(std::hint::black_box(limit), source.into());
        limiter.charge(std::hint::black_box(&claim));
    }
}

/// A slot with a query in it.
pub fn slot(query: &[u8]) -> [u8; SLOT_PAYLOAD_LEN] {
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    slot[..query.len()].copy_from_slice(query);
    slot
}

impl Case {
    /// The offset behind the question.
    pub fn question_end(&self) -> usize {
        let name = &self.query[HEADER_LEN..];
        HEADER_LEN + name.iter().position(|&byte| byte == 0).expect("a root") + 5
    }

    /// Answers the query once, in a slot that it is copied to.
    pub fn answer(
        &self,
        node: &Snapshot,
        arrival: &Arrival,
        slot: &mut [u8],
        account: &mut Account,
    ) -> Verdict {
        slot[..self.query.len()].copy_from_slice(&self.query);
        serve(node, arrival, slot, self.query.len(), account)
    }

    /// Whether `slot` holds what the query gets.
    pub fn check(&self, verdict: Verdict, slot: &[u8]) {
        assert_eq!((verdict, slot[3] & 0xF), (Verdict::Reply(self.len), self.rcode), "{}", self.name);
    }
}

/// A ledger as a node has it, and its other end.
pub fn new_ledger() -> (Ledger, Stream) {
    let sample_every = NonZeroU32::new(SAMPLE_EVERY).expect("a sample has a rate");
    ledger(&LedgerSettings { sample_every, ..LedgerSettings::default() })
}

/// What a batch costs that nobody answers.
pub fn idle_batch(usual: &Case) {
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    for _ in 0..BATCH {
        let slot = std::hint::black_box(&mut slot);
        slot[..usual.query.len()].copy_from_slice(&usual.query);
        assert_eq!(std::hint::black_box(Verdict::Reply(usual.len)), Verdict::Reply(usual.len));
    }
}

/// A batch of the usual query; counted with `ledger`, if there is one.
pub fn batch(node: &Snapshot, usual: &Case, mut ledger: Option<&mut Ledger>) {
    let arrival = arrival();
    let (mut slot, mut account) = ([0; SLOT_PAYLOAD_LEN], Account::default());
    for _ in 0..BATCH {
        if let Some(ledger) = &mut ledger {
            ledger.see(&slot, usual.query.len(), &arrival.peer, &arrival.local);
        }
        let verdict = usual.answer(node, &arrival, std::hint::black_box(&mut slot), &mut account);
        assert_eq!(verdict, Verdict::Reply(usual.len));
        if let Some(ledger) = &mut ledger {
            ledger.post(&account, arrival.peer.ip(), Some(&slot[..usual.len]));
        }
    }
    if let Some(ledger) = ledger {
        ledger.end_batch();
    }
}
