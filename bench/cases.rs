//! The queries that are timed, and what they get.
#![allow(dead_code, reason = "each bench uses a part")]

use std::num::NonZeroU32;

use as112d::dns::arrival::Arrival;
use as112d::dns::consts::HEADER_LEN;
use as112d::dns::cookie::{Cookie, Secret, Secrets};
use as112d::limits::{SAMPLE_EVERY, SLOT_PAYLOAD_LEN};
use as112d::serve::limiter::{self, Limiter, RateLimit};
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{Cookies, Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};

use as112d::zone;

use crate::common::{options, query, settings, udp, with_opt};

/// Queries of a batch: about what a busy shard finds at a time.
pub const BATCH: usize = 32;

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
    let arrival = udp();
    let (fresh, _): (Cookie, _) = secrets().answer(&[7; 8], arrival.peer.ip(), arrival.unix_time);
    [("PTR, NXDOMAIN, client cookie", &fresh[..8]), ("PTR, NXDOMAIN, server cookie", &fresh[..])].map(
        |(name, cookie)| {
            let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
            let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &option);
            Case { name, query, len: 158, rcode: 3, apex_at: Some(4) }
        },
    )
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

/// A batch of the usual query; counted with `ledger`, if there is one.
pub fn batch(node: &Snapshot, usual: &Case, mut ledger: Option<&mut Ledger>) {
    let arrival = udp();
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    for _ in 0..BATCH {
        let mut account = Account::default();
        if let Some(ledger) = &mut ledger {
            ledger.see(&slot, usual.query.len(), arrival.peer, arrival.local);
        }
        let verdict = usual.answer(node, &arrival, std::hint::black_box(&mut slot), &mut account);
        assert_eq!(verdict, Verdict::Reply(usual.len));
        if let Some(ledger) = &mut ledger {
            ledger.post(&account, arrival.peer.ip(), Some(&slot[..usual.len]));
        }
    }
    if let Some(ledger) = ledger {
        ledger.fold();
    }
}
